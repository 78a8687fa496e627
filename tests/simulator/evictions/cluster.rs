//! What there is in the cluster, and who makes it anew.

use pullkeeper_core::drain::{Budget, BudgetName, Phase, Pod};

use super::feed::Follow as _;
use super::server::{ApiBudget, ApiNode, ApiPod, Change, Wanted, app};
use super::{Event, NODES, SCHEDULER_LAG, SPARE, World};

/// Pods that are made anew when they are gone.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Whether a pod has the name of its predecessor.
    pub(super) stateful: bool,
    replicas: usize,
    model: Pod,
    /// Whether its pods do not end in time.
    deaf: bool,
}

impl World {
    /// What there is at first.
    pub(super) fn populate(&mut self) {
        for name in NODES.into_iter().chain([SPARE]) {
            let uid = self.uid();
            let cordon = None;
            self.server.set_node(name, Some(ApiNode { uid, cordon }));
        }
        for number in 0..self.rng.usize(3..6) {
            let stateful = self.rng.bool();
            let namespace = ["web", "db"][self.rng.usize(0..2)];
            self.found(&format!("app{number}"), namespace, stateful);
        }
        self.found("dns", "kube-system", false);
        for name in NODES {
            self.settle_in(name);
            for _ in 0..self.rng.usize(0..3) {
                let pod = self.loner(name);
                self.put(pod, false);
            }
        }
        for index in 0..self.apps.len() {
            if self.rng.u32(0..4) != 0 {
                self.guard(index, "budget");
            }
            self.reconcile(index);
        }
    }

    pub(super) fn uid(&mut self) -> String {
        self.born += 1;
        format!("u{}", self.born)
    }

