//! One node with the tokens of an agent and of a coordinator.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::cluster::{Api, Cluster};
use support::deploy::{self, AGENT, COORDINATOR, NAMESPACE, RECORDS, SECRET_NAMESPACE};
use support::eventually;
use support::http::{Answer, Method, StatusCode};

/// The names of the policies in `deploy/base/coordinator/policies/`.
pub(super) const AGENT_POLICY: &str = "pullkeeper-agent";
pub(super) const RECORDS_POLICY: &str = "pullkeeper-coordinator-records";
pub(super) const NODES_POLICY: &str = "pullkeeper-coordinator-nodes";
pub(super) const EVICTIONS_POLICY: &str = "pullkeeper-coordinator-evictions";

pub(super) const MARK: &str = "pullkeeper.io/cordon";
pub(super) const PRIOR: &str = "pullkeeper.io/cordon-prior";

pub(super) struct Scene<'c> {
    pub(super) cluster: &'c Cluster,
    /// The node's name and UID.
    pub(super) node: String,
    pub(super) uid: String,
    /// With the token of a pod on the node.
    pub(super) agent: Api,
    pub(super) coordinator: Api,
    pub(super) admin: Api,
}

impl Scene<'static> {
    pub(super) async fn new(name: &str) -> Result<Self> {
        Self::on(Cluster::shared().await?, name).await
    }
}

impl<'c> Scene<'c> {
    pub(super) async fn on(cluster: &'c Cluster, name: &str) -> Result<Self> {
        deploy::install(cluster).await?;
        let object = cluster.node_object(name).await?;
        let node = text(&object, "/metadata/name")?;
        let pod = cluster.pod_object(NAMESPACE, AGENT, &node).await?;
        let agent = cluster.api(&cluster.pod_identity(&pod).await?)?;
        let pod = cluster.pod_object(NAMESPACE, COORDINATOR, &node).await?;
        let coordinator = cluster.api(&cluster.pod_identity(&pod).await?)?;
        Ok(Self {
            cluster,
            uid: text(&object, "/metadata/uid")?,
            node,
            agent,
            coordinator,
            admin: cluster.api(cluster.admin())?,
        })
    }

    /// The path of the Node.
    pub(super) fn node_path(&self) -> String {
        format!("/api/v1/nodes/{}", self.node)
    }

    /// The path of the node's record.
    pub(super) fn record_path(&self) -> String {
        format!("{RECORDS}/{}", self.node)
    }

    /// The path of the record's status.
    pub(super) fn status_path(&self) -> String {
        format!("{}/status", self.record_path())
    }

    /// The node's record as a coordinator makes it.
    pub(super) fn record(&self) -> Value {
        json!({
            "apiVersion": "pullkeeper.io/v1alpha1", "kind": "NodePullSecret",
            "metadata": { "name": self.node, "ownerReferences": [self.owner()] },
            "spec": {
                "nodeUID": self.uid,
                "sources": [{ "namespace": SECRET_NAMESPACE, "name": "pull-secret" }],
            },
        })
    }

    /// The Node as owner.
    pub(super) fn owner(&self) -> Value {
        json!({ "apiVersion": "v1", "kind": "Node", "name": self.node, "uid": self.uid })
    }

    /// Makes the record, with the coordinator's token.
    pub(super) async fn make_record(&self) -> Result<()> {
        self.coordinator.create(RECORDS, &self.record()).await?;
        Ok(())
    }

    /// A mark that names this node.
    pub(super) fn mark(&self) -> String {
        json!({ "generation": 1, "nodeUID": self.uid }).to_string()
    }

    /// Applies this flag and these annotations to the Node with the coordinator's token, on what is there now. The answer
    /// is any but a conflict: controllers write to nodes too.
    pub(super) async fn apply_node(&self, spec: Value, annotations: Value) -> Result<Answer> {
        eventually("nobody wrote in between", async || {
            let node = self.admin.get(&self.node_path()).await?;
            let body = json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {
                    "name": self.node, "uid": self.uid, "annotations": annotations,
                    "resourceVersion": node["metadata"]["resourceVersion"],
                },
                "spec": spec,
            });
            let answer = self
                .coordinator
                .apply(&self.node_path(), &body, COORDINATOR)
                .await?;
            ensure!(answer.status != StatusCode::CONFLICT, "{}", answer.text());
            Ok(answer)
        })
        .await
    }

    /// Cordons or uncordons as kubectl does.
    pub(super) async fn administrator_sets(&self, unschedulable: bool) -> Result<()> {
        let flag = json!({ "spec": { "unschedulable": unschedulable } });
        self.admin.merge(&self.node_path(), &flag).await?;
        Ok(())
    }

    /// Whether the node is cordoned, and its mark.
    pub(super) async fn cordon(&self) -> Result<(bool, Option<String>)> {
        let node = self.admin.get(&self.node_path()).await?;
        let mark = node["metadata"]["annotations"][MARK].as_str();
        let flag = node["spec"]["unschedulable"].as_bool();
        Ok((flag.unwrap_or(false), mark.map(str::to_owned)))
    }
}

/// Asserts that a policy refuses a patch, and says why.
pub(super) async fn policy_refuses(
    policy: &str,
    why: &str,
    api: &Api,
    path: &str,
    patch: &Value,
) -> Result<()> {
    let answer = api.request(Method::PATCH, path, Some(patch)).await?;
    refused_because(policy, why, &answer).with_context(|| format!("PATCH {path} {patch}"))
}

/// Asserts that an answer is this policy's, and says why.
pub(super) fn refused_because(policy: &str, why: &str, answer: &Answer) -> Result<()> {
    deploy::refused_by(policy, answer)?;
    let text = answer.text();
    ensure!(text.contains(why), "not because {why:?}: {text}");
    Ok(())
}

/// Asserts that RBAC refuses each of these requests.
pub(super) async fn rights_refuse(api: &Api, requests: &[(Method, String, Value)]) -> Result<()> {
    for (method, path, body) in requests {
        let body = (!body.is_null()).then_some(body);
        let answer = api.request(method.clone(), path, body).await?;
        let text = answer.text();
        ensure!(
            answer.status == StatusCode::FORBIDDEN && text.contains("cannot"),
            "{method} {path}: {} {text}",
            answer.status
        );
    }
    Ok(())
}

pub(super) fn text(object: &Value, pointer: &str) -> Result<String> {
    let found = object.pointer(pointer).and_then(Value::as_str);
    let found = found.with_context(|| format!("no {pointer} in {object}"))?;
    Ok(found.to_owned())
}
