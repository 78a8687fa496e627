//! Whoever evicts: `core::drain` with what the coordinator has around it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Time;
use pullkeeper_core::drain::{
    Answer, Budget, Eviction, Fate, Left, Options, Plan, Pod, Pods, Step,
};

use super::feed::{Feed, Follow};
use super::flaw::Flaw;
use super::server::{ApiNode, ApiPod};

/// For how long an order counts.
const HEEDED: Time = 10_000;
/// Between two lists of one node's pods that were asked for, and until one is not waited for any more.
const LIST_AGAIN: Time = 5_000;
const LIST_LOST: Time = 60_000;
/// How much later than it should a pod may be gone.
const LATE: Time = 60_000;
/// Between two looks when nothing changes.
const TICK: Time = 1_000;

/// What is wanted of a node: the drain with this serial number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) uid: String,
    pub(super) serial: u64,
}

/// An engine that has begun at some time.
pub(super) struct Engine {
    pub(super) epoch: u64,
    pub(super) plan: Plan,
    pub(super) nodes: BTreeMap<String, Draining>,
    pub(super) budgets: Feed<Budget>,
    /// The nodes, as far as they were told.
    pub(super) seen: BTreeMap<String, ApiNode>,
    /// The version up to which they were.
    pub(super) told: usize,
    /// What is wanted, and when that was said.
    pub(super) orders: (Time, BTreeMap<String, Task>),
    pub(super) options: Options,
    pub(super) settle: Duration,
    flaw: Option<Flaw>,
    numbers: u64,
}

/// A node whose pods are evicted.
pub(super) struct Draining {
    pub(super) task: Task,
    pub(super) pods: Feed<ApiPod>,
    cordoned: Option<Time>,
    full: Option<Time>,
    asked: Option<Time>,
}

/// What is told of a node.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) left: Left,
    pub(super) settled: Duration,
}

/// What came of a look.
pub(super) struct Looked {
    pub(super) step: Step,
    /// What was known when it was made.
    pub(super) pods: BTreeMap<String, Pods>,
    pub(super) seen: BTreeMap<String, Seen>,
    pub(super) next: Time,
}

/// As the plan tells the time.
pub(super) fn time(now: Time) -> Duration {
    Duration::from_millis(now)
}

fn view(one: &ApiPod, now: Time) -> Pod {
    Pod {
        overdue: one.end.is_some_and(|end| now > end + LATE),
        ..one.pod.clone()
    }
}

impl Engine {
    pub(super) fn new(epoch: u64, options: Options, settle: Duration, flaw: Option<Flaw>) -> Self {
        let first = epoch * 10_000;
        Self {
            epoch,
            plan: Plan::default(),
            nodes: BTreeMap::new(),
            budgets: Feed::new(first, "", 0),
            seen: BTreeMap::new(),
            told: 0,
            orders: (0, BTreeMap::new()),
            options,
            settle,
            flaw,
            numbers: first,
        }
    }

    /// What is followed.
    pub(super) fn feeds(&mut self) -> impl Iterator<Item = &mut dyn Follow> {
        let budgets: &mut dyn Follow = &mut self.budgets;
        let pods = self.nodes.values_mut();
        std::iter::once(budgets).chain(pods.map(|node| &mut node.pods as &mut dyn Follow))
    }

