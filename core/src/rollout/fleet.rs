//! What is known of the nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cordon::{Cordon, DrainView, Mark};
use super::limit::Limit;
use super::provider::Provider;
use super::revision::Revision;
use super::time::Time;

/// All nodes, as one complete list had them. It may be old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// By name.
    pub nodes: BTreeMap<String, Node>,
    /// Groups of nodes that somebody else manages as well, by name.
    pub pools: BTreeMap<String, Pool>,
    /// UIDs of nodes that are gone, and so for good: each was looked up at the API server itself *after* a ledger was read
    /// that has it. That a list does not have a node proves nothing: it may be older than the node.
    pub gone: BTreeSet<String>,
    /// Whether the records were listed *after* the ledger was read. What old records say does not begin a generation: it may
    /// be what was rolled out before this one.
    pub fresh: bool,
}

/// A group of nodes that somebody else manages as well, such as a `MachineConfigPool`. It matters where nodes are
/// drained or restart services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Whether its nodes are to be left alone now: they are about to be changed, or nobody is to change them.
    pub busy: bool,
    /// How many of its nodes may be unavailable, whoever is the reason.
    pub max_unavailable: Option<Limit>,
}

/// One node, as the API server shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its UID: a node of the same name that was made anew is another one.
    pub uid: String,
    /// `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// The group of nodes that it is counted in.
    pub pool: Option<String>,
    /// The one of [`Fleet::pools`] that it is in.
    pub managed: Option<String>,
    /// Whether it is one of the control plane's.
    pub control_plane: bool,
    /// Whether it says that it is ready. What nobody knows is not.
    pub ready: bool,
    /// When it last said whether it is ready, by its own clock.
    pub heartbeat: Option<Time>,
    /// Whether somebody has said that it is to be left alone, or maintains it otherwise.
    pub held: bool,
    /// Whether the node was read at the API server *after* the ledger was read: what it shows then came after what the ledger
    /// says. A list that is older proves nothing of what was done meanwhile.
    pub current: bool,
    /// Whether pods may be scheduled to it, and whose wish that is.
    pub cordon: Cordon,
    /// What whoever evicts has seen of its pods.
    pub drain: Option<DrainView>,
    /// What its agent is told, and what it tells.
    pub record: Option<Record>,
}

/// The node's own record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What it may do.
    pub permit: Option<Permit>,
    /// Which versions its agent sees, of all Secrets that it reads for the node; `None` where it has not said.
    pub seen: Option<Revision>,
    /// What it says it has done.
    pub report: Option<Report>,
    /// What it says about kubelet's provider; `None` where it does nothing about that.
    pub provider: Option<Provider>,
}

/// Leave to take a generation. An agent acts on it only when it names the UID of its node, and answers by repeating it. No
/// two permits are equal, so what is older than one cannot be taken for its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// The node's UID.
    pub uid: String,
    /// What it may take. 0 is nothing: it takes the place of a permit that is called back, and is not answered.
    pub generation: u64,
    /// Which one of all permits of the rollout's object it is.
    pub serial: u64,
}

/// What an agent says about a permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The permit.
    pub permit: Permit,
    /// What came of it.
    pub outcome: Outcome,
    /// When the agent last restarted services, for this permit or a former one, by the node's clock.
    pub restarted: Option<Time>,
}

/// What came of a permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The node has it.
    Reached,
    /// The node does not, and why.
    Failed(String),
}

impl Permit {
    /// Whether it allows nothing.
    pub fn is_void(&self) -> bool {
        self.generation == 0
    }
}

impl Record {
    /// The permit that the agent of the node with this UID is to act on: one that it has not answered, and that is newer
    /// than the last one that it has. A permit that comes back is refused: its slot may be somebody else's by now.
    pub fn unanswered(&self, uid: &str) -> Option<&Permit> {
        let permit = self.permit.as_ref().filter(|permit| permit.uid == uid)?;
        let answered = self
            .report
            .as_ref()
            .map_or(0, |report| match &report.permit {
                answered if answered.uid == uid => answered.serial,
                _ => 0,
            });
        (permit.serial > answered && !permit.is_void()).then_some(permit)
    }
}

