//! One promise after the other. Where an order counts and both sides are writes, it is that of their versions; else that of
//! time, with [`super::SLACK`] for what was already on its way.

pub(super) mod cordons;
pub(super) mod evictions;
pub(super) mod permits;
pub(super) mod slots;

use jiff::Timestamp;

use super::SLACK;
use super::trace::{Ledger, NodeWrite, Span, Trace};

/// The versions of the ledger that somebody may have known at this time as the newest.
fn ledgers(trace: &Trace, at: Timestamp) -> Vec<&Ledger> {
    let all: Vec<_> = trace.ledgers.iter().collect();
    Span::known(&all, |ledger| ledger.span, at, SLACK)
}

/// The same of a node.
fn nodes<'t>(trace: &'t Trace, node: &str, at: Timestamp) -> Vec<&'t NodeWrite> {
    let writes = trace.nodes.iter().filter(|write| write.node == node);
    let writes: Vec<_> = writes.collect();
    Span::known(&writes, |write| write.span, at, SLACK)
}
