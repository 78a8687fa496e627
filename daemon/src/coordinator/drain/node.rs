//! A node at which something is done.

use std::collections::BTreeSet;
use std::time::Duration;

use pullkeeper_core::drain::{Blocker, Left, Options, Reason};
use tokio::time::Instant;

use super::inspect::{Found, Unclear};
use super::objects::PodObject;
use super::roll::Followed;
use super::{DrainSeen, Task};
use crate::jitter;

/// Between two lists of one node's pods that were asked for.
const LIST_AGAIN: Duration = Duration::from_secs(5);
/// After this time a list that was asked for is not waited for any more.
const LIST_LOST: Duration = Duration::from_secs(60);
/// First and longest wait until an inspection that found nothing out is tried again.
const INSPECT_AGAIN: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(60));

/// A node, and what is done at it.
pub(super) struct Node {
    pub(super) task: Task,
    pub(super) doing: Doing,
    /// Blockers that were logged.
    logged: BTreeSet<(String, Reason)>,
}

pub(super) enum Doing {
    Inspecting(Inspecting),
    Draining(Draining),
}

/// A node whose pods are looked at once.
pub(super) struct Inspecting {
    pub(super) running: bool,
    pub(super) not_before: Instant,
    /// Why its pods could not be listed.
    pub(super) trouble: Option<String>,
    failures: u32,
    found: Option<Found>,
}

/// A node whose pods are evicted.
pub(super) struct Draining {
    pub(super) pods: Followed<PodObject>,
    /// Since when the cordon is seen.
    cordoned: Option<Instant>,
    /// When a pod was last seen that has to go.
    full: Option<Instant>,
    /// When a list was last asked for.
    asked: Option<Instant>,
}

impl Node {
    pub(super) fn new(task: Task, doing: Doing) -> Self {
        Self {
            task,
            doing,
            logged: BTreeSet::new(),
        }
    }

    /// Logs what keeps pods, once for as long as it does.
    pub(super) fn complain(&mut self, node: &str, blockers: &[Blocker]) {
        for blocker in blockers {
            let (pod, message) = (&blocker.pod, &blocker.message);
            if !self.logged.contains(&(pod.clone(), blocker.reason)) {
                let reason = blocker.reason.as_str();
                tracing::warn!(node, pod, reason, why = message, "a pod does not go");
            }
        }
        let present = blockers.iter().map(|one| (one.pod.clone(), one.reason));
        self.logged = present.collect();
    }
}

impl Inspecting {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            running: false,
            not_before: now,
            trouble: None,
            failures: 0,
            found: None,
        }
    }

    /// Whether nothing was found yet, and nobody is at it.
    pub(super) fn is_wanted(&self) -> bool {
        !self.running && self.found.is_none()
    }

    /// Takes in what an inspection came to.
    pub(super) fn take(&mut self, result: Result<Found, Unclear>, now: Instant) {
        self.running = false;
        match result {
            Ok(found) => (self.found, self.trouble) = (Some(found), None),
            Err(unclear) => {
                self.failures = self.failures.saturating_add(1);
                self.not_before = now + jitter::backoff(INSPECT_AGAIN, self.failures);
                self.trouble = match unclear {
                    Unclear::Trouble(why) => Some(why),
                    Unclear::Busy(_) | Unclear::Unknown => None,
                };
            }
        }
    }

    /// What was found, if anything was.
    pub(super) fn seen(&self) -> Option<DrainSeen> {
        let found = self.found.as_ref()?;
        Some(DrainSeen {
            left: found.left,
            blockers: found.blockers.clone(),
            inspected: true,
            ..DrainSeen::default()
        })
    }
}

impl Draining {
    pub(super) fn new(pods: Followed<PodObject>) -> Self {
        Self {
            pods,
            cordoned: None,
            full: None,
            asked: None,
        }
    }

    /// Notes whether the node is cordoned for this, and whether there is anything left of it.
    pub(super) fn see(&mut self, cordoned: bool, options: &Options, now: Instant) {
        self.cordoned = self.cordoned.or(Some(now)).filter(|_| cordoned);
        let roll = self.pods.look();
        let mut all = roll.objects.iter().flat_map(|objects| objects.values());
        if !all.all(|object| object.stays(options)) {
            self.full = Some(now);
        }
    }

    /// What is seen. Asks for a list where only that can say that nothing is left.
    pub(super) fn seen(
        &mut self,
        left: Left,
        options: &Options,
        settle: Duration,
        now: Instant,
    ) -> DrainSeen {
        let settled = self.settled(left.left == 0, options);
        let due = self.cordoned.is_some_and(|since| since + settle <= now);
        if left.left == 0 && due && settled.is_none_or(|settled| settled < settle) {
            self.list(now);
        }
        DrainSeen {
            settled: settled.unwrap_or_default(),
            left: left.left,
            idle: left.idle,
            throttled: left.throttled,
            blockers: left.blockers,
            ..DrainSeen::default()
        }
    }

    /// For how long the cordon had been seen when the last list was begun. `None` where nothing is left, and that list does
    /// not say so itself.
    fn settled(&self, empty: bool, options: &Options) -> Option<Duration> {
        let roll = self.pods.look();
        let says_so = roll.is_followed()
            && roll.list.iter().all(|object| object.stays(options))
            && self.full.is_none_or(|full| full < roll.listed);
        let settled = roll.listed.saturating_duration_since(self.cordoned?);
        (!empty || says_so).then_some(settled)
    }

    /// Has the pods listed, unless that was asked for just now.
    pub(super) fn list(&mut self, now: Instant) {
        let listed = self.pods.look().listed;
        let waits = self.asked.is_some_and(|asked| {
            now < asked + LIST_AGAIN || (listed < asked && now < asked + LIST_LOST)
        });
        if !waits {
            self.asked = Some(now);
            self.pods.list();
        }
    }
}
