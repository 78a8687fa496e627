//! Pods and budgets, as far as a drain is interested in them.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use pullkeeper_core::drain::{Budget, BudgetName, Fate, Options, Phase, Pod};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::roll::Rolled;
use crate::list_watch::{Object, Query};

/// Pods read at once.
const PAGE: u32 = 500;
/// How much later than it should a pod may be gone. Clocks of other machines may differ by as much.
const LATE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    namespace: String,
    name: String,
    uid: String,
    resource_version: String,
    generation: i64,
    labels: BTreeMap<String, String>,
    annotations: Annotations,
    owner_references: Vec<Owner>,
    deletion_timestamp: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    kind: String,
    controller: bool,
}

/// A pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WrittenPod")]
pub(super) struct PodObject {
    pod: Pod,
    version: String,
    /// When it is to have ended.
    end: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenPod {
    metadata: Metadata,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    node_name: String,
    priority: Option<i64>,
    termination_grace_period_seconds: Option<i64>,
    volumes: Vec<Volume>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Volume {
    empty_dir: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    phase: String,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl PodObject {
    /// The pods of a node.
    pub(super) fn of_node(name: &str) -> Query {
        Query {
            path: "/api/v1/pods".to_owned(),
            fields: Some(format!("spec.nodeName={name}")),
            labels: None,
            page: Some(PAGE),
        }
    }

    /// The pod, as it is at this time.
    pub(super) fn pod(&self, wall: Timestamp) -> Pod {
        let late = self.end.map(|end| wall.duration_since(end));
        let late = late.and_then(|late| Duration::try_from(late).ok());
        Pod {
            overdue: late.is_some_and(|late| late > LATE),
            ..self.pod.clone()
        }
    }

    /// Whether it is no matter of a drain.
    pub(super) fn stays(&self, options: &Options) -> bool {
        self.pod.fate(options) == Fate::Stays
    }
}

impl From<WrittenPod> for PodObject {
    fn from(written: WrittenPod) -> Self {
        let WrittenPod {
            metadata,
            spec,
            status,
        } = written;
        let mut owners = metadata.owner_references.into_iter();
        let ready = |one: &Condition| one.kind == "Ready" && one.status == "True";
        let deletion = metadata.deletion_timestamp;
        let pod = Pod {
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            node: spec.node_name,
            labels: metadata.labels,
            mirror: metadata.annotations.mirror.is_some(),
            controller: owners
                .find(|owner| owner.controller)
                .map(|owner| owner.kind),
            phase: match &*status.phase {
                "Pending" => Phase::Pending,
                "Succeeded" | "Failed" => Phase::Finished,
                _ => Phase::Running,
            },
            ready: status.conditions.iter().any(ready),
            terminating: deletion.is_some(),
            overdue: false,
            priority: spec.priority.unwrap_or(0),
            empty_dir: spec.volumes.iter().any(|one| one.empty_dir.is_some()),
            grace: spec.termination_grace_period_seconds,
        };
        Self {
            pod,
            version: metadata.resource_version,
            // That of the end of the grace period.
            end: deletion.and_then(|end| end.parse().ok()),
        }
    }
}

impl Object for PodObject {
    fn resource_version(&self) -> &str {
        &self.version
    }
}

impl Rolled for PodObject {
    fn uid(&self) -> &str {
        &self.pod.uid
    }
}

/// A budget.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WrittenBudget")]
pub(super) struct BudgetObject {
    uid: String,
    pub(super) budget: Budget,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenBudget {
    metadata: Metadata,
    spec: BudgetSpec,
    status: BudgetStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BudgetSpec {
    selector: Value,
    unhealthy_pod_eviction_policy: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BudgetStatus {
    observed_generation: i64,
    disruptions_allowed: i64,
    current_healthy: i64,
    desired_healthy: i64,
}

impl From<WrittenBudget> for BudgetObject {
    fn from(written: WrittenBudget) -> Self {
        let WrittenBudget {
            metadata,
            spec,
            status,
        } = written;
        let policy = spec.unhealthy_pod_eviction_policy.as_deref();
        Self {
            uid: metadata.uid,
            budget: Budget {
                name: BudgetName {
                    namespace: metadata.namespace,
                    name: metadata.name,
                },
                selector: serde_json::from_value(spec.selector).map_err(|error| error.to_string()),
                generation: metadata.generation,
                observed_generation: status.observed_generation,
                disruptions_allowed: status.disruptions_allowed,
                current_healthy: status.current_healthy,
                desired_healthy: status.desired_healthy,
                always_allow_unhealthy: policy == Some("AlwaysAllow"),
                version: metadata.resource_version,
            },
        }
    }
}

impl BudgetObject {
    /// All budgets that there are.
    pub(super) fn all() -> Query {
        Query {
            path: "/apis/policy/v1/poddisruptionbudgets".to_owned(),
            fields: None,
            labels: None,
            page: Some(PAGE),
        }
    }
}

impl Object for BudgetObject {
    fn resource_version(&self) -> &str {
        &self.budget.version
    }
}

impl Rolled for BudgetObject {
    fn uid(&self) -> &str {
        &self.uid
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_read_as_kubernetes_writes_it() {
        let object: PodObject = serde_json::from_value(json!({
            "metadata": {
                "namespace": "web", "name": "front-1", "uid": "u", "resourceVersion": "7",
                "labels": {"app": "front"},
                "ownerReferences": [
                    {"kind": "Other", "name": "x"},
                    {"kind": "ReplicaSet", "name": "front", "controller": true},
                ],
                "deletionTimestamp": "2026-01-01T00:00:30Z",
            },
            "spec": {
                "nodeName": "n1", "priority": 2_000_000_000, "terminationGracePeriodSeconds": 30,
                "volumes": [{"name": "a", "configMap": {}}, {"name": "b", "emptyDir": {}}],
            },
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        let at = |text: &str| object.pod(text.parse().unwrap());
        let pod = at("2026-01-01T00:01:00Z");
        assert_eq!(pod.controller.as_deref(), Some("ReplicaSet"));
        assert!(pod.ready && pod.terminating && pod.empty_dir && !pod.mirror && !pod.overdue);
        assert_eq!((pod.priority, pod.grace), (2_000_000_000, Some(30)));
        assert_eq!((&*pod.node, &*pod.labels["app"]), ("n1", "front"));
        assert!(at("2026-01-01T00:02:00Z").overdue);
        let bare: PodObject = serde_json::from_value(json!({
            "metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}},
            "spec": {"priority": null},
            "status": {"phase": "Failed"},
        }))
        .unwrap();
        let bare = bare.pod(Timestamp::UNIX_EPOCH);
        assert!(bare.mirror && bare.phase == Phase::Finished && bare.controller.is_none());
    }

    #[test]
    fn a_budget_that_makes_no_sense_is_one_all_the_same() {
        let read = |spec: Value| -> Budget {
            let written = json!({
                "metadata": {"namespace": "web", "name": "front", "uid": "u", "generation": 3},
                "spec": spec,
                "status": {"observedGeneration": 2, "disruptionsAllowed": 1},
            });
            serde_json::from_value::<BudgetObject>(written)
                .unwrap()
                .budget
        };
        let budget = read(json!({"selector": {}, "unhealthyPodEvictionPolicy": "AlwaysAllow"}));
        assert!(budget.always_allow_unhealthy && budget.selector == Ok(Some(<_>::default())));
        assert_eq!((budget.generation, budget.observed_generation), (3, 2));
        assert_eq!(read(json!({})).selector, Ok(None));
        let odd = json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]});
        let error = read(json!({"selector": odd})).selector.unwrap_err();
        assert!(error.contains("Gt"), "{error}");
    }
}
