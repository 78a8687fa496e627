//! `PullSecretRollout`.

// Columns share their types; for clippy that is an attribute given twice.
#![allow(clippy::duplicated_attributes)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use kube::core::Duration;
use pullkeeper_core::rollout::{Limit, Revision, SecretSource, WindowSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::drain::DrainSpec;
use super::schema;

/// How a change of a pull secret reaches the nodes, and how far it is.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(!deny_unknown_fields)]
#[kube(
    group = "pullkeeper.io",
    version = "v1alpha1",
    kind = "PullSecretRollout",
    shortname = "psr",
    category = "pullkeeper",
    status = "PullSecretRolloutStatus",
    doc = "How a change of a pull secret reaches the nodes, and how far it is. There is one, named cluster.",
    validation = Rule::new("self.metadata.name == 'cluster'").message("there is one rollout, named cluster"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Generation", type_ = "integer", json_path = ".status.generation"),
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes.total"),
    printcolumn(name = "Updated", type_ = "integer", json_path = ".status.nodes.updated"),
    printcolumn(name = "Updating", type_ = "integer", json_path = ".status.nodes.updating"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.nodes.failed"),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.since"),
    printcolumn(name = "Strategy", type_ = "string", json_path = ".spec.strategy", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
pub struct PullSecretRolloutSpec {
    /// Secrets whose changes are rolled out. Agents take all others as soon as they see them.
    #[schemars(schema_with = "schema::sources")]
    pub sources: Vec<SecretSource>,
    /// What is done on a node. `FileOnly`: its files are replaced, in stages. `Restart`: the same, and agents restart the services
    /// that their own configuration names. `Drain`: the same, on nodes that are cordoned and empty. `Immediate`: its files are replaced, everywhere at once, for a credential that has leaked.
    #[serde(default)]
    pub strategy: StrategyWord,
    /// Who goes first.
    #[serde(default)]
    pub canary: CanarySpec,
    /// Whether the first nodes try new credentials at their registries before they take them. One that is rejected fails the node.
    #[serde(default = "yes")]
    pub probe: bool,
    /// How long nothing else happens after all of the first nodes succeeded.
    #[serde(default = "minutes::<5>")]
    #[schemars(schema_with = "schema::duration")]
    pub soak: Duration,
    /// Nodes at work at the same time: a number, or a percentage of all nodes (rounded down, one at least).
    #[serde(default = "ten_percent")]
    #[schemars(schema_with = "schema::limit")]
    pub max_parallel: Limit,
    /// Of those, how many of one zone (`topology.kubernetes.io/zone`); a percentage is one of the zone's nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_limit")]
    pub max_parallel_per_zone: Option<Limit>,
    /// Of those, how many of one pool (see `poolLabel`); a percentage is one of the pool's nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_limit")]
    pub max_parallel_per_pool: Option<Limit>,
    /// The label of a node that names its pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub pool_label: Option<String>,
    /// Nodes that may be unavailable at the same time where nodes are drained or services restarted, whoever is the reason:
    /// not ready, cordoned, or at work. As many as `maxParallel` if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_limit")]
    pub max_unavailable: Option<Limit>,
    /// How kubelets get the credential helper as their image credential provider, where agents ask for that.
    #[serde(default)]
    pub kubelet_provider: KubeletProviderSpec,
    /// How nodes are drained, where they are.
    #[serde(default)]
    pub drain: DrainSpec,
    /// How many nodes may fail. One more halts the rollout; one of the first nodes does so at once.
    #[serde(default)]
    pub failure_budget: FailureBudgetSpec,
    /// How long a node may take before it counts as failed.
    #[serde(default = "minutes::<10>")]
    #[schemars(schema_with = "schema::duration")]
    pub node_deadline: Duration,
    /// When nodes may start; none are always. Nodes at work when a window ends go on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::windows")]
    pub windows: Vec<WindowSpec>,
    /// No further node starts. Those at work go on.
    #[serde(default)]
    pub paused: bool,
    /// Raise it to go on after a halt.
    #[serde(default)]
    #[schemars(range(max = 1_000_000))]
    pub resumes: u32,
}

/// What is done on a node, and how carefully.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StrategyWord {
    /// Canary, soak, then waves within the limits.
    #[default]
    FileOnly,
    /// The same, and services of the node are restarted.
    Restart,
    /// The same, on nodes that are cordoned and empty.
    Drain,
    /// Everywhere at once: limits, canary, windows and failures hold nothing up.
    Immediate,
}

/// The nodes that go first: a number of them, or those that have labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(
    !deny_unknown_fields,
    extend("x-kubernetes-validations" = [{
        "rule": "!(has(self.count) && has(self.nodeSelector))",
        "message": "set count or nodeSelector, not both",
    }])
)]
pub struct CanarySpec {
    /// So many of those that are ready, control-plane nodes last. Without `nodeSelector` 1; 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1000))]
    pub count: Option<u32>,
    /// Nodes that have all of these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,
}

impl Default for CanarySpec {
    fn default() -> Self {
        Self {
            count: Some(1),
            node_selector: None,
        }
    }
}

/// How kubelets are restarted for their provider: one before all others; they follow after `soak`. One that fails halts this until
/// somebody raises `resumes`, and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(!deny_unknown_fields)]
pub struct KubeletProviderSpec {
    /// Of the nodes at work, how many at the same time: a number, or a percentage of all nodes.
    #[serde(default = "one")]
    #[schemars(schema_with = "schema::limit")]
    pub max_parallel: Limit,
}