impl Fleet {
    /// The group that the node is in, as somebody else manages it.
    pub(super) fn pool(&self, node: &Node) -> Option<&Pool> {
        self.pools.get(node.managed.as_deref()?)
    }

    /// Whether somebody wants the node to be left alone where nodes are drained or restart services: it, or all of its group.
    pub(super) fn holds(&self, node: &Node) -> bool {
        node.held || self.pool(node).is_some_and(|pool| pool.busy)
    }
}

impl Node {
    /// Whether its record has this permit.
    pub fn has_permit(&self, permit: &Permit) -> bool {
        let given = self
            .record
            .as_ref()
            .and_then(|record| record.permit.as_ref());
        given == Some(permit)
    }

    /// Whether its record has a permit for it that is newer than this one.
    pub(super) fn has_newer_permit(&self, permit: &Permit) -> bool {
        let given = self
            .record
            .as_ref()
            .and_then(|record| record.permit.as_ref());
        given.is_some_and(|given| given.uid == permit.uid && given.serial > permit.serial)
    }

    /// Our mark, whatever became of the flag. One that names another node is none.
    pub fn mark(&self) -> Option<&Mark> {
        match &self.cordon {
            Cordon::Ours(mark) | Cordon::TakenOver { mark, .. } if mark.uid == self.uid => {
                Some(mark)
            }
            _ => None,
        }
    }

    /// Whether pods may be scheduled to it.
    pub fn is_schedulable(&self) -> bool {
        match self.cordon {
            Cordon::None => true,
            Cordon::TakenOver { schedulable, .. } => schedulable,
            Cordon::Ours(_) | Cordon::Foreign => false,
        }
    }

    /// Whether it is cordoned by us, for the reservation with this mark.
    pub fn is_cordoned_for(&self, serial: u64) -> bool {
        matches!(self.cordon, Cordon::Ours(_))
            && self.mark().is_some_and(|mark| mark.serial == serial)
    }

    /// Whether it was cordoned for the reservation with this mark, and somebody has undone that. That the mark is not there
    /// proves it only once the node was read after the ledger.
    pub(super) fn is_taken_over(&self, serial: u64) -> bool {
        match self.mark().filter(|mark| mark.serial == serial) {
            Some(_) => !matches!(self.cordon, Cordon::Ours(_)),
            None => self.current,
        }
    }

    /// Whether its agent may be acting: it has a permit that it has not answered.
    pub(super) fn may_be_acting(&self) -> bool {
        let record = self.record.as_ref();
        record.is_some_and(|record| record.unanswered(&self.uid).is_some())
    }

    /// What became of this permit, as far as the node has said.
    pub fn outcome(&self, permit: &Permit) -> Option<&Outcome> {
        let report = self.record.as_ref()?.report.as_ref()?;
        (report.permit == *permit).then_some(&report.outcome)
    }

    /// Whether it shows that it is well after what it did for this permit. Once services were restarted, only a word that is
    /// newer shows that: both times are told by the node's own clock. A record that does not have the answer is older than that.
    pub(super) fn shows_well(&self, permit: &Permit) -> bool {
        let report = self
            .record
            .as_ref()
            .and_then(|record| record.report.as_ref());
        let answer = report.filter(|report| report.permit == *permit);
        answer.is_some_and(|answer| {
            let since = answer.restarted;
            self.ready && since.is_none_or(|restarted| self.heartbeat > Some(restarted))
        })
    }

    /// The same, as it was read at the API server after the ledger.
    pub(super) fn is_well(&self, permit: &Permit) -> bool {
        self.current && self.shows_well(permit)
    }

    /// The last generation that the node has said anything about, of itself; 0 before that.
    pub(super) fn latest(&self) -> u64 {
        let report = self.own_report();
        report.map_or(0, |report| report.permit.generation)
    }

    /// Whether the node has said of itself, and not of a former one of its name, that it has this generation.
    pub fn has_reached(&self, generation: u64) -> bool {
        let report = self.own_report();
        report.is_some_and(|report| {
            report.permit.generation == generation && report.outcome == Outcome::Reached
        })
    }

    /// What it has said of itself, and not a former one of its name.
    fn own_report(&self) -> Option<&Report> {
        let report = self.record.as_ref()?.report.as_ref();
        report.filter(|report| report.permit.uid == self.uid)
    }
}
