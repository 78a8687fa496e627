//! The API server: what there is of pods, budgets and nodes, and what it says to an eviction.

use std::collections::{BTreeMap, BTreeSet};

use super::Time;
use pullkeeper_core::drain::{Answer, Budget, BudgetName, Eviction, Failure, Phase, Pod};

/// For how long a pod counts as gone that a budget was asked for, and that is still there.
pub(super) const DISRUPTED: Time = 120_000;

/// A pod that there is.
#[derive(Clone, Debug)]
pub(super) struct ApiPod {
    pub(super) pod: Pod,
    /// When it is to have ended.
    pub(super) end: Option<Time>,
    /// Whether it does not end when it is told to.
    pub(super) deaf: bool,
}

/// A budget that there is.
#[derive(Clone, Debug)]
pub(super) struct ApiBudget {
    pub(super) budget: Budget,
    pub(super) wanted: Wanted,
    /// Names of pods that it was asked for, and when.
    pub(super) disrupted: BTreeMap<String, Time>,
}

/// What a budget wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Healthy(i64),
    Unavailable(i64),
}

/// A node: its UID, and the serial number of our cordon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiNode {
    pub(super) uid: String,
    pub(super) cordon: Option<u64>,
}

/// A change, as a watch tells it. The first one is version 1.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Pod(ApiPod),
    NoPod(ApiPod),
    Budget(Budget),
    NoBudget(BudgetName),
    Node(String, Option<ApiNode>),
}

#[derive(Default)]
pub(super) struct Server {
    pub(super) log: Vec<Change>,
    /// By namespace and name, which one pod has at a time.
    pub(super) pods: BTreeMap<(String, String), ApiPod>,
    pub(super) budgets: BTreeMap<BudgetName, ApiBudget>,
    pub(super) nodes: BTreeMap<String, ApiNode>,
    /// Namespaces that are being deleted.
    pub(super) terminating: BTreeSet<String>,
    /// Apps whose evictions a webhook forbids.
    pub(super) vetoed: BTreeSet<String>,
    /// How many pods wait for which no budget was asked in vain.
    pub(super) lost: BTreeMap<String, usize>,
}

pub(super) fn key(pod: &Pod) -> (String, String) {
    (pod.namespace.clone(), pod.name.clone())
}

/// What a pod belongs to.
pub(super) fn app(pod: &Pod) -> &str {
    pod.labels.get("app").map_or("", String::as_str)
}

/// Whether a budget is for a pod, as the API server sees it.
pub(super) fn guards(budget: &Budget, pod: &Pod) -> bool {
    let selector = budget.selector.as_ref().ok().and_then(Option::as_ref);
    budget.name.namespace == pod.namespace
        && pod.phase == Phase::Running
        && !pod.terminating
        && selector.is_some_and(|selector| selector.selects(&pod.labels))
}

/// Whether a pod may go however many others do.
pub(super) fn spares(budget: &Budget, pod: &Pod) -> bool {
    let enough = budget.desired_healthy > 0 && budget.current_healthy >= budget.desired_healthy;
    !pod.ready && (budget.always_allow_unhealthy || enough)
}

fn no(code: u16, message: &str, causes: &[&str], retry_after_seconds: u32) -> Answer {
    Answer::of(&Failure {
        code,
        message,
        causes,
        retry_after_seconds,
    })
}

/// What a server says that has too much to do.
pub(super) fn busy(retry_after_seconds: u32) -> Answer {
    no(429, "Too many requests", &[], retry_after_seconds)
}

/// What a proxy says whose server is away.
pub(super) fn away() -> Answer {
    no(503, "no endpoints", &[], 0)
}

/// What a server says for reasons of its own.
pub(super) fn odd(number: usize) -> Answer {
    let (code, message) = [
        (
            403,
            "pod disruption budget has too many evictions unconfirmed",
        ),
        (422, "ValidatingAdmissionPolicy denied request"),
        (500, "etcdserver: no leader"),
    ][number];
    no(code, message, &[], 0)
}

impl Server {
    pub(super) fn version(&self) -> usize {
        self.log.len()
    }

    pub(super) fn put(&mut self, pod: ApiPod) {
        self.log.push(Change::Pod(pod.clone()));
        self.pods.insert(key(&pod.pod), pod);
    }

    /// Changes the pod with this UID, if it is there.
    pub(super) fn change(&mut self, uid: &str, change: impl FnOnce(&mut ApiPod)) -> bool {
        let Some(pod) = self.by_uid(uid) else {
            return false;
        };
        let mut pod = pod.clone();
        change(&mut pod);
        self.put(pod);
        true
    }

    pub(super) fn remove(&mut self, uid: &str) {
        if let Some(key) = self.by_uid(uid).map(|one| key(&one.pod))
            && let Some(pod) = self.pods.remove(&key)
        {
            self.log.push(Change::NoPod(pod));
        }
    }

    pub(super) fn by_uid(&self, uid: &str) -> Option<&ApiPod> {
        self.pods.values().find(|one| one.pod.uid == uid)
    }

    /// The pods that are bound to a node.
    pub(super) fn pods_of(&self, node: &str) -> impl Iterator<Item = &ApiPod> {
        self.pods.values().filter(move |one| one.pod.node == node)
    }

    pub(super) fn put_budget(&mut self, mut budget: ApiBudget) {
        budget.budget.version = (self.version() + 1).to_string();
        self.log.push(Change::Budget(budget.budget.clone()));
        self.budgets.insert(budget.budget.name.clone(), budget);
    }

