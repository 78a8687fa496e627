//! S1, S3, S4, S16: how many nodes are at work.

use std::collections::BTreeSet;

use super::super::Promise;
use super::super::trace::{Ledger, Trace};

pub(in super::super) fn judge(trace: &Trace, promise: &Promise, broken: &mut Vec<String>) {
    let mut former: Option<&Ledger> = None;
    for ledger in &trace.ledgers {
        let before = former.replace(ledger);
        if ledger.drains {
            limits(trace, promise, ledger, before, broken);
        }
        if let Some(before) = before {
            freed(trace, ledger, before, broken);
        }
    }
    cordoned(trace, promise, broken);
}

fn limits(
    trace: &Trace,
    promise: &Promise,
    ledger: &Ledger,
    before: Option<&Ledger>,
    broken: &mut Vec<String>,
) {
    let slots: Vec<_> = ledger.slots.keys().collect();
    if slots.len() > promise.slots {
        broken.push(format!("S1: {slots:?} have the {} slots", promise.slots));
    }
    let of_control_plane = slots.iter();
    let of_control_plane: Vec<_> = of_control_plane
        .filter(|name| promise.control_plane.contains(**name))
        .collect();
    if of_control_plane.len() > 1 {
        broken.push(format!("S16: {of_control_plane:?} at once"));
    }
    let unavailable = unavailable(trace, ledger);
    if unavailable.len() <= promise.unavailable {
        return;
    }
    for (node, slot) in &ledger.slots {
        let before = before.and_then(|before| before.slots.get(node));
        // One that goes on with a newer generation keeps its mark.
        if before.is_none_or(|before| before.mark != slot.mark) {
            broken.push(format!(
                "S4: {node} begins, and {unavailable:?} are unavailable with it"
            ));
        }
    }
}

/// A slot that comes back is that of a node that is not cordoned by us any more.
fn freed(trace: &Trace, ledger: &Ledger, before: &Ledger, broken: &mut Vec<String>) {
    for (node, slot) in &before.slots {
        let now = ledger.slots.get(node);
        if let Some(mark) = slot.mark
            && now.is_none_or(|now| now.mark != slot.mark)
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
