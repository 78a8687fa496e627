//! What goes wrong, and what humans do.

use pullkeeper_core::rollout::{Cordon, Limit, Mark, Phase, Pool, Strategy};

use super::{Guard, Kept, Machine, Pod, World};

impl World {
    /// Something breaks: a coordinator, a node, a condition.
    pub(super) fn disturb(&mut self) {
        let names: Vec<_> = self.machines.keys().cloned().collect();
        let (Some(node), Some(coordinator)) =
            (self.any(names.len()), self.any(self.coordinators.len()))
        else {
            return;
        };
        let name = names[node].clone();
        match self.rng.u32(0..12) {
            0 => self.restart(coordinator, false),
            1 => self.delete(name),
            2 => {
                let former = self.machines[&name].clone();
                let mut machine = self.machine(former.node.control_plane);
                self.tell(format!("{name} is {} now", machine.node.uid));
                // The record of the former one goes some time later.
                if self.rng.bool() {
                    machine.node.record = former.node.record;
                    machine.record_of = former.record_of;
                    self.note("a record was a former node's");
                }
                machine.record_version = former.record_version + 1;
                let guests = self.guests(&former.node.uid);
                self.machines.insert(name, machine);
                self.leave(guests);
            }
            3 => {
                let name = format!("node-{:04}", self.born);
                let machine = self.machine(false);
                self.machines.insert(name, machine);
            }
            4 => {
                if let Some(machine) = self.machines.get_mut(&name).filter(|one| !one.mute) {
                    machine.node.ready = !machine.node.ready;
                    machine.node_version += 1;
                }
            }
            5 => self.entangle(&name),
            6 => {
                // One at a time, so that most nodes go on.
                let mute = self.machines.iter().find(|(_, one)| one.mute);
                let name = mute.map_or(name, |(mute, _)| mute.clone());
                if let Some(machine) = self.machines.get_mut(&name) {
                    machine.mute = !machine.mute;
                    machine.node.ready = !machine.mute;
                    machine.node_version += 1;
                }
            }
            7 => {
                let of_all = self.pools.len();
                if let Some(which) = self.any(of_all) {
                    let busy = self.rng.u32(0..3) == 0;
                    let wanted = self.pool();
                    if let Some(pool) = self.pools.values_mut().nth(which) {
                        *pool = Pool { busy, ..wanted };
                    }
                }
            }
            8 => {
                if let Some(election) = &mut self.election {
                    election.disturb();
                }
            }
            _ => {
                let pod = self.pod();
                let now = self.now;
                let machine = self.machines.get_mut(&name);
                if let Some(machine) = machine.filter(|one| one.takes_pods(now)) {
                    machine.pods.push(pod);
                }
            }
        }
    }

    /// A node is deleted. Some say so before: nobody is to touch them then.
    fn delete(&mut self, name: String) {
        let leaving = self.machines.iter().find(|(_, one)| one.leaving);
        let name = leaving.map_or(name, |(leaving, _)| leaving.clone());
        let Some(machine) = self.machines.get_mut(&name) else {
            return;
        };
        if !machine.leaving && self.rng.bool() {
            machine.leaving = true;
            machine.node.held = true;
            machine.node_version += 1;
            return;
        }
        let uid = machine.node.uid.clone();
        let guests = self.guests(&uid);
        self.machines.remove(&name);
        self.tell(format!("{name} is gone"));
        self.leave(guests);
    }

    /// A node is gone, and coordinators that ran there.
    fn leave(&mut self, guests: Vec<usize>) {
        for guest in guests {
            self.restart(guest, false);
        }
    }

    /// Two nodes that are drained get pods of the same application, neither of which may go while the other one is.
    fn entangle(&mut self, name: &str) {
        let takes = |one: &Machine| one.takes_pods(self.now);
        if !self.machines.get(name).is_some_and(takes) {
            return;
        }
        let mut others = self.machines.iter().rev();
        let drained = others
            .find(|(other, one)| other.as_str() != name && takes(one) && one.node.mark().is_some());
        let Some((other, _)) = drained else {
            return;
        };
        let other = other.clone();
        for (name, sibling) in [(name.to_owned(), other.clone()), (other, name.to_owned())] {
            if let Some(machine) = self.machines.get_mut(&name) {
                machine
                    .pods
                    .push(Pod::new(Guard::Sibling(sibling), self.now));
            }
        }
    }

    /// A human does something to a node, by hand.
    fn handle(&mut self) {
        let (what, with_mark) = (self.rng.u32(0..6), self.rng.u32(0..3) == 0);
        let now = self.now;
        // Humans look at what happens.
        let at_work = self.rng.u32(0..4) > 0;
        let names = self.machines.keys();
        let reserved = &self.rollout.ledger.reservations;
        let names = names.filter(|name| !at_work || reserved.contains_key(*name));
        let names: Vec<_> = names.cloned().collect();
        let Some(which) = self.any(names.len()) else {
            return;
        };
        let name = &names[which];
        let reserved = &self.rollout.ledger.reservations;
        let Some(machine) = self.machines.get_mut(name) else {
            return;
        };
        let before = machine.node.cordon.clone();
        match what {
            0 => machine.node.held = true,
            1 => machine.node.held = false,
            2 | 3 => {
                let mark = machine.node.mark().map(|mark| mark.serial);
                let noticed = reserved
                    .get(name)
                    .is_some_and(|one| one.mark == mark && one.phase != Phase::Reserved);
                machine.lifted.extend(mark.filter(|_| noticed));
                machine.uncordon_by_hand(with_mark, now);
                // Who takes the mark away too before anybody has noticed leaves a node that was never cordoned.
                if let Some(mark) = mark.filter(|_| with_mark && !noticed) {
                    machine.lifted.remove(&mark);
                }
            }
            4 => machine.cordon_by_hand(now),
            // To keep it cordoned, whoever did it.
            _ => {
                if let Cordon::Ours(mark) = &before {
                    let mark = Mark {
                        prior: true,
                        ..mark.clone()
                    };
                    machine.set_cordon(Cordon::Ours(mark), now);
                }
            }
        }
        machine.node_version += 1;
        if machine.node.cordon != before {
            let what = format!("by hand: {name} {:?}", machine.node.cordon);
            self.tell(what);
        }
    }

    /// A human does something. Every change of what is wanted is a new version of the object.
    pub(super) fn interfere(&mut self) -> Kept {
        if self.rollout.damage.is_some() {
            self.mend();
            return Ok(());
        }
        let policy = &mut self.rollout.policy;
        match self.rng.u32(0..12) {
            11 => return self.damage(),
            0 => policy.paused = !policy.paused,
            1 => policy.open = !policy.open,
            2 => policy.slots = Limit::Count(self.rng.u32(0..5)),
            3 => policy.resumes += u64::from(self.rollout.ledger.is_halted()),
            4 => {
                self.secret += 1;
                self.tell(format!("the Secret changes: {}", self.secret));
                return Ok(());
            }
            5 => policy.failures.count = self.rng.u32(0..4),
            6 => {
                policy.strategy = match self.rng.u32(0..8) {
                    0 => Strategy::Immediate,
                    1..3 => Strategy::FileOnly,
                    3..5 => Strategy::Restart,
                    _ => Strategy::Drain(self.drain),
                };
                policy.slots = Limit::Percent(self.rng.u8(1..=50));
            }
            _ => {
                self.handle();
                return Ok(());
            }
        }
        self.rollout.version += 1;
        let what = format!("wanted: {:?}", self.rollout.policy);
        self.tell(what);
        Ok(())
    }
}
