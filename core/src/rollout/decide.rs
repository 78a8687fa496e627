//! The decision.

use std::collections::BTreeMap;

use super::fleet::{Fleet, Node, Outcome, Permit};
use super::ledger::{Failure, Halt, HaltReason, Ledger, Reservation, Stage};
use super::limit::Limit;
use super::policy::{Canary, Policy, Strategy};
use super::revision::{Revision, seen_by_most};
use super::slots::Slots;
use super::time::Time;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The ledger that has to take the place of the one that was read, and of no other; `None` where it stays.
    pub ledger: Option<Ledger>,
    /// Permits that nodes have not been given yet, for reservations of the ledger that was read.
    pub permits: BTreeMap<String, Permit>,
    /// Names, by UID, of nodes that something was promised to and that the list does not have: each is to be looked up at the
    /// API server itself, and told as [`Fleet::gone`] if there is none of this UID.
    pub missing: BTreeMap<String, String>,
    /// Whether agents see something new, according to records that may be old: they are to be listed anew, and that is to be
    /// told as [`Fleet::fresh`].
    pub outdated: bool,
    /// Why no further node got a slot; `None` where nobody is left that could have one.
    pub waiting: Option<Waiting>,
}

/// Why no further node gets a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Not enough agents have said which versions of the Secrets they see.
    Revision,
    /// The rollout does harm; somebody has to say that it goes on.
    Halted,
    /// Somebody does not want it to go on now.
    Paused,
    /// No window is open.
    Window,
    /// The first nodes are not done.
    Canary,
    /// Harm is given time to show.
    Soaking,
    /// All slots that the limits allow are taken.
    Slots,
    /// Nobody who could have a slot is ready, or may be touched.
    Nodes,
}

impl Waiting {
    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revision => "Revision",
            Self::Halted => "Halted",
            Self::Paused => "Paused",
            Self::Window => "Window",
            Self::Canary => "Canary",
            Self::Soaking => "Soaking",
            Self::Slots => "Slots",
            Self::Nodes => "Nodes",
        }
    }
}

/// Decides what a rollout does now.
///
/// Clean-up comes first and is never held up: slots of nodes that are done or gone are given back even while the rollout
/// is halted or paused.
pub fn decide(policy: &Policy, ledger: &Ledger, fleet: &Fleet, now: Time) -> Decision {
    let mut next = ledger.clone();
    let wanted = seen_by_most(&policy.sources, &ledger.revision, fleet);
    let superseded = wanted != ledger.revision;
    if superseded && fleet.fresh {
        supersede(&mut next, wanted, fleet, now);
    }
    if next.resumes != policy.resumes {
        next.resumes = policy.resumes;
        next.halt = None;
        next.failures.clear();
    }
    if next.stage == Stage::Canary && next.generation > 0 {
        choose_canary(&mut next, policy, fleet);
    }
    settle(&mut next, policy, fleet, now);
    judge(&mut next, policy, fleet, now);
    advance(&mut next, policy, fleet, now);
    let waiting = admit(&mut next, policy, fleet, now);
    Decision {
        permits: permits(policy, ledger, &next, fleet),
        missing: missing(&next, fleet),
        outdated: superseded && !fleet.fresh,
        ledger: (next != *ledger).then_some(next),
        waiting,
    }
}

/// A new generation. Nodes that are at work keep their slots, and go on with the new one.
///
/// It counts on from what the nodes have been told: a rollout that was deleted and made anew begins with an empty ledger, and
/// what answers its permits must not be what answered former ones.
fn supersede(ledger: &mut Ledger, wanted: Revision, fleet: &Fleet, now: Time) {
    let records = fleet.nodes.values().filter_map(|node| node.record.as_ref());
    for told in records.filter_map(|record| record.permit.as_ref()) {
        ledger.generation = ledger.generation.max(told.generation);
        ledger.permits = ledger.permits.max(told.serial);
    }
    ledger.generation += 1;
    ledger.revision = wanted;
    ledger.stage = Stage::Canary;
    ledger.canary.clear();
    ledger.failures.clear();
    ledger.halt = None;
    let names: Vec<_> = ledger.reservations.keys().cloned().collect();
    for name in names {
        let Some(former) = ledger.reservations.remove(&name) else {
            continue;
        };
        let permit = ledger.permit(&former.permit.uid);
        let reservation = Reservation {
            permit,
            since: now,
            permitted: None,
        };
        ledger.reservations.insert(name, reservation);
    }
}

