//! What is promised, whatever happens. The numbers are those of `docs/design/rollout.md`.

use std::collections::{BTreeMap, BTreeSet};

use pullkeeper_core::rollout::{Ledger, Outcome, Permit, Phase, Policy, Revision, Stage, Strategy};

use crate::agent::Machine;
use crate::coordinator::Rollout;

mod admit;
mod drain;
mod keep;
mod persist;
mod term;

pub(crate) use self::drain::{Look, decides};
pub(crate) use self::keep::may_be_acting;
pub(crate) use self::term::Term;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub promise: &'static str,
    /// What was seen.
    pub seen: String,
}

/// What has to be remembered to tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Oath {
    /// Every permit that any ledger has ever had.
    promised: BTreeSet<(String, u64)>,
    /// Generations that nodes have taken in truth, by UID.
    reached: BTreeMap<String, BTreeSet<u64>>,
}

pub(crate) type Kept = Result<(), Violation>;

pub(crate) fn broken(promise: &'static str, seen: impl Into<String>) -> Kept {
    Err(Violation {
        promise,
        seen: seen.into(),
    })
}

impl Oath {
    /// A ledger took the place of another one.
    pub(crate) fn written<'m>(
        &mut self,
        before: &Rollout,
        after: &Ledger,
        machines: impl Fn(&str) -> Option<&'m Machine>,
        nodes: usize,
        now: u64,
    ) -> Kept {
        if before.damage.is_some() {
            return broken("S19: what cannot be read is not replaced", "");
        }
        persist::begins(&before.ledger, after)?;
        let policy = &before.policy;
        let new = |name: &&String| {
            let former = before.ledger.reservations.get(*name);
            former.is_none_or(|former| former.permit.uid != after.reservations[*name].permit.uid)
        };
        let admitted: Vec<_> = after.reservations.keys().filter(new).collect();
        for (name, reservation) in &after.reservations {
            self.promised
                .insert((name.clone(), reservation.permit.serial));
            if let Phase::Withdrawing { void, .. } = &reservation.phase {
                self.promised.insert((name.clone(), void.serial));
            }
        }
        if policy.strategy != Strategy::Immediate && !admitted.is_empty() {
            let (taken, limit) = (after.reservations.len(), policy.slots.of(nodes));
            if taken > limit {
                return broken(
                    "S1: no more slots than the limit",
                    format!("{taken} of {limit}"),
                );
            }
            if after.halt.is_some() && after.generation == before.ledger.generation {
                return broken(
                    "S14: nobody starts while it is halted",
                    format!("{admitted:?}"),
                );
            }
            if policy.paused || !policy.open {
                return broken(
                    "S13: nobody starts while it is paused or no window is open",
                    format!("{admitted:?}"),
                );
            }
            Self::stages(before, after, &admitted)?;
            let control = |name: &&String| machines(name).is_some_and(|one| one.node.control_plane);
            let reserved = after.reservations.keys().filter(control).count();
            if reserved > 1 && admitted.iter().any(control) {
                return broken(
                    "S16: one of the control plane at a time",
                    format!("{reserved}"),
                );
            }
        }
        if after.generation == before.ledger.generation
            && after.resumes == before.ledger.resumes
            && before.ledger.halt.is_some()
            && after.halt != before.ledger.halt
        {
            return broken("S14: a halt stays", format!("{:?}", before.ledger.halt));
        }
        self.slots_given_back(before, after, &machines)?;
        Self::soaked(policy, before, after, now)?;
        persist::carries_on(&before.ledger, after)
    }

    fn stages(before: &Rollout, after: &Ledger, admitted: &[&String]) -> Kept {
        let first = |name: &&&String| {
            let uid = &after.reservations[**name].permit.uid;
            after.canary.contains_key(uid)
        };
        match after.stage {
            Stage::Waves => {}
            Stage::Canary if admitted.iter().all(|name| first(&name)) => {}
            stage => {
                let seen = format!("{stage:?}: {admitted:?}, generation {}", after.generation);
                return broken("S15: the canaries go first", seen);
            }
        }
        let superseded = after.generation != before.ledger.generation;
        if superseded && after.stage == Stage::Waves {
            return broken(
                "S15: every generation begins with its canaries",
                String::new(),
            );
        }
        Ok(())
    }

    fn soaked(policy: &Policy, before: &Rollout, after: &Ledger, now: u64) -> Kept {
        if policy.strategy == Strategy::Immediate || after.stage != Stage::Waves {
            return Ok(());
        }
        match before.ledger.stage {
            Stage::Waves => Ok(()),
            Stage::Soak { since } if now >= since.0 + policy.soak.as_millis() as u64 => Ok(()),
            stage => broken(
                "S15: harm is given time to show",
                format!("{stage:?} at {now}"),
            ),
        }
    }

    /// A slot comes back when its node has answered this permit, or is gone; one of a node that is drained, when it cannot be
    /// acting; one of a node that has restarted services, when they are back, or too late.
    fn slots_given_back<'m>(
        &self,
        before: &Rollout,
        after: &Ledger,
        machines: &impl Fn(&str) -> Option<&'m Machine>,
    ) -> Kept {
        for (name, former) in &before.ledger.reservations {
            let uid = &former.permit.uid;
            let kept = after
                .reservations
                .get(name)
                .is_some_and(|next| next.permit.uid == *uid);
            let Some(machine) = machines(name).filter(|one| one.node.uid == *uid && !kept) else {
                continue;
            };
            if former.mark.is_some() {
                if machine.may_act() {
                    return broken("S3: nobody acts whose slot has come back", name.clone());
                }
                continue;
            }
            let failed = after.failures.contains_key(uid);
            if former.restart && machine.down.is_some() && !failed {
                return broken(
                    "S24: a slot comes back when services are back",
                    name.clone(),
                );
            }
            let answered = matches!(
                machine.node.outcome(&former.permit),
                Some(Outcome::Reached | Outcome::Failed(_))
            );
            if !answered {
                return broken(
                    "S3: a slot is taken until its node has answered",
                    name.clone(),
                );
            }
        }
        Ok(())
    }

    /// A coordinator begins a generation, having looked at the records.
    pub(crate) fn supersedes<'m>(
        wanted: &Revision,
        machines: impl Iterator<Item = &'m Machine>,
    ) -> Kept {
        let ready = machines.filter(|one| one.node.ready);
        let seen: Vec<_> = ready
            .filter_map(|one| one.own_record()?.seen.as_ref())
            .collect();
        let votes = seen.iter().filter(|seen| **seen == wanted).count();
        if votes * 2 > seen.len() {
            return Ok(());
        }
        broken(
            "L12: what is rolled out is what most nodes see",
            format!("{votes} of {}: {wanted:?}", seen.len()),
        )
    }

    /// An agent has taken what its permit names.
    pub(crate) fn reaches(&mut self, permit: &Permit) {
        let reached = self.reached.entry(permit.uid.clone()).or_default();
        reached.insert(permit.generation);
    }

    /// Whoever is taken for done has done it, and nobody of the same name.
    pub(crate) fn done(&self, look: &Look<'_>) -> Kept {
        let generation = look.read.ledger.generation;
        let itself = |uid: &str| {
            let reached = self.reached.get(uid);
            reached.is_some_and(|reached| reached.contains(&generation))
        };
        for (name, node) in &look.fleet.nodes {
            if node.has_reached(generation) && !itself(&node.uid) {
                return broken("S18: a node that was made anew has done nothing yet", name);
            }
        }
        Ok(())
    }

    /// A record got a permit.
    pub(crate) fn permitted(&self, name: &str, permit: &Permit) -> Kept {
        if self.promised.contains(&(name.to_owned(), permit.serial)) {
            return Ok(());
        }
        broken(
            "S2: no permit without a slot that was persisted before",
            name,
        )
    }

    /// An agent begins to act.
    pub(crate) fn acts(&self, name: &str, permit: &Permit, rollout: &Rollout) -> Kept {
        let reserved = rollout.ledger.reservations.get(name);
        if reserved.is_some_and(|reserved| reserved.permit.uid == permit.uid) {
            return Ok(());
        }
        broken("S12: who acts has a slot", format!("{name} by {permit:?}"))
    }
}
