//! What is promised of evictions, whatever happens. The numbers are those of `docs/design/rollout.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pullkeeper_core::drain::{Budget, BudgetName, Eviction, Options, Phase, Pod};

use self::wait::Wait;
use super::Time;
use super::engine::{Engine, Looked, time};
use super::server::{Server, guards, key, spares};
use crate::oath::{Kept, broken};

mod idle;
mod tell;
mod wait;

/// For how long what was spent of a budget counts that nobody has counted again.
const SPENT: Duration = Duration::from_secs(60);
/// From here on a pod is critical to the system.
const CRITICAL: i64 = 2_000_000_000;
/// Evictions of one node at the same time.
const AT_ONCE: usize = 8;

/// What has to be remembered to tell.
#[derive(Default)]
pub(super) struct Oath {
    /// Where pods were seen, by UID.
    told: BTreeMap<String, String>,
    /// UIDs that are known to have made place for others.
    replaced: BTreeSet<String>,
    /// What this engine waits for.
    pub(super) flights: BTreeMap<String, Flight>,
    spent: BTreeMap<BudgetName, Vec<Spent>>,
    /// Until when a version of a budget is not believed.
    closed: BTreeMap<BudgetName, (String, Duration)>,
    waits: BTreeMap<String, Wait>,
    busy: Duration,
    throttled: BTreeMap<String, (usize, Duration)>,
    /// For how long nothing was said of a pod while it could have gone, and when that was last looked at.
    mute: BTreeMap<String, (Time, Time)>,
}

/// An eviction without an answer.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    node: String,
    /// What it may spend, and the version of it that was known.
    budget: Option<(BudgetName, String)>,
}

#[derive(Clone, Debug)]
struct Spent {
    version: String,
    at: Duration,
}

/// Whether a drain has nothing to do with a pod.
fn stays(pod: &Pod, options: &Options) -> bool {
    let kind = pod.controller.as_deref();
    let kept = options.skip.as_ref();
    pod.mirror
        || kind == Some("DaemonSet")
        || pod.phase == Phase::Finished
        || kept.is_some_and(|kept| kept.selects(&pod.labels))
}

/// Whether a pod may not be evicted by these options.
fn is_spared(pod: &Pod, options: &Options) -> bool {
    stays(pod, options)
        || (pod.controller.is_none() && !options.force)
        || (pod.empty_dir && !options.delete_empty_dir_data)
}

/// How many may go, as far as the numbers are of now.
fn allowed(budget: &Budget) -> i64 {
    if budget.observed_generation < budget.generation {
        0
    } else {
        budget.disruptions_allowed
    }
}

/// The budgets that are known to guard a pod.
fn known<'e>(engine: &'e Engine, pod: &Pod) -> Vec<&'e Budget> {
    let all = engine.budgets.objects.iter().flat_map(BTreeMap::values);
    all.filter(|budget| guards(budget, pod)).collect()
}

impl Oath {
    /// An engine has begun that knows nothing.
    pub(super) fn forgets(&mut self) {
        let (told, replaced) = (&mut self.told, &mut self.replaced);
        *self = Self {
            told: std::mem::take(told),
            replaced: std::mem::take(replaced),
            ..Self::default()
        };
    }

    /// An engine has looked, and is about to send something.
    pub(super) fn looked(&mut self, looked: &Looked, engine: &Engine, now: Time) -> Kept {
        for (name, node) in &looked.pods {
            let seen = node.pods.iter();
            self.told
                .extend(seen.map(|pod| (pod.uid.clone(), name.clone())));
        }
        // Whoever is let go begins anew.
        let all = looked.pods.values().flat_map(|node| &node.pods);
        let present: BTreeSet<_> = all.map(|pod| &pod.uid).collect();
        let (waits, flights) = (&mut self.waits, &self.flights);
        self.mute.retain(|uid, _| present.contains(uid));
        waits.retain(|uid, _| present.contains(uid) || flights.contains_key(uid));
        for eviction in &looked.step.evictions {
            self.decided(eviction, looked, engine, time(now))?;
        }
        self.idles(looked, engine, time(now))?;
        self.tells(looked, engine, now)
    }

