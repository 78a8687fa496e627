//! Pod disruption budgets.

use std::collections::BTreeMap;
use std::fmt;

use super::pod::{Phase, Pod};
use super::selector::Selector;

/// Which budget.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BudgetName {
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A `PodDisruptionBudget`, as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Which one.
    pub name: BudgetName,
    /// Whose it is, or why nobody can tell. Then it is taken for that of all pods, and allows nothing.
    pub selector: Result<Option<Selector>, String>,
    /// Counts changes of what is wanted.
    pub generation: i64,
    /// The last one that was looked at when the numbers were written.
    pub observed_generation: i64,
    /// How many may go now.
    pub disruptions_allowed: i64,
    /// How many are well.
    pub current_healthy: i64,
    /// How many are to be well.
    pub desired_healthy: i64,
    /// Whether pods that are not ready may always go.
    pub always_allow_unhealthy: bool,
    /// The version of the object.
    pub version: String,
}

/// All budgets that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budgets(BTreeMap<String, Vec<Budget>>);

impl FromIterator<Budget> for Budgets {
    fn from_iter<I: IntoIterator<Item = Budget>>(budgets: I) -> Self {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for budget in budgets {
            let namespace = budget.name.namespace.clone();
            all.entry(namespace).or_default().push(budget);
        }
        Self(all)
    }
}

impl Budgets {
    /// Those that the API server would ask about a pod. For pods that do not run it asks none.
    pub(super) fn of(&self, pod: &Pod) -> Vec<&Budget> {
        if pod.phase != Phase::Running || pod.terminating {
            return Vec::new();
        }
        let all = self.0.get(&pod.namespace).into_iter().flatten();
        all.filter(|budget| budget.selects(pod)).collect()
    }
}

impl Budget {
    fn selects(&self, pod: &Pod) -> bool {
        match &self.selector {
            Ok(selector) => selector
                .as_ref()
                .is_some_and(|selector| selector.selects(&pod.labels)),
            Err(_) => true,
        }
    }

    /// How many may go now. Numbers that were written before it was changed allow nobody.
    pub(super) fn allowed(&self) -> i64 {
        if self.is_stale() || self.selector.is_err() {
            0
        } else {
            self.disruptions_allowed
        }
    }

    /// Whether the pod may go however many others do.
    pub(super) fn spares(&self, pod: &Pod) -> bool {
        let healthy = self.desired_healthy > 0 && self.current_healthy >= self.desired_healthy;
        !pod.ready && self.selector.is_ok() && (self.always_allow_unhealthy || healthy)
    }

    fn is_stale(&self) -> bool {
        self.observed_generation < self.generation
    }

    /// Why it lets nobody go.
    pub(super) fn complaint(&self) -> String {
        let name = &self.name;
        if let Err(error) = &self.selector {
            return format!("PodDisruptionBudget {name} cannot be followed: {error}");
        }
        if self.is_stale() {
            return format!(
                "PodDisruptionBudget {name} allows no disruption now: its status is older than its spec, as nobody has counted its pods yet"
            );
        }
        format!(
            "PodDisruptionBudget {name} allows no disruption now: {} healthy, {} wanted",
            self.current_healthy, self.desired_healthy
        )
    }
}

impl fmt::Display for BudgetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::pod::tests::pod;
    use super::*;

    /// A budget of the namespace `web`, for pods of this app.
    pub(in crate::drain) fn budget(name: &str, app: &str, allowed: i64) -> Budget {
        let selector = format!(r#"{{"matchLabels": {{"app": "{app}"}}}}"#);
        Budget {
            name: BudgetName {
                namespace: "web".to_owned(),
                name: name.to_owned(),
            },
            selector: Ok(serde_json::from_str(&selector).unwrap()),
            generation: 1,
            observed_generation: 1,
            disruptions_allowed: allowed,
            current_healthy: 2 + allowed,
            desired_healthy: 2,
            always_allow_unhealthy: false,
            version: "1".to_owned(),
        }
    }

    #[test]
    fn a_budget_is_for_running_pods_of_its_namespace_that_it_selects() {
        let all: Budgets = [
            budget("front", "front", 1),
            Budget {
                selector: Ok(None),
                ..budget("nobody", "x", 1)
            },
            Budget {
                selector: Err("odd".to_owned()),
                ..budget("odd", "x", 1)
            },
        ]
        .into_iter()
        .collect();
        let names = |pod: &Pod| -> Vec<_> {
            let budgets = all.of(pod);
            budgets.iter().map(|one| one.name.name.clone()).collect()
        };
        assert_eq!(names(&pod("front-1")), ["front", "odd"]);
        assert_eq!(names(&pod("back-1")), ["odd"]);
        let elsewhere = Pod {
            namespace: "other".to_owned(),
            ..pod("front-1")
        };
        assert!(names(&elsewhere).is_empty());
        let pending = Pod {
            phase: Phase::Pending,
            ..pod("front-1")
        };
        assert!(names(&pending).is_empty());
        assert_eq!(all.of(&pod("back-1"))[0].allowed(), 0);
    }

    #[test]
    fn old_numbers_allow_nobody() {
        let stale = Budget {
            generation: 2,
            ..budget("front", "front", 3)
        };
        assert_eq!(stale.allowed(), 0);
        assert!(stale.complaint().contains("older than its spec"));
        assert_eq!(budget("front", "front", 3).allowed(), 3);
        assert_eq!(
            budget("front", "front", 0).complaint(),
            "PodDisruptionBudget web/front allows no disruption now: 2 healthy, 2 wanted"
        );
    }

    #[test]
    fn pods_that_are_not_ready_may_go_where_the_others_are_well() {
        let sick = Pod {
            ready: false,
            ..pod("front-1")
        };
        let healthy = budget("front", "front", 0);
        assert!(healthy.spares(&sick) && !healthy.spares(&pod("front-1")));
        let missing = Budget {
            current_healthy: 1,
            ..healthy.clone()
        };
        assert!(!missing.spares(&sick));
        let nothing_wanted = Budget {
            desired_healthy: 0,
            ..healthy
        };
        assert!(!nothing_wanted.spares(&sick));
        let always = Budget {
            always_allow_unhealthy: true,
            ..missing
        };
        assert!(always.spares(&sick) && !always.spares(&pod("front-1")));
    }
}
