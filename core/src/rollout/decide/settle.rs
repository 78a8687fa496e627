//! What has become of those that have a slot.

use super::super::fleet::Outcome;
use super::super::provider::ProviderState;
use super::super::reservation::{Phase, Reservation};
use super::drain::{Situation, step, who_yields};
use super::gates::closed;
use super::{Fleet, Ledger, Node, Policy, Time};

/// Why a node failed that is not well after it acted.
pub(super) const NOT_READY: &str = "it was not ready within the deadline after it acted";

/// Gives back the slots of nodes that are done or gone, notes who failed, and how far the others are.
pub(super) fn settle(ledger: &mut Ledger, policy: &Policy, fleet: &Fleet, now: Time) {
    let situation = Situation {
        policy,
        fleet,
        closed: closed(policy, ledger),
        yields: who_yields(ledger, policy, fleet),
        now,
    };
    for (name, mut reservation) in std::mem::take(&mut ledger.reservations) {
        let uid = &reservation.permit.uid;
        let node = fleet.nodes.get(&name).filter(|node| node.uid == *uid);
        let keeps = match (node, reservation.mark) {
            (None, _) => !fleet.gone.contains(uid),
            (Some(node), None) => waits(ledger, policy, &name, &mut reservation, node, now),
            (Some(node), Some(mark)) => {
                step(ledger, &situation, &name, &mut reservation, node, mark)
            }
        };
        if keeps {
            ledger.reservations.insert(name, reservation);
        }
    }
}

/// Whether a node that is not drained is still at work: it has not answered, or has restarted services and was not seen well
/// since.
fn waits(
    ledger: &mut Ledger,
    policy: &Policy,
    name: &str,
    reservation: &mut Reservation,
    node: &Node,
    now: Time,
) -> bool {
    if let Phase::Verifying { since } = reservation.phase {
        let late = now.since(since) > policy.deadline;
        let well = node.is_well(&reservation.permit);
        if well {
            prove(ledger, reservation, node, now);
        } else if late {
            ledger.fail_at(reservation, name, NOT_READY, now);
        }
        return !well && !late;
    }
    match node.outcome(&reservation.permit) {
        Some(outcome) => {
            if let Outcome::Failed(reason) = outcome {
                ledger.fail_at(reservation, name, reason, now);
            }
            // Who failed may have restarted them too.
            if reservation.restart {
                reservation.phase = Phase::Verifying { since: now };
            }
            reservation.restart
        }
        None => {
            is_late(ledger, policy, name, reservation, node, now);
            true
        }
    }
}

/// Notes that a kubelet is well with its provider.
fn prove(ledger: &mut Ledger, reservation: &Reservation, node: &Node, now: Time) {
    let told = node
        .record
        .as_ref()
        .and_then(|record| record.provider.as_ref());
    if let Some(provider) = ledger.provider.as_mut().filter(|_| reservation.provider)
        && let Some(told) = told
        && told.wanted == provider.wanted
        && told.state == ProviderState::InEffect
    {
        provider.proved.get_or_insert(now);
    }
}

/// Notes when its record has the permit, and that it failed if it says nothing for long. Nobody knows what it does then, so it
/// keeps its slot.
pub(super) fn is_late(
    ledger: &mut Ledger,
    policy: &Policy,
    name: &str,
    reservation: &mut Reservation,
    node: &Node,
    now: Time,
) {
    if !node.has_permit(&reservation.permit) {
        return;
    }
    let permitted = *reservation.permitted.get_or_insert(now);
    if now.since(permitted) > policy.deadline {
        let reason = "it has said nothing within the deadline";
        ledger.fail_at(reservation, name, reason, now);
    }
}
