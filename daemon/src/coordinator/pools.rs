//! Groups of nodes that the Machine Config Operator manages as well: it drains and restarts their nodes too, so that a limit of
//! unavailable nodes holds for both together.

use std::collections::BTreeMap;
use std::sync::Arc;

use pullkeeper_core::drain::Selector;
use pullkeeper_core::rollout::{Limit, Pool};
use serde::Deserialize;
use serde_json::Value;

use super::objects::{Listed, Metadata, NodeObject};
use crate::list_watch::{Object, Query};

/// The operator's own default (MachineConfigPool, `spec.maxUnavailable`).
const MAX_UNAVAILABLE: Limit = Limit::Count(1);

/// A `MachineConfigPool`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PoolObject {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    paused: bool,
    max_unavailable: Value,
    node_selector: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl Object for PoolObject {
    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Listed for PoolObject {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn all() -> Query {
        Query {
            path: "/apis/machineconfiguration.openshift.io/v1/machineconfigpools".to_owned(),
            fields: None,
            labels: None,
            page: None,
        }
    }
}

/// All pools, by name.
pub(super) struct Pools<'p> {
    pools: Vec<(&'p str, Option<Selector>, Pool)>,
}

impl<'p> Pools<'p> {
    pub(super) fn of(objects: &'p BTreeMap<String, Arc<PoolObject>>) -> Self {
        let pools = objects.iter().map(|(name, object)| {
            // One that cannot be read selects nobody; the operator does not follow it either.
            let selector = Selector::deserialize(&object.spec.node_selector).ok();
            (&**name, selector, object.pool())
        });
        Self {
            pools: pools.collect(),
        }
    }

    /// By name, as the decision has them.
    pub(super) fn all(&self) -> BTreeMap<String, Pool> {
        let pools = self.pools.iter();
        pools
            .map(|(name, _, pool)| ((*name).to_owned(), *pool))
            .collect()
    }

    /// Whose the node is: the control plane's, or else that of a pool somebody has made, or else `worker`'s.
    pub(super) fn of_node(&self, node: &NodeObject) -> Option<&'p str> {
        let selects = |selector: &Option<Selector>| {
            let selector = selector.as_ref();
            selector.is_some_and(|selector| selector.selects(node.labels()))
        };
        let mine = self
            .pools
            .iter()
            .filter(|(_, selector, _)| selects(selector));
        let names = mine.map(|(name, ..)| *name);
        names.min_by_key(|name| match *name {
            "master" => 0,
            "worker" => 2,
            _ => 1,
        })
    }
}

impl PoolObject {
    fn pool(&self) -> Pool {
        let mut conditions = self.status.conditions.iter();
        let updating = conditions.any(|one| one.kind == "Updating" && one.status == "True");
        let limit = match &self.spec.max_unavailable {
            Value::Null => MAX_UNAVAILABLE,
            // What cannot be read allows nothing.
            written => Limit::deserialize(written).unwrap_or(Limit::Count(0)),
        };
        Pool {
            busy: updating || self.spec.paused,
            max_unavailable: Some(limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pools(written: &Value) -> BTreeMap<String, Arc<PoolObject>> {
        let objects: Vec<PoolObject> = serde_json::from_value(written.clone()).unwrap();
        let named = objects
            .into_iter()
            .map(|object| (object.metadata.name.clone(), Arc::new(object)));
        named.collect()
    }

    fn pool(name: &str, spec: &Value, updating: &str) -> Value {
        json!({
            "metadata": {"name": name},
            "spec": spec,
            "status": {"conditions": [
                {"type": "Updated", "status": "True"}, {"type": "Updating", "status": updating},
            ]},
        })
    }

    fn node(roles: &[&str]) -> NodeObject {
        let labels: BTreeMap<_, _> = roles
            .iter()
            .map(|role| (format!("node-role.kubernetes.io/{role}"), ""))
            .collect();
        serde_json::from_value(json!({"metadata": {"labels": labels}})).unwrap()
    }

    fn of_role(role: &str) -> Value {
        json!({"matchLabels": {format!("node-role.kubernetes.io/{role}"): ""}})
    }

    #[test]
    fn a_node_belongs_to_the_pool_that_the_operator_takes_it_for() {
        let objects = pools(&json!([
            pool("infra", &json!({"nodeSelector": of_role("infra")}), "False"),
            pool(
                "master",
                &json!({"nodeSelector": of_role("master")}),
                "False"
            ),
            pool(
                "worker",
                &json!({"nodeSelector": of_role("worker")}),
                "False"
            ),
            pool("odd", &json!({}), "False"),
        ]));
        let pools = Pools::of(&objects);
        for (roles, name) in [
            (&["worker"][..], Some("worker")),
            (&["infra", "worker"], Some("infra")),
            (&["master", "worker"], Some("master")),
            (&[], None),
        ] {
            assert_eq!(pools.of_node(&node(roles)), name, "{roles:?}");
        }
    }

    #[test]
    fn a_pool_that_is_paused_or_updated_is_busy_and_its_limit_is_shared() {
        let objects = pools(&json!([
            pool("a", &json!({}), "False"),
            pool("b", &json!({"paused": true, "maxUnavailable": 3}), "False"),
            pool("c", &json!({"maxUnavailable": "10%"}), "True"),
            pool("d", &json!({"maxUnavailable": "some"}), "Unknown"),
        ]));
        let pools = Pools::of(&objects).all();
        let of = |name: &str| (pools[name].busy, pools[name].max_unavailable.unwrap());
        assert_eq!(of("a"), (false, Limit::Count(1)));
        assert_eq!(of("b"), (true, Limit::Count(3)));
        assert_eq!(of("c"), (true, Limit::Percent(10)));
        assert_eq!(of("d"), (false, Limit::Count(0)));
    }
}
