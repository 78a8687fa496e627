//! Judges a rollout that drains nodes by what the API server has written down, not by what the coordinator says of itself.
//! The numbers are those of `docs/design/rollout.md`.

mod rules;
#[cfg(test)]
mod tests;
mod trace;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};

pub(super) use trace::Trace;

/// How long a look may have been on its way when something was done because of it: no write of a cordon's end can overtake
/// an eviction that was sent before.
const SLACK: Duration = Duration::from_secs(1);

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    /// Slots at once.
    pub(super) slots: usize,
    /// Nodes that may be unavailable when one more begins, with it.
    pub(super) unavailable: usize,
    /// How long after the cordon the last list is.
    pub(super) settle: Duration,
    /// The nodes of the control plane.
    pub(super) control_plane: BTreeSet<String>,
}

/// Everything that was broken, each with its number.
pub(super) fn judge(trace: &Trace, promise: &Promise) -> Vec<String> {
    let mut broken = Vec::new();
    rules::slots::judge(trace, promise, &mut broken);
    rules::cordons::judge(trace, &mut broken);
    rules::evictions::judge(trace, &mut broken);
    rules::permits::judge(trace, promise, &mut broken);
    broken
}

/// Fails when anything was broken, and prints what there was.
pub(super) fn hold(trace: &Trace, promise: &Promise) -> Result<()> {
    let real = trace
        .evictions
        .iter()
        .filter(|eviction| !eviction.dry)
        .count();
    println!(
        "{} versions of the ledger, {} writes of nodes by us, {real} evictions, {} asked without effect, {} lists, {} permits",
        trace.ledgers.len(),
        trace.nodes.iter().filter(|write| write.ours).count(),
        trace.evictions.len() - real,
        trace.lists.len(),
        trace.permits.len()
    );
    let broken = judge(trace, promise);
    ensure!(broken.is_empty(), "broken: {}", broken.join("\n"));
    Ok(())
}
