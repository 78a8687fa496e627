//! What would keep a node from being drained, found out before it is cordoned.

use std::collections::BTreeMap;

use super::answer::Answer;
use super::blocker::Blocker;
use super::budget::{BudgetName, Budgets};
use super::pod::{Eviction, Fate, Options, Pod};

/// What can be said before anything is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preflight {
    /// Pods that would have to go, and those that are on their way.
    pub left: usize,
    /// What is known already.
    pub blockers: Vec<Blocker>,
    /// Evictions to be tried without effect. What one pod is told holds for all that have the same budgets and are as ready.
    pub asks: Vec<Eviction>,
}

/// What an answer to an eviction without effect means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The pod would go.
    Fine,
    /// It would not.
    Blocked(Blocker),
    /// Nobody can tell.
    Again,
}

/// What would keep these pods. Pods that no budget selects are not asked about: they go.
pub fn preflight(pods: &[Pod], budgets: &Budgets, options: &Options) -> Preflight {
    let mut result = Preflight::default();
    let mut asks = BTreeMap::<(Vec<&BudgetName>, bool), &Pod>::new();
    for pod in pods {
        let fate = pod.fate(options);
        if fate == Fate::Stays {
            continue;
        }
        result.left += 1;
        // Whoever is on the way may well be gone by then.
        if fate == Fate::Leaving {
            continue;
        }
        result.blockers.extend(Blocker::of_fate(pod, fate));
        if fate != Fate::Goes {
            continue;
        }
        match &budgets.of(pod)[..] {
            [] => {}
            [budget] => {
                asks.entry((vec![&budget.name], pod.ready)).or_insert(pod);
            }
            many => result.blockers.push(Blocker::of_many(pod, many)),
        }
    }
    result.asks = asks.into_values().map(Pod::eviction).collect();
    result
}

/// What an answer means for the pod that was asked about.
pub fn judge(pod: &Pod, budgets: &Budgets, answer: &Answer) -> Verdict {
    let budgets = budgets.of(pod);
    match answer {
        Answer::Accepted | Answer::Gone | Answer::Replaced => Verdict::Fine,
        Answer::Budget { .. } => Verdict::Blocked(Blocker::of_budget(pod, &budgets)),
        Answer::TooManyBudgets => Verdict::Blocked(Blocker::of_many(pod, &budgets)),
        Answer::NamespaceTerminating => Verdict::Blocked(Blocker::of_namespace(pod)),
        Answer::Refused { message } => Verdict::Blocked(Blocker::of_refusal(pod, message)),
        Answer::Busy { .. } | Answer::Raced { .. } | Answer::Unanswered => Verdict::Again,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::blocker::Reason;
    use super::super::budget::tests::budget;
    use super::super::pod::Phase;
    use super::super::pod::tests::pod;
    use super::*;

    #[test]
    fn one_pod_is_asked_about_for_all_that_are_alike() {
        let budgets = [budget("front", "front", 0), budget("back", "back", 1)];
        let budgets = budgets.into_iter().collect();
        let sick = Pod {
            ready: false,
            ..pod("front-3")
        };
        let pending = Pod {
            phase: Phase::Pending,
            ..pod("front-4")
        };
        let leaving = Pod {
            terminating: true,
            ..pod("front-5")
        };
        let pods = [
            pod("front-1"),
            pod("front-2"),
            sick,
            pending,
            leaving,
            pod("back-1"),
            pod("free-1"),
        ];
        let got = preflight(&pods, &budgets, &Options::default());
        assert_eq!((got.left, got.blockers.len()), (7, 0));
        let names: Vec<_> = got.asks.iter().map(|ask| &*ask.name).collect();
        assert_eq!(names, ["back-1", "front-3", "front-1"]);
    }

    #[test]
    fn what_is_known_without_a_request_is_not_asked() {
        let budgets = [budget("one", "front", 5), budget("two", "front", 5)];
        let budgets = budgets.into_iter().collect();
        let bare = Pod {
            controller: None,
            ..pod("bare")
        };
        let data = Pod {
            empty_dir: true,
            ..pod("data")
        };
        let pods = [pod("front-1"), bare, data];
        let got = preflight(&pods, &budgets, &Options::default());
        assert!(got.asks.is_empty());
        let reasons: Vec<_> = got.blockers.iter().map(|one| one.reason).collect();
        let expected = [
            Reason::ManyDisruptionBudgets,
            Reason::NoController,
            Reason::EmptyDir,
        ];
        assert_eq!(reasons, expected);
        let message = &got.blockers[0].message;
        assert!(message.contains("web/one and web/two"), "{message}");
    }

    #[test]
    fn only_a_definite_no_is_a_blocker() {
        let budgets = [budget("front", "front", 0)].into_iter().collect();
        let ask = |answer| judge(&pod("front-1"), &budgets, &answer);
        for fine in [Answer::Accepted, Answer::Gone, Answer::Replaced] {
            assert_eq!(ask(fine), Verdict::Fine);
        }
        let retry_after = Duration::from_secs(10);
        for again in [
            Answer::Busy { retry_after: None },
            Answer::Raced { retry_after },
            Answer::Unanswered,
        ] {
            assert_eq!(ask(again), Verdict::Again);
        }
        let Verdict::Blocked(blocker) = ask(Answer::Budget { retry_after: None }) else {
            panic!("blocked")
        };
        assert_eq!(blocker.pod, "web/front-1");
        assert!(blocker.message.contains("2 healthy, 2 wanted"));
        let message = "not now".to_owned();
        for (answer, reason) in [
            (Answer::TooManyBudgets, Reason::ManyDisruptionBudgets),
            (Answer::NamespaceTerminating, Reason::NamespaceTerminating),
            (Answer::Refused { message }, Reason::Refused),
        ] {
            let Verdict::Blocked(blocker) = ask(answer) else {
                panic!("blocked")
            };
            assert_eq!(blocker.reason, reason);
        }
    }
}