/// The nodes that go first: those that were chosen and are still there, and others in place of the rest.
fn choose_canary(ledger: &mut Ledger, policy: &Policy, fleet: &Fleet) {
    match &policy.canary {
        Canary::Nodes(names) => {
            let there = names
                .iter()
                .filter_map(|name| fleet.nodes.get_key_value(name));
            ledger.canary = there
                .map(|(name, node)| (node.uid.clone(), name.clone()))
                .collect();
        }
        Canary::Count(_) => {
            ledger.canary = first_ones(ledger, fleet);
            let mut others: Vec<_> = fleet
                .nodes
                .iter()
                .filter(|(_, node)| may_start(node))
                .collect();
            others.sort_by_key(|(name, node)| order(name, node));
            for (name, node) in others {
                if ledger.canary.len() < canary_size(policy, fleet) {
                    ledger.canary.insert(node.uid.clone(), name.clone());
                }
            }
        }
    }
}

/// Those that were chosen, but for who is gone, and who has not begun and cannot: it would hold everybody up.
fn first_ones(ledger: &Ledger, fleet: &Fleet) -> BTreeMap<String, String> {
    let stays = |(uid, name): &(&String, &String)| {
        let reserved = ledger.reservations.get(*name);
        let begun = reserved.is_some_and(|reserved| reserved.permit.uid == **uid)
            || ledger.failures.contains_key(*uid);
        let node = fleet.nodes.get(*name).filter(|node| node.uid == **uid);
        // Whom the list does not have may be newer than that.
        let could = node.is_none_or(|node| may_start(node) || node.has_reached(ledger.generation));
        !fleet.gone.contains(*uid) && (begun || could)
    };
    let chosen = ledger.canary.iter().filter(stays);
    chosen
        .map(|(uid, name)| (uid.clone(), name.clone()))
        .collect()
}

/// How many nodes have to have gone first. One at least, if any are wanted: a list without nodes proves nothing.
fn canary_size(policy: &Policy, fleet: &Fleet) -> usize {
    match &policy.canary {
        Canary::Nodes(names) => names.len(),
        Canary::Count(count) => Limit::Count(*count).of(fleet.nodes.len().max(1)),
    }
}

/// Gives back the slots of nodes that are done or gone, and notes who failed.
fn settle(ledger: &mut Ledger, policy: &Policy, fleet: &Fleet, now: Time) {
    let failures = &mut ledger.failures;
    ledger.reservations.retain(|name, reservation| {
        let uid = &reservation.permit.uid;
        let Some(node) = fleet.nodes.get(name).filter(|node| node.uid == *uid) else {
            return !fleet.gone.contains(uid);
        };
        let mut fail = |reason: &str| {
            let failure = Failure {
                node: name.clone(),
                reason: reason.to_owned(),
                since: now,
            };
            failures.entry(node.uid.clone()).or_insert(failure);
        };
        match node.outcome(&reservation.permit) {
            Some(Outcome::Reached) => return false,
            Some(Outcome::Failed(reason)) => {
                fail(reason);
                return false;
            }
            None if node.has_permit(&reservation.permit) => {
                let permitted = *reservation.permitted.get_or_insert(now);
                // Nobody knows what it does, so it keeps its slot.
                if now.since(permitted) > policy.deadline {
                    fail("it has said nothing within the deadline");
                }
            }
            None => {}
        }
        true
    });
}

/// Halts a rollout that does harm. It stays halted, whatever becomes of the failures.
fn judge(ledger: &mut Ledger, policy: &Policy, fleet: &Fleet, now: Time) {
    if ledger.is_halted() || policy.strategy == Strategy::Immediate {
        return;
    }
    let reason = if ledger
        .failures
        .keys()
        .any(|uid| ledger.canary.contains_key(uid))
    {
        HaltReason::CanaryFailed
    } else if policy
        .failures
        .is_spent(ledger.failures.len(), fleet.nodes.len())
    {
        HaltReason::FailureBudgetSpent
    } else {
        return;
    };
    ledger.halt = Some(Halt { reason, since: now });
}

/// Goes on to the next stage when this one is over.
fn advance(ledger: &mut Ledger, policy: &Policy, fleet: &Fleet, now: Time) {
    if policy.strategy == Strategy::Immediate {
        ledger.stage = Stage::Waves;
    }
    if ledger.is_halted() || ledger.generation == 0 {
        return;
    }
    let first = |node: &&Node| ledger.canary.contains_key(&node.uid);
    let done = |node: &&Node| node.has_reached(ledger.generation);
    let reached = fleet.nodes.values().filter(first).filter(done).count();
    ledger.stage = match ledger.stage {
        Stage::Canary if reached >= canary_size(policy, fleet) => Stage::Soak { since: now },
        Stage::Soak { since } if now.since(since) >= policy.soak => Stage::Waves,
        stage => stage,
    };
}

