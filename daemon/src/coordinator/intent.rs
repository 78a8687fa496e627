//! What an administrator wants, read from the object as it is stored.
//!
//! The API server refuses most of what makes no sense. What is stored may be older than its rules, or have come by another
//! way, so everything is read once more: what cannot be read starts no node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::core::Duration as Written;
use pullkeeper_core::drain::{self, Selector};
use pullkeeper_core::rollout::{
    Canary, Drain, FailureBudget, Policy, SecretSource, Strategy, Time, Window, open_until,
};
use serde::Deserialize as _;
use serde_json::Value;
use thiserror::Error;

use super::drain::Options;
use super::objects::NodeObject;
use crate::resource::{CanarySpec, DrainSpec, PullSecretRolloutSpec, StrategyWord};

/// Longest duration that may be asked for: what is longer is a slip, and would be waited for.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// What is wanted, apart from what depends on the time and on the nodes.
#[derive(Clone, Debug)]
pub(super) struct Intent {
    spec: PullSecretRolloutSpec,
    soak: Duration,
    deadline: Duration,
    drain: Drain,
    evictions: drain::Options,
    windows: Vec<Window>,
}

/// Why it cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} {message}")]
pub(super) struct Invalid {
    /// The path of the field, such as `spec.maxParallel`.
    pub(super) field: String,
    /// What is wrong with it, and what is allowed.
    pub(super) message: String,
}

impl Invalid {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl Intent {
    /// Reads `spec`.
    pub(super) fn read(spec: &Value) -> Result<Self, Invalid> {
        let spec: PullSecretRolloutSpec =
            serde_path_to_error::deserialize(spec).map_err(|error| {
                let path = error.path().to_string();
                let field = if path == "." {
                    "spec".to_owned()
                } else {
                    format!("spec.{path}")
                };
                Invalid::new(field, format!("cannot be read: {}", error.inner()))
            })?;
        if spec.sources.is_empty() {
            return Err(Invalid::new("spec.sources", "must name a Secret"));
        }
        if spec.canary.count.is_some() && spec.canary.node_selector.is_some() {
            let message = "must have count or nodeSelector, not both";
            return Err(Invalid::new("spec.canary", message));
        }
        if spec.failure_budget.percent > 100 {
            let message = "must be at most 100";
            return Err(Invalid::new("spec.failureBudget.percent", message));
        }
        let windows = spec.windows.iter().enumerate().map(|(number, window)| {
            Window::try_from(window).map_err(|error| {
                let field = format!("spec.windows[{number}].{}", error.field());
                Invalid::new(field, error.to_string())
            })
        });
        Ok(Self {
            soak: duration("spec.soak", spec.soak, Duration::ZERO)?,
            deadline: duration(
                "spec.nodeDeadline",
                spec.node_deadline,
                Duration::from_secs(10),
            )?,
            drain: pace(&spec.drain)?,
            evictions: evictions(&spec.drain)?,
            windows: windows.collect::<Result<_, _>>()?,
            spec,
        })
    }

    /// The Secrets whose changes are rolled out.
    pub(super) fn sources(&self) -> &[SecretSource] {
        &self.spec.sources
    }

    /// Whether the first nodes try new credentials.
    pub(super) fn probes(&self) -> bool {
        self.spec.probe
    }

    /// Whether nodes are drained, or restart services.
    pub(super) fn disturbs_nodes(&self) -> bool {
        matches!(
            self.spec.strategy,
            StrategyWord::Drain | StrategyWord::Restart
        )
    }

    /// Whether nodes are drained.
    pub(super) fn drains_nodes(&self) -> bool {
        self.spec.strategy == StrategyWord::Drain
    }

    /// How nodes are drained, where they are.
    pub(super) fn drains(&self) -> Options {
        Options {
            pods: self.evictions.clone(),
            settle: self.drain.settle,
        }
    }

    /// The label that names a node's pool.
    pub(super) fn pool_label(&self) -> Option<&str> {
        self.spec.pool_label.as_deref()
    }

