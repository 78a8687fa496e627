//! Empties nodes: evicts their pods for as long as the lead says so, and tells what is left.
//!
//! ```text
//! lead ──heed──▶ orders ─▶ work{pods of each node, budgets ─▶ core::drain::Plan ─▶ evictions}
//!   ▲                        │
//!   └──views, nudge──────────┘
//! ```
//!
//! The lead says again and again what it wants. What it has not said for a while does not count any more, so that an engine
//! without a lead stops by itself. Nothing is remembered beyond a term.

mod eviction;
mod inspect;
mod node;
mod objects;
mod roll;
mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pullkeeper_core::drain::{self, Blocker};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::objects::{BudgetObject, PodObject};
use self::roll::{Roll, lock};
use self::work::Work;
use super::desk::Desk;
use super::election::{Term, lasts};
use super::objects::NodeObject;
use super::view::View;
use crate::list_watch::Terms;

/// For how long an order counts.
const HEEDED: Duration = Duration::from_secs(10);

/// Whether the node is cordoned by us, with this serial number.
pub(super) type IsCordoned = fn(node: &NodeObject, uid: &str, serial: u64) -> bool;

/// What is wanted of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// The node's UID.
    pub(super) uid: String,
    /// What its mark says, or would.
    pub(super) serial: u64,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// To find out what would keep it from being drained.
    Inspect,
    /// To evict its pods.
    Drain,
}

/// How nodes are drained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) pods: drain::Options,
    /// How long after the cordon a pod may still be bound to the node.
    pub(super) settle: Duration,
}

/// What is seen of a node's pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DrainSeen {
    pub(super) serial: u64,
    /// For how long the cordon had been seen when the list was begun that says what is left. That nothing is left is said by
    /// a list itself, or else this is zero.
    pub(super) settled: Duration,
    /// Pods that have to go, those on their way included.
    pub(super) left: usize,
    /// For how long no pod has gone.
    pub(super) idle: Duration,
    /// For how long, all in all, the API server had too much to do.
    pub(super) throttled: Duration,
    pub(super) blockers: Vec<Blocker>,
    /// Whether this is what an inspection has found.
    pub(super) inspected: bool,
}

/// Drains nodes for one term.
pub(super) struct Engine {
    shared: Arc<Shared>,
    terms: Terms,
    desk: Arc<Desk>,
}

/// What the lead and the work know of each other.
struct Shared {
    orders: Mutex<Orders>,
    seen: Mutex<BTreeMap<String, (Task, DrainSeen)>>,
    /// What cannot be followed at present.
    troubles: Mutex<Vec<String>>,
    /// There is something to look at.
    wake: Arc<Notify>,
    view: Arc<View>,
    term: watch::Receiver<Term>,
    is_cordoned: IsCordoned,
}

#[derive(Clone, Default)]
struct Orders {
    /// When they were given.
    at: Option<Instant>,
    wanted: BTreeMap<String, Task>,
    options: Options,
}

impl Engine {
    /// An engine that does nothing yet. `terms` say where the API server is; their cancellation ends nothing, dropping
    /// [`run`](Self::run) does.
    pub(super) fn new(
        terms: Terms,
        view: Arc<View>,
        term: watch::Receiver<Term>,
        desk: Arc<Desk>,
        is_cordoned: IsCordoned,
    ) -> Self {
        let shared = Shared {
            orders: Mutex::default(),
            seen: Mutex::default(),
            troubles: Mutex::default(),
            wake: Arc::default(),
            view,
            term,
            is_cordoned,
        };
        Self {
            shared: Arc::new(shared),
            terms,
            desk,
        }
    }

    /// Works until dropped. Whatever it follows or waits for ends with it.
    pub(super) async fn run(&self) {
        let shared = Arc::clone(&self.shared);
        let work = Work::new(shared, self.terms.clone(), Arc::clone(&self.desk));
        Box::pin(work.run()).await;
    }

    /// Says what is wanted now. Nodes that are not named are let go at once; so is everything some seconds after this was last
    /// said.
    pub(super) fn heed(&self, wanted: BTreeMap<String, Task>, options: Options) {
        let at = Some(Instant::now());
        *lock(&self.shared.orders) = Orders {
            at,
            wanted,
            options,
        };
        self.shared.wake.notify_one();
    }

    /// What is seen of the nodes that are wanted, as far as anything is known.
    pub(super) fn views(&self) -> BTreeMap<String, DrainSeen> {
        let orders = self.shared.orders();
        let seen = lock(&self.shared.seen);
        let same = seen
            .iter()
            .filter(|(name, (task, _))| orders.wanted.get(*name) == Some(task));
        same.map(|(name, (_, seen))| (name.clone(), seen.clone()))
            .collect()
    }

    /// What cannot be followed at present, so that nobody is evicted.
    pub(super) fn troubles(&self) -> Vec<String> {
        lock(&self.shared.troubles).clone()
    }
}

impl Shared {
    /// What is wanted now.
    fn orders(&self) -> Orders {
        let orders = lock(&self.orders).clone();
        let counts = orders.at.is_some_and(|at| at.elapsed() < HEEDED);
        if counts { orders } else { Orders::default() }
    }

    /// Whether this is wanted now, in a term that lasts.
    fn wants(&self, node: &str, task: &Task) -> bool {
        let orders = lock(&self.orders);
        let counts = orders.at.is_some_and(|at| at.elapsed() < HEEDED);
        counts && orders.wanted.get(node) == Some(task) && lasts(*self.term.borrow())
    }

    /// Whether the node is seen as cordoned by us for this.
    fn is_cordoned(&self, name: &str, task: &Task) -> bool {
        let node = self.view.node(name);
        node.is_some_and(|node| {
            node.metadata.uid == task.uid && (self.is_cordoned)(&node, &task.uid, task.serial)
        })
    }
}

/// Looked at before every eviction.
#[derive(Clone)]
struct Gate {
    shared: Arc<Shared>,
    node: String,
    task: Task,
    pods: Arc<Mutex<Roll<PodObject>>>,
    budgets: Arc<Mutex<Roll<BudgetObject>>>,
}

impl Gate {
    /// Whether pods of the node may be evicted now.
    fn is_open(&self) -> bool {
        self.shared.wants(&self.node, &self.task)
            && self.shared.is_cordoned(&self.node, &self.task)
            && lock(&self.pods).is_followed()
            && lock(&self.budgets).is_followed()
    }

    /// Whether this one may.
    fn lets(&self, uid: &str) -> bool {
        let there = |roll: &Roll<PodObject>| {
            let objects = roll.objects.as_ref();
            objects.is_some_and(|objects| objects.contains_key(uid))
        };
        self.is_open() && there(&lock(&self.pods))
    }
}

#[cfg(test)]
mod tests;
