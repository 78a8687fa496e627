//! What has been promised so far: the one object on which coordinators compete.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::fleet::Permit;
use super::provider::{ProviderHalt, ProviderRollout};
use super::reservation::{Parked, Reservation, Why};
use super::revision::Revision;
use super::time::Time;

/// The state of a rollout. It is replaced as a whole, by compare-and-swap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Ledger {
    version: Version,
    /// Counts what has been rolled out; 0 before anything was.
    pub generation: u64,
    /// What is being rolled out.
    pub revision: Revision,
    /// How far it is.
    pub stage: Stage,
    /// The names of the nodes that go first, by UID.
    pub canary: BTreeMap<String, String>,
    /// Nodes that have a slot, by name.
    pub reservations: BTreeMap<String, Reservation>,
    /// Nodes that failed since the rollout began or was resumed, by UID: each counts once.
    pub failures: BTreeMap<String, Failure>,
    /// Nodes that were given up before they had a permit, by UID: their pods did not go, or somebody uncordoned them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parked: BTreeMap<String, Parked>,
    /// Why no new node starts, until a human or a new generation says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halt: Option<Halt>,
    /// How far kubelet's provider is; none where no agent asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderRollout>,
    /// How many of the policy's resumes have been followed.
    pub resumes: u64,
    /// How many permits there have been.
    pub permits: u64,
}

/// The form of the ledger. Another one is not read as an empty ledger: that would give every slot away again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Version {
    #[default]
    #[serde(rename = "1")]
    One,
}

/// Why a ledger cannot be used. No node starts until somebody has looked at it.
#[derive(Debug, Error)]
#[error("cannot read the rollout's ledger: {0}; a newer coordinator may have written it")]
pub struct LedgerError(#[source] serde_json::Error);

/// How far a rollout is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "PascalCase")]
pub enum Stage {
    /// The first nodes.
    #[default]
    Canary,
    /// Nothing happens, so that harm can show.
    Soak {
        /// When all of the first nodes had succeeded.
        since: Time,
    },
    /// Everybody else.
    Waves,
}

/// A node that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Failure {
    /// Its name.
    pub node: String,
    /// In its agent's words, or ours.
    pub reason: String,
    /// When it was noticed.
    pub since: Time,
}

/// Why no new node starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Halt {
    /// Why.
    pub reason: HaltReason,
    /// Since when.
    pub since: Time,
}

/// Why a rollout halts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum HaltReason {
    /// One of the first nodes failed.
    CanaryFailed,
    /// More nodes failed than may.
    FailureBudgetSpent,
}

impl HaltReason {
    /// The word that is shown.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::CanaryFailed => "CanaryFailed",
            Self::FailureBudgetSpent => "FailureBudgetSpent",
        }
    }
}

impl Ledger {
    /// Whether no new node starts because the rollout does harm.
    pub fn is_halted(&self) -> bool {
        self.halt.is_some()
    }

    /// A permit like no other.
    pub(super) fn permit(&mut self, uid: &str) -> Permit {
        self.permits += 1;
        Permit {
            uid: uid.to_owned(),
            generation: self.generation,
            serial: self.permits,
        }
    }

    /// A permit that allows nothing, and is newer than all others.
    pub(super) fn void(&mut self, uid: &str) -> Permit {
        Permit {
            generation: 0,
            ..self.permit(uid)
        }
    }

    /// Notes that a node failed, once.
    pub(super) fn fail(&mut self, uid: &str, node: &str, reason: &str, now: Time) {
        let failure = Failure {
            node: node.to_owned(),
            reason: reason.to_owned(),
            since: now,
        };
        self.failures.entry(uid.to_owned()).or_insert(failure);
    }

    /// Notes that a node with this reservation failed, once: the credential, or else kubelet's provider.
    pub(super) fn fail_at(
        &mut self,
        reservation: &Reservation,
        node: &str,
        reason: &str,
        now: Time,
    ) {
        if !reservation.provider {
            self.fail(&reservation.permit.uid, node, reason, now);
        } else if let Some(provider) = &mut self.provider {
            provider.halt.get_or_insert_with(|| ProviderHalt {
                node: node.to_owned(),
                reason: reason.to_owned(),
                since: now,
            });
        }
    }

    /// Notes that a node was given up.
    pub(super) fn park(&mut self, uid: &str, node: &str, why: Why, now: Time) {
        let times = self.parked.get(uid).map_or(0, |former| former.times);
        let parked = Parked {
            node: node.to_owned(),
            why,
            since: now,
            times: times.saturating_add(1),
        };
        self.parked.insert(uid.to_owned(), parked);
    }

    /// Reads a ledger. None is one that has not been begun.
    ///
    /// # Errors
    /// For everything that this version would not have written.
    pub fn read(written: Option<&Value>) -> Result<Self, LedgerError> {
        let Some(written) = written else {
            return Ok(Self::default());
        };
        let ledger = Self::deserialize(written).map_err(LedgerError)?;
        // What is not known here would be lost with the next write.
        if serde_json::to_value(&ledger).map_err(LedgerError)? == *written {
            Ok(ledger)
        } else {
            let error = "there is more in it than this version knows";
            Err(LedgerError(serde_json::Error::custom(error)))
        }
    }
}
