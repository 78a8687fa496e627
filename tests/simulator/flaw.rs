//! Mistakes of coordinators, to see that each is noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pullkeeper_core::rollout::{
    Cordon, Decision, Fleet, Ledger, Limit, Order, Parked, Phase, Policy, Stage, Strategy, Time,
    Why,
};

use crate::oath::may_be_acting;

/// A mistake that a coordinator makes, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Writes the ledger whatever is there now.
    NoCompareAndSwap,
    /// Gives permits for what it has decided, before that is persisted.
    PermitsFirst,
    /// Takes a node that its list does not have for one that is gone.
    BelievesTheList,
    /// Takes old records for fresh ones.
    BelievesOldRecords,
    /// Forgets halts.
    Unhalts,
    /// Has no patience.
    SkipsTheSoak,
    /// Counts every node twice.
    CountsTwice,
    /// Gives no slot back.
    KeepsSlots,
    /// Lets control-plane nodes go like all others.
    NoControlPlane,
    /// Cordons for what it has decided, before that is persisted.
    CordonsFirst,
    /// Cordons whatever has become of the node since it was seen.
    CordonsBlindly,
    /// Cordons whoever has a slot, whether its pods would go or not.
    SkipsInspection,
    /// Cordons for a ledger that was not read again.
    CordonsUnread,
    /// Gives slots back before nodes are uncordoned.
    ReleasesFirst,
    /// Uncordons whoever is cordoned.
    UncordonsAll,
    /// Takes a list that was made at once for proof that a node is empty.
    TrustsTheFirstList,
    /// Takes a node that a human has uncordoned for one that is cordoned.
    IgnoresHumans,
    /// Takes an old look at a node for one of now.
    BelievesOldNodes,
    /// Goes on while it is paused.
    IgnoresPauses,
    /// Drains again for every generation.
    DrainsAgain,
    /// Takes what waits for each other for progress.
    NeverYields,
    /// Drains for ever.
    NeverGivesUp,
    /// Does not uncordon while it is paused.
    PausesCleanUp,
    /// Does not mind who is unavailable already.
    CountsItsOwnOnly,
    /// Takes what a node said before it restarted services for what it says now.
    TrustsOldReadiness,
    /// Takes a permit that may be on its way for one that never was.
    ForgetsPermits,
    /// Goes on when its term is over.
    LeadsForEver,
    /// Takes a Lease that is somebody else's.
    Usurps,
    /// Gives up its term when one look comes to nothing.
    Abdicates,
    /// Takes a write of its own that came late for somebody else's.
    YieldsToItself,
    /// Waits for one answer as long as a Lease lasts.
    WaitsForOneAnswer,
    /// Does not stand again once it has lost.
    Resigns,
    /// Takes the record of a former node of the same name for the node's own.
    InheritsReports,
    /// Gives the slot of a node to the one that was made in its place.
    InheritsSlots,
    /// Takes a ledger that it cannot read for one that has not been begun.
    TakesDamageForNothing,
    /// Reads of a ledger what it can.
    ReadsWhatItCan,
    /// Does not mind who else is at work on a node.
    IgnoresHolds,
    /// Does not mind what others do with a pool.
    IgnoresPools,
    /// Does not mind how many of a pool may be unavailable.
    IgnoresSharing,
    /// Takes nodes that nothing is heard from for ready ones.
    TakesUnknownForReady,
    /// Takes nodes that it cannot look up for ready ones.
    TakesErrorsForHealth,
    /// Takes nodes that it cannot look up for gone.
    TakesErrorsForGone,
    /// Never looks up who is missing.
    NeverLooksUp,
    /// Keeps the slots of nodes that are gone.
    KeepsTheGone,
    /// Tries nodes again before everybody else has had a turn.
    RetriesFirst,
    /// Does not mind who has got how far.
    ForgetsWhoIsBehind,
    /// Counts deadlines from when it last looked.
    RestartsTimers,
    /// Begins with the canaries again when a window has closed.
    BeginsAnew,
    /// Takes slots from nodes that act when a window closes.
    StopsWhoActs,
    /// Admits nodes that are done again.
    ForgetsWhoIsDone,
    /// Waits for the silent for ever.
    WaitsForTheSilent,
    /// Gives up the slots of the silent.
    GivesUpTheSilent,
    /// Counts failures anew.
    ForgetsFailures,
}

