//! S2, S7–S10, S25: who is evicted, and how.

use std::collections::BTreeSet;

use super::super::SLACK;
use super::super::trace::{Eviction, Trace};
use super::cordons::taken_over;
use super::{ledgers, nodes};

pub(in super::super) fn judge(trace: &Trace, broken: &mut Vec<String>) {
    for path in &trace.deletions {
        broken.push(format!("S9: pods are deleted: {path}"));
    }
    let mut refused = BTreeSet::new();
    for eviction in &trace.evictions {
        let pod = &eviction.pod;
        if eviction.grace == Some(0) {
            broken.push(format!("S9: {pod} is evicted with a grace of 0"));
        }
        let Some(uid) = &eviction.uid else {
            broken.push(format!("S8: {pod} is evicted without a UID"));
            continue;
        };
        on_its_node(trace, eviction, uid, broken);
        if eviction.dry {
            continue;
        }
        let spared = trace.pods.get(uid).and_then(|pod| pod.spared);
        if let Some(why) = spared {
            broken.push(format!("S10: {pod} is evicted, and {why}"));
        }
        if refused.contains(uid) {
            broken.push(format!("S25: {uid} of {pod} is sent again after a 409"));
        }
        if eviction.code == 409 {
            refused.insert(uid);
        }
    }
}

/// The pod is on a node that has a slot, and is cordoned by us unless the question has no effect.
fn on_its_node(trace: &Trace, eviction: &Eviction, uid: &str, broken: &mut Vec<String>) {
    let (pod, at) = (&eviction.pod, eviction.span.received);
    let node = trace.pods.get(uid).and_then(|pod| pod.node.as_deref());
    let Some(node) = node else {
        broken.push(format!("S8: nobody has given {pod} with UID {uid} a node"));
        return;
    };
    let slots = ledgers(trace, at);
    let mut slots = slots
        .iter()
        .filter_map(|ledger| ledger.slots.get(node))
        .peekable();
    if slots.peek().is_none() {
        broken.push(format!("S2: {pod} is evicted, and {node} has no slot"));
        return;
    }
    if eviction.dry {
        return;
    }
    if !slots.any(|slot| slot.phase == "Draining") {
        broken.push(format!(
            "S2: {pod} is evicted, and {node} is not being drained"
        ));
    }
    let nodes = nodes(trace, node, at);
    if !nodes.iter().any(|write| write.flag && write.mark.is_some()) {
        broken.push(format!(
            "S8: {pod} is evicted, and {node} is not cordoned by us"
        ));
    }
    let taken = taken_over(trace).find(|(before, after)| {
        let again = trace.nodes.iter().any(|later| {
            later.node == node
                && later.version > after.version
                && later.mark.is_some()
                && later.mark != before.mark
                && later.span.received < at
        });
        after.node == node && after.span.done + SLACK < at && !again
    });
    if taken.is_some() {
        broken.push(format!(
            "S7: {pod} is evicted, and somebody has uncordoned {node}"
        ));
    }
}
