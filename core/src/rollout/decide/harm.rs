//! When a rollout does more harm than good.

use std::collections::BTreeSet;

use super::super::ledger::{Halt, HaltReason};
use super::super::reservation::Why;
use super::{Fleet, Ledger, Policy, Strategy, Time};

/// Halts a rollout that does harm. It stays halted, whatever becomes of the failures.
///
/// A node whose pods did not go in time counts as one that failed for as long as it is parked, once, however often it was
/// tried. It is no canary that failed: nobody has tried the credential on it.
pub(super) fn judge(ledger: &mut Ledger, policy: &Policy, fleet: &Fleet, now: Time) {
    if ledger.is_halted() || policy.strategy == Strategy::Immediate {
        return;
    }
    let overdue = ledger
        .parked
        .iter()
        .filter(|(_, parked)| parked.why == Why::Overdue);
    let failed: BTreeSet<_> = ledger
        .failures
        .keys()
        .chain(overdue.map(|(uid, _)| uid))
        .collect();
    let reason = if ledger
        .failures
        .keys()
        .any(|uid| ledger.canary.contains_key(uid))
    {
        HaltReason::CanaryFailed
    } else if policy.failures.is_spent(failed.len(), fleet.nodes.len()) {
        HaltReason::FailureBudgetSpent
    } else {
        return;
    };
    ledger.halt = Some(Halt { reason, since: now });
}