    fn found(&mut self, name: &str, namespace: &str, stateful: bool) {
        let kind = if stateful {
            "StatefulSet"
        } else {
            "ReplicaSet"
        };
        let critical = namespace == "kube-system";
        let kept = !critical && self.rng.u32(0..10) == 0;
        let mut labels = [("app".to_owned(), name.to_owned())].into_iter().collect();
        if kept {
            labels = [("app", name), ("keep", "yes")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
        }
        let grace = match self.rng.u32(0..6) {
            0 => Some(0),
            1 => None,
            _ => Some(self.rng.i64(1..40)),
        };
        let model = Pod {
            namespace: namespace.to_owned(),
            labels,
            controller: Some(kind.to_owned()),
            phase: Phase::Pending,
            priority: if critical { 2_000_000_000 } else { 0 },
            empty_dir: self.rng.u32(0..6) == 0,
            grace,
            ..Pod::default()
        };
        self.apps.push(App {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            stateful,
            replicas: self.rng.usize(1..5),
            model,
            deaf: self.rng.u32(0..8) == 0,
        });
    }

    /// A budget for an app.
    pub(super) fn guard(&mut self, index: usize, name: &str) {
        let one = &self.apps[index];
        let replicas = i64::try_from(one.replicas).unwrap_or(1);
        let selector = format!(r#"{{"matchLabels": {{"app": "{}"}}}}"#, one.name);
        let name = BudgetName {
            namespace: one.namespace.clone(),
            name: format!("{name}-{}", one.name),
        };
        let wanted = match self.rng.u32(0..3) {
            0 => Wanted::Healthy(self.rng.i64(1..=replicas)),
            _ => Wanted::Unavailable(self.rng.i64(1..3)),
        };
        let budget = Budget {
            name,
            selector: serde_json::from_str(&selector).map_err(|error| error.to_string()),
            generation: 1,
            observed_generation: 0,
            disruptions_allowed: 0,
            current_healthy: 0,
            desired_healthy: 0,
            always_allow_unhealthy: self.rng.u32(0..4) == 0,
            version: String::new(),
        };
        let disrupted = std::collections::BTreeMap::new();
        self.server.put_budget(ApiBudget {
            budget,
            wanted,
            disrupted,
        });
    }

    /// What every node has.
    pub(super) fn settle_in(&mut self, node: &str) {
        for (kind, mirror) in [(Some("DaemonSet"), false), (Some("Node"), true)] {
            let uid = self.uid();
            let pod = Pod {
                namespace: "kube-system".to_owned(),
                name: format!("agent-{uid}"),
                uid,
                node: node.to_owned(),
                mirror,
                controller: kind.map(str::to_owned),
                ready: true,
                grace: Some(5),
                priority: 2_000_001_000,
                ..Pod::default()
            };
            self.put(pod, false);
        }
    }

    /// A pod that nobody makes anew, or that is over.
    pub(super) fn loner(&mut self, node: &str) -> Pod {
        let uid = self.uid();
        let finished = self.rng.bool();
        Pod {
            namespace: "web".to_owned(),
            name: format!("one-{uid}"),
            uid,
            node: node.to_owned(),
            controller: finished.then(|| "Job".to_owned()),
            phase: if finished {
                Phase::Finished
            } else {
                Phase::Running
            },
            ready: !finished,
            grace: Some(10),
            ..Pod::default()
        }
    }

    pub(super) fn put(&mut self, pod: Pod, deaf: bool) {
        let end = None;
        self.server.put(ApiPod { pod, end, deaf });
    }

    /// Makes the pods that an app lacks.
    pub(super) fn reconcile(&mut self, index: usize) {
        self.reconciling.remove(&index);
        let one = self.apps[index].clone();
        if self.server.terminating.contains(&one.namespace) {
            return;
        }
        let pods = self.server.pods.values().map(|pod| &pod.pod);
        let mine = pods.filter(|pod| pod.namespace == one.namespace && app(pod) == one.name);
        let mine: Vec<_> = mine
            .filter(|pod| one.stateful || (!pod.terminating && pod.phase != Phase::Finished))
            .map(|pod| pod.name.clone())
            .collect();
        if one.stateful {
            for number in 0..one.replicas {
                let name = format!("{}-{number}", one.name);
                if !mine.contains(&name) {
                    self.create(&one, name);
                }
            }
        } else {
            for _ in mine.len()..one.replicas {
                let name = format!("{}-x{}", one.name, self.born + 1);
                self.create(&one, name);
            }
        }
    }

    fn create(&mut self, one: &App, name: String) {
        let uid = self.uid();
        let pod = Pod {
            name,
            uid: uid.clone(),
            ..one.model.clone()
        };
        self.put(pod, one.deaf);
        self.schedule(uid);
    }

    /// Chooses a node for a pod, which comes to it some time later.
    pub(super) fn schedule(&mut self, uid: String) {
        let nodes = self.server.nodes.iter();
        let nodes = nodes.filter(|(_, node)| node.cordon.is_none());
        let mut nodes: Vec<_> = nodes.map(|(name, _)| name.clone()).collect();
        if nodes.len() > 1 && self.rng.u32(0..5) != 0 {
            nodes.retain(|name| name != SPARE);
        }
        let node = nodes[self.rng.usize(0..nodes.len())].clone();
        let longest = match self.rng.u32(0..4) {
            0 if !self.is_calm => SCHEDULER_LAG,
            _ => 500,
        };
        let wait = self.rng.u64(10..longest);
        self.at(wait, Event::Bind(uid, node));
    }

    /// A pod comes to a node.
    pub(super) fn bind(&mut self, uid: String, node: String) {
        if !self.server.nodes.contains_key(&node) {
            self.schedule(uid);
            return;
        }
        self.tell(format!("{uid} comes to {node}"));
        let late = self.server.nodes[&node].cordon.is_some() && !self.is_calm;
        if late && self.rng.bool() {
            let until = self.now + self.rng.u64(5_000..25_000);
            if let Some(one) = self.engine.nodes.get_mut(&node) {
                one.pods.silence(until);
            }
        }
        if self.server.change(&uid, |one| one.pod.node = node) {
            let wait = self.rng.u64(300..6_000);
            self.at(wait, Event::Start(uid));
        }
    }

    /// Has everybody hear of what has changed who is interested.
    pub(super) fn spread(&mut self) {
        let changes = self.server.log[self.spread..].to_vec();
        let first = self.spread + 1;
        self.spread = self.server.version();
        for (version, change) in (first..).zip(&changes) {
            match change {
                Change::Pod(one) | Change::NoPod(one) => {
                    let gone = matches!(change, Change::NoPod(_));
                    if one.pod.terminating && !gone && self.ending.insert(one.pod.uid.clone()) {
                        self.end_soon(one);
                    }
                    let feed = self.engine.nodes.get(&one.pod.node);
                    if let Some(number) = feed.map(|node| node.pods.number) {
                        self.tell_feed(number, version);
                    }
                    self.recount(&one.pod);
                }
                Change::Budget(budget) => {
                    self.tell_feed(self.engine.budgets.number, version);
                    self.count_soon(&budget.name);
                }
                Change::NoBudget(_) => self.tell_feed(self.engine.budgets.number, version),
                Change::Node(..) => {
                    let wait = self.lag();
                    self.at(wait, Event::Nodes(self.engine.epoch, version));
                }
            }
        }
    }

    fn end_soon(&mut self, one: &ApiPod) {
        let grace = one.end.unwrap_or(self.now).saturating_sub(self.now);
        let wait = match one.deaf {
            true if !self.is_calm => grace + self.rng.u64(1_000..200_000),
            _ => self.rng.u64(0..=grace),
        };
        self.at(wait, Event::End(one.pod.uid.clone()));
    }

    fn tell_feed(&mut self, number: u64, version: usize) {
        let silent = self.engine.feed(number).map_or(0, |feed| feed.silent());
        let wait = self.lag() + silent.saturating_sub(self.now);
        self.at(wait, Event::Tell(number, version));
    }

    fn recount(&mut self, pod: &Pod) {
        let budgets = self.server.budgets.keys();
        let budgets = budgets.filter(|name| name.namespace == pod.namespace);
        for name in budgets.cloned().collect::<Vec<_>>() {
            self.count_soon(&name);
        }
        let mine = |one: &App| one.namespace == pod.namespace && one.name == app(pod);
        if let Some(index) = self.apps.iter().position(mine)
            && self.reconciling.insert(index)
        {
            let longest = [300, 2_000][self.rng.usize(0..2)];
            let wait = self.rng.u64(20..longest);
            self.at(wait, Event::Reconcile(index));
        }
    }

    pub(super) fn count_soon(&mut self, name: &BudgetName) {
        if self.counting.insert(name.clone()) {
            let wait = self.lag() + self.luck.uncounted.saturating_sub(self.now);
            self.at(wait, Event::Count(name.clone()));
        }
    }
}
