//! Writes that are on their way, and what they do where they arrive.

use std::collections::BTreeMap;

use pullkeeper_core::rollout::{Cordon, Ledger, Phase, Time};

use super::{Kept, World};
use crate::agent::Machine;
use crate::coordinator::Write;
use crate::oath::Oath;
use crate::pods::SCHEDULER_LAG;

impl World {
    /// One write arrives, is lost, or arrives twice; or its sender does not hear that it did.
    pub(super) fn deliver(&mut self) -> Kept {
        let Some(which) = self.any(self.under_way.len()) else {
            return Ok(());
        };
        let write = match self.rng.u32(0..10) {
            0 => self.under_way[which].clone(),
            _ => self.under_way.swap_remove(which),
        };
        if self.rng.u32(0..10) == 0 {
            return Ok(());
        }
        self.arrive(write)
    }

    pub(super) fn arrive(&mut self, write: Write) -> Kept {
        match write {
            Write::Ledger { seen, blind, .. } if seen != self.rollout.version && !blind => {}
            Write::Ledger { by, ledger, .. } => {
                self.replace(*ledger)?;
                if self.rng.u32(0..4) > 0 && self.reaches(by) {
                    self.coordinators[by].rollout = Some(self.rollout.clone());
                }
            }
            Write::Permit {
                name,
                permit,
                revision,
                restart,
                seen,
            } => {
                let machine = self.machines.get_mut(&name);
                let fits =
                    |one: &&mut Machine| one.record_of == permit.uid && one.record_version == seen;
                if let Some(machine) = machine.filter(fits) {
                    machine.node.record.get_or_insert_default().permit = Some(permit.clone());
                    machine.record_version += 1;
                    machine.permitted = revision;
                    machine.restarts = restart;
                    self.tell(format!("{name} gets {permit:?}"));
                    self.oath.permitted(&name, &permit)?;
                }
            }
            Write::Cordon {
                name,
                uid,
                serial,
                seen,
                blind,
            } => {
                let mut late = self.pod();
                late.comes = Time(self.now.0 + self.rng.u64(0..SCHEDULER_LAG));
                let comes = self.rng.u32(0..4) == 0;
                let fits =
                    |one: &&mut Machine| one.node.uid == uid && (one.node_version == seen || blind);
                if let Some(machine) = self.machines.get_mut(&name).filter(fits) {
                    self.oath.cordons(&name, serial, seen, machine)?;
                    machine.cordon(serial, self.now);
                    machine.pods.extend(comes.then_some(late));
                    self.tell(format!("{name} is cordoned: {serial}"));
                }
            }
            Write::Uncordon {
                name,
                uid,
                seen,
                blunt,
            } => {
                let fits = |one: &&mut Machine| one.node.uid == uid && one.node_version == seen;
                if let Some(machine) = self.machines.get_mut(&name).filter(fits) {
                    let before = machine.node.cordon.clone();
                    machine.release(self.now);
                    if blunt {
                        machine.set_cordon(Cordon::None, self.now);
                    }
                    let after = &machine.node.cordon;
                    Oath::uncordons(&name, &before, after, &self.rollout.ledger)?;
                    self.tell(format!("{name} is uncordoned: {before:?}"));
                }
            }
        }
        Ok(())
    }

    fn replace(&mut self, ledger: Ledger) -> Kept {
        let reserved = ledger.reservations.iter();
        let reserved: BTreeMap<_, _> = reserved
            .map(|(name, one)| (name.clone(), (one.stands().0, one.why())))
            .collect();
        self.tell(format!("{:?} {reserved:?} {:?}", ledger.stage, ledger.halt));
        let machines = &self.machines;
        let find = |name: &str| machines.get(name);
        // A view may be older, and have had as many nodes as there ever were.
        let nodes = self.born;
        self.oath
            .written(&self.rollout, &ledger, find, nodes, self.now.0)?;
        self.count(&ledger);
        self.note_written(&ledger);
        self.rollout.ledger = ledger;
        self.rollout.version += 1;
        Ok(())
    }

    /// Counts why slots of drained nodes are to come back, and permits that are called back.
    fn count(&mut self, next: &Ledger) {
        for (name, one) in &next.reservations {
            let former = self.rollout.ledger.reservations.get(name);
            if former.is_some_and(|former| former.phase == one.phase) {
                continue;
            }
            let why = match one.phase {
                Phase::Withdrawing { .. } => "Withdrawing",
                Phase::Restoring { why, .. } => why.as_str(),
                _ => continue,
            };
            *self.restored.entry(why).or_default() += 1;
        }
    }

    /// Counts what a ledger shows that was to happen.
    fn note_written(&mut self, next: &Ledger) {
        let before = &self.rollout.ledger;
        let there = |name: &str, uid: &str| {
            let machine = self.machines.get(name);
            machine.is_some_and(|one| one.node.uid == uid)
        };
        let mut happened = Vec::new();
        for (name, former) in &before.reservations {
            let uid = &former.permit.uid;
            let next = next.reservations.get(name);
            let back = next.is_none_or(|next| next.permit.uid != *uid);
            if back && !there(name, uid) {
                happened.push("slots of the gone came back");
            }
        }
        for (name, one) in &next.reservations {
            let new = !before.reservations.contains_key(name);
            if new && before.parked.contains_key(&one.permit.uid) {
                happened.push("tried again");
            }
        }
        for (uid, failure) in &next.failures {
            if !before.failures.contains_key(uid) && failure.reason.contains("said nothing") {
                happened.push("fell silent");
            }
        }
        for what in happened {
            self.note(what);
        }
    }
}
