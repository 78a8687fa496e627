//! What coordinators look at, and what they make of it.

use pullkeeper_core::rollout::{Decision, Order, Phase};

use super::{Flaw, Kept, Look, Oath, Violation, World, Write, decides};

impl World {
    /// One coordinator looks at something, or decides.
    pub(super) fn coordinate(&mut self, carefully: bool) -> Kept {
        let Some(which) = self.any(self.coordinators.len()) else {
            return Ok(());
        };
        let look = if carefully { 3 } else { self.rng.u32(0..4) };
        if matches!(look, 0 | 3) {
            self.coordinators[which].rollout = Some(self.rollout.clone());
        }
        if matches!(look, 1 | 3) {
            self.coordinators[which].see(&self.machines);
        }
        let coordinator = &mut self.coordinators[which];
        let Some(mut decided) = coordinator.decide(which, self.now, self.flaw) else {
            return Ok(());
        };
        if decided.decision.outdated {
            coordinator.see(&self.machines);
            coordinator.fleet.fresh = true;
        }
        // Looked up at the API server, after the ledger was read.
        for (uid, name) in &decided.decision.missing {
            let there = self
                .machines
                .get(name)
                .is_some_and(|one| one.node.uid == *uid);
            if !there {
                coordinator.fleet.gone.insert(uid.clone());
            }
        }
        for name in decided.decision.unsure.values() {
            if let Some(machine) = self.machines.get(name) {
                coordinator.look_up(name, machine);
            }
        }
        if decided.decision.outdated || !decided.decision.unsure.is_empty() {
            let anew = coordinator.decide(which, self.now, self.flaw);
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

    /// What a coordinator has decided keeps what is promised. How many nodes are drained now, as far as it goes.
    fn decided(&self, which: usize, decision: &Decision) -> Result<usize, Violation> {
        let coordinator = &self.coordinators[which];
        let Some(read) = &coordinator.rollout else {
            return Ok(0);
        };
        let look = Look {
            read,
            fleet: &coordinator.fleet,
            now: self.now,
        };
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