impl Default for KubeletProviderSpec {
    fn default() -> Self {
        Self {
            max_parallel: one(),
        }
    }
}

fn one() -> Limit {
    Limit::Count(1)
}

/// How many nodes may fail; the smaller of the two counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(!deny_unknown_fields)]
pub struct FailureBudgetSpec {
    /// So many.
    #[serde(default = "two")]
    #[schemars(range(max = 100_000))]
    pub count: u32,
    /// Of every hundred nodes.
    #[serde(default = "ten")]
    #[schemars(range(max = 100))]
    pub percent: u8,
}

impl Default for FailureBudgetSpec {
    fn default() -> Self {
        Self {
            count: two(),
            percent: ten(),
        }
    }
}

fn yes() -> bool {
    true
}

fn two() -> u32 {
    2
}

fn ten() -> u8 {
    10
}

fn ten_percent() -> Limit {
    Limit::Percent(10)
}

fn minutes<const MINUTES: u64>() -> Duration {
    std::time::Duration::from_mins(MINUTES).into()
}

/// How far the rollout is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PullSecretRolloutStatus {
    /// The generation of the object that was looked at.
    pub observed_generation: i64,
    /// In one word.
    pub phase: Phase,
    /// In one sentence: why it is so, and what to do about it.
    pub message: String,
    /// Since when it has been in this phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub since: Option<Time>,
    /// Counts what was rolled out.
    pub generation: u64,
    /// Which versions of the Secrets are.
    #[schemars(schema_with = "schema::revision")]
    pub revision: Revision,
    /// How many nodes are how far.
    pub nodes: Counts,
    /// Nodes that have a slot, some of them, and how far they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub at_work: Vec<NodeAtWork>,
    /// Nodes that were not drained and are tried again later, some of them. `spec.blocked` of their NodePullSecret says more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub parked: Vec<ParkedNode>,
    /// Why no further node starts until somebody resumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halt: Option<HaltStatus>,
    /// How far kubelet's provider is; none where no agent asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubelet_provider: Option<ProviderProgress>,
    /// What became of former generations, newest first.
    #[schemars(length(max = 10))]
    pub history: Vec<PastGeneration>,
    /// `Accepted`, `Progressing`, `Degraded`.
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// What has been promised to which node. Coordinators compete on it; nobody else is to change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::ledger")]
    pub ledger: Option<serde_json::Value>,
}

/// A rollout in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Not enough agents have said which versions of the Secrets they see.
    #[default]
    Unknown,
    /// The object cannot be followed; nothing starts.
    Invalid,
    /// The first nodes are at work.
    Canary,
    /// Harm is given time to show.
    Soaking,
    /// All others follow, within the limits.
    Waves,
    /// Nodes would follow, and wait for something outside: a window, or to be ready.
    Waiting,
    /// Somebody has paused it.
    Paused,
    /// It does harm, and waits until somebody resumes it.
    Halted,
    /// Every node has it.
    Complete,
}

/// How many nodes are how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Counts {
    /// All.
    pub total: u32,
    /// Those that have it.
    pub updated: u32,
    /// Those at work.
    pub updating: u32,
    /// Those that failed since it began or was resumed.
    pub failed: u32,
    /// Those that were not drained, and are tried again later.
    pub parked: u32,
    /// The rest.
    pub waiting: u32,
}

/// How far kubelet's provider is on all nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderProgress {
    /// What most agents ask for.
    pub wanted: String,
    /// Nodes whose kubelet has it.
    pub in_effect: u32,
    /// Nodes whose kubelet would have it after a restart.
    pub waiting: u32,
    /// Nodes whose kubelet was restarted for it, and has what it had before.
    pub failed: u32,
    /// Nodes where nothing can be done.
    pub impossible: u32,
    /// In one sentence: why no further kubelet is restarted until somebody raises `resumes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halt: Option<String>,
}

/// A node that has a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeAtWork {
    /// Which one.
    pub node: String,
    /// `Reserved`; `Verifying` where services are restarted or it is drained; where it is drained also `Draining`, `Drained`,
    /// `Withdrawing`, `Restoring`.
    pub phase: String,
    /// Since when.
    #[schemars(schema_with = "schema::time")]
    pub since: Option<Time>,
}

/// A node that was not drained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ParkedNode {
    /// Which one.
    pub node: String,
    /// `Blocked`: its pods would not go, so it was not touched. `Overdue`: they did not go in time. `Stuck`: they waited for
    /// another node's. `TakenOver`: somebody uncordoned it.
    pub reason: String,
    /// Since when.
    #[schemars(schema_with = "schema::time")]
    pub since: Option<Time>,
    /// How often it was tried.
    pub times: u32,
}

/// What became of a generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PastGeneration {
    /// Which one.
    pub generation: u64,
    /// The phase in which the next one found it.
    pub phase: Phase,
    /// Since when it was in that phase.
    #[schemars(schema_with = "schema::time")]
    pub since: Option<Time>,
    /// How many nodes were how far.
    pub nodes: Counts,
}

/// Why no further node starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HaltStatus {
    /// `CanaryFailed` or `FailureBudgetSpent`.
    pub reason: String,
    /// Since when.
    #[schemars(schema_with = "schema::time")]
    pub since: Option<Time>,
    /// Which nodes failed, some of them.
    #[schemars(length(max = 10))]
    pub nodes: Vec<String>,
}
