//! The evictions of all nodes that are drained at the same time, so that no two of them compete for a budget.
//!
//! A pod that has left no trace goes at once, in two waves: pods that are critical to the system go when no other is left that
//! can go. How a pod goes on after an answer is its `Attempt`'s to say, and how many may go together its budget's `Rations`.

mod attempt;
mod ration;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::attempt::{Attempt, Due};
use self::ration::Rations;
use super::answer::Answer;
use super::blocker::Blocker;
use super::budget::Budgets;
use super::pod::{Eviction, Fate, Options, Pod};

/// Evictions of one node that wait for an answer.
const AT_ONCE: usize = 8;
/// Shortest and longest wait when the API server has too much to do.
const BUSY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What has been tried, and what came of it. Times are of a clock that nobody sets.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// By UID.
    attempts: BTreeMap<String, Attempt>,
    rations: Rations,
    nodes: BTreeMap<String, Progress>,
    /// Until when nothing is sent.
    busy: Duration,
}

/// The pods of a node, as they were last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// All of them.
    pub pods: Vec<Pod>,
    /// When the last complete list of them was begun, or earlier.
    pub listed: Duration,
    /// Whether evictions may be sent now.
    pub open: bool,
}

/// What is to be done now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Evictions to send. Each of them is to be [answered](Plan::answered) or [withdrawn](Plan::withdrawn).
    pub evictions: Vec<Eviction>,
    /// Nodes whose pods are to be listed anew.
    pub lists: BTreeSet<String>,
    /// When to look again, if nothing happens before.
    pub look_at: Option<Duration>,
    /// How the nodes stand.
    pub left: BTreeMap<String, Left>,
}

/// How the drain of a node stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Pods that have to go, those on their way included.
    pub left: usize,
    /// For how long no pod has gone, and none was about to.
    pub idle: Duration,
    /// For how long, all in all, nothing could be sent since the API server had too much to do.
    pub throttled: Duration,
    /// What keeps pods from going.
    pub blockers: Vec<Blocker>,
}

#[derive(Clone, Debug)]
struct Progress {
    /// UIDs of those that have to go.
    left: BTreeSet<String>,
    /// When the last one went, or was about to.
    went: Duration,
    throttled: Duration,
}

impl Plan {
    /// What to do about the pods of these nodes. A node that is not named any more is forgotten.
    pub fn look(
        &mut self,
        nodes: &BTreeMap<String, Pods>,
        budgets: &Budgets,
        options: &Options,
        now: Duration,
    ) -> Step {
        self.forget(nodes);
        let mut step = Step::default();
        for (name, node) in nodes {
            let left = self.look_at_node(name, node, budgets, options, now, &mut step);
            step.left.insert(name.clone(), left);
        }
        step
    }

    /// Takes in an answer. `chance` is a random number from 0 to 1, which keeps pods from being tried again together.
    pub fn answered(&mut self, eviction: &Eviction, answer: &Answer, chance: f64, now: Duration) {
        if let Answer::Busy { retry_after } = answer {
            self.busy(*retry_after, chance, now);
        }
        if let Some(attempt) = self.attempts.get_mut(&eviction.uid)
            && let Some(budget) = attempt.heard(answer, chance, now)
        {
            self.rations.answered(&budget, answer, now);
        }
    }

    /// Takes back an eviction that was not sent.
    pub fn withdrawn(&mut self, eviction: &Eviction) {
        if let Some(attempt) = self.attempts.get_mut(&eviction.uid)
            && let Some(budget) = attempt.withdrawn()
        {
            self.rations.give_back(&budget);
        }
    }

    /// The API server has too much to do: nothing is sent to it for a while. Draining takes longer by that much, which is no
    /// fault of the nodes.
    pub fn busy(&mut self, retry_after: Option<Duration>, chance: f64, now: Duration) {
        let (shortest, longest) = BUSY;
        let wait = retry_after.unwrap_or_default().clamp(shortest, longest);
        let until = now + spread(wait, chance);
        let more = until.saturating_sub(self.busy.max(now));
        self.busy = self.busy.max(until);
        for node in self.nodes.values_mut() {
            if !node.left.is_empty() {
                node.throttled += more;
            }
        }
    }

    /// Whether nothing is to be sent now.
    pub fn is_busy(&self, now: Duration) -> bool {
        now < self.busy
    }