impl Flaw {
    /// What a coordinator that makes the mistake takes for the truth.
    pub(crate) fn mistakes(self, policy: &mut Policy, ledger: &mut Ledger, fleet: &mut Fleet) {
        match self {
            Self::BelievesTheList => {
                let reserved = ledger.reservations.values().map(|one| &one.permit.uid);
                let known = |uid: &&String| fleet.nodes.values().any(|node| node.uid == **uid);
                let missing: Vec<_> = reserved.filter(|uid| !known(uid)).cloned().collect();
                fleet.gone.extend(missing);
            }
            Self::BelievesOldRecords => fleet.fresh = true,
            Self::Unhalts => {
                ledger.halt = None;
                policy.failures.count = u32::MAX;
                policy.failures.percent = 100;
                ledger.canary.clear();
            }
            Self::SkipsTheSoak => policy.soak = Duration::ZERO,
            Self::CountsTwice if policy.strategy != Strategy::Immediate => {
                let twice = policy.slots.of(fleet.nodes.len()) * 2;
                policy.slots = Limit::Count(u32::try_from(twice).unwrap_or(u32::MAX));
            }
            Self::NoControlPlane => {
                for node in fleet.nodes.values_mut() {
                    node.control_plane = false;
                }
            }
            Self::ReleasesFirst => {
                for (name, reservation) in &ledger.reservations {
                    if let (Phase::Restoring { .. }, Some(node)) =
                        (&reservation.phase, fleet.nodes.get_mut(name))
                    {
                        node.current = true;
                        node.cordon = Cordon::None;
                    }
                }
            }
            Self::IgnoresHumans => {
                for node in fleet.nodes.values_mut() {
                    if let Cordon::TakenOver { mark, .. } = &node.cordon {
                        node.cordon = Cordon::Ours(mark.clone());
                    }
                }
            }
            Self::BelievesOldNodes => {
                for node in fleet.nodes.values_mut() {
                    node.current = true;
                }
            }
            Self::IgnoresPauses => policy.paused = false,
            Self::NeverYields => {
                for node in fleet.nodes.values_mut() {
                    if let Some(seen) = &mut node.drain {
                        seen.idle = Duration::ZERO;
                    }
                }
            }
            Self::TrustsOldReadiness => {
                for node in fleet.nodes.values_mut() {
                    node.heartbeat = Some(Time(u64::MAX));
                }
            }
            Self::CountsItsOwnOnly => policy.max_unavailable = None,
            Self::IgnoresHolds => {
                for node in fleet.nodes.values_mut() {
                    node.held = false;
                }
            }
            Self::IgnoresPools => {
                for pool in fleet.pools.values_mut() {
                    pool.busy = false;
                }
            }
            Self::IgnoresSharing => {
                for pool in fleet.pools.values_mut() {
                    pool.max_unavailable = None;
                }
            }
            Self::KeepsTheGone => fleet.gone.clear(),
            Self::RetriesFirst => {
                let waiting = fleet.nodes.iter();
                let waiting = waiting.filter(|(name, _)| !ledger.reservations.contains_key(*name));
                for (name, node) in waiting {
                    let parked = Parked {
                        node: name.clone(),
                        why: Why::Blocked,
                        since: Time(0),
                        times: 2,
                    };
                    ledger.parked.entry(node.uid.clone()).or_insert(parked);
                }
            }
            Self::ForgetsWhoIsBehind => {
                // Who has a slot is waited for.
                let waiting = fleet.nodes.iter_mut();
                let waiting = waiting.filter(|(name, _)| !ledger.reservations.contains_key(*name));
                for (_, node) in waiting {
                    let report = node.record.as_mut().and_then(|one| one.report.as_mut());
                    if let Some(permit) = report.map(|report| &mut report.permit)
                        && permit.generation < ledger.generation
                    {
                        permit.generation = 0;
                    }
                }
            }
            Self::ForgetsWhoIsDone => {
                let waiting = fleet.nodes.iter_mut();
                let waiting = waiting.filter(|(name, _)| !ledger.reservations.contains_key(*name));
                for (_, node) in waiting {
                    if let Some(record) = &mut node.record {
                        record.report = None;
                    }
                }
            }
            Self::RestartsTimers => {
                for reservation in ledger.reservations.values_mut() {
                    reservation.permitted = None;
                }
            }
            Self::WaitsForTheSilent => policy.deadline = Duration::MAX,
            Self::ForgetsFailures => ledger.failures.clear(),
            Self::ForgetsPermits => {
                for (name, reservation) in &ledger.reservations {
                    if let (Phase::Withdrawing { void, .. }, Some(node)) =
                        (&reservation.phase, fleet.nodes.get_mut(name))
                    {
                        node.record.get_or_insert_default().permit = Some(void.clone());
                    }
                }
            }
            _ => {}
        }
        if let Strategy::Drain(drain) = &mut policy.strategy {
            match self {
                Self::TrustsTheFirstList => drain.settle = Duration::ZERO,
                Self::NeverGivesUp => drain.deadline = Duration::MAX,
                _ => {}
            }
        }
    }

