//! What is spent of budgets.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::answer::Answer;
use super::super::budget::{Budget, BudgetName};

/// For how long something counts as spent that no new version of the budget tells of. A budget that was not asked after all
/// may not change for ever.
const SPENT: Duration = Duration::from_secs(60);
/// For how long numbers are not believed that the API server has contradicted.
const CLOSED: Duration = Duration::from_secs(5);

/// What is spent of each budget, beyond what its numbers tell. One eviction at a time may spend of a budget: the API server
/// lets evictions of one budget compete, and those that lose wait in it for ten seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Rations(BTreeMap<BudgetName, Ration>);

#[derive(Clone, Debug, Default)]
struct Ration {
    /// The version of the budget that this counts from.
    version: String,
    spent: i64,
    /// When the last one was spent.
    since: Duration,
    in_flight: bool,
    /// Until when this version of the budget is not believed, since the API server knows a newer one.
    closed: Duration,
}

impl Rations {
    /// Spends one.
    ///
    /// # Errors
    /// There is none now; with the time when there may be, if nothing is told before.
    pub(super) fn take(&mut self, budget: &Budget, now: Duration) -> Result<(), Option<Duration>> {
        let ration = self.0.entry(budget.name.clone()).or_default();
        if ration.in_flight {
            return Err(None);
        }
        if ration.version != budget.version {
            ration.version.clone_from(&budget.version);
            (ration.spent, ration.closed) = (0, Duration::ZERO);
        } else if now >= ration.since + SPENT {
            ration.spent = 0;
        }
        if now < ration.closed {
            return Err(Some(ration.closed));
        }
        if ration.spent >= budget.allowed() {
            return Err(Some(ration.since + SPENT));
        }
        ration.spent += 1;
        ration.since = now;
        ration.in_flight = true;
        Ok(())
    }

    /// Takes in what became of it.
    pub(super) fn answered(&mut self, budget: &BudgetName, answer: &Answer, now: Duration) {
        match answer {
            // The budget will tell. A pod that was replaced has spent it as well.
            Answer::Accepted | Answer::Replaced | Answer::Unanswered => {
                if let Some(ration) = self.0.get_mut(budget) {
                    ration.in_flight = false;
                    ration.since = now;
                }
            }
            Answer::Budget { .. } => {
                self.give_back(budget);
                if let Some(ration) = self.0.get_mut(budget) {
                    ration.closed = now + CLOSED;
                }
            }
            _ => self.give_back(budget),
        }
    }

    /// It was not spent.
    pub(super) fn give_back(&mut self, budget: &BudgetName) {
        if let Some(ration) = self.0.get_mut(budget) {
            ration.in_flight = false;
            ration.spent = (ration.spent - 1).max(0);
        }
    }
}
