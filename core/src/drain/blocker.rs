//! What keeps a pod.

use super::budget::Budget;
use super::pod::{Fate, Pod};

/// Longest text of another party that is passed on.
const DETAIL_LIMIT: usize = 200;

/// A pod that does not go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// `NAMESPACE/NAME`.
    pub pod: String,
    /// The kind of reason.
    pub reason: Reason,
    /// One sentence for people.
    pub message: String,
}

/// Why a pod does not go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A budget allows nobody to go.
    DisruptionBudget,
    /// It has more than one budget, which the API server takes for a mistake.
    ManyDisruptionBudgets,
    /// Nobody would make it anew.
    NoController,
    /// It would lose data.
    EmptyDir,
    /// It was to be gone by now.
    Terminating,
    /// Its namespace is being deleted.
    NamespaceTerminating,
    /// Somebody has said no.
    Refused,
    /// Nobody can tell what became of its eviction.
    Unanswered,
}

impl Reason {
    /// One word for machines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DisruptionBudget => "DisruptionBudget",
            Self::ManyDisruptionBudgets => "ManyDisruptionBudgets",
            Self::NoController => "NoController",
            Self::EmptyDir => "EmptyDir",
            Self::Terminating => "Terminating",
            Self::NamespaceTerminating => "NamespaceTerminating",
            Self::Refused => "Refused",
            Self::Unanswered => "Unanswered",
        }
    }
}

impl Blocker {
    pub(super) fn new(pod: &Pod, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            pod: pod.path(),
            reason,
            message: message.into(),
        }
    }

    /// What its fate says by itself.
    pub(super) fn of_fate(pod: &Pod, fate: Fate) -> Option<Self> {
        match fate {
            Fate::NoController => Some(Self::new(
                pod,
                Reason::NoController,
                "no controller would make this pod anew; set spec.drain.force to evict it all the same",
            )),
            Fate::EmptyDir => Some(Self::new(
                pod,
                Reason::EmptyDir,
                "this pod would lose the data of an emptyDir volume; set spec.drain.deleteEmptyDirData to evict it all the same",
            )),
            Fate::Leaving if pod.overdue => Some(Self::new(
                pod,
                Reason::Terminating,
                "this pod is past its grace period and still there; look at its finalizers and at the kubelet of its node",
            )),
            Fate::Leaving | Fate::Goes | Fate::Stays => None,
        }
    }

    /// What follows from more than one budget.
    pub(super) fn of_many(pod: &Pod, budgets: &[&Budget]) -> Self {
        let names: Vec<_> = budgets.iter().map(|one| one.name.to_string()).collect();
        let names = match &names[..] {
            [] | [_] => "more than one PodDisruptionBudget selects this pod".to_owned(),
            names => format!(
                "PodDisruptionBudgets {} select this pod",
                names.join(" and ")
            ),
        };
        let message = format!("{names}, and the API server evicts no pod that has more than one");
        Self::new(pod, Reason::ManyDisruptionBudgets, message)
    }

    /// What follows from a budget that is spent, or is said to be.
    pub(super) fn of_budget(pod: &Pod, budgets: &[&Budget]) -> Self {
        let message = match budgets {
            [budget] if budget.allowed() <= 0 => budget.complaint(),
            [budget] => format!(
                "PodDisruptionBudget {} allows no disruption now, says the API server",
                budget.name
            ),
            _ => "a PodDisruptionBudget allows no disruption now, says the API server".to_owned(),
        };
        Self::new(pod, Reason::DisruptionBudget, message)
    }

    /// What follows from a budget that others change whenever it is asked.
    pub(super) fn of_races(pod: &Pod, budgets: &[&Budget]) -> Self {
        let which = match budgets {
            [budget] => format!("PodDisruptionBudget {}", budget.name),
            _ => "a PodDisruptionBudget of this pod".to_owned(),
        };
        let message = format!(
            "{which} is changed by others all the time, so that the API server can count no eviction"
        );
        Self::new(pod, Reason::DisruptionBudget, message)
    }

    /// What follows from evictions under the same budget that it has not counted yet.
    pub(super) fn of_turn(pod: &Pod, budget: &Budget) -> Self {
        let message = format!(
            "other pods are evicted under PodDisruptionBudget {}, which has not counted them yet; this one goes after them",
            budget.name
        );
        Self::new(pod, Reason::DisruptionBudget, message)
    }

    pub(super) fn of_refusal(pod: &Pod, message: &str) -> Self {
        let message = format!("the eviction is refused: {}", clipped(message));
        Self::new(pod, Reason::Refused, message)
    }

    pub(super) fn of_namespace(pod: &Pod) -> Self {
        Self::new(
            pod,
            Reason::NamespaceTerminating,
            "the namespace of this pod is being deleted, which is waited for",
        )
    }
}

/// What a stranger writes, in a form and length that can be shown.
pub(super) fn clipped(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(DETAIL_LIMIT).collect()
}
