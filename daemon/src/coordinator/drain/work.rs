//! The work of an engine: look, evict, and tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use k8s_openapi::jiff::Timestamp;
use pullkeeper_core::drain::{self, Answer, Budgets, Eviction, Plan, Pods, Step};
use tokio::time::{Instant, sleep_until};

use super::super::desk::Desk;
use super::eviction::evict;
use super::inspect::{Found, Inspection, Unclear};
use super::node::{Doing, Draining, Inspecting, Node};
use super::objects::{BudgetObject, PodObject};
use super::roll::{Followed, lock};
use super::{DrainSeen, Gate, Orders, Shared, Task, What};
use crate::jitter;
use crate::list_watch::Terms;

/// Between two looks when something changes all the time.
const BREATH: Duration = Duration::from_millis(200);
/// Between two looks when nothing changes: cordons are seen, orders get old.
const TICK: Duration = Duration::from_secs(1);
/// Inspections at the same time.
const INSPECTIONS: usize = 4;

/// Everything that an engine does.
pub(super) struct Work {
    shared: Arc<Shared>,
    terms: Terms,
    desk: Arc<Desk>,
    began: Instant,
    plan: Plan,
    nodes: BTreeMap<String, Node>,
    /// The present ones.
    options: drain::Options,
    /// Followed from the first time that they are needed.
    budgets: Option<Followed<BudgetObject>>,
    /// The budgets, and the news that they are made from.
    present: (u64, Arc<Budgets>),
    pending: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// What has come to an end.
enum Done {
    Evicted(Eviction, Option<Answer>),
    Inspected(String, Task, Result<Found, Unclear>),
}

impl Work {
    pub(super) fn new(shared: Arc<Shared>, terms: Terms, desk: Arc<Desk>) -> Self {
        Self {
            shared,
            terms,
            desk,
            began: Instant::now(),
            plan: Plan::default(),
            nodes: BTreeMap::new(),
            options: drain::Options::default(),
            budgets: None,
            present: (0, Arc::default()),
            pending: FuturesUnordered::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let wake = Arc::clone(&self.shared.wake);
        loop {
            let next = self.look();
            let breath = Instant::now() + BREATH;
            let mut due = next.min(Instant::now() + TICK).max(breath);
            loop {
                tokio::select! {
                    () = sleep_until(due) => break,
                    () = wake.notified() => due = breath,
                    Some(done) = self.pending.next() => {
                        self.take(done);
                        due = breath;
                    }
                }
            }
        }
    }

    fn time(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.began)
    }

    /// Takes in what has come to an end.
    fn take(&mut self, done: Done) {
        let now = Instant::now();
        let time = self.time(now);
        match done {
            Done::Evicted(eviction, None) => self.plan.withdrawn(&eviction),
            Done::Evicted(eviction, Some(answer)) => {
                self.desk.eviction(&answer, false);
                let (node, pod, label) = (&eviction.node, eviction.path(), answer.label());
                if answer == Answer::Accepted {
                    tracing::info!(node, pod, answer = label, "evicting a pod");
                } else {
                    tracing::debug!(node, pod, answer = label, "a pod was not evicted");
                }
                self.plan
                    .answered(&eviction, &answer, jitter::chance(), time);
            }
            Done::Inspected(name, task, result) => {
                if let Err(Unclear::Busy(retry_after)) = &result {
                    self.plan.busy(*retry_after, jitter::chance(), time);
                }
                if let Some(node) = self.nodes.get_mut(&name)
                    && node.task == task
                    && let Doing::Inspecting(inspecting) = &mut node.doing
                {
                    inspecting.take(result, now);
                }
            }
        }
    }

