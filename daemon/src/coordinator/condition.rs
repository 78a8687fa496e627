//! What a node's conditions say of its drain or restart, in the words of KEP-5683, and what is written for that.
//!
//! A condition is told by its reason: one of the same type with another reason is somebody else's, and left alone.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use pullkeeper_core::rollout::{Phase, Reservation, Time as Stamp};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::objects::NodeObject;
use super::publish::timestamp;

/// The reason that all of ours have.
const REASON: &str = "PullkeeperRollout";

/// A condition of a node that is drained or restarts services. It is there and true, or not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its pods are being evicted.
    DrainInProgress,
    /// No pod is left that had to go.
    Drained,
    /// What it was drained for happens, or services may be restarted without that.
    MaintenanceInProgress,
}

/// Those conditions of a node that count here.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    /// Whether the node is ready.
    pub(super) ready: bool,
    /// When it last said whether it is.
    pub(super) heartbeat: Option<Time>,
    /// Empty, and without memory of its own, where nobody drains the node.
    drain: Vec<Shown>,
}

/// A condition that a node has.
#[derive(Clone, Debug)]
struct Shown {
    kind: Kind,
    ours: bool,
    holds: bool,
    since: String,
}

impl Conditions {
    /// Whether somebody else says that the node is being drained or maintained. That it was drained may be long ago.
    pub(super) fn is_maintained(&self) -> bool {
        let now = |one: &Shown| one.kind != Kind::Drained && one.holds && !one.ours;
        self.drain.iter().any(now)
    }
}

impl Kind {
    const ALL: [Self; 3] = [
        Self::DrainInProgress,
        Self::Drained,
        Self::MaintenanceInProgress,
    ];

    /// Those of a node with this slot; `None` where what it shows stays for now.
    fn of(reservation: &Reservation) -> Option<&'static [Self]> {
        match (reservation.mark, &reservation.phase) {
            (None, _) if !reservation.restart => Some(&[]),
            // The permit may have to wait. What the node began under one of a former generation may not be over.
            (None, Phase::Reserved) if reservation.permitted.is_none() => None,
            (None, _) => Some(&[Self::MaintenanceInProgress]),
            (_, Phase::Reserved) => Some(&[]),
            (_, Phase::Draining { .. }) => Some(&[Self::DrainInProgress]),
            (_, Phase::Drained { .. } | Phase::Withdrawing { .. } | Phase::Verifying { .. }) => {
                Some(&[Self::Drained, Self::MaintenanceInProgress])
            }
            // Until its cordon has gone.
            (_, Phase::Restoring { .. }) => None,
        }
    }

    fn message(self, generation: u64) -> String {
        let what = match self {
            Self::DrainInProgress => "drains the node",
            Self::Drained => "has drained the node",
            Self::MaintenanceInProgress => "works on the node",
        };
        format!("Pullkeeper {what} for generation {generation} of the rollout")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Written {
            #[serde(rename = "type")]
            kind: String,
            status: String,
            reason: Option<String>,
            last_transition_time: Option<String>,
            last_heartbeat_time: Option<Time>,
        }
        let mut conditions = Self::default();
        for one in Option::<Vec<Written>>::deserialize(deserializer)?.unwrap_or_default() {
            let holds = one.status == "True";
            if one.kind == "Ready" {
                conditions.ready = holds;
                conditions.heartbeat = one.last_heartbeat_time;
            }
            let kind = Kind::ALL.iter().find(|kind| kind.to_string() == one.kind);
            conditions.drain.extend(kind.map(|kind| Shown {
                kind: *kind,
                ours: one.reason.as_deref() == Some(REASON),
                holds,
                since: one.last_transition_time.unwrap_or_default(),
            }));
        }
        Ok(conditions)
    }
}

/// What is applied to the status of a node with this slot, or with none; `None` where that changes nothing. Whatever of
/// ours is not in it goes.
pub(super) fn set(
    node: &NodeObject,
    reservation: Option<&Reservation>,
    now: &Value,
) -> Option<Value> {
    let reservation = reservation.filter(|one| one.permit.uid == node.metadata.uid);
    let wanted = match reservation.map(Kind::of) {
        Some(Some(wanted)) => wanted,
        Some(None) if node.is_marked().0 || reservation.is_some_and(|one| one.mark.is_none()) => {
            return None;
        }
        Some(None) | None => &[],
    };
    let shown = &node.conditions().drain;
    let of = |kind| shown.iter().find(|one| one.kind == kind);
    let wanted = wanted
        .iter()
        .filter(|kind| of(**kind).is_none_or(|one| one.ours));
    let wanted: Vec<_> = wanted.copied().collect();
    let mut ours = shown.iter().filter(|one| one.ours);
    let missing = |kind: &Kind| !of(*kind).is_some_and(|one| one.holds);
    if !wanted.iter().any(missing) && ours.all(|one| wanted.contains(&one.kind)) {
        return None;
    }
    let metadata = json!({"name": node.metadata.name, "uid": node.metadata.uid});
    let mut applied = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata});
    if let Some(reservation) = reservation.filter(|_| !wanted.is_empty()) {
        let condition = |kind: &Kind| {
            let since = match of(*kind).filter(|one| one.holds) {
                Some(former) => json!(former.since),
                None => {
                    timestamp(since(reservation)).map_or_else(|| now.clone(), |since| json!(since))
                }
            };
            json!({
                "type": kind.to_string(),
                "status": "True",
                "reason": REASON,
                "message": kind.message(reservation.permit.generation),
                "lastHeartbeatTime": now,
                "lastTransitionTime": since,
            })
        };
        applied["status"]["conditions"] = wanted.iter().map(condition).collect();
    }
    Some(applied)
}

/// Since when what is shown for this slot is so: the permit, where that alone begins it.
fn since(reservation: &Reservation) -> Stamp {
    let permitted = reservation.permitted.filter(|_| reservation.mark.is_none());
    permitted.unwrap_or(reservation.stands().1)
}

#[cfg(test)]
mod tests;
