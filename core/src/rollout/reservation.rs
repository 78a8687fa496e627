//! A node's slot, and how far what it is for has got.

use serde::{Deserialize, Serialize};

use super::fleet::Permit;
use super::time::Time;

/// A node's slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Reservation {
    /// What it may do.
    pub permit: Permit,
    /// When it got the slot.
    pub since: Time,
    /// When its record was seen to have the permit; its deadline counts from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permitted: Option<Time>,
    /// The serial number of the mark with which it is cordoned; none where only files are replaced. It stays while
    /// generations pass, so that none of them drains the node again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u64>,
    /// Whether its agent may restart services. It stays while generations pass.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restart: bool,
    /// Whether it is for kubelet's provider: its agent may restart kubelet for that, and takes no other credentials.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub provider: bool,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Phase::is_reserved")]
    pub phase: Phase,
}

/// How far a node is. Where only files are replaced, all is [`Phase::Reserved`]; where services are restarted, that and
/// [`Phase::Verifying`]; where it is drained, any. What a phase allows is done once it is persisted and was read back, and not before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "name",
    deny_unknown_fields,
    rename_all = "PascalCase",
    rename_all_fields = "camelCase"
)]
pub enum Phase {
    /// It has its slot: once its pods are known to go, it may be cordoned. Where only files are replaced, it may have its permit.
    #[default]
    Reserved,
    /// It was seen cordoned by us: its pods may be evicted.
    Draining {
        /// When that was noticed.
        since: Time,
    },
    /// No pod is left: it may have its permit.
    Drained {
        /// When that was noticed.
        since: Time,
    },
    /// The permit, which may be on its way, is called back by a newer one that allows nothing.
    Withdrawing {
        /// Since when.
        since: Time,
        /// What for.
        why: Why,
        /// The one that allows nothing.
        void: Permit,
    },
    /// Its agent has answered; the node has to be seen ready after that.
    Verifying {
        /// When the answer was noticed.
        since: Time,
    },
    /// Our mark goes, and with it our cordon. Then the slot comes back.
    Restoring {
        /// Since when.
        since: Time,
        /// What for.
        why: Why,
    },
}

/// Why a node's slot comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum Why {
    /// It is done, and ready.
    Done,
    /// It failed.
    Failed,
    /// The rollout was halted before the node had a permit.
    Halted,
    /// It was paused before that.
    Paused,
    /// The window closed before that.
    Window,
    /// Nodes are not drained any more.
    Strategy,
    /// Somebody wants it to be left alone, or maintains it otherwise.
    Held,
    /// Somebody cordoned it before we did.
    Foreign,
    /// Somebody uncordoned it while it was at work. It is left to them until the next generation, or until somebody resumes.
    TakenOver,
    /// Its pods would not go, so it was not cordoned. It is tried again later.
    Blocked,
    /// Its pods did not go in time. It is tried again later.
    Overdue,
    /// Its pods and another node's wait for each other. It is tried again later.
    Stuck,
}

/// A node that was given up before it had a permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Parked {
    /// Its name.
    pub node: String,
    /// Why, the last time.
    pub why: Why,
    /// When, the last time.
    pub since: Time,
    /// How often.
    pub times: u32,
}

impl Reservation {
    /// How far it is, in the word that is shown, and since when.
    pub fn stands(&self) -> (&'static str, Time) {
        match self.phase {
            Phase::Reserved => ("Reserved", self.since),
            Phase::Draining { since } => ("Draining", since),
            Phase::Drained { since } => ("Drained", since),
            Phase::Withdrawing { since, .. } => ("Withdrawing", since),
            Phase::Verifying { since } => ("Verifying", since),
            Phase::Restoring { since, .. } => ("Restoring", since),
        }
    }

    /// Why its slot is to come back, if it is.
    pub fn why(&self) -> Option<Why> {
        match self.phase {
            Phase::Withdrawing { why, .. } | Phase::Restoring { why, .. } => Some(why),
            _ => None,
        }
    }
}

impl Phase {
    fn is_reserved(&self) -> bool {
        *self == Self::Reserved
    }
}

impl Why {
    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Failed => "Failed",
            Self::Halted => "Halted",
            Self::Paused => "Paused",
            Self::Window => "Window",
            Self::Strategy => "Strategy",
            Self::Held => "Held",
            Self::Foreign => "Foreign",
            Self::TakenOver => "TakenOver",
            Self::Blocked => "Blocked",
            Self::Overdue => "Overdue",
            Self::Stuck => "Stuck",
        }
    }

    /// Whether the node is given up for a while, or for the rest of the generation.
    pub(super) fn parks(self) -> bool {
        matches!(
            self,
            Self::TakenOver | Self::Blocked | Self::Overdue | Self::Stuck
        )
    }
}
