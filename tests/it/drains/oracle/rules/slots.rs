//! S1, S3, S4, S16: how many nodes are at work.

use std::collections::BTreeSet;

use super::super::Promise;
use super::super::trace::{Ledger, Trace};

pub(in super::super) fn judge(trace: &Trace, promise: &Promise, broken: &mut Vec<String>) {
    let mut former: Option<&Ledger> = None;
    for ledger in &trace.ledgers {
        let slots = ledger.slots.len();
        if slots > promise.slots {
            broken.push(format!(
                "S1: {slots} slots of {}: {ledger:?}",
                promise.slots
            ));
        }
        let of_control_plane = ledger.slots.keys();
        let of_control_plane: Vec<_> = of_control_plane
            .filter(|name| promise.control_plane.contains(*name))
            .collect();
        if of_control_plane.len() > 1 {
            broken.push(format!("S16: {of_control_plane:?} at once"));
        }
        let unavailable = unavailable(trace, ledger);
        let empty = Default::default();
        let before = former.map_or(&empty, |former| &former.slots);
        for (node, slot) in &ledger.slots {
            let new = before
                .get(node)
                .is_none_or(|before| before.serial != slot.serial && before.mark != slot.mark);
            if new && unavailable.len() > promise.unavailable {
                broken.push(format!(
                    "S4: {node} begins, and {unavailable:?} are unavailable with it"
                ));
            }
        }
        for (node, slot) in before {
            let gone = ledger
                .slots
                .get(node)
                .is_none_or(|now| now.mark != slot.mark);
            if let (true, Some(mark)) = (gone, slot.mark)
                && let Some(state) = trace.node_at(node, ledger.version)
                && state.uid == slot.uid
                && !state.deleted
                && state.mark.as_ref().is_some_and(|one| one.serial == mark)
            {
                broken.push(format!(
                    "S3: the slot of {node} is free, and it is cordoned by us"
                ));
            }
        }
        former = Some(ledger);
    }
    cordoned(trace, promise, broken);
}

/// Whatever the ledger says, so many are cordoned by us at most.
fn cordoned(trace: &Trace, promise: &Promise, broken: &mut Vec<String>) {
    let mut ours = BTreeSet::new();
    for write in &trace.nodes {
        if write.mark.is_some() && !write.deleted {
            ours.insert(&write.node);
        } else {
            ours.remove(&write.node);
        }
        if write.ours && ours.len() > promise.slots {
            broken.push(format!("S1: {ours:?} are cordoned by us at once"));
        }
    }
}

/// The nodes that have a slot or are cordoned by anybody, when this version was written.
fn unavailable<'t>(trace: &'t Trace, ledger: &'t Ledger) -> BTreeSet<&'t str> {
    let mut cordoned = BTreeSet::new();
    for write in &trace.nodes {
        if write.version > ledger.version {
            break;
        }
        if write.flag && !write.deleted {
            cordoned.insert(&*write.node);
        } else {
            cordoned.remove(&*write.node);
        }
    }
    cordoned.extend(ledger.slots.keys().map(String::as_str));
    cordoned
}
