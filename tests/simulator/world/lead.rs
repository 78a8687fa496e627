//! What coordinators look at, and what they make of it.

use std::collections::BTreeMap;

use pullkeeper_core::rollout::{Decision, Node, Order, Phase};

use super::{Flaw, Kept, Look, Oath, Violation, World, Write, decides};
use crate::oath::may_be_acting;

impl World {
    /// One coordinator looks at something, or decides.
    pub(super) fn coordinate(&mut self, carefully: bool) -> Kept {
        let Some(which) = self.any_coordinator() else {
            return Ok(());
        };
        let look = if carefully { 3 } else { self.rng.u32(0..4) };
        if matches!(look, 0 | 3) {
            self.coordinators[which].rollout = Some(self.rollout.clone());
        }
        if matches!(look, 1 | 3) {
            self.coordinators[which].see(&self.machines, &self.pools, self.flaw);
        }
        if !self.may_act(which) {
            return Ok(());
        }
        if let Some(election) = &self.election {
            election.acts(which)?;
        }
        let coordinator = &mut self.coordinators[which];
        let Some(mut decided) = coordinator.decide(which, self.now, self.flaw) else {
            let orders = BTreeMap::new();
            coordinator
                .engine
                .follow(&orders, &coordinator.fleet, self.now);
            if coordinator.rollout.is_some() {
                self.note("a ledger could not be read");
            }
            return Ok(());
        };
        if self.looked_up(which, &decided.decision) {
            let anew = self.coordinators[which].decide(which, self.now, self.flaw);
            decided = anew.unwrap_or(decided);
        }
        self.drains += self.decided(which, &decided.decision)?;
        let coordinator = &mut self.coordinators[which];
        let orders = &decided.decision.orders;
        coordinator
            .engine
            .follow(orders, &coordinator.fleet, self.now);
        coordinator.forget();
        let inspects = orders.values().filter_map(|order| match order {
            Order::Inspect { uid, .. } => Some(uid.clone()),
            _ => None,
        });
        let inspects: Vec<_> = inspects.collect();
        // Some answers come at once.
        if self.rng.bool() {
            for uid in inspects {
                self.look_at_pods(which, &uid)?;
            }
        }
        let coordinator = &self.coordinators[which];
        let unchanged = coordinator
            .rollout
            .as_ref()
            .is_some_and(|read| read.version == self.rollout.version);
        let mut writes = decided.writes();
        // The rollout is read once more before nodes are cordoned.
        if !unchanged && self.flaw != Some(Flaw::CordonsUnread) {
            writes.retain(|write| !matches!(write, Write::Cordon { .. }));
        }
        self.rng.shuffle(&mut writes);
        self.under_way.extend(writes);
        Ok(())
    }

    /// What a decision asks for is looked up at the API server, after the ledger was read. Whether there is anything to decide
    /// anew.
    fn looked_up(&mut self, which: usize, decision: &Decision) -> bool {
        let coordinator = &mut self.coordinators[which];
        let mut failures = 0;
        let mut fails = || {
            let fails = !self.is_calm && self.rng.u32(0..6) == 0;
            failures += usize::from(fails);
            fails
        };
        if decision.outdated {
            coordinator.see(&self.machines, &self.pools, self.flaw);
            coordinator.fleet.fresh = true;
        }
        for (uid, name) in &decision.missing {
            let machine = self.machines.get(name);
            if fails() {
                coordinator.failed.insert(uid.clone());
            } else if machine.is_none_or(|one| one.node.uid != *uid) {
                coordinator.fleet.gone.insert(uid.clone());
            }
        }
        for (uid, name) in &decision.unsure {
            if fails() {
                coordinator.failed.insert(uid.clone());
            } else if let Some(machine) = self.machines.get(name) {
                coordinator.look_up(name, machine);
            }
        }
        *self.happened.entry("look-ups failed").or_default() += failures;
        decision.outdated || !decision.missing.is_empty() || !decision.unsure.is_empty()
    }

    /// Counts what a coordinator sees that promises are about.
    fn note_seen(&mut self, which: usize) {
        let coordinator = &self.coordinators[which];
        let Some(read) = &coordinator.rollout else {
            return;
        };
        let fleet = &coordinator.fleet;
        let busy = |node: &Node| {
            let pool = node.managed.as_ref().and_then(|pool| fleet.pools.get(pool));
            pool.is_some_and(|pool| pool.busy)
        };
        let waits = |name: &str| !read.ledger.reservations.contains_key(name);
        let acts = |name: &str, node: &Node| {
            let reserved = read.ledger.reservations.get(name);
            reserved.is_some_and(|one| may_be_acting(one, node))
        };
        let any = |what: &dyn Fn(&str, &Node) -> bool| {
            fleet.nodes.iter().any(|(name, node)| what(name, node))
        };
        let seen = [
            (
                "others held a node",
                any(&|name, node| node.held && waits(name)),
            ),
            (
                "others changed a pool",
                any(&|name, node| busy(node) && waits(name)),
            ),
            (
                "nobody knew whether a node was ready",
                any(&|_, node| coordinator.unknown.contains(&node.uid)),
            ),
            (
                "a window was closed while nodes acted",
                !read.policy.open && any(&acts),
            ),
        ];
        for (what, _) in seen.iter().filter(|(_, seen)| *seen) {
            *self.happened.entry(what).or_default() += 1;
        }
    }

    /// What a coordinator has decided keeps what is promised. How many nodes are drained now, as far as it goes.
    fn decided(&mut self, which: usize, decision: &Decision) -> Result<usize, Violation> {
        self.note_seen(which);
        let coordinator = &self.coordinators[which];
        let Some(read) = &coordinator.rollout else {
            return Ok(0);
        };
        let look = Look {
            read,
            fleet: &coordinator.fleet,
            now: self.now,
        };
        self.oath.done(&look)?;
        decides(&look, decision, |name| self.machines.get(name))?;
        let Some(next) = &decision.ledger else {
            return Ok(0);
        };
        if next.revision != read.ledger.revision {
            Oath::supersedes(&next.revision, self.machines.values())?;
        }
        let drained = next.reservations.iter().filter(|(name, one)| {
            let former = read.ledger.reservations.get(*name);
            let draining =
                former.is_some_and(|former| matches!(former.phase, Phase::Draining { .. }));
            draining && matches!(one.phase, Phase::Drained { .. })
        });
        Ok(drained.count())
    }
}
