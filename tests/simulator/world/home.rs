//! Where coordinators run, and which of them work.

use super::{Coordinator, Kept, World};

impl World {
    /// Time has passed for those who stand for election.
    pub(super) fn elect(&mut self) -> Kept {
        match &mut self.election {
            Some(election) => election.pass(self.now),
            None => Ok(()),
        }
    }

    /// Whether a coordinator works.
    pub(super) fn may_act(&self, which: usize) -> bool {
        let election = self.election.as_ref();
        election.is_none_or(|election| election.may_act(which))
    }

    /// Whether it does anything, and anybody hears of it.
    pub(super) fn reaches(&self, which: usize) -> bool {
        let election = self.election.as_ref();
        election.is_none_or(|election| election.reaches(which))
    }

    /// One coordinator that does something: more often one that works.
    pub(super) fn any_coordinator(&mut self) -> Option<usize> {
        let all = 0..self.coordinators.len();
        let working: Vec<_> = all.clone().filter(|one| self.may_act(*one)).collect();
        let looks = self.rng.u32(0..4) == 0 && !self.is_calm;
        let from: Vec<_> = if looks {
            all.filter(|one| self.reaches(*one)).collect()
        } else {
            working
        };
        let which = self.any(from.len())?;
        Some(from[which])
    }

    /// A node for a coordinator to run on.
    pub(super) fn home(&mut self) -> Option<String> {
        let good = self
            .machines
            .iter()
            .filter(|(_, one)| one.node.ready && one.node.is_schedulable());
        let good: Vec<_> = good.map(|(name, _)| name.clone()).collect();
        let which = self.any(good.len())?;
        Some(good[which].clone())
    }

    /// Coordinators that run on this node.
    pub(super) fn guests(&self, uid: &str) -> Vec<usize> {
        let is_home = |which: &usize| {
            let home = self.coordinators[*which].home.as_ref();
            let home = home.and_then(|name| self.machines.get(name));
            home.is_some_and(|machine| machine.node.uid == uid)
        };
        (0..self.coordinators.len()).filter(is_home).collect()
    }

    /// A new process takes a coordinator's place somewhere else. It knows nothing but what it reads.
    pub(super) fn restart(&mut self, which: usize, asked: bool) {
        self.coordinators[which] = Coordinator::default();
        self.coordinators[which].home = self.home();
        if let Some(election) = &mut self.election {
            election.restart(which, asked);
        }
    }
}