    /// Does what is to be done now, and returns when to look again.
    fn look(&mut self) -> Instant {
        let now = Instant::now();
        let orders = self.shared.orders();
        self.follow_orders(&orders, now);
        let ready = self.know_budgets();
        let pods = self.pods(now);
        let budgets = Arc::clone(&self.present.1);
        let time = self.time(now);
        let step = self.plan.look(&pods, &budgets, &orders.options.pods, time);
        for name in &step.lists {
            self.list(name, now);
        }
        let mut next = step.look_at.map_or(now + TICK, |at| self.began + at);
        for eviction in &step.evictions {
            self.send(eviction);
        }
        if ready && !self.plan.is_busy(time) {
            next = next.min(self.inspect(now));
        }
        let settle = orders.options.settle;
        let views = self.views(settle, step, now);
        self.publish(views);
        *lock(&self.shared.troubles) = self.troubles();
        next
    }

    /// Lets go who is not wanted any more, and begins with who is.
    fn follow_orders(&mut self, orders: &Orders, now: Instant) {
        let wanted = &orders.wanted;
        // What was found out does not hold for other options.
        let same = self.options == orders.options.pods;
        self.nodes.retain(|name, node| {
            let holds = same || matches!(node.doing, Doing::Draining(_));
            wanted.get(name) == Some(&node.task) && holds
        });
        self.options.clone_from(&orders.options.pods);
        for (name, task) in wanted {
            if self.nodes.contains_key(name) {
                continue;
            }
            let doing = match task.what {
                What::Inspect => Doing::Inspecting(Inspecting::new(now)),
                What::Drain => Doing::Draining(Draining::new(self.follow(name))),
            };
            self.nodes
                .insert(name.clone(), Node::new(task.clone(), doing));
        }
        if !self.nodes.is_empty() && self.budgets.is_none() {
            let query = BudgetObject::all();
            let followed = Followed::begin(query, &self.terms, &self.shared.wake);
            self.budgets = Some(followed);
        }
    }

    fn follow(&self, name: &str) -> Followed<PodObject> {
        Followed::begin(PodObject::of_node(name), &self.terms, &self.shared.wake)
    }

    /// Takes in what is new of the budgets. Whether they can be relied on.
    fn know_budgets(&mut self) -> bool {
        let Some(followed) = &self.budgets else {
            return false;
        };
        let roll = followed.look();
        if roll.news != self.present.0 {
            let all = roll.objects.iter().flat_map(BTreeMap::values);
            let all = all.map(|object| object.budget.clone()).collect();
            self.present = (roll.news, Arc::new(all));
        }
        roll.is_followed()
    }

    /// The pods of nodes that are drained and were listed.
    fn pods(&mut self, now: Instant) -> BTreeMap<String, Pods> {
        let wall = Timestamp::now();
        for (name, node) in &mut self.nodes {
            if let Doing::Draining(draining) = &mut node.doing {
                let cordoned = self.shared.is_cordoned(name, &node.task);
                draining.see(cordoned, &self.options, now);
            }
        }
        let pods = |(name, node): (&String, &Node)| {
            let Doing::Draining(draining) = &node.doing else {
                return None;
            };
            let open = self.gate(name).is_some_and(|gate| gate.is_open());
            let roll = draining.pods.look();
            let objects = roll.objects.as_ref()?.values();
            let pods = Pods {
                pods: objects.map(|object| object.pod(wall)).collect(),
                listed: self.time(roll.listed),
                open,
            };
            Some((name.clone(), pods))
        };
        self.nodes.iter().filter_map(pods).collect()
    }

    fn gate(&self, name: &str) -> Option<Gate> {
        let node = self.nodes.get(name)?;
        let Doing::Draining(draining) = &node.doing else {
            return None;
        };
        Some(Gate {
            shared: Arc::clone(&self.shared),
            node: name.to_owned(),
            task: node.task.clone(),
            pods: Arc::clone(&draining.pods.roll),
            budgets: Arc::clone(&self.budgets.as_ref()?.roll),
        })
    }

