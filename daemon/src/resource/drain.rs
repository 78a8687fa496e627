//! How nodes are drained, in a `PullSecretRollout`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// How nodes are drained, where they are: `kubectl drain`'s words, where it has some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(!deny_unknown_fields)]
pub struct DrainSpec {
    /// How long a node may take to become empty. Then it is uncordoned, and tried again later.
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Duration,
    /// How long after the cordon pods may still come, whom a scheduler has sent that did not know of it. A node is not empty
    /// before that.
    #[schemars(schema_with = "schema::duration")]
    pub settle: Duration,
    /// For how long no pod may go on two nodes before one of them yields to the other.
    #[schemars(schema_with = "schema::duration")]
    pub patience: Duration,
    /// How long until a node is tried again whose pods did not go: this at first, then twice as long each time, up to 32 times.
    #[schemars(schema_with = "schema::duration")]
    pub retry_after: Duration,
    /// Whether pods that no controller would make anew are evicted too. Otherwise a node that has one is not drained.
    pub force: bool,
    /// Whether pods with emptyDir volumes are evicted too, and what is in them lost. Otherwise a node that has one is not drained.
    pub delete_empty_dir_data: bool,
    /// Pods that stay, besides those of DaemonSets, those that are finished, and those that kubelet has from files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selector")]
    pub skip_pods: Option<LabelSelector>,
}

impl Default for DrainSpec {
    fn default() -> Self {
        let seconds = |seconds| std::time::Duration::from_secs(seconds).into();
        Self {
            timeout: seconds(15 * 60),
            settle: seconds(10),
            patience: seconds(2 * 60),
            retry_after: seconds(5 * 60),
            force: false,
            delete_empty_dir_data: false,
            skip_pods: None,
        }
    }
}
