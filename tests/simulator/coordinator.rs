//! One of several coordinators: what it knows, and what it has sent.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use pullkeeper_core::rollout::{
    Decision, Fleet, Ledger, LedgerError, Node, Order, Permit, Policy, Pool, Record, Revision,
    Time, decide,
};
use serde_json::Value;

use crate::agent::Machine;
use crate::engine::Engine;
use crate::flaw::Flaw;

/// The one object that coordinators compete on: what is wanted, and what was promised. A write of either is one of both.
#[derive(Clone, Debug)]
pub(crate) struct Rollout {
    pub(crate) version: u64,
    pub(crate) policy: Policy,
    pub(crate) ledger: Ledger,
    /// What stands in the place of the ledger, since somebody has damaged it, or a newer version has written it.
    pub(crate) damage: Option<Value>,
}

impl Rollout {
    fn read(&self) -> Result<Cow<'_, Ledger>, LedgerError> {
        match &self.damage {
            None => Ok(Cow::Borrowed(&self.ledger)),
            damage => Ledger::read(damage.as_ref()).map(Cow::Owned),
        }
    }
}

/// A coordinator and what it has seen. All of it may be old.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coordinator {
    pub(crate) rollout: Option<Rollout>,
    pub(crate) fleet: Fleet,
    /// Which write of each node, and of its record, it has seen, by UID.
    versions: BTreeMap<String, Versions>,
    pub(crate) engine: Engine,
    /// The name of the node that it runs on.
    pub(crate) home: Option<String>,
    /// UIDs of nodes of which nobody knows whether they are ready.
    pub(crate) unknown: BTreeSet<String>,
    /// UIDs of nodes that it could not look up just now.
    pub(crate) failed: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Versions {
    node: u64,
    record: u64,
}

/// What a coordinator has decided, and what it writes because of that.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    writes: Vec<Write>,
}

impl Decided {
    pub(crate) fn writes(self) -> Vec<Write> {
        self.writes
    }
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
        /// Whether services are to be restarted.
        restart: bool,
        /// The version of the record that it takes the place of.
        seen: u64,
    },
    Cordon {
        name: String,
        uid: String,
        serial: u64,
        /// The version of the node that it takes the place of.
        seen: u64,
        blind: bool,
    },
    Uncordon {
        name: String,
        uid: String,
        seen: u64,
        /// Clears the flag, whosever it is.
        blunt: bool,
    },
}

impl Coordinator {
    /// Takes in a complete list of the nodes.
    pub(crate) fn see(
        &mut self,
        machines: &BTreeMap<String, Machine>,
        pools: &BTreeMap<String, Pool>,
        flaw: Option<Flaw>,
    ) {
        let inherits = flaw == Some(Flaw::InheritsReports);
        let node = |one: &Machine| Node {
            record: match &one.node.record {
                Some(record) if inherits => Some(of_whoever(record, &one.node.uid)),
                _ => one.own_record().cloned(),
            },
            ..one.node.clone()
        };
        let nodes = machines.iter();
        self.fleet.nodes = nodes.map(|(name, one)| (name.clone(), node(one))).collect();
        self.fleet.pools.clone_from(pools);
        let mute = machines.values().filter(|one| one.mute);
        self.unknown = mute.map(|one| one.node.uid.clone()).collect();
        let versions = |one: &Machine| Versions {
            node: one.node_version,
            record: one.record_version,
        };
        self.versions = machines
            .values()
            .map(|one| (one.node.uid.clone(), versions(one)))
            .collect();
    }

    /// Reads one node at the API server itself, and not its record.
    pub(crate) fn look_up(&mut self, name: &str, machine: &Machine) {
        let Some(known) = self.fleet.nodes.get_mut(name) else {
            return;
        };
        if known.uid == machine.node.uid {
            *known = Node {
                current: true,
                record: known.record.take(),
                ..machine.node.clone()
            };
            let versions = self.versions.entry(known.uid.clone()).or_default();
            versions.node = machine.node_version;
        }
    }

    /// What it writes now, and what it has to look up first. None before it has seen a rollout.
    pub(crate) fn decide(&mut self, by: usize, now: Time, flaw: Option<Flaw>) -> Option<Decided> {
        for node in self.fleet.nodes.values_mut() {
            node.drain = self.engine.view(&node.uid, now);
        }
        let rollout = self.rollout.as_ref()?;
        let ledger = match (rollout.read(), flaw) {
            (Ok(ledger), _) => ledger,
            (Err(_), Some(Flaw::TakesDamageForNothing)) => Cow::Owned(Ledger::default()),
            (Err(_), Some(Flaw::ReadsWhatItCan)) => Cow::Borrowed(&rollout.ledger),
            (Err(_), _) => return None,
        };
        let decision = match flaw {
            None => decide(&rollout.policy, &ledger, &self.fleet, now),
            Some(flaw) => self.mistaken(&rollout.policy, &ledger, flaw, now),
        };
        let seen = |uid: &str| self.versions.get(uid).copied().unwrap_or_default();
        let permits = decision.permits.iter().map(|(name, permit)| Write::Permit {
            seen: seen(&permit.uid).record,
            revision: rollout.ledger.revision.clone(),
            restart: rollout
                .ledger
                .reservations
                .get(name)
                .is_some_and(|one| one.restart && one.permit == *permit),
            name: name.clone(),
            permit: permit.clone(),
        });
        let orders = decision
            .orders
            .iter()
            .filter_map(|(name, order)| match order {
                Order::Cordon { uid, serial } => Some(Write::Cordon {
                    name: name.clone(),
                    uid: uid.clone(),
                    serial: *serial,
                    seen: seen(uid).node,
                    blind: flaw == Some(Flaw::CordonsBlindly),
                }),
                Order::Uncordon { uid, .. } => Some(Write::Uncordon {
                    name: name.clone(),
                    uid: uid.clone(),
                    seen: seen(uid).node,
                    blunt: flaw == Some(Flaw::UncordonsAll),
                }),
                Order::Inspect { .. } | Order::Drain { .. } => None,
            });
        let mut writes: Vec<_> = permits.chain(orders).collect();
        writes.extend(decision.ledger.clone().map(|ledger| Write::Ledger {
            by,
            seen: rollout.version,
            ledger: Box::new(ledger),
            blind: flaw == Some(Flaw::NoCompareAndSwap),
        }));
        Some(Decided { decision, writes })
    }

    /// What it decides when it takes something else for the truth.
    fn mistaken(&self, wanted: &Policy, read: &Ledger, flaw: Flaw, now: Time) -> Decision {
        let (mut policy, mut ledger) = (wanted.clone(), read.clone());
        let mut fleet = self.fleet.clone();
        flaw.mistakes(&mut policy, &mut ledger, &mut fleet);
        flaw.sees(wanted, &mut fleet, &self.unknown, &self.failed);
        let mut decision = decide(&policy, &ledger, &fleet, now);
        flaw.spoils(&mut decision, wanted, &ledger, &fleet);
        decision
    }

    /// What was read anew has been used, and is as old as everything else from now on.
    pub(crate) fn forget(&mut self) {
        self.fleet.fresh = false;
        self.failed.clear();
        for node in self.fleet.nodes.values_mut() {
            node.current = false;
        }
    }
}

/// A record that is taken for this node's, whosever it is.
fn of_whoever(record: &Record, uid: &str) -> Record {
    let mut record = record.clone();
    let permits = record.permit.iter_mut();
    let reports = record.report.iter_mut().map(|report| &mut report.permit);
    for permit in permits.chain(reports) {
        uid.clone_into(&mut permit.uid);
    }
    record
}
