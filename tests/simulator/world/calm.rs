//! What has to come about once nothing goes wrong any more.

use pullkeeper_core::rollout::{Cordon, Ledger, Limit, Time};

use super::{Guard, Kept, Violation, World};
use crate::agent::{Machine, Temper, revision};

impl World {
    /// Nothing goes wrong any more, and everybody is well: then everything has to come to an end.
    pub(super) fn calm(&mut self) -> Kept {
        self.tell("calm".to_owned());
        self.is_calm = true;
        self.mend();
        if let Some(election) = &mut self.election {
            election.calm();
        }
        for pool in self.pools.values_mut() {
            pool.busy = false;
            pool.max_unavailable = None;
        }
        self.under_way.clear();
        self.rollout.policy.paused = false;
        self.rollout.policy.open = true;
        self.rollout.policy.slots = Limit::Count(2);
        self.rollout.version += 1;
        self.rollout.policy.max_unavailable = None;
        for machine in self.machines.values_mut() {
            for pod in &mut machine.pods {
                pod.guard = Guard::None;
            }
            machine.node_version += 1;
            machine.node.ready = true;
            machine.down = None;
            machine.node.held = false;
            machine.mute = false;
            machine.renew_record();
            machine.temper = Temper::Good;
            // Who was silent is restarted, and begins anew.
            machine.acting = None;
            machine.look(self.secret);
        }
        for _ in 0..self.machines.len() * 40 + 400 {
            self.now = Time(self.now.0 + 5000);
            self.elect()?;
            // Who failed is tried again when a human says so, and not before.
            let ledger = &self.rollout.ledger;
            let given_up = !ledger.failures.is_empty() || !ledger.parked.is_empty();
            if ledger.is_halted() || (given_up && ledger.reservations.is_empty()) {
                self.rollout.policy.resumes += 1;
                self.rollout.version += 1;
            }
            self.uncordon_all();
            self.coordinate(true)?;
            for write in std::mem::take(&mut self.under_way) {
                self.arrive(write)?;
            }
            for _ in 0..4 {
                self.act()?;
                self.evict()?;
            }
            if self.is_done() {
                return Ok(());
            }
        }
        let generation = self.rollout.ledger.generation;
        let behind = |one: &&Machine| !one.node.has_reached(generation);
        let behind = self.machines.values().filter(behind).count();
        Err(Violation {
            promise: "L2, L4: when all is well, everybody gets there",
            seen: format!(
                "{behind} of {} have not, {} slots are taken, {:?}",
                self.machines.len(),
                self.rollout.ledger.reservations.len(),
                self.rollout.ledger.stage
            ),
        })
    }

    fn is_done(&self) -> bool {
        let Ledger {
            generation,
            revision: wanted,
            ..
        } = &self.rollout.ledger;
        let there = self
            .machines
            .values()
            .all(|one| one.node.has_reached(*generation));
        // Without a node nobody sees anything.
        let seen = self.machines.is_empty() || *wanted == revision(self.secret);
        let marked = self.machines.values().any(|one| one.node.mark().is_some());
        there && seen && !marked && self.rollout.ledger.reservations.is_empty()
    }

    /// Humans take back what they did to nodes.
    fn uncordon_all(&mut self) {
        let now = self.now;
        for machine in self.machines.values_mut() {
            match &machine.node.cordon {
                Cordon::Foreign => machine.uncordon_by_hand(false, now),
                Cordon::TakenOver {
                    schedulable: false, ..
                } => machine.uncordon_by_hand(false, now),
                _ => {}
            }
        }
    }
}
