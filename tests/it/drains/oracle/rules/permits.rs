//! S2, S11: who may act.

use super::super::Promise;
use super::super::trace::{Permit, Trace};
use super::nodes;

pub(in super::super) fn judge(trace: &Trace, promise: &Promise, broken: &mut Vec<String>) {
    for permit in &trace.permits {
        let slots = trace
            .ledgers
            .iter()
            .take_while(|ledger| ledger.version < permit.version)
            .filter_map(|ledger| ledger.slots.get(&permit.node));
        let mut slots = slots.filter(|slot| slot.serial == permit.serial).peekable();
        if slots.peek().is_none() {
            broken.push(format!(
                "S2: {} has permit {} without a slot",
                permit.node, permit.serial
            ));
            continue;
        }
        // Where only files are replaced there is no mark.
        if let Some(mark) = slots.find_map(|slot| slot.mark) {
            drained(trace, promise, permit, mark, broken);
        }
    }
}

/// It was cordoned, and listed long enough after that.
fn drained(trace: &Trace, promise: &Promise, permit: &Permit, mark: u64, broken: &mut Vec<String>) {
    let node = &permit.node;
    let cordon = trace.nodes.iter().find(|write| {
        write.node == *node
            && write.version < permit.version
            && write.mark.as_ref().is_some_and(|one| one.serial == mark)
    });
    let Some(cordon) = cordon else {
        broken.push(format!(
            "S11: {node} has a permit, and was never cordoned for it"
        ));
        return;
    };
    let listed = trace.lists.iter().any(|list| {
        list.node == *node
            && list.span.received >= cordon.span.received + promise.settle
            && list.span.received <= permit.span.received
    });
    if !listed {
        broken.push(format!(
            "S11: {node} has a permit, and its pods were not listed {:?} after the cordon",
            promise.settle
        ));
    }
    let states = nodes(trace, node, permit.span.received);
    if !states
        .iter()
        .any(|write| write.flag && write.mark.is_some())
    {
        broken.push(format!(
            "S11: {node} has a permit, and is not cordoned by us"
        ));
    }
}
