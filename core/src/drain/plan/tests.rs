mod shared_budget;

use super::super::answer::Answer;
use super::super::blocker::Reason;
use super::super::budget::Budget;
use super::super::budget::tests::budget;
use super::super::pod::Phase;
use super::super::pod::tests::pod;
use super::*;

/// A plan, what it is told, and a clock.
struct Scene {
    plan: Plan,
    nodes: BTreeMap<String, Pods>,
    budgets: Vec<Budget>,
    options: Options,
    now: Duration,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Scene {
    /// One node with these pods, listed at the start.
    fn of(pods: impl IntoIterator<Item = Pod>) -> Self {
        let mut scene = Self {
            plan: Plan::default(),
            nodes: BTreeMap::new(),
            budgets: Vec::new(),
            options: Options::default(),
            now: seconds(1000),
        };
        for pod in pods {
            let node = scene.nodes.entry(pod.node.clone()).or_default();
            node.open = true;
            node.listed = scene.now;
            node.pods.push(pod);
        }
        scene.wait(1);
        scene
    }

    fn with(mut self, budget: Budget) -> Self {
        self.budgets.push(budget);
        self
    }

    fn look(&mut self) -> Step {
        let budgets = self.budgets.iter().cloned().collect();
        self.plan
            .look(&self.nodes, &budgets, &self.options, self.now)
    }

    /// The names of pods that are sent now.
    fn sent(&mut self) -> Vec<String> {
        let evictions = self.look().evictions;
        evictions.into_iter().map(|one| one.name).collect()
    }

    fn answer(&mut self, name: &str, answer: Answer) {
        let eviction = pod(name).eviction();
        self.plan.answered(&eviction, &answer, 0.0, self.now);
    }

    fn pod(&mut self, name: &str) -> &mut Pod {
        let mut pods = self.nodes.values_mut().flat_map(|node| &mut node.pods);
        pods.find(|pod| pod.name == name).unwrap()
    }

    fn goes(&mut self, name: &str) {
        for node in self.nodes.values_mut() {
            node.pods.retain(|pod| pod.name != name);
        }
    }

    fn list(&mut self) {
        for node in self.nodes.values_mut() {
            node.listed = self.now;
        }
    }

    fn wait(&mut self, time: u64) {
        self.now += seconds(time);
    }

    fn reasons(&mut self) -> Vec<Reason> {
        let left = self.look().left;
        let blockers = left.values().flat_map(|left| &left.blockers);
        blockers.map(|blocker| blocker.reason).collect()
    }
}

fn budgeted() -> Answer {
    Answer::Budget { retry_after: None }
}

fn refused() -> Answer {
    let message = "no\nway".to_owned();
    Answer::Refused { message }
}

#[test]
fn pods_go_by_priority_eight_at_once_and_the_critical_ones_last() {
    let mut pods: Vec<_> = (0..10).map(|one| pod(&format!("a-{one}"))).collect();
    pods[9].priority = -5;
    let dns = Pod {
        priority: 2_000_000_000,
        ..pod("dns")
    };
    let mut scene = Scene::of(pods.into_iter().chain([dns]));
    let sent = scene.sent();
    assert_eq!((sent.len(), &*sent[0], &*sent[1]), (8, "a-9", "a-0"));
    assert!(scene.sent().is_empty(), "all wait for their answers");
    for name in sent {
        scene.answer(&name, Answer::Accepted);
        scene.goes(&name);
    }
    assert_eq!(scene.sent(), ["a-7", "a-8"]);
    for name in ["a-7", "a-8"] {
        scene.answer(name, Answer::Accepted);
        scene.pod(name).terminating = true;
    }
    assert!(scene.sent().is_empty(), "those that leave are not gone yet");
    scene.goes("a-7");
    assert!(scene.sent().is_empty());
    scene.goes("a-8");
    assert_eq!(scene.sent(), ["dns"]);
}

#[test]
fn one_eviction_at_a_time_spends_of_a_budget_on_whatever_node() {
    let on_other = Pod {
        node: "n2".to_owned(),
        ..pod("front-2")
    };
    let pods = [pod("front-1"), on_other, pod("front-3"), pod("free-1")];
    let mut scene = Scene::of(pods).with(budget("front", "front", 2));
    assert_eq!(scene.sent(), ["free-1", "front-1"]);
    scene.answer("front-1", Answer::Accepted);
    scene.pod("front-1").terminating = true;
    assert_eq!(scene.sent(), ["front-3"]);
    scene.answer("front-3", Answer::Accepted);
    scene.pod("front-3").terminating = true;
    // Two are spent of this version.
    assert!(scene.sent().is_empty());
    scene.budgets[0].version = "2".to_owned();
    scene.budgets[0].disruptions_allowed = 0;
    scene.budgets[0].current_healthy = 2;
    assert!(scene.sent().is_empty());
    assert_eq!(scene.reasons(), [Reason::DisruptionBudget]);
    scene.budgets[0].version = "3".to_owned();
    scene.budgets[0].disruptions_allowed = 1;
    assert_eq!(scene.sent(), ["front-2"]);
}

#[test]
fn what_was_not_spent_is_there_for_others() {
    let pods = [pod("front-1"), pod("front-2"), pod("front-3")];
    let mut scene = Scene::of(pods).with(budget("front", "front", 1));
    assert_eq!(scene.sent(), ["front-1"]);
    scene.answer("front-1", refused());
    let step = scene.look();
    assert_eq!(step.evictions[0].name, "front-2");
    scene.plan.withdrawn(&step.evictions[0]);
    assert_eq!(scene.sent(), ["front-2"]);
    scene.answer("front-2", Answer::Accepted);
    // A budget that was not asked after all may never change.
    assert!(scene.sent().is_empty());
    scene.wait(61);
    scene.pod("front-2").terminating = true;
    assert_eq!(scene.sent(), ["front-1"]);
}

#[test]
fn a_budget_with_nothing_left_gets_no_request() {
    let mut scene = Scene::of([pod("front-1")]).with(budget("front", "front", 0));
    for _ in 0..100 {
        let step = scene.look();
        assert!(step.evictions.is_empty() && step.look_at.is_none());
        scene.wait(10);
    }
    let left = &scene.look().left["n1"];
    assert_eq!((left.left, left.idle), (1, seconds(1000)));
    let message = &left.blockers[0].message;
    assert!(message.contains("web/front allows no disruption now: 2 healthy, 2 wanted"));
    // Numbers of an older spec are none.
    scene.budgets[0].disruptions_allowed = 1;
    scene.budgets[0].generation = 2;
    assert!(scene.sent().is_empty());
    scene.budgets[0].observed_generation = 2;
    assert_eq!(scene.sent(), ["front-1"]);
}

#[test]
fn pods_that_no_budget_guards_now_go_past_it() {
    let mut scene = Scene::of([pod("front-1"), pod("front-2")]).with(budget("front", "front", 0));
    scene.pod("front-1").ready = false;
    scene.pod("front-2").phase = Phase::Pending;
    assert_eq!(scene.sent(), ["front-1", "front-2"]);
}

#[test]
fn a_pod_that_is_refused_waits_longer_each_time() {
    for answer in [budgeted(), refused()] {
        let mut scene = Scene::of([pod("front-1")]).with(budget("front", "front", 1));
        let mut waits = Vec::new();
        let mut last = scene.now;
        for _ in 0..7 {
            while scene.sent().is_empty() {
                scene.wait(1);
            }
            waits.push((scene.now - last).as_secs());
            last = scene.now;
            scene.answer("front-1", answer.clone());
        }
        assert_eq!(waits, [0, 5, 10, 20, 40, 48, 48]);
        let blockers = &scene.look().left["n1"].blockers;
        assert_eq!(blockers.len(), 1);
        assert!(!blockers[0].message.contains('\n'));
    }
    let mut scene = Scene::of([pod("a-1")]);
    assert_eq!(scene.sent(), ["a-1"]);
    let eviction = pod("a-1").eviction();
    let retry_after = Some(seconds(10));
    let answer = Answer::Budget { retry_after };
    scene.plan.answered(&eviction, &answer, 1.0, scene.now);
    assert_eq!(scene.look().look_at, Some(scene.now + seconds(10)));
}

#[test]
fn numbers_that_the_server_contradicts_are_not_believed_for_a_while() {
    let pods = [pod("front-1"), pod("front-2")];
    let mut scene = Scene::of(pods).with(budget("front", "front", 1));
    assert_eq!(scene.sent(), ["front-1"]);
    scene.answer("front-1", budgeted());
    assert!(scene.sent().is_empty());
    scene.budgets[0].version = "2".to_owned();
    assert_eq!(scene.sent(), ["front-2"], "a new version is");
}

#[test]
fn a_busy_server_gets_nothing_and_that_is_no_fault_of_the_pods() {
    let elsewhere = Pod {
        node: "n2".to_owned(),
        ..pod("b-1")
    };
    let mut scene = Scene::of([pod("a-1"), elsewhere]);
    scene.nodes.get_mut("n2").unwrap().open = false;
    assert_eq!(scene.sent(), ["a-1"]);
    scene.answer("a-1", Answer::Busy { retry_after: None });
    scene.nodes.get_mut("n2").unwrap().open = true;
    let step = scene.look();
    assert!(step.evictions.is_empty() && scene.plan.is_busy(scene.now));
    assert_eq!(step.look_at, Some(scene.now + seconds(1)));
    for left in step.left.values() {
        assert_eq!((left.throttled, left.blockers.len()), (seconds(1), 0));
    }
    scene.wait(1);
    assert_eq!(scene.sent(), ["a-1", "b-1"]);
    let retry_after = Some(seconds(5));
    scene.answer("a-1", Answer::Busy { retry_after });
    // Twice the same wait is one wait.
    scene.answer("b-1", Answer::Busy { retry_after });
    assert_eq!(scene.look().left["n1"].throttled, seconds(6));
    scene.wait(5);
    scene.sent();
    scene.answer("a-1", refused());
    let look_at = scene.look().look_at;
    assert_eq!(look_at, Some(scene.now + seconds(5)), "nothing has grown");
}

#[test]
fn a_lost_race_is_tried_again_after_the_hint() {
    let mut scene = Scene::of([pod("a-1")]);
    scene.sent();
    let retry_after = seconds(10);
    scene.answer("a-1", Answer::Raced { retry_after });
    assert!(scene.reasons().is_empty());
    scene.wait(9);
    assert!(scene.sent().is_empty());
    scene.wait(1);
    assert_eq!(scene.sent(), ["a-1"]);
}

#[test]
fn a_pod_that_was_replaced_is_never_sent_again() {
    let mut scene = Scene::of([pod("front-1")]).with(budget("front", "front", 5));
    scene.sent();
    scene.answer("front-1", Answer::Replaced);
    let step = scene.look();
    assert!(step.lists.contains("n1") && step.evictions.is_empty());
    for _ in 0..20 {
        scene.wait(30);
        scene.list();
        assert!(scene.sent().is_empty());
    }
    assert_eq!(scene.reasons(), [Reason::Refused], "somebody has to look");
    // Not even after the node was let go.
    let nodes = std::mem::take(&mut scene.nodes);
    scene.look();
    scene.nodes = nodes;
    scene.list();
    assert!(scene.sent().is_empty());
    let anew = Pod {
        uid: "another".to_owned(),
        ..pod("front-1")
    };
    *scene.pod("front-1") = anew;
    assert_eq!(scene.sent(), ["front-1"]);
}

#[test]
fn a_pod_that_is_gone_is_waited_for() {
    let mut scene = Scene::of([pod("a-1")]);
    scene.sent();
    scene.answer("a-1", Answer::Gone);
    let step = scene.look();
    assert_eq!(step.look_at, Some(scene.now + seconds(10)));
    assert!(step.lists.is_empty() && step.evictions.is_empty());
    scene.wait(10);
    assert!(scene.look().lists.contains("n1"));
    scene.list();
    for _ in 0..10 {
        assert!(scene.sent().is_empty());
        scene.wait(30);
    }
}

#[test]
fn after_silence_only_a_new_list_tells() {
    let mut scene = Scene::of([pod("a-1")]);
    scene.sent();
    scene.wait(30);
    scene.answer("a-1", Answer::Unanswered);
    for _ in 0..10 {
        let step = scene.look();
        assert!(step.lists.contains("n1") && step.evictions.is_empty());
        scene.wait(10);
    }
    assert_eq!(scene.reasons(), [Reason::Unanswered]);
    scene.list();
    assert_eq!(scene.sent(), ["a-1"]);
}

#[test]
fn what_is_accepted_is_not_repeated_unless_a_list_shows_that_nothing_came_of_it() {
    let mut scene = Scene::of([pod("front-1")]).with(budget("front", "front", 1));
    scene.sent();
    scene.answer("front-1", Answer::Accepted);
    scene.budgets[0].disruptions_allowed = 0;
    assert!(scene.reasons().is_empty(), "it is our own doing");
    scene.wait(10);
    assert!(scene.look().lists.contains("n1"));
    scene.list();
    assert_eq!(scene.reasons(), [Reason::Refused]);
    scene.budgets[0] = Budget {
        version: "2".to_owned(),
        ..budget("front", "front", 1)
    };
    scene.wait(5);
    assert_eq!(scene.sent(), ["front-1"]);
}

#[test]
fn a_namespace_that_is_deleted_is_waited_for() {
    let mut scene = Scene::of([pod("a-1")]);
    scene.sent();
    scene.answer("a-1", Answer::NamespaceTerminating);
    for _ in 0..20 {
        assert!(scene.sent().is_empty());
        scene.wait(30);
    }
    assert_eq!(scene.reasons(), [Reason::NamespaceTerminating]);
    scene.goes("a-1");
    assert_eq!(scene.look().left["n1"].left, 0);
}

#[test]
fn too_many_budgets_are_told_and_not_asked_about() {
    let mut scene = Scene::of([pod("front-1")])
        .with(budget("one", "front", 5))
        .with(budget("two", "front", 5));
    assert!(scene.sent().is_empty());
    assert_eq!(scene.reasons(), [Reason::ManyDisruptionBudgets]);
    // The server knows of a second one before the watch tells.
    scene.budgets.pop();
    assert_eq!(scene.sent(), ["front-1"]);
    scene.answer("front-1", Answer::TooManyBudgets);
    assert_eq!(scene.reasons(), [Reason::ManyDisruptionBudgets]);
    scene.wait(59);
    scene.budgets[0].version = "2".to_owned();
    assert!(scene.sent().is_empty(), "other numbers change nothing");
    scene.wait(1);
    assert_eq!(scene.sent(), ["front-1"]);
    scene.answer("front-1", Answer::TooManyBudgets);
    scene.budgets[0].generation = 2;
    scene.budgets[0].observed_generation = 2;
    assert_eq!(scene.sent(), ["front-1"]);
}

#[test]
fn who_cannot_go_is_left_and_said_why() {
    let bare = Pod {
        controller: None,
        ..pod("bare")
    };
    let stuck = Pod {
        terminating: true,
        overdue: true,
        ..pod("stuck")
    };
    let daemon = Pod {
        controller: Some("DaemonSet".to_owned()),
        ..pod("daemon")
    };
    let mut scene = Scene::of([bare, stuck, daemon]);
    let step = scene.look();
    assert!(step.evictions.is_empty());
    assert_eq!(step.left["n1"].left, 2);
    assert_eq!(scene.reasons(), [Reason::NoController, Reason::Terminating]);
    scene.options.force = true;
    assert_eq!(scene.sent(), ["bare"]);
}

#[test]
fn a_closed_node_is_only_looked_at_and_one_that_is_let_go_forgotten() {
    let mut scene = Scene::of([pod("a-1"), pod("a-2")]);
    scene.nodes.get_mut("n1").unwrap().open = false;
    let step = scene.look();
    assert!(step.evictions.is_empty());
    assert_eq!(step.left["n1"].left, 2);
    scene.wait(30);
    assert_eq!(scene.look().left["n1"].idle, seconds(30));
    scene.goes("a-1");
    assert_eq!(scene.look().left["n1"].idle, seconds(0));
    scene.wait(30);
    let nodes = std::mem::take(&mut scene.nodes);
    assert!(scene.look().left.is_empty());
    scene.nodes = nodes;
    assert_eq!(scene.look().left["n1"].idle, seconds(0), "it begins anew");
}

#[test]
fn a_pod_that_takes_the_time_it_has_to_end_is_no_standstill() {
    let mut scene = Scene::of([pod("a-1"), pod("a-2")]);
    scene.nodes.get_mut("n1").unwrap().open = false;
    scene.pod("a-1").terminating = true;
    scene.wait(300);
    assert_eq!(scene.look().left["n1"].idle, seconds(0));
    scene.pod("a-1").overdue = true;
    scene.wait(300);
    assert_eq!(scene.look().left["n1"].idle, seconds(300));
}
