//! How many more nodes may start.

use std::collections::BTreeMap;

use super::decide::Waiting;
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
    /// Nodes that are unavailable or will be, where nodes are drained or restart services.
    unavailable: Usage,
    /// The same of each pool that somebody else manages as well, with what may be.
    shared: BTreeMap<&'f str, (Usage, Limit)>,
    /// Slots for kubelet's provider.
    providers: Usage,
    /// Whether all of the control plane's nodes are available, and none has a slot.
    control_plane_is_whole: bool,
}

#[derive(Clone, Copy, Default)]
struct Usage {
    nodes: usize,
    taken: usize,
}

impl<'f> Slots<'f> {
    pub(super) fn new(policy: &'f Policy, ledger: &Ledger, fleet: &'f Fleet) -> Self {
        // A slot whose node nobody knows any more is taken all the same.
        let all = Usage {
            nodes: fleet.nodes.len(),
            taken: ledger.reservations.len(),
        };
        let at_work = ledger.reservations.values().filter(|one| one.provider);
        let mut slots = Self {
            policy,
            all,
            providers: Usage {
                taken: at_work.count(),
                ..all
            },
            zones: BTreeMap::new(),
            pools: BTreeMap::new(),
            unavailable: all,
            shared: BTreeMap::new(),
            control_plane_is_whole: true,
        };
        for (name, node) in &fleet.nodes {
            let taken = ledger.reservations.contains_key(name);
            for usage in slots.of(node) {
                usage.nodes += 1;
                usage.taken += usize::from(taken);
            }
            let available = slots.is_available(node);
            // Who has a slot was counted.
            slots.unavailable.taken += usize::from(!available && !taken);
            if let Some(shared) = slots.shared(fleet, node) {
                shared.nodes += 1;
                shared.taken += usize::from(!available || taken);
            }
            slots.control_plane_is_whole &= !node.control_plane || (available && !taken);
        }
        slots
    }

    /// Takes a slot for the node, if there is one.
    pub(super) fn take(&mut self, node: &'f Node) -> Result<(), Waiting> {
        self.take_one(node, self.disturbs())
    }

    /// The same for a node whose kubelet is restarted for its provider.
    pub(super) fn take_for_provider(&mut self, node: &'f Node) -> Result<(), Waiting> {
        let Usage { nodes, taken } = self.providers;
        if taken >= self.policy.provider_slots.of(nodes) {
            return Err(Waiting::Slots);
        }
        self.take_one(node, true)?;
        self.providers.taken += 1;
        Ok(())
    }

    fn take_one(&mut self, node: &'f Node, disturbs: bool) -> Result<(), Waiting> {
        let [zone, pool] = self.of(node).map(|usage| *usage);
        let policy = self.policy;
        let free = |usage: Usage, limit: Limit| usage.taken < limit.of(usage.nodes);
        let fits = free(self.all, policy.slots)
            && policy.slots_per_zone.is_none_or(|limit| free(zone, limit))
            && policy.slots_per_pool.is_none_or(|limit| free(pool, limit))
            && (!node.control_plane || self.control_plane_is_whole);
        if !fits {
            return Err(Waiting::Slots);
        }
        // Who is unavailable already makes it no worse.
        let costs = disturbs && self.is_available(node);
        let limit = policy.max_unavailable.filter(|_| costs);
        let pool = node
            .managed
            .as_deref()
            .and_then(|pool| self.shared.get(pool));
        let shared = pool.copied().filter(|_| costs);
        if limit.is_some_and(|limit| !free(self.unavailable, limit))
            || shared.is_some_and(|(usage, limit)| !free(usage, limit))
        {
            return Err(Waiting::Unavailable);
        }
        if let Some((usage, _)) = node
            .managed
            .as_deref()
            .and_then(|pool| self.shared.get_mut(pool))
        {
            usage.taken += usize::from(costs);
        }
        self.unavailable.taken += usize::from(costs);
        self.all.taken += 1;
        for usage in self.of(node) {
            usage.taken += 1;
        }
        self.control_plane_is_whole &= !node.control_plane;
        Ok(())
    }

    /// Whether pods run on it, and may come. Where only files are replaced it does not matter whether they may come.
    fn is_available(&self, node: &Node) -> bool {
        node.ready && (!self.disturbs() || node.is_schedulable())
    }

    /// The pool of the node, where somebody else manages it as well and says how many may be unavailable.
    fn shared(&mut self, fleet: &Fleet, node: &'f Node) -> Option<&mut Usage> {
        let limit = fleet.pool(node)?.max_unavailable?;
        let pool = node.managed.as_deref()?;
        let (usage, _) = self.shared.entry(pool).or_insert((Usage::default(), limit));
        Some(usage)
    }

    fn disturbs(&self) -> bool {
        self.policy.strategy.restarts()
    }

    /// Zone and pool of the node.
    fn of(&mut self, node: &'f Node) -> [&mut Usage; 2] {
        [
            self.zones.entry(node.zone.as_deref()).or_default(),
            self.pools.entry(node.pool.as_deref()).or_default(),
        ]
    }
}
