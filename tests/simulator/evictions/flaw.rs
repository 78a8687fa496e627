//! Mistakes of engines, to see that each is noticed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Time;
use pullkeeper_core::drain::{Answer, Budget, Eviction, Options, Pods, Reason, Step};

/// A mistake that an engine makes, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Evicts from nodes that are not cordoned, or not to be drained any more.
    NeverLooksAtOrders,
    /// Looks at orders when it decides, and not when it sends.
    LooksAtOrdersOnce,
    /// Evicts whoever has the name.
    NamesNoUid,
    /// Looks the pod up again by its name before it is evicted.
    ReadsByName,
    /// Leaves it to the pod that it gets no time to end.
    AllowsNoGrace,
    /// Evicts all that there is.
    EvictsAll,
    /// Minds neither data nor controllers.
    Forces,
    /// Minds no pods that are to stay.
    SkipsNobody,
    /// Takes a list that was made at once for proof that a node is empty.
    TrustsTheFirstList,
    /// Takes what a watch has told for proof that a node is empty.
    BelievesTheWatch,
    /// Sends again what was meant for another pod.
    RepeatsReplaced,
    /// Takes a budget for unspent that nobody has counted again.
    ForgetsSpending,
    /// Takes a budget for another one whenever it looks, and does not wait until the last eviction is answered.
    Competes,
    /// Asks the API server however often a budget says no.
    IgnoresBudgets,
    /// Sends a pod again at once that was refused.
    NeverBacksOff,
    /// Goes on when the API server has too much to do.
    IgnoresBusyServers,
    /// Takes it for a refusal that the API server has too much to do.
    BlamesPods,
    /// Counts no time that the API server had too much to do.
    CountsNoBusyTime,
    /// Knows one budget for each pod.
    KnowsOneBudget,
    /// Does not tell what keeps pods.
    SaysNothing,
    /// Waits for ever for an answer to what has come to nothing.
    WaitsForTheGone,
    /// Waits for ever for an answer to what it has not sent.
    WaitsForTheUnsent,
    /// Has no pods listed when only that would tell.
    NeverListsAgain,
    /// Evicts what is critical with all others.
    NoWaves,
    /// Finds out nothing before it cordons.
    AsksNobody,
}

impl Flaw {
    /// What it takes for the truth.
    pub(super) fn misreads(
        self,
        nodes: &mut BTreeMap<String, Pods>,
        budgets: &mut Vec<Budget>,
        options: &mut Options,
        now: Time,
    ) {
        match self {
            Self::NeverLooksAtOrders => {
                for node in nodes.values_mut() {
                    node.open = true;
                }
            }
            Self::Forces => {
                options.force = true;
                options.delete_empty_dir_data = true;
            }
            Self::SkipsNobody => options.skip = None,
            Self::NoWaves => {
                for pod in nodes.values_mut().flat_map(|node| &mut node.pods) {
                    pod.priority = 0;
                }
            }
            Self::ForgetsSpending => {
                for budget in budgets {
                    budget.version = now.to_string();
                }
            }
            Self::Competes => {
                for budget in budgets {
                    budget.name.name = format!("{}-{now}", budget.name.name);
                }
            }
            Self::IgnoresBudgets => {
                for budget in budgets {
                    budget.disruptions_allowed = 100;
                    budget.observed_generation = budget.generation;
                }
            }
            Self::KnowsOneBudget => budgets.retain(|budget| !budget.name.name.starts_with("more")),
            _ => {}
        }
    }

    /// What it makes of a step.
    pub(super) fn spoils(self, step: &mut Step, nodes: &BTreeMap<String, Pods>) {
        match self {
            Self::EvictsAll => {
                let open = nodes.values().filter(|node| node.open);
                let pods = open.flat_map(|node| &node.pods);
                let pods = pods.filter(|pod| !pod.terminating);
                step.evictions.extend(pods.map(|pod| pod.eviction()));
            }
            Self::SaysNothing => {
                for left in step.left.values_mut() {
                    left.blockers
                        .retain(|one| one.reason == Reason::ManyDisruptionBudgets);
                }
            }
            Self::CountsNoBusyTime => {
                for left in step.left.values_mut() {
                    left.throttled = Duration::ZERO;
                }
            }
            _ => {}
        }
    }

    /// What it hears for an answer.
    pub(super) fn mishears(self, answer: &Answer) -> Option<Answer> {
        let at_once = Some(Answer::Raced {
            retry_after: Duration::ZERO,
        });
        match (self, answer) {
            (Self::RepeatsReplaced, Answer::Replaced)
            | (Self::NeverBacksOff, Answer::Refused { .. } | Answer::Budget { .. }) => at_once,
            (Self::IgnoresBusyServers, Answer::Busy { .. })
            | (Self::WaitsForTheGone, Answer::Gone | Answer::Replaced) => None,
            (Self::BlamesPods, Answer::Busy { .. }) => Some(Answer::Refused {
                message: "too many requests".to_owned(),
            }),
            _ => Some(answer.clone()),
        }
    }

    /// What it sends.
    pub(super) fn miswrites(self, eviction: &mut Eviction, namesake: Option<&str>) {
        match self {
            Self::NamesNoUid => eviction.uid.clear(),
            Self::AllowsNoGrace => eviction.grace = None,
            Self::ReadsByName => {
                if let Some(uid) = namesake {
                    uid.clone_into(&mut eviction.uid);
                }
            }
            _ => {}
        }
    }
}
