//! Whoever evicts pods for one coordinator, while that says so.

use std::collections::BTreeMap;
use std::time::Duration;

use pullkeeper_core::rollout::{DrainView, Fleet, Order, Time};

/// What it does, and what it has seen, by the UIDs of the nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Engine {
    pub(crate) watches: BTreeMap<String, Watch>,
}

/// A node that is drained.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) name: String,
    pub(crate) serial: u64,
    /// Whether pods are to be evicted now.
    pub(crate) ordered: bool,
    /// When the cordon was seen first; before that it is seen whether the pods would go.
    pub(crate) cordoned: Option<Time>,
    /// How long that was ago when the pods were listed, and how many there were.
    listed: Option<(Duration, usize)>,
    /// Which of them would not go.
    blockers: Vec<String>,
    /// When the last one went.
    progress: Time,
}

impl Engine {
    /// Does what was decided last, and forgets nodes that are not cordoned any more.
    pub(crate) fn follow(&mut self, orders: &BTreeMap<String, Order>, fleet: &Fleet, now: Time) {
        self.watches.retain(|uid, watch| {
            watch.ordered = false;
            let node = fleet.nodes.get(&watch.name);
            let cordoned =
                node.is_some_and(|node| node.uid == *uid && node.is_cordoned_for(watch.serial));
            let next = match orders.get(&watch.name) {
                Some(Order::Inspect { serial, .. } | Order::Cordon { serial, .. }) => Some(*serial),
                _ => None,
            };
            cordoned || next == Some(watch.serial)
        });
        for (name, order) in orders {
            let (Order::Inspect { uid, serial } | Order::Drain { uid, serial }) = order else {
                continue;
            };
            let new = || Watch {
                name: name.clone(),
                serial: *serial,
                ordered: false,
                cordoned: None,
                listed: None,
                blockers: Vec::new(),
                progress: now,
            };
            let watch = self.watches.entry(uid.clone()).or_insert_with(new);
            if matches!(order, Order::Inspect { .. }) {
                continue;
            }
            if watch.cordoned.is_none() {
                *watch = Watch {
                    cordoned: Some(now),
                    ..new()
                };
            }
            watch.ordered = true;
        }
    }

    /// What it has seen of a node.
    pub(crate) fn view(&self, uid: &str, now: Time) -> Option<DrainView> {
        let watch = self.watches.get(uid)?;
        let (settled, left) = watch.listed?;
        Some(DrainView {
            serial: watch.serial,
            settled,
            left,
            idle: now.since(watch.progress),
            throttled: Duration::ZERO,
            blockers: watch.blockers.clone(),
        })
    }
}

impl Watch {
    /// Takes in a complete list of the pods.
    pub(crate) fn list(&mut self, left: usize, now: Time) {
        if self.listed.is_none_or(|(_, before)| left < before) {
            self.progress = now;
        }
        let settled = self
            .cordoned
            .map_or(Duration::ZERO, |since| now.since(since));
        self.listed = Some((settled, left));
    }

    /// Takes in which pods would not go.
    pub(crate) fn inspect(&mut self, blockers: Vec<String>) {
        self.blockers = blockers;
    }
}