    pub(super) fn remove_budget(&mut self, name: &BudgetName) {
        if self.budgets.remove(name).is_some() {
            self.log.push(Change::NoBudget(name.clone()));
        }
    }

    pub(super) fn set_node(&mut self, name: &str, node: Option<ApiNode>) {
        self.log.push(Change::Node(name.to_owned(), node.clone()));
        match node {
            Some(node) => self.nodes.insert(name.to_owned(), node),
            None => self.nodes.remove(name),
        };
    }

    /// Tells a pod to end.
    pub(super) fn delete(&mut self, uid: &str, grace: Option<i64>, now: Time) {
        self.change(uid, |one| {
            if !one.pod.terminating {
                let grace = grace.or(one.pod.grace).unwrap_or(30);
                one.pod.terminating = true;
                one.end = Some(now + u64::try_from(grace).unwrap_or(0) * 1000);
            }
        });
    }

    /// Whether nobody waits for an answer to this for long.
    pub(super) fn is_quick(&self, eviction: &Eviction, answer: &Answer) -> bool {
        let key = (eviction.namespace.clone(), eviction.name.clone());
        let runs = |one: &ApiPod| one.pod.phase == Phase::Running && !one.pod.terminating;
        match answer {
            Answer::Raced { .. } => false,
            Answer::Replaced => self.pods.get(&key).is_none_or(runs),
            _ => true,
        }
    }

    /// Evicts. No UID is any UID. `race`: others change the budget all the time.
    pub(super) fn evict(
        &mut self,
        eviction: &Eviction,
        dry_run: bool,
        race: bool,
        now: Time,
    ) -> Answer {
        if self.terminating.contains(&eviction.namespace) {
            return no(403, "it is being deleted", &["NamespaceTerminating"], 0);
        }
        let key = (eviction.namespace.clone(), eviction.name.clone());
        let Some(pod) = self.pods.get(&key).map(|one| one.pod.clone()) else {
            return no(404, "pods not found", &[], 0);
        };
        if self.vetoed.contains(app(&pod)) {
            return no(429, "admission webhook \"vm\" denied the request", &[], 0);
        }
        let guards = |one: &&mut ApiBudget| guards(&one.budget, &pod);
        let mut budgets = self.budgets.values_mut().filter(guards);
        let budget = budgets.next();
        if budgets.next().is_some() {
            let many = "This pod has more than one PodDisruptionBudget, which is not supported";
            return no(500, many, &[], 0);
        }
        let mut asked = None;
        if let Some(one) = budget.filter(|one| !spares(&one.budget, &pod)) {
            let budget = &mut one.budget;
            if budget.observed_generation < budget.generation {
                return no(429, "not counted yet", &["DisruptionBudget"], 10);
            }
            if budget.disruptions_allowed <= 0 {
                return no(429, "it would violate it", &["DisruptionBudget"], 0);
            }
            if race {
                return no(504, "couldn't update PodDisruptionBudget", &[], 10);
            }
            if !dry_run {
                budget.disruptions_allowed -= 1;
                one.disrupted.insert(pod.name.clone(), now);
                asked = Some(one.clone());
            }
        }
        let counted = asked.is_some();
        if let Some(budget) = asked {
            self.put_budget(budget);
        }
        if !eviction.uid.is_empty() && eviction.uid != pod.uid {
            if counted {
                *self.lost.entry(eviction.uid.clone()).or_default() += 1;
            }
            return no(409, "the UID in the precondition differs", &[], 0);
        }
        if !dry_run {
            self.delete(&pod.uid, eviction.grace, now);
        }
        Answer::Accepted
    }

    /// Counts the pods of a budget, as the disruption controller does. Returns when to do it again.
    pub(super) fn count(&mut self, name: &BudgetName, now: Time) -> Option<Time> {
        let mut one = self.budgets.get(name)?.clone();
        let pods: Vec<_> = self.pods.values().map(|one| &one.pod).collect();
        let waits = |name: &str, since: Time| {
            let there = pods
                .iter()
                .any(|pod| pod.name == name && !pod.terminating && guards(&one.budget, pod));
            there && now < since + DISRUPTED
        };
        let mut disrupted = one.disrupted.clone();
        disrupted.retain(|name, since| waits(name, *since));
        let selector = one.budget.selector.clone().ok().flatten();
        let selects = |pod: &&&Pod| {
            pod.namespace == name.namespace
                && pod.phase != Phase::Finished
                && selector
                    .as_ref()
                    .is_some_and(|one| one.selects(&pod.labels))
        };
        let mine: Vec<_> = pods.iter().filter(selects).collect();
        let well =
            |pod: &&&&Pod| pod.ready && !pod.terminating && !disrupted.contains_key(&pod.name);
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let (expected, healthy) = (number(mine.len()), number(mine.iter().filter(well).count()));
        let desired = match one.wanted {
            Wanted::Healthy(wanted) => wanted,
            Wanted::Unavailable(unavailable) => (expected - unavailable).max(0),
        };
        let allowed = if expected == 0 {
            0
        } else {
            (healthy - desired).max(0)
        };
        let again = disrupted.values().min().map(|since| since + DISRUPTED);
        let counted = Budget {
            observed_generation: one.budget.generation,
            disruptions_allowed: allowed,
            current_healthy: healthy,
            desired_healthy: desired,
            ..one.budget.clone()
        };
        if counted != one.budget || disrupted != one.disrupted {
            (one.budget, one.disrupted) = (counted, disrupted);
            self.put_budget(one);
        }
        again
    }
}
