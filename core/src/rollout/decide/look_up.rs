//! What has to be known first.

use std::collections::BTreeMap;

use super::super::reservation::Phase;
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
    let depends = |phase: &Phase, node: &Node, mark: u64| match phase {
        Phase::Reserved | Phase::Withdrawing { .. } => false,
        Phase::Draining { .. } => !node.is_cordoned_for(mark) || is_empty(policy, node, mark),
        Phase::Drained { .. } => !node.may_be_acting(),
        Phase::Verifying { .. } => node.ready,
        Phase::Restoring { .. } => node.mark().is_none_or(|own| own.serial != mark),
    };
    let unsure = kept(read, next, fleet).filter(|(_, reservation, node)| {
        let mark = reservation.mark;
        !node.current && mark.is_some_and(|mark| depends(&reservation.phase, node, mark))
    });
    unsure
        .map(|(name, _, node)| (node.uid.clone(), name.clone()))
        .collect()
}