    /// What it takes the nodes for that it does not know, or cannot look up.
    pub(crate) fn sees(
        self,
        policy: &Policy,
        fleet: &mut Fleet,
        unknown: &BTreeSet<String>,
        failed: &BTreeSet<String>,
    ) {
        match self {
            // Whose word begins a generation, and how many are unavailable, are other promises.
            Self::TakesUnknownForReady if !fleet.fresh && policy.max_unavailable.is_none() => {
                let nodes = fleet.nodes.values_mut();
                for node in nodes.filter(|node| unknown.contains(&node.uid)) {
                    node.ready = true;
                }
            }
            Self::TakesErrorsForHealth => {
                let nodes = fleet.nodes.values_mut();
                for node in nodes.filter(|node| failed.contains(&node.uid)) {
                    node.current = true;
                    node.ready = true;
                }
            }
            Self::TakesErrorsForGone => fleet.gone.extend(failed.iter().cloned()),
            _ => {}
        }
    }

    /// What it makes of a decision.
    pub(crate) fn spoils(
        self,
        decision: &mut Decision,
        policy: &Policy,
        ledger: &Ledger,
        fleet: &Fleet,
    ) {
        match self {
            Self::NeverLooksUp => decision.missing.clear(),
            Self::InheritsSlots => {
                let next = decision.ledger.get_or_insert_with(|| ledger.clone());
                for (name, former) in &ledger.reservations {
                    let uid = fleet.nodes.get(name).map(|node| &node.uid);
                    if let Some(uid) = uid.filter(|uid| **uid != former.permit.uid) {
                        let mut heir = former.clone();
                        heir.permit.uid.clone_from(uid);
                        next.reservations.insert(name.clone(), heir);
                    }
                }
            }
            Self::BeginsAnew if !policy.open => {
                let next = decision.ledger.get_or_insert_with(|| ledger.clone());
                next.stage = Stage::Canary;
            }
            Self::StopsWhoActs if !policy.open => {
                let next = decision.ledger.get_or_insert_with(|| ledger.clone());
                next.reservations.retain(|name, one| {
                    let node = fleet.nodes.get(name);
                    !node.is_some_and(|node| may_be_acting(one, node))
                });
            }
            Self::GivesUpTheSilent => {
                if let Some(next) = &mut decision.ledger {
                    let Ledger {
                        reservations,
                        failures,
                        ..
                    } = next;
                    reservations.retain(|_, one| !failures.contains_key(&one.permit.uid));
                }
            }
            _ => {}
        }
        let orders = &mut decision.orders;
        match (self, &mut decision.ledger) {
            (Self::RetriesFirst, Some(next)) => {
                next.parked.retain(|_, parked| parked.since != Time(0));
            }
            (Self::KeepsSlots, Some(next)) => {
                next.reservations.extend(ledger.reservations.clone());
            }
            (Self::PermitsFirst, Some(next)) => {
                let promised = next.reservations.iter();
                let permits = promised.map(|(name, one)| (name.clone(), one.permit.clone()));
                decision.permits.extend(permits);
            }
            (Self::CordonsFirst, Some(next)) => {
                let promised = next.reservations.iter();
                let first = promised.filter(|(name, _)| !ledger.reservations.contains_key(*name));
                let cordons = first.filter_map(|(name, one)| {
                    let (uid, serial) = (one.permit.uid.clone(), one.mark?);
                    Some((name.clone(), Order::Cordon { uid, serial }))
                });
                orders.extend(cordons.collect::<BTreeMap<_, _>>());
            }
            (Self::DrainsAgain, Some(next)) if next.generation != ledger.generation => {
                for reservation in next
                    .reservations
                    .values_mut()
                    .filter(|one| one.mark.is_some())
                {
                    reservation.mark = Some(reservation.permit.serial);
                    reservation.phase = Phase::Reserved;
                }
            }
            (Self::SkipsInspection, _) => {
                for order in orders.values_mut() {
                    if let Order::Inspect { uid, serial } = order {
                        let (uid, serial) = (uid.clone(), *serial);
                        *order = Order::Cordon { uid, serial };
                    }
                }
            }
            (Self::PausesCleanUp, _) if policy.paused => {
                orders.retain(|_, order| !matches!(order, Order::Uncordon { .. }));
            }
            (Self::UncordonsAll, _) => {
                for (name, node) in &fleet.nodes {
                    if node.cordon == Cordon::Foreign {
                        let uid = node.uid.clone();
                        let order = Order::Uncordon { uid, serial: 0 };
                        orders.insert(name.clone(), order);
                    }
                }
            }
            _ => {}
        }
    }
}
