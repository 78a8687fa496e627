//! What is known of the nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::revision::Revision;

/// All nodes, as one complete list had them. It may be old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// By name.
    pub nodes: BTreeMap<String, Node>,
    /// UIDs of nodes that are gone, and so for good: each was looked up at the API server itself *after* a ledger was read
    /// that has it. That a list does not have a node proves nothing: it may be older than the node.
    pub gone: BTreeSet<String>,
    /// Whether the records were listed *after* the ledger was read. What old records say does not begin a generation: it may
    /// be what was rolled out before this one.
    pub fresh: bool,
}

/// One node, as the API server shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its UID: a node of the same name that was made anew is another one.
    pub uid: String,
    /// `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// The group of nodes that it is managed in.
    pub pool: Option<String>,
    /// Whether it is one of the control plane's.
    pub control_plane: bool,
    /// Whether it says that it is ready. What nobody knows is not.
    pub ready: bool,
    /// Whether somebody has said that it is to be left alone, or maintains it otherwise.
    pub held: bool,
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
}

/// Leave to take a generation. An agent acts on it only when it names the UID of its node, and answers by repeating it. No
/// two permits are equal, so what is older than one cannot be taken for its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// The node's UID.
    pub uid: String,
    /// What it may take.
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
}

/// What came of a permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The node has it.
    Reached,
    /// The node does not, and why.
    Failed(String),
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
        (permit.serial > answered).then_some(permit)
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

    /// What became of this permit, as far as the node has said.
    pub fn outcome(&self, permit: &Permit) -> Option<&Outcome> {
        let report = self.record.as_ref()?.report.as_ref()?;
        (report.permit == *permit).then_some(&report.outcome)
    }

    /// Whether the node has said of itself, and not of a former one of its name, that it has this generation.
    pub fn has_reached(&self, generation: u64) -> bool {
        let report = self
            .record
            .as_ref()
            .and_then(|record| record.report.as_ref());
        report.is_some_and(|report| {
            let Permit {
                uid,
                generation: reached,
                ..
            } = &report.permit;
            *uid == self.uid && *reached == generation && report.outcome == Outcome::Reached
        })
    }
}
