//! How many more nodes may start.

use std::collections::BTreeMap;

use super::fleet::{Fleet, Node};
use super::ledger::Ledger;
use super::limit::Limit;
use super::policy::Policy;

/// What the limits leave, counted once and kept while slots are given.
pub(super) struct Slots<'f> {
    policy: &'f Policy,
    all: Usage,
    zones: BTreeMap<Option<&'f str>, Usage>,
    pools: BTreeMap<Option<&'f str>, Usage>,
    /// Whether all of the control plane's nodes are ready, and none has a slot.
    control_plane_is_whole: bool,
}

#[derive(Clone, Copy, Default)]
struct Usage {
    nodes: usize,
    taken: usize,
}

impl<'f> Slots<'f> {
    pub(super) fn new(policy: &'f Policy, ledger: &Ledger, fleet: &'f Fleet) -> Self {
        let mut slots = Self {
            policy,
            all: Usage {
                nodes: fleet.nodes.len(),
                // A slot whose node nobody knows any more is taken all the same.
                taken: ledger.reservations.len(),
            },
            zones: BTreeMap::new(),
            pools: BTreeMap::new(),
            control_plane_is_whole: true,
        };
        for (name, node) in &fleet.nodes {
            let taken = ledger.reservations.contains_key(name);
            for usage in slots.of(node) {
                usage.nodes += 1;
                usage.taken += usize::from(taken);
            }
            slots.control_plane_is_whole &= !node.control_plane || (node.ready && !taken);
        }
        slots
    }

    /// Takes a slot for the node, if there is one.
    pub(super) fn take(&mut self, node: &'f Node) -> bool {
        let [zone, pool] = self.of(node).map(|usage| *usage);
        let policy = self.policy;
        let free = |usage: Usage, limit: Limit| usage.taken < limit.of(usage.nodes);
        let fits = free(self.all, policy.slots)
            && policy.slots_per_zone.is_none_or(|limit| free(zone, limit))
            && policy.slots_per_pool.is_none_or(|limit| free(pool, limit))
            && (!node.control_plane || self.control_plane_is_whole);
        if fits {
            self.all.taken += 1;
            for usage in self.of(node) {
                usage.taken += 1;
            }
            self.control_plane_is_whole &= !node.control_plane;
        }
        fits
    }

    /// Zone and pool of the node.
    fn of(&mut self, node: &'f Node) -> [&mut Usage; 2] {
        [
            self.zones.entry(node.zone.as_deref()).or_default(),
            self.pools.entry(node.pool.as_deref()).or_default(),
        ]
    }
}
