//! The objects of the API server, as far as a coordinator is interested.

use std::collections::BTreeMap;

use k8s_openapi::Resource as _;
use k8s_openapi::api::core::v1::Node as KubeNode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as Written;
use kube::Resource as _;
use pullkeeper_core::rollout::{
    Cordon, Node, Outcome, Permit, Provider, ProviderState, Record, Report, Revision, SecretSource,
    Time,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::condition::Conditions;
use super::cordon;
use crate::list_watch::{Object, Query};
use crate::resource::{
    Blocked, NodePullSecret, ProviderWord, PullSecretRollout, ROLLOUT, ReportedOutcome,
};

/// Nodes and records read at once.
const PAGE: u32 = 500;

/// What all objects have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) generation: i64,
    labels: BTreeMap<String, String>,
    annotations: Annotations,
    /// Whether we were the last to set the flag that keeps pods off a node.
    #[serde(rename = "managedFields", deserialize_with = "cordon::owns_flag")]
    owns_flag: bool,
    deletion_timestamp: Option<String>,
}

/// Those annotations that say whose a node's cordon is, or that it is to be left alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "pullkeeper.io/hold")]
    hold: Option<String>,
    #[serde(rename = "pullkeeper.io/cordon")]
    mark: Option<String>,
    #[serde(rename = "pullkeeper.io/cordon-prior")]
    prior: Option<String>,
    /// What the Machine Config Operator's daemon does on the node.
    #[serde(rename = "machineconfiguration.openshift.io/state")]
    machine_config: Option<String>,
    /// What is on the node, and what it wants to be there.
    #[serde(rename = "machineconfiguration.openshift.io/currentConfig")]
    current_config: Option<String>,
    #[serde(rename = "machineconfiguration.openshift.io/desiredConfig")]
    desired_config: Option<String>,
}

/// A node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeObject {
    pub(super) metadata: Metadata,
    spec: NodeSpec,
    status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    unschedulable: bool,
    taints: Vec<Taint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Taint {
    key: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    conditions: Conditions,
}

/// A node's record. What an agent writes is read with care: what makes no sense is as good as not written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RecordObject {
    pub(super) metadata: Metadata,
    pub(super) spec: RecordSpec,
    status: Lenient<RecordStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RecordSpec {
    #[serde(rename = "nodeUID")]
    pub(super) node_uid: String,
    pub(super) sources: Vec<SecretSource>,
    permit: Option<GivenPermit>,
    pub(super) blocked: Option<Blocked>,
}

#[derive(Clone, Debug, Deserialize)]
struct GivenPermit {
    #[serde(rename = "nodeUID")]
    node_uid: String,
    generation: u64,
    serial: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RecordStatus {
    seen: Option<Revision>,
    report: Option<GivenReport>,
    #[serde(rename = "kubeletProvider")]
    provider: Lenient<Option<GivenProvider>>,
}

#[derive(Clone, Debug, Deserialize)]
struct GivenProvider {
    wanted: String,
    state: ProviderWord,
}

#[derive(Clone, Debug, Deserialize)]
struct GivenReport {
    #[serde(flatten)]
    permit: GivenPermit,
    outcome: ReportedOutcome,
    #[serde(default)]
    message: String,
    #[serde(default)]
    restarted: Option<Written>,
}

/// The default, where what is written cannot be read.
#[derive(Clone, Debug, Default)]
struct Lenient<T>(T);

impl<'de, T: Default + for<'a> Deserialize<'a>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Self(T::deserialize(value).unwrap_or_default()))
    }
}

/// The rollout, as it is stored, whatever that is.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct RolloutObject {
    #[serde(skip_serializing)]
    pub(super) metadata: Metadata,
    pub(super) spec: Value,
    pub(super) status: Value,
}

/// An object that is one of many.
pub(super) trait Listed: Object {
    fn metadata(&self) -> &Metadata;
    /// All of the kind.
    fn all() -> Query;
}

macro_rules! listed {
    ($($object:ty: $path:expr, $fields:expr, $page:expr;)+) => {$(
        impl Object for $object {
            fn resource_version(&self) -> &str {
                &self.metadata.resource_version
            }
        }

        impl Listed for $object {
            fn metadata(&self) -> &Metadata {
                &self.metadata
            }

            fn all() -> Query {
                Query { path: $path, fields: $fields, labels: None, page: $page }
            }
        }
    )+};
}

listed! {
    NodeObject: format!("/api/v1/{}", KubeNode::URL_PATH_SEGMENT), None, Some(PAGE);
    RecordObject: NodePullSecret::url_path(&(), None), None, Some(PAGE);
    RolloutObject: PullSecretRollout::url_path(&(), None), Some(format!("metadata.name={ROLLOUT}")), None;
}