/// Gives slots to nodes, as many as the limits allow.
fn admit(ledger: &mut Ledger, policy: &Policy, fleet: &Fleet, now: Time) -> Option<Waiting> {
    if ledger.generation == 0 {
        return Some(Waiting::Revision);
    }
    let open = |(name, node): &(&String, &Node)| {
        !node.has_reached(ledger.generation)
            && !ledger.reservations.contains_key(*name)
            && !ledger.failures.contains_key(&node.uid)
    };
    let open: Vec<_> = fleet.nodes.iter().filter(open).collect();
    if open.is_empty() {
        return None;
    }
    if let Some(gate) = closed(policy, ledger) {
        return Some(gate);
    }
    let in_turn = |(_, node): &(&String, &Node)| match ledger.stage {
        Stage::Canary => ledger.canary.contains_key(&node.uid),
        Stage::Soak { .. } => false,
        Stage::Waves => true,
    };
    let mut candidates: Vec<_> = open.into_iter().filter(in_turn).collect();
    match ledger.stage {
        Stage::Canary if candidates.is_empty() => return Some(Waiting::Canary),
        Stage::Soak { .. } => return Some(Waiting::Soaking),
        Stage::Canary | Stage::Waves => {}
    }
    candidates.retain(|(_, node)| may_start(node));
    if candidates.is_empty() {
        return Some(Waiting::Nodes);
    }
    candidates.sort_by_key(|(name, node)| order(name, node));
    let mut slots = Slots::new(policy, ledger, fleet);
    let mut held_up = None;
    for (name, node) in candidates {
        // The control plane is last: while another node waits, it does too.
        let in_turn = !node.control_plane || held_up.is_none();
        if policy.strategy == Strategy::FileOnly && !(in_turn && slots.take(node)) {
            held_up = Some(Waiting::Slots);
            continue;
        }
        let reservation = Reservation {
            permit: ledger.permit(&node.uid),
            since: now,
            permitted: None,
        };
        ledger.reservations.insert(name.clone(), reservation);
    }
    held_up
}

/// Nodes that something was promised to and that the list does not have.
fn missing(ledger: &Ledger, fleet: &Fleet) -> BTreeMap<String, String> {
    let reserved = ledger.reservations.iter();
    let reserved = reserved.map(|(name, reservation)| (&reservation.permit.uid, name));
    let first = ledger
        .canary
        .iter()
        .filter(|_| ledger.stage == Stage::Canary);
    let unknown = |(uid, name): &(&String, &String)| {
        let node = fleet.nodes.get(*name);
        node.is_none_or(|node| node.uid != **uid) && !fleet.gone.contains(*uid)
    };
    let missing = reserved.chain(first).filter(unknown);
    missing
        .map(|(uid, name)| (uid.clone(), name.clone()))
        .collect()
}

/// Permits that nodes have not been given yet. The gates are looked at again: since a slot was given they may have closed.
fn permits(
    policy: &Policy,
    read: &Ledger,
    next: &Ledger,
    fleet: &Fleet,
) -> BTreeMap<String, Permit> {
    if closed(policy, next).is_some() {
        return BTreeMap::new();
    }
    let owed = read.reservations.iter().filter(|(name, reservation)| {
        let permit = &reservation.permit;
        // Given back or replaced just now: whoever reads the next ledger sees to it.
        let kept = next
            .reservations
            .get(*name)
            .is_some_and(|next| next.permit == *permit);
        let node = fleet.nodes.get(*name).filter(|node| node.uid == permit.uid);
        // A newer one was given by somebody who knows more.
        let owed = |node: &Node| !node.has_permit(permit) && !node.has_newer_permit(permit);
        kept && node.is_some_and(owed)
    });
    owed.map(|(name, reservation)| (name.clone(), reservation.permit.clone()))
        .collect()
}

/// Why no node may start now, whichever it is.
fn closed(policy: &Policy, ledger: &Ledger) -> Option<Waiting> {
    let careful = policy.strategy == Strategy::FileOnly;
    if careful && ledger.is_halted() {
        Some(Waiting::Halted)
    } else if policy.paused {
        Some(Waiting::Paused)
    } else if careful && !policy.open {
        Some(Waiting::Window)
    } else {
        None
    }
}

fn may_start(node: &Node) -> bool {
    node.ready && !node.held
}

/// The control plane last, the others zone by zone.
fn order(name: &str, node: &Node) -> (bool, Option<String>, String) {
    (node.control_plane, node.zone.clone(), name.to_owned())
}

#[cfg(test)]
mod tests;