    pub(super) fn feed(&mut self, number: u64) -> Option<&mut dyn Follow> {
        self.feeds().find(|feed| feed.number() == number)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn makes(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Whether this is wanted now.
    fn wants(&self, name: &str, task: &Task, now: Time) -> bool {
        now < self.orders.0 + HEEDED && self.orders.1.get(name) == Some(task)
    }

    /// Whether the node is seen as cordoned for this.
    fn is_cordoned(&self, name: &str, task: &Task) -> bool {
        let node = self.seen.get(name);
        node.is_some_and(|node| node.uid == task.uid && node.cordon == Some(task.serial))
    }

    /// Whether pods of the node may be evicted now.
    pub(super) fn is_open(&self, name: &str, now: Time) -> bool {
        self.nodes.get(name).is_some_and(|node| {
            self.wants(name, &node.task, now)
                && self.is_cordoned(name, &node.task)
                && node.pods.is_followed()
                && self.budgets.is_followed()
        })
    }

    /// Whether this one may be, as is looked at last of all.
    pub(super) fn lets(&self, eviction: &Eviction, now: Time) -> bool {
        let node = self.nodes.get(&eviction.node);
        let there = |node: &Draining| {
            let objects = node.pods.objects.as_ref();
            objects.is_some_and(|objects| objects.contains_key(&eviction.uid))
        };
        self.is_open(&eviction.node, now) && node.is_some_and(there)
    }

    fn follow_orders(&mut self, now: Time) {
        let wanted = if now < self.orders.0 + HEEDED {
            self.orders.1.clone()
        } else {
            BTreeMap::new()
        };
        self.nodes
            .retain(|name, node| wanted.get(name) == Some(&node.task));
        for (name, task) in wanted {
            if self.nodes.contains_key(&name) {
                continue;
            }
            let mut pods = Feed::new(self.number(), &name, now);
            pods.ask(self.number(), now);
            let draining = Draining {
                task,
                pods,
                cordoned: None,
                full: None,
                asked: None,
            };
            self.nodes.insert(name, draining);
        }
        if !self.nodes.is_empty() && self.budgets.objects.is_none() && self.budgets.ticket.is_none()
        {
            let ticket = self.number();
            self.budgets.ask(ticket, now);
        }
    }

    /// Has the pods of a node listed, unless that was asked for just now.
    fn list(&mut self, name: &str, now: Time) {
        let ticket = self.number();
        if self.makes(Flaw::NeverListsAgain) {
            return;
        }
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        let waits = node.asked.is_some_and(|asked| {
            now < asked + LIST_AGAIN || (node.pods.listed < asked && now < asked + LIST_LOST)
        });
        if !waits {
            node.asked = Some(now);
            node.pods.ask(ticket, now);
        }
    }

    /// Does what is to be done now.
    pub(super) fn look(&mut self, now: Time) -> Looked {
        self.follow_orders(now);
        let options = self.options.clone();
        let names: Vec<_> = self.nodes.keys().cloned().collect();
        let mut pods = BTreeMap::new();
        for name in &names {
            let cordoned = self.is_cordoned(name, &self.nodes[name].task);
            let open = self.is_open(name, now);
            let Some(node) = self.nodes.get_mut(name) else {
                continue;
            };
            node.cordoned = node.cordoned.or(Some(now)).filter(|_| cordoned);
            let Some(objects) = &node.pods.objects else {
                continue;
            };
            let all: Vec<_> = objects.values().map(|one| view(one, now)).collect();
            if all.iter().any(|pod| pod.fate(&options) != Fate::Stays) {
                node.full = Some(now);
            }
            let listed = time(node.pods.listed);
            let node = Pods {
                pods: all,
                listed,
                open,
            };
            pods.insert(name.clone(), node);
        }
        let budgets = self.budgets.objects.iter().flatten();
        let mut budgets: Vec<_> = budgets.map(|(_, budget)| budget.clone()).collect();
        let mut shown = (pods.clone(), options.clone());
        if let Some(flaw) = self.flaw {
            flaw.misreads(&mut shown.0, &mut budgets, &mut shown.1, now);
        }
        let budgets = budgets.into_iter().collect();
        let mut step = self.plan.look(&shown.0, &budgets, &shown.1, time(now));
        if let Some(flaw) = self.flaw {
            flaw.spoils(&mut step, &shown.0);
        }
        for name in &step.lists {
            self.list(name, now);
        }
        let mut seen = BTreeMap::new();
        for (name, left) in &step.left {
            let settled = self.settled(name, left.left == 0, now);
            let left = left.clone();
            seen.insert(name.clone(), Seen { left, settled });
        }
        let next = step.look_at.map_or(now + TICK, |at| {
            u64::try_from(at.as_millis())
                .unwrap_or(now)
                .saturating_add(1)
        });
        let next = next.min(now + TICK);
        Looked {
            step,
            pods,
            seen,
            next,
        }
    }

    /// For how long the cordon had been seen when the list was begun that says what is left. Asks for a list where only that
    /// can say that nothing is.
    fn settled(&mut self, name: &str, empty: bool, now: Time) -> Duration {
        let node = &self.nodes[name];
        let stays = |one: &ApiPod| one.pod.fate(&self.options) == Fate::Stays;
        let says_so = node.pods.is_followed()
            && node.pods.list.iter().all(stays)
            && node.full.is_none_or(|full| full < node.pods.listed);
        let Some(cordoned) = node.cordoned else {
            return Duration::ZERO;
        };
        if empty && self.makes(Flaw::BelievesTheWatch) {
            return time(now.saturating_sub(cordoned));
        }
        if empty && says_so && self.makes(Flaw::TrustsTheFirstList) {
            return self.settle;
        }
        let settled = time(node.pods.listed.saturating_sub(cordoned));
        let settled = (!empty || says_so).then_some(settled);
        let due = cordoned + u64::try_from(self.settle.as_millis()).unwrap_or(0) <= now;
        if empty && due && settled.is_none_or(|settled| settled < self.settle) {
            self.list(name, now);
        }
        settled.unwrap_or_default()
    }

    /// Takes in an answer.
    pub(super) fn answered(
        &mut self,
        eviction: &Eviction,
        answer: &Answer,
        chance: f64,
        now: Time,
    ) {
        let answer = match self.flaw {
            Some(flaw) => flaw.mishears(answer),
            None => Some(answer.clone()),
        };
        match answer {
            Some(answer) => self.plan.answered(eviction, &answer, chance, time(now)),
            None if self.makes(Flaw::IgnoresBusyServers) => self.plan.withdrawn(eviction),
            None => {}
        }
    }
}
