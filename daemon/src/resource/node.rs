//! `NodePullSecret`.

// Columns share their types; for clippy that is an attribute given twice.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use pullkeeper_core::rollout::{Revision, SecretSource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// What one node is told about pull secrets, and what its agent tells. It has the node's name, and is owned by the node.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "pullkeeper.io",
    version = "v1alpha1",
    kind = "NodePullSecret",
    shortname = "nps",
    category = "pullkeeper",
    status = "NodePullSecretStatus",
    doc = "What one node is told about pull secrets, and what its agent tells. It has the node's name, and is owned by the node.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(
        name = "Generation",
        type_ = "integer",
        json_path = ".status.report.generation"
    ),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.since"),
    printcolumn(name = "Blocked", type_ = "string", json_path = ".spec.blocked.reason"),
    printcolumn(
        name = "Agent",
        type_ = "string",
        json_path = ".status.agent.version",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        priority = 1
    )
)]
pub struct NodePullSecretSpec {
    /// `metadata.uid` of the node that this is about: one of the same name that was made anew is another one.
    #[serde(rename = "nodeUID")]
    #[schemars(length(min = 1, max = 128))]
    pub node_uid: String,
    /// Secrets whose new versions wait for a permit; none once there is no rollout any more.
    #[schemars(schema_with = "schema::paced")]
    pub sources: Vec<SecretSource>,
    /// Leave to take versions of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<NodePermit>,
    /// What keeps the node from being drained, or kept it the last time; none while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
}

/// Why a node is not drained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blocked {
    /// In one word.
    #[schemars(length(min = 1, max = 64))]
    pub reason: String,
    /// In one sentence, with the names of pods, and what to do about it.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Since when.
    #[schemars(schema_with = "schema::time")]
    pub since: Option<Time>,
}

/// Leave to take versions of Secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.serial >= oldSelf.serial",
    "message": "a permit is not replaced by an older one",
}]))]
pub struct NodePermit {
    /// For whom it is: the node's `metadata.uid`.
    #[serde(rename = "nodeUID")]
    #[schemars(length(min = 1, max = 128))]
    pub node_uid: String,
    /// The rollout's generation. 0 is none: a former permit is called back, nothing may be taken, and nothing is answered.
    pub generation: u64,
    /// No other permit has it.
    pub serial: u64,
    /// The versions.
    #[schemars(schema_with = "schema::revision")]
    pub revision: Revision,
    /// Whether credentials that are new are tried at their registries first, and none is taken when one is rejected.
    #[serde(default)]
    pub probe: bool,
    /// Whether services are restarted after files were replaced, if an entry that was there has changed or gone. Which ones, the
    /// node's own configuration says; none, if it does not.
    #[serde(default)]
    pub restart: bool,
    /// What kubelet's provider may become, by one restart of kubelet; none, if kubelet is to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub kubelet_provider: Option<String>,
}

/// How kubelet's image credential provider stands on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeletProviderStatus {
    /// What the agent's configuration asks for: the same word on nodes that are to be alike. It is in a permit that lets the agent
    /// restart kubelet.
    #[schemars(length(min = 1, max = 64))]
    pub wanted: String,
    /// In one word.
    pub state: ProviderWord,
    /// In one sentence: why it is so, and what to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
    /// What was found out of the distribution: how kubelet has further flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub profile: Option<String>,
    /// What kubelet reads its providers from, as its metric `kubelet_credential_provider_config_info` tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    pub config_hash: Option<String>,
    /// How often kubelet was restarted for it.
    #[serde(default)]
    pub restarts: u32,
}

/// How kubelet stands to what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProviderWord {
    /// It has it.
    InEffect,
    /// It would have it after a restart.
    Waiting,
    /// It was restarted for it, and has what it had before.
    Failed,
    /// Nothing can be done here: the flags belong to somebody else, or something is in the way.
    Impossible,
}

impl NodePermit {
    /// Whether it allows nothing, whatever it names: it took the place of one that was called back.
    pub fn is_void(&self) -> bool {
        self.generation == 0
    }
}

/// What the agent tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePullSecretStatus {
    /// In one word.
    pub phase: NodePhase,
    /// Why, in one word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// In one sentence: why it is so, and what to do about it.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Since when it has been so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub since: Option<Time>,
    /// The versions that there are, as the agent sees them, of all Secrets that it reads for the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::revision")]
    pub seen: Option<Revision>,
    /// What there is to say about the versions that are in use or were refused, worst first; some of it.
    #[schemars(length(max = 16))]
    pub findings: Vec<FindingSummary>,
    /// What came of the last permit that was acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<AgentReport>,
    /// How kubelet's image credential provider stands; none where the agent has nothing to do with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubelet_provider: Option<KubeletProviderStatus>,
    /// Who tells this.
    pub agent: AgentStatus,
}

/// Something that was found in a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingSummary {
    /// The configured name of the source; empty for what concerns all of them together.
    #[schemars(length(max = 253))]
    pub source: String,
    /// In one word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// `error`, `warning` or `info`.
    #[schemars(length(max = 16))]
    pub severity: String,
    /// The registry that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub registry: Option<String>,
}

/// A node in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodePhase {
    /// The agent does not know yet.
    #[default]
    Unknown,
    /// The node has what there is.
    Current,
    /// There is something newer, and no permit for it.
    Waiting,
    /// There is a permit, and the agent acts on it.
    Updating,
    /// The node does not have what it was permitted to take, or what it has is in trouble.
    Failed,
}

/// What came of a permit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    /// The permit's node.
    #[serde(rename = "nodeUID")]
    #[schemars(length(min = 1, max = 128))]
    pub node_uid: String,
    /// The permit's generation.
    pub generation: u64,
    /// The permit's serial number.
    pub serial: u64,
    /// What came of it.
    pub outcome: ReportedOutcome,
    /// Why not, where it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
    /// When services of the node were last restarted, for this permit or a former one, by the node's own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub restarted: Option<Time>,
}

/// What came of a permit, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReportedOutcome {
    /// The node has it.
    Reached,
    /// It does not.
    Failed,
}

/// Which agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AgentStatus {
    /// Its version.
    #[schemars(length(max = 64))]
    pub version: String,
}