impl NodeObject {
    /// Whether it has all of these labels.
    pub(super) fn has_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        labels
            .iter()
            .all(|(key, value)| self.metadata.labels.get(key) == Some(value))
    }

    pub(super) fn labels(&self) -> &BTreeMap<String, String> {
        &self.metadata.labels
    }

    /// The node with its record.
    pub(super) fn node(&self, record: Option<&RecordObject>, pool_label: Option<&str>) -> Node {
        let labels = &self.metadata.labels;
        let control_plane = ["control-plane", "master"]
            .iter()
            .any(|role| labels.contains_key(&format!("node-role.kubernetes.io/{role}")));
        Node {
            uid: self.metadata.uid.clone(),
            zone: labels.get("topology.kubernetes.io/zone").cloned(),
            pool: pool_label.and_then(|label| labels.get(label)).cloned(),
            managed: None,
            control_plane,
            ready: self.status.conditions.ready,
            heartbeat: self.status.conditions.heartbeat.as_ref().map(time),
            held: self.is_held(),
            current: false,
            cordon: self.cordon(),
            drain: None,
            record: record
                .filter(|record| record.spec.node_uid == self.metadata.uid)
                .map(RecordObject::record),
        }
    }

    /// Who keeps pods off it.
    pub(super) fn cordon(&self) -> Cordon {
        let Annotations { mark, prior, .. } = &self.metadata.annotations;
        let (uid, owned) = (&self.metadata.uid, self.metadata.owns_flag);
        let unschedulable = self.spec.unschedulable;
        cordon::read(uid, unschedulable, owned, mark.as_deref(), prior.as_deref())
    }

    /// Whether it has our mark, whatever became of the flag, and whether it is to stay cordoned without it.
    pub(super) fn is_marked(&self) -> (bool, bool) {
        let Annotations { mark, prior, .. } = &self.metadata.annotations;
        (mark.is_some(), prior.is_some())
    }

    /// Those conditions that count here.
    pub(super) fn conditions(&self) -> &Conditions {
        &self.status.conditions
    }

    /// Whether it has this UID, and is cordoned by us for the reservation with this mark.
    pub(super) fn is_cordoned_for(&self, uid: &str, serial: u64) -> bool {
        matches!(self.cordon(), Cordon::Ours(mark) if mark.uid == uid && mark.serial == serial)
    }

    /// Whether somebody has said that it is to be left alone, or somebody else is at work on it.
    fn is_held(&self) -> bool {
        let Annotations {
            hold,
            machine_config,
            current_config,
            desired_config,
            ..
        } = &self.metadata.annotations;
        let leaving = |taint: &Taint| {
            matches!(
                &*taint.key,
                "ToBeDeletedByClusterAutoscaler" | "karpenter.sh/disrupted" | "medik8s.io/drain"
            )
        };
        hold.as_deref().is_some_and(|hold| hold != "false")
            || machine_config
                .as_deref()
                .is_some_and(|state| state != "Done")
            || current_config != desired_config
            || self.status.conditions.is_maintained()
            || self.metadata.deletion_timestamp.is_some()
            || self.spec.taints.iter().any(leaving)
    }
}

impl RecordObject {
    fn record(&self) -> Record {
        let RecordStatus {
            seen,
            report,
            provider,
        } = &self.status.0;
        Record {
            permit: self.spec.permit.as_ref().map(GivenPermit::permit),
            seen: seen.clone(),
            report: report.as_ref().map(|report| Report {
                permit: report.permit.permit(),
                outcome: match report.outcome {
                    ReportedOutcome::Reached => Outcome::Reached,
                    ReportedOutcome::Failed => Outcome::Failed(clipped(&report.message)),
                },
                restarted: report.restarted.as_ref().map(time),
            }),
            provider: provider.0.as_ref().map(|provider| Provider {
                wanted: provider.wanted.clone(),
                state: match provider.state {
                    ProviderWord::InEffect => ProviderState::InEffect,
                    ProviderWord::Waiting => ProviderState::Waiting,
                    ProviderWord::Failed => ProviderState::Failed,
                    ProviderWord::Impossible => ProviderState::Impossible,
                },
            }),
        }
    }
}

impl GivenPermit {
    fn permit(&self) -> Permit {
        Permit {
            uid: self.node_uid.clone(),
            generation: self.generation,
            serial: self.serial,
        }
    }
}

fn time(written: &Written) -> Time {
    Time(written.0.as_millisecond().try_into().unwrap_or_default())
}

/// What a stranger writes, in a form and length that can be shown.
fn clipped(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(200).collect()
}

#[cfg(test)]
mod tests;
