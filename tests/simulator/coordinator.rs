//! One of several coordinators: what it knows, and what it has sent.

use std::collections::BTreeMap;

use pullkeeper_core::rollout::{Fleet, Ledger, Permit, Policy, Revision, Strategy, Time, decide};

use crate::agent::Machine;

/// The one object that coordinators compete on: what is wanted, and what was promised. A write of either is one of both.
#[derive(Clone, Debug)]
pub(crate) struct Rollout {
    pub(crate) version: u64,
    pub(crate) policy: Policy,
    pub(crate) ledger: Ledger,
}

/// A mistake that a coordinator makes, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Writes the ledger whatever is there now.
    NoCompareAndSwap,
    /// Gives permits for what it has decided, before that is persisted.
    PermitsFirst,
    /// Takes a node that its list does not have for one that is gone.
    BelievesTheList,
    /// Takes old records for fresh ones.
    BelievesOldRecords,
    /// Forgets halts.
    Unhalts,
    /// Has no patience.
    SkipsTheSoak,
    /// Counts every node twice.
    CountsTwice,
    /// Gives no slot back.
    KeepsSlots,
    /// Lets control-plane nodes go like all others.
    NoControlPlane,
}

/// A coordinator and what it has seen. All of it may be old.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coordinator {
    pub(crate) rollout: Option<Rollout>,
    pub(crate) fleet: Fleet,
    /// Which write of each node's record it has seen, by UID.
    pub(crate) records: BTreeMap<String, u64>,
}

/// What a coordinator has decided.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decided {
    pub(crate) writes: Vec<Write>,
    /// Whom it wants to look up: UIDs and names.
    pub(crate) missing: Vec<(String, String)>,
    /// Whether it wants to see the records anew.
    pub(crate) outdated: bool,
}

/// A write that is on its way.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Ledger {
        by: usize,
        seen: u64,
        ledger: Box<Ledger>,
        blind: bool,
    },
    Permit {
        name: String,
        permit: Permit,
        revision: Revision,
        /// The version of the record that it takes the place of.
        seen: u64,
    },
}

impl Coordinator {
    /// Takes in a complete list of the nodes.
    pub(crate) fn see(&mut self, machines: &BTreeMap<String, Machine>) {
        let nodes = machines.iter();
        self.fleet.nodes = nodes
            .map(|(name, one)| (name.clone(), one.node.clone()))
            .collect();
        let records = machines.values();
        self.records = records
            .map(|one| (one.node.uid.clone(), one.record_version))
            .collect();
    }

    /// What it writes now, and what it has to look up first.
    pub(crate) fn decide(&self, by: usize, now: Time, flaw: Option<Flaw>) -> Decided {
        let Some(rollout) = &self.rollout else {
            return Decided::default();
        };
        let (policy, ledger, fleet) = self.mistaken(rollout, flaw);
        let decision = decide(&policy, &ledger, &fleet, now);
        let mut next = decision.ledger;
        if flaw == Some(Flaw::KeepsSlots)
            && let Some(next) = &mut next
        {
            next.reservations.extend(ledger.reservations.clone());
        }
        let mut permits = decision.permits;
        if let (Some(Flaw::PermitsFirst), Some(next)) = (flaw, &next) {
            let promised = next.reservations.iter();
            permits.extend(promised.map(|(name, one)| (name.clone(), one.permit.clone())));
        }
        let mut writes: Vec<_> = permits
            .into_iter()
            .map(|(name, permit)| Write::Permit {
                seen: self.records.get(&permit.uid).copied().unwrap_or(0),
                revision: ledger.revision.clone(),
                name,
                permit,
            })
            .collect();
        writes.extend(next.map(|ledger| Write::Ledger {
            by,
            seen: rollout.version,
            ledger: Box::new(ledger),
            blind: flaw == Some(Flaw::NoCompareAndSwap),
        }));
        Decided {
            writes,
            missing: decision.missing.into_iter().collect(),
            outdated: decision.outdated,
        }
    }

    /// What it takes for the truth.
    fn mistaken(&self, rollout: &Rollout, flaw: Option<Flaw>) -> (Policy, Ledger, Fleet) {
        let (mut policy, mut ledger) = (rollout.policy.clone(), rollout.ledger.clone());
        let mut fleet = self.fleet.clone();
        match flaw {
            Some(Flaw::BelievesTheList) => {
                let reserved = ledger.reservations.values().map(|one| &one.permit.uid);
                let known = |uid: &&String| fleet.nodes.values().any(|node| node.uid == **uid);
                let missing: Vec<_> = reserved.filter(|uid| !known(uid)).cloned().collect();
                fleet.gone.extend(missing);
            }
            Some(Flaw::BelievesOldRecords) => fleet.fresh = true,
            Some(Flaw::Unhalts) => {
                ledger.halt = None;
                policy.failures.count = u32::MAX;
                policy.failures.percent = 100;
                ledger.canary.clear();
            }
            Some(Flaw::SkipsTheSoak) => policy.soak = std::time::Duration::ZERO,
            Some(Flaw::CountsTwice) if policy.strategy == Strategy::FileOnly => {
                let twice = policy.slots.of(fleet.nodes.len()) * 2;
                let twice = u32::try_from(twice).unwrap_or(u32::MAX);
                policy.slots = pullkeeper_core::rollout::Limit::Count(twice);
            }
            Some(Flaw::NoControlPlane) => {
                for node in fleet.nodes.values_mut() {
                    node.control_plane = false;
                }
            }
            _ => {}
        }
        (policy, ledger, fleet)
    }
}
