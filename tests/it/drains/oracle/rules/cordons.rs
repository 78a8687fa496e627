//! S2, S5, S6, S7: whose cordon it is.

use super::super::trace::{NodeWrite, Trace};

/// As `managedFields` has us.
const MANAGER: &str = "fieldManager=pullkeeper-coordinator";

pub(in super::super) fn judge(trace: &Trace, broken: &mut Vec<String>) {
    for write in trace.nodes.iter().filter(|write| write.ours) {
        let before = trace.node_before(&write.node, write.version);
        if before.is_some_and(|before| before.version == write.version) {
            continue;
        }
        together(write, broken);
        foreign(write, before, broken);
        if begins(write, before) {
            reserved(trace, write, broken);
            once(trace, write, broken);
        }
    }
}

/// Flag and mark in one request, for the node as it was seen.
fn together(write: &NodeWrite, broken: &mut Vec<String>) {
    let node = &write.node;
    let guarded = ["/metadata/uid", "/metadata/resourceVersion"]
        .iter()
        .all(|pointer| write.sent.pointer(pointer).is_some_and(|id| id.is_string()));
    if !guarded {
        broken.push(format!(
            "S6: {node} is written without UID or version: {}",
            write.sent
        ));
    }
    if !write.uri.contains(MANAGER) || write.uri.contains("force=") {
        broken.push(format!("S6: {node} is not applied: {}", write.uri));
    }
    let flag = write.sent["spec"]["unschedulable"] == true;
    if flag != write.sends_mark() {
        broken.push(format!(
            "S6: flag and mark of {node} come apart: {}",
            write.sent
        ));
    }
    if let Some(mark) = &write.mark
        && mark.uid != write.uid
    {
        broken.push(format!(
            "S6: the mark of {node} is another node's: {mark:?}"
        ));
    }
}

/// What others cordoned stays, and is not ours to share.
fn foreign(write: &NodeWrite, before: Option<&NodeWrite>, broken: &mut Vec<String>) {
    let Some(before) = before else {
        return;
    };
    let node = &write.node;
    let kept = before.mark.is_none() || before.prior;
    if before.flag && !write.flag && kept {
        broken.push(format!(
            "S5: the cordon of {node} is not ours, and we removed it"
        ));
    }
    if before.flag && before.mark.is_none() && write.mark.is_some() {
        broken.push(format!(
            "S5: {node} is cordoned by somebody, and we came on top"
        ));
    }
}

fn begins(write: &NodeWrite, before: Option<&NodeWrite>) -> bool {
    write.mark.is_some() && before.is_none_or(|before| before.mark != write.mark)
}

/// The slot of this mark was persisted before.
fn reserved(trace: &Trace, write: &NodeWrite, broken: &mut Vec<String>) {
    let serial = write.mark.as_ref().map(|mark| mark.serial);
    let persisted = trace
        .ledgers
        .iter()
        .take_while(|ledger| ledger.version < write.version)
        .filter_map(|ledger| ledger.slots.get(&write.node))
        .any(|slot| slot.mark == serial && slot.uid == write.uid);
    if !persisted {
        broken.push(format!(
            "S2: {} is cordoned without a slot: {:?}",
            write.node, write.mark
        ));
    }
}

/// Nobody cordons in this generation what a human has uncordoned in it.
fn once(trace: &Trace, write: &NodeWrite, broken: &mut Vec<String>) {
    let generation = |write: &NodeWrite| write.mark.as_ref().map(|mark| mark.generation);
    let earlier = taken_over(trace).find(|(before, after)| {
        after.node == write.node
            && after.version < write.version
            && generation(before) == generation(write)
    });
    if earlier.is_some() {
        broken.push(format!(
            "S7: {} was uncordoned by somebody, and is cordoned again",
            write.node
        ));
    }
}

/// Each time that somebody else uncordoned a node of ours: how it was, and how it was then.
pub(super) fn taken_over(trace: &Trace) -> impl Iterator<Item = (&NodeWrite, &NodeWrite)> {
    trace.nodes.iter().filter_map(|write| {
        let before = trace.node_before(&write.node, write.version)?;
        let taken = !write.ours && before.mark.is_some() && before.flag && !write.flag;
        taken.then_some((before, write))
    })
}