    fn send(&mut self, eviction: &Eviction) {
        let Some(gate) = self.gate(&eviction.node) else {
            self.plan.withdrawn(eviction);
            return;
        };
        let (cluster, eviction) = (self.terms.cluster.clone(), eviction.clone());
        self.pending.push(Box::pin(async move {
            let may = || gate.lets(&eviction.uid);
            let answer = evict(&cluster, &eviction, false, may).await;
            Done::Evicted(eviction, answer)
        }));
    }

    /// Has the pods of a node listed, unless that was asked for just now.
    fn list(&mut self, name: &str, now: Instant) {
        if let Some(node) = self.nodes.get_mut(name)
            && let Doing::Draining(draining) = &mut node.doing
        {
            draining.list(now);
        }
    }

    /// Begins with inspections that are due, and returns when the next one is.
    fn inspect(&mut self, now: Instant) -> Instant {
        let mut next = now + TICK;
        let running = |node: &&Node| matches!(&node.doing, Doing::Inspecting(one) if one.running);
        let running = self.nodes.values().filter(running).count();
        let mut room = INSPECTIONS.saturating_sub(running);
        for (name, node) in &mut self.nodes {
            let Doing::Inspecting(one) = &mut node.doing else {
                continue;
            };
            if room == 0 || !one.is_wanted() {
                continue;
            }
            if now < one.not_before {
                next = next.min(one.not_before);
                continue;
            }
            one.running = true;
            room -= 1;
            let inspection = Inspection {
                shared: Arc::clone(&self.shared),
                terms: self.terms.clone(),
                desk: Arc::clone(&self.desk),
                node: name.clone(),
                task: node.task.clone(),
                budgets: Arc::clone(&self.present.1),
                options: self.options.clone(),
            };
            self.pending.push(Box::pin(async move {
                let result = inspection.run().await;
                Done::Inspected(inspection.node, inspection.task, result)
            }));
        }
        next
    }

    /// What is seen of each node, as far as anything is known.
    fn views(
        &mut self,
        settle: Duration,
        mut step: Step,
        now: Instant,
    ) -> BTreeMap<String, (Task, DrainSeen)> {
        let mut views = BTreeMap::new();
        for (name, node) in &mut self.nodes {
            let seen = match &mut node.doing {
                Doing::Inspecting(inspecting) => inspecting.seen(),
                Doing::Draining(draining) => {
                    let left = step.left.remove(name);
                    left.map(|left| draining.seen(left, &self.options, settle, now))
                }
            };
            if let Some(mut seen) = seen {
                seen.serial = node.task.serial;
                node.complain(name, &seen.blockers);
                views.insert(name.clone(), (node.task.clone(), seen));
            }
        }
        views
    }

    /// What cannot be followed at present.
    fn troubles(&self) -> Vec<String> {
        let budgets = self.budgets.as_ref();
        let budgets = budgets.and_then(|followed| {
            let trouble = followed.look().trouble.clone()?;
            Some(format!("cannot watch poddisruptionbudgets: {trouble}"))
        });
        let pods = self.nodes.iter().filter_map(|(name, node)| {
            let trouble = match &node.doing {
                Doing::Inspecting(inspecting) => inspecting.trouble.clone()?,
                Doing::Draining(draining) => draining.pods.look().trouble.as_ref()?.to_string(),
            };
            Some(format!("cannot look at the pods of node {name}: {trouble}"))
        });
        budgets.into_iter().chain(pods).collect()
    }

    /// Tells the lead, if something is news to it.
    fn publish(&self, views: BTreeMap<String, (Task, DrainSeen)>) {
        let mut seen = lock(&self.shared.seen);
        let timeless = |(task, seen): &(Task, DrainSeen)| {
            let (idle, throttled) = (Duration::ZERO, Duration::ZERO);
            let seen = DrainSeen {
                idle,
                throttled,
                ..seen.clone()
            };
            (task.clone(), seen)
        };
        let news = seen.len() != views.len()
            || views
                .iter()
                .any(|(name, view)| seen.get(name).map(timeless) != Some(timeless(view)));
        *seen = views;
        drop(seen);
        if news {
            self.shared.view.nudge();
        }
    }
}
