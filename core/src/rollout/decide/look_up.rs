//! What has to be known first.

use std::collections::BTreeMap;

use super::super::reservation::{Phase, Reservation};
use super::drain::is_empty;
use super::orders::kept;
use super::{Fleet, Ledger, Node, Policy, Stage};

/// Nodes that something was promised to and that the list does not have.
pub(super) fn missing(ledger: &Ledger, fleet: &Fleet) -> BTreeMap<String, String> {
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

/// Nodes that have to be read anew, after the ledger that was read: a step forward, or the end, depends on what they are like.
pub(super) fn unsure(
    policy: &Policy,
    read: &Ledger,
    next: &Ledger,
    fleet: &Fleet,
) -> BTreeMap<String, String> {
    let depends =
        |reservation: &Reservation, node: &Node| match (&reservation.phase, reservation.mark) {
            (Phase::Verifying { .. }, _) => node.shows_well(&reservation.permit),
            (Phase::Reserved | Phase::Withdrawing { .. }, _) | (_, None) => false,
            (Phase::Draining { .. }, Some(mark)) => {
                !node.is_cordoned_for(mark) || is_empty(policy, node, mark)
            }
            (Phase::Drained { .. }, _) => !node.may_be_acting(),
            (Phase::Restoring { .. }, Some(mark)) => {
                node.mark().is_none_or(|own| own.serial != mark)
            }
        };
    let unsure = kept(read, next, fleet)
        .filter(|(_, reservation, node)| !node.current && depends(reservation, node));
    unsure
        .map(|(name, _, node)| (node.uid.clone(), name.clone()))
        .collect()
}
