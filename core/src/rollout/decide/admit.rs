//! Who gets a slot.

use super::super::policy::Drain;
use super::super::reservation::{Phase, Reservation, Why};
use super::super::slots::Slots;
use super::gates::{Waiting, closed};
use super::{Fleet, Ledger, Node, Policy, Stage, Strategy, Time, may_start};

/// So many generations may pass without coming to the control plane, before it is no longer last.
const LEFT_OUT: u64 = 4;

/// Gives slots to nodes, as many as the limits allow.
pub(super) fn admit(
    ledger: &mut Ledger,
    policy: &Policy,
    fleet: &Fleet,
    now: Time,
) -> Option<Waiting> {
    if ledger.generation == 0 {
        return Some(Waiting::Revision);
    }
    let drains = matches!(policy.strategy, Strategy::Drain(_));
    let left_to_others = |node: &Node| {
        let parked = ledger.parked.get(&node.uid).filter(|_| drains);
        parked.is_some_and(|parked| parked.why == Why::TakenOver)
    };
    let open = |(name, node): &(&String, &Node)| {
        !node.has_reached(ledger.generation)
            && !ledger.reservations.contains_key(*name)
            && !ledger.failures.contains_key(&node.uid)
            && !left_to_others(node)
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
    let parked = match policy.strategy {
        Strategy::Drain(drain) => candidates
            .iter()
            .any(|(_, node)| is_parked(drain, ledger, node, now)),
        Strategy::FileOnly | Strategy::Restart | Strategy::Immediate => false,
    };
    candidates.retain(|(_, node)| may_start(policy, ledger, fleet, node, now));
    if candidates.is_empty() {
        return Some(if parked {
            Waiting::Parked
        } else {
            Waiting::Nodes
        });
    }
    candidates.sort_by_key(|(name, node)| (turns(ledger, node), order(name, node)));
    let mut slots = Slots::new(policy, ledger, fleet);
    let mut held_up = None;
    for (name, node) in candidates {
        // The control plane is last: while another node before it waits, it does too.
        let taken = match held_up {
            _ if policy.strategy == Strategy::Immediate => Ok(()),
            Some(held_up) if node.control_plane => Err(held_up),
            _ => slots.take(node),
        };
        if let Err(waiting) = taken {
            held_up = Some(waiting);
            continue;
        }
        let permit = ledger.permit(&node.uid);
        let reservation = Reservation {
            mark: drains.then_some(permit.serial),
            permit,
            since: now,
            permitted: None,
            restart: policy.strategy.restarts(),
            provider: false,
            phase: Phase::Reserved,
        };
        ledger.reservations.insert(name.clone(), reservation);
    }
    held_up
}

/// Whether the node was given up, and it is not its turn again.
pub(super) fn is_parked(drain: Drain, ledger: &Ledger, node: &Node, now: Time) -> bool {
    ledger.parked.get(&node.uid).is_some_and(|parked| {
        parked.why == Why::TakenOver || now.since(parked.since) < drain.pause(parked.times)
    })
}

/// How many turns a node has had, before whom others come that have had fewer. Otherwise two that never become empty would have
/// turns for ever, one after the other, and generations that follow each other soon would never come to the last nodes. The
/// control plane is among those until it has been left out too often.
fn turns(ledger: &Ledger, node: &Node) -> (u32, bool, u64) {
    let times = ledger.parked.get(&node.uid).map_or(0, |one| one.times);
    let latest = node.latest();
    let left_out = ledger.generation.saturating_sub(latest) > LEFT_OUT;
    (times, node.control_plane && !left_out, latest)
}

/// The control plane last, the others zone by zone.
pub(super) fn order(name: &str, node: &Node) -> (bool, Option<String>, String) {
    (node.control_plane, node.zone.clone(), name.to_owned())
}