    /// It has been decided to evict a pod.
    fn decided(
        &mut self,
        eviction: &Eviction,
        looked: &Looked,
        engine: &Engine,
        now: Duration,
    ) -> Kept {
        let (uid, what) = (&eviction.uid, format!("{eviction:?}"));
        let node = looked.pods.get(&eviction.node);
        let pods = node.map_or(&[][..], |node| &node.pods);
        let Some(pod) = pods.iter().find(|pod| pod.uid == *uid) else {
            return broken("S8: who is evicted was seen on that node", what);
        };
        if is_spared(pod, &engine.options) {
            return broken("S10: who may not go is not evicted", what);
        }
        let holds_up = |other: &Pod| {
            let goes = other.terminating || !is_spared(other, &engine.options);
            other.priority < CRITICAL && goes && !stays(other, &engine.options)
        };
        if pod.priority >= CRITICAL && pods.iter().any(holds_up) {
            return broken("two waves: who is critical goes last", what);
        }
        if self.replaced.contains(uid) {
            return broken("S25: no UID is sent again that another pod follows", what);
        }
        if self.flights.contains_key(uid) {
            return broken("one eviction of a pod at a time", what);
        }
        if now < self.busy {
            return broken("L8: nothing is sent to a server that is busy", what);
        }
        if let Some(wait) = self.waits.get(uid)
            && now < wait.earliest
        {
            return broken("backoff: who was refused waits", format!("{what} {wait:?}"));
        }
        let budgets = known(engine, pod);
        if budgets.len() > 1 {
            return broken("L10: who has two budgets is not asked about", what);
        }
        let budget = budgets.first().filter(|budget| !spares(budget, pod));
        if let Some(budget) = budget {
            self.spends(budget, now)?;
        }
        let budget = budget.map(|budget| (budget.name.clone(), budget.version.clone()));
        let node = eviction.node.clone();
        self.flights.insert(uid.clone(), Flight { node, budget });
        Ok(())
    }

    /// Whether there is one left of a budget.
    fn spends(&self, budget: &Budget, now: Duration) -> Kept {
        let what = format!("{budget:?}");
        if allowed(budget) <= 0 {
            return broken("budgets: no request while nobody may go", what);
        }
        if self.in_flight(&budget.name) {
            return broken("budgets: one eviction at a time", what);
        }
        let spent = self.spent.get(&budget.name).into_iter().flatten();
        let spent = spent.filter(|one| one.version == budget.version && now < one.at + SPENT);
        if i64::try_from(spent.count()).is_ok_and(|spent| spent >= allowed(budget)) {
            return broken("budgets: no more than it allows", what);
        }
        Ok(())
    }

    fn in_flight(&self, budget: &BudgetName) -> bool {
        let mut flights = self.flights.values();
        flights.any(|one| one.budget.as_ref().is_some_and(|(name, _)| name == budget))
    }

    /// It is sent.
    pub(super) fn sent(&self, eviction: &Eviction, engine: &Engine, now: Time) -> Kept {
        let what = format!("{eviction:?}");
        let Some(node) = engine.nodes.get(&eviction.node) else {
            return broken("S7: nobody is evicted for an order that is withdrawn", what);
        };
        let orders = &engine.orders;
        if now >= orders.0 + 10_000 || orders.1.get(&eviction.node) != Some(&node.task) {
            return broken("S7: nobody is evicted for an order that is withdrawn", what);
        }
        let seen = engine.seen.get(&eviction.node);
        let cordoned = seen
            .is_some_and(|one| one.uid == node.task.uid && one.cordon == Some(node.task.serial));
        if !cordoned {
            return broken(
                "S7: nobody is evicted once the node is seen uncordoned",
                what,
            );
        }
        if eviction.uid.is_empty() || self.told.get(&eviction.uid) != Some(&eviction.node) {
            return broken("S8: who is evicted was seen on that node", what);
        }
        Ok(())
    }

    /// It has come to the server, which has not looked at it yet.
    pub(super) fn arrives(eviction: &Eviction, server: &Server, options: &Options) -> Kept {
        let what = format!("{eviction:?}");
        let name = (eviction.namespace.clone(), eviction.name.clone());
        let Some(pod) = server.pods.get(&name).map(|one| &one.pod) else {
            return Ok(());
        };
        if !eviction.uid.is_empty() && eviction.uid != pod.uid {
            return Ok(());
        }
        if pod.node != eviction.node {
            return broken("S8: nobody is evicted from another node", what);
        }
        if eviction.grace.or(pod.grace) == Some(0) {
            return broken("S9: everybody has time to end", what);
        }
        let finished = pod.phase == Phase::Finished;
        if !finished && is_spared(pod, options) {
            return broken("S10: who may not go is not evicted", what);
        }
        Ok(())
    }

    /// What an answer has done to budgets.
    pub(super) fn costs(server: &Server, eviction: &Eviction, restarts: u64) -> Kept {
        let lost = server.lost.get(&eviction.uid).copied().unwrap_or_default();
        if u64::try_from(lost).is_ok_and(|lost| lost > 1 + restarts) {
            return broken(
                "S25: one lost disruption for a pod",
                format!("{eviction:?}"),
            );
        }
        Ok(())
    }

    /// A node is said to be empty.
    pub(super) fn drained(name: &str, serial: u64, server: &Server, options: &Options) -> Kept {
        let node = server.nodes.get(name);
        if node.is_none_or(|node| node.cordon != Some(serial)) {
            return Ok(());
        }
        let mut pods = server.pods_of(name);
        match pods.find(|one| !stays(&one.pod, options)) {
            Some(one) => broken(
                "S11: no pod is on a node that is said to be empty",
                format!("{name} {:?} {:?}", key(&one.pod), one.pod.uid),
            ),
            None => Ok(()),
        }
    }
}