    /// What is wanted now, of these nodes.
    pub(super) fn policy(
        &self,
        nodes: &BTreeMap<String, Arc<NodeObject>>,
        now: Time,
    ) -> Result<Policy, Invalid> {
        let spec = &self.spec;
        Ok(Policy {
            sources: spec.sources.clone(),
            strategy: match spec.strategy {
                StrategyWord::FileOnly => Strategy::FileOnly,
                StrategyWord::Restart => Strategy::Restart,
                StrategyWord::Drain => Strategy::Drain(self.drain),
                StrategyWord::Immediate => Strategy::Immediate,
            },
            canary: canary(&spec.canary, nodes)?,
            soak: self.soak,
            slots: spec.max_parallel,
            slots_per_zone: spec.max_parallel_per_zone,
            slots_per_pool: spec.max_parallel_per_pool,
            max_unavailable: spec.max_unavailable.or(Some(spec.max_parallel)),
            provider_slots: spec.kubelet_provider.max_parallel,
            failures: FailureBudget {
                count: spec.failure_budget.count,
                percent: spec.failure_budget.percent,
            },
            deadline: self.deadline,
            paused: spec.paused,
            open: self.windows.is_empty() || open_until(&self.windows, now).is_some(),
            resumes: spec.resumes.into(),
        })
    }
}

fn canary(spec: &CanarySpec, nodes: &BTreeMap<String, Arc<NodeObject>>) -> Result<Canary, Invalid> {
    let Some(labels) = &spec.node_selector else {
        return Ok(Canary::Count(spec.count.unwrap_or(1)));
    };
    let chosen = nodes.iter().filter(|(_, node)| node.has_labels(labels));
    let names: std::collections::BTreeSet<_> = chosen.map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        // No canary at all is not what somebody wants who names some.
        let message = "selects no node; nothing starts before it does";
        return Err(Invalid::new("spec.canary.nodeSelector", message));
    }
    Ok(Canary::Nodes(names))
}

fn pace(spec: &DrainSpec) -> Result<Drain, Invalid> {
    let second = Duration::from_secs(1);
    Ok(Drain {
        settle: duration("spec.drain.settle", spec.settle, second)?,
        deadline: duration("spec.drain.timeout", spec.timeout, 10 * second)?,
        patience: duration("spec.drain.patience", spec.patience, second)?,
        backoff: duration("spec.drain.retryAfter", spec.retry_after, second)?,
    })
}

fn evictions(spec: &DrainSpec) -> Result<drain::Options, Invalid> {
    let skip = spec.skip_pods.as_ref().map(|selector| {
        let written = serde_json::to_value(selector).unwrap_or_default();
        Selector::deserialize(written).map_err(|error| {
            Invalid::new("spec.drain.skipPods", format!("cannot be read: {error}"))
        })
    });
    Ok(drain::Options {
        force: spec.force,
        delete_empty_dir_data: spec.delete_empty_dir_data,
        skip: skip.transpose()?,
    })
}