    /// Forgets pods and nodes that are not there any more, but none that waits for its answer or is never to be sent again.
    fn forget(&mut self, nodes: &BTreeMap<String, Pods>) {
        let pods = nodes.values().flat_map(|node| &node.pods);
        let uids: BTreeSet<_> = pods.map(|pod| &pod.uid).collect();
        self.attempts
            .retain(|uid, attempt| attempt.is_kept() || uids.contains(uid));
        self.nodes.retain(|name, _| nodes.contains_key(name));
    }

    fn look_at_node(
        &mut self,
        name: &str,
        node: &Pods,
        budgets: &Budgets,
        options: &Options,
        now: Duration,
        step: &mut Step,
    ) -> Left {
        let fates = node.pods.iter().map(|pod| (pod, pod.fate(options)));
        let mut pods: Vec<_> = fates.filter(|(_, fate)| *fate != Fate::Stays).collect();
        pods.sort_by_cached_key(|(pod, _)| (pod.priority, pod.path()));
        let can_go = |fate: &Fate| matches!(fate, Fate::Goes | Fate::Leaving);
        let others = pods
            .iter()
            .any(|(pod, fate)| can_go(fate) && !pod.is_critical());
        let sent = |pod: &Pod| self.attempts.get(&pod.uid).is_some_and(Attempt::is_sent);
        let mut room = AT_ONCE.saturating_sub(pods.iter().filter(|(pod, _)| sent(pod)).count());
        let mut blockers = Vec::new();
        for (pod, fate) in &pods {
            blockers.extend(Blocker::of_fate(pod, *fate));
            if *fate != Fate::Goes {
                continue;
            }
            let of_pod = budgets.of(pod);
            let attempt = self.attempts.entry(pod.uid.clone()).or_default();
            let due = attempt.due(&of_pod, node.listed, now);
            match due {
                Due::List => {
                    step.lists.insert(name.to_owned());
                }
                Due::At(at) => step.wake(at),
                Due::Now | Due::Never => {}
            }
            let budget = of_pod.first().filter(|budget| !budget.spares(pod));
            let stopped = budget.is_some_and(|budget| budget.allowed() <= 0);
            let blocker = match &of_pod[..] {
                _ if attempt.has_ended() => None,
                [_, _, ..] => Some(Blocker::of_many(pod, &of_pod)),
                _ => attempt.blocker(pod, &of_pod).or_else(|| {
                    let blocked = stopped && !attempt.is_sent();
                    blocked.then(|| Blocker::of_budget(pod, &of_pod))
                }),
            };
            let is_told = blocker.is_some();
            blockers.extend(blocker);
            let waits = stopped || of_pod.len() > 1 || (pod.is_critical() && others);
            if due != Due::Now || waits || room == 0 || !node.open {
                continue;
            }
            if now < self.busy {
                step.wake(self.busy);
                continue;
            }
            if let Some(budget) = budget
                && let Err(at) = self.rations.take(budget, now)
            {
                step.look_at = step.look_at.into_iter().chain(at).min();
                let told_from = attempt.waits(now);
                if now < told_from {
                    step.wake(told_from);
                } else if !is_told {
                    blockers.push(Blocker::of_turn(pod, budget));
                }
                continue;
            }
            attempt.sent(budget.map(|budget| budget.name.clone()), &of_pod);
            room -= 1;
            step.evictions.push(pod.eviction());
        }
        let progress = self.nodes.entry(name.to_owned());
        let progress = progress.or_insert_with(|| Progress::new(now));
        let ends = |(pod, fate): &(&Pod, Fate)| *fate == Fate::Leaving && !pod.overdue;
        let left = pods.iter().map(|(pod, _)| pod.uid.clone()).collect();
        progress.see(left, pods.iter().any(ends), now);
        Left {
            left: pods.len(),
            idle: now.saturating_sub(progress.went),
            throttled: progress.throttled,
            blockers,
        }
    }
}

impl Progress {
    fn new(now: Duration) -> Self {
        Self {
            left: BTreeSet::new(),
            went: now,
            throttled: Duration::ZERO,
        }
    }

    /// Takes in what is left, and whether some of it takes the time that it has to end: then nobody waits for anything else.
    fn see(&mut self, left: BTreeSet<String>, ends: bool, now: Duration) {
        if ends || !self.left.is_subset(&left) {
            self.went = now;
        }
        self.left = left;
    }
}

impl Step {
    fn wake(&mut self, at: Duration) {
        self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
    }
}

/// The wait, and up to a quarter more.
fn spread(wait: Duration, chance: f64) -> Duration {
    wait + wait.mul_f64(chance.clamp(0.0, 1.0) / 4.0)
}

#[cfg(test)]
mod tests;