fn duration(field: &str, written: Written, least: Duration) -> Result<Duration, Invalid> {
    let duration = Duration::from(written);
    if written.is_negative() || duration < least || duration > LONGEST {
        let message = format!("must be from {} to 720h", Written::from(least));
        return Err(Invalid::new(field, message));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(changes: Value) -> Value {
        let mut spec =
            json!({"sources": [{"namespace": "openshift-config", "name": "pull-secret"}]});
        let fields = changes.as_object().unwrap().clone();
        spec.as_object_mut().unwrap().extend(fields);
        spec
    }

    #[test]
    fn little_needs_to_be_said() {
        let intent = Intent::read(&spec(json!({}))).unwrap();
        let policy = intent.policy(&BTreeMap::new(), Time(0)).unwrap();
        assert_eq!(policy.strategy, Strategy::FileOnly);
        assert_eq!(policy.canary, Canary::Count(1));
        assert_eq!(policy.soak, Duration::from_mins(5));
        assert_eq!(policy.slots, "10%".parse().unwrap());
        assert_eq!(
            policy.failures,
            FailureBudget {
                count: 2,
                percent: 10
            }
        );
        assert!(policy.open && !policy.paused);
        let drain = Intent::read(&spec(json!({"strategy": "Drain"}))).unwrap();
        let policy = drain.policy(&BTreeMap::new(), Time(0)).unwrap();
        assert!(matches!(policy.strategy, Strategy::Drain(_)));
        assert_eq!(policy.max_unavailable, Some(policy.slots));
        let restart = Intent::read(&spec(json!({"strategy": "Restart"}))).unwrap();
        let policy = restart.policy(&BTreeMap::new(), Time(0)).unwrap();
        assert_eq!(policy.strategy, Strategy::Restart);
    }

    #[test]
    fn what_makes_no_sense_names_its_field() {
        for (changes, field) in [
            (json!({"maxParallel": -1}), "spec.maxParallel"),
            (json!({"maxParallel": "150%"}), "spec.maxParallel"),
            (
                json!({"maxParallelPerZone": "abc"}),
                "spec.maxParallelPerZone",
            ),
            (json!({"strategy": "Gently"}), "spec.strategy"),
            (json!({"sources": []}), "spec.sources"),
            (json!({"sources": [{"name": "x"}]}), "spec.sources[0]"),
            (
                json!({"canary": {"count": 1, "nodeSelector": {}}}),
                "spec.canary",
            ),
            (
                json!({"failureBudget": {"percent": 101}}),
                "spec.failureBudget.percent",
            ),
            (
                json!({"failureBudget": {"count": -1}}),
                "spec.failureBudget.count",
            ),
            (json!({"soak": "-5m"}), "spec.soak"),
            (json!({"soak": "soon"}), "spec.soak"),
            (json!({"soak": "8000h"}), "spec.soak"),
            (json!({"nodeDeadline": "0s"}), "spec.nodeDeadline"),
            (json!({"maxUnavailable": "-10%"}), "spec.maxUnavailable"),
            (json!({"drain": {"timeout": "0s"}}), "spec.drain.timeout"),
            (json!({"drain": {"settle": "0s"}}), "spec.drain.settle"),
            (json!({"drain": {"patience": "-1s"}}), "spec.drain.patience"),
            (
                json!({"drain": {"retryAfter": "800h"}}),
                "spec.drain.retryAfter",
            ),
            (json!({"drain": {"force": "yes"}}), "spec.drain.force"),
            (json!({"drain": {"gently": true}}), "spec.drain.gently"),
            (
                json!({"drain": {"skipPods": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}}),
                "spec.drain.skipPods",
            ),
            (
                json!({"windows": [{"start": "25:00", "duration": "1h"}]}),
                "spec.windows[0].start",
            ),
            (
                json!({"windows": [{"start": "22:00", "duration": "0s"}]}),
                "spec.windows[0].duration",
            ),
            (
                json!({"windows": [{"start": "22:00", "duration": "1h", "timeZone": "Mars/Olympus"}]}),
                "spec.windows[0].timeZone",
            ),
            (json!({"resumes": -1}), "spec.resumes"),
            (json!({"surplus": 1}), "spec.surplus"),
        ] {
            let error = Intent::read(&spec(changes.clone())).unwrap_err();
            assert_eq!(error.field, field, "{changes}: {error}");
        }
        assert_eq!(Intent::read(&json!(null)).unwrap_err().field, "spec");
        assert_eq!(Intent::read(&json!({})).unwrap_err().field, "spec");
    }

    #[test]
    fn canaries_that_nobody_is_are_not_none() {
        let intent = Intent::read(&spec(
            json!({"canary": {"nodeSelector": {"canary": "yes"}}}),
        ))
        .unwrap();
        let node = |labels: Value| -> Arc<NodeObject> {
            let node: NodeObject =
                serde_json::from_value(json!({"metadata": {"labels": labels}})).unwrap();
            Arc::new(node)
        };
        let mut nodes = BTreeMap::from([("a".to_owned(), node(json!({})))]);
        let error = intent.policy(&nodes, Time(0)).unwrap_err();
        assert_eq!(error.field, "spec.canary.nodeSelector");
        nodes.insert("b".to_owned(), node(json!({"canary": "yes"})));
        let policy = intent.policy(&nodes, Time(0)).unwrap();
        assert_eq!(policy.canary, Canary::Nodes(["b".to_owned()].into()));
    }

    #[test]
    fn windows_open_and_close() {
        let windows = json!([{"start": "22:00", "duration": "1h"}]);
        let intent = Intent::read(&spec(json!({"windows": windows}))).unwrap();
        let open = |hour: u64| {
            intent
                .policy(&BTreeMap::new(), Time(hour * 3_600_000))
                .unwrap()
                .open
        };
        assert_eq!([21, 22, 23].map(open), [false, true, false]);
    }

    #[test]
    fn the_pages_example_can_be_followed() {
        let page =
            std::fs::read_to_string(crate::page::repository("docs/usage/rollouts.md")).unwrap();
        let example = page.split("```yaml\n").nth(1).unwrap();
        let example = example.split("```").next().unwrap();
        let rollout: Value = serde_saphyr::from_str(example).unwrap();
        assert_eq!(rollout["metadata"]["name"], crate::resource::ROLLOUT);
        let intent = Intent::read(&rollout["spec"]).unwrap();
        let policy = intent.policy(&BTreeMap::new(), Time(0)).unwrap();
        assert_eq!(policy.canary, Canary::Count(2));
        assert_eq!(intent.windows.len(), 1);
    }
}
