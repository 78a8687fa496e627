//! Nodes that the Machine Config Operator manages as well.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::cluster::Api;
use support::eventually;

use super::scene::Scene;

const NODES: usize = 4;
const GROUP: &str = "/apis/machineconfiguration.openshift.io/v1/machineconfigpools";

/// The operator's kind of object, as far as it matters.
async fn define(admin: &Api) -> Result<()> {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "machineconfigpools.machineconfiguration.openshift.io",
            // The group belongs to the Kubernetes community, which asks for a link to a review.
            "annotations": {"api-approved.kubernetes.io": "https://github.com/openshift/api"},
        },
        "spec": {
            "group": "machineconfiguration.openshift.io", "scope": "Cluster",
            "names": {"plural": "machineconfigpools", "singular": "machineconfigpool", "kind": "MachineConfigPool"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    admin.create(path, &definition).await?;
    eventually("pools are known", async || admin.get(GROUP).await.map(drop)).await
}

fn pool(paused: bool) -> Value {
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
        "metadata": {"name": "worker"},
        "spec": {
            "paused": paused,
            "nodeSelector": {"matchLabels": {"node-role.kubernetes.io/worker": ""}},
        },
    })
}

#[tokio::test]
async fn a_pool_of_the_machine_config_operator_is_shared_with_it() -> Result<()> {
    let scene = Scene::new(NODES, 0, 2).await?;
    let admin = &scene.fleet.admin;
    define(admin).await?;
    let labels = json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": ""}}});
    let pooled = &scene.fleet.nodes.names()[1..];
    for node in pooled {
        scene.change(node, &labels).await?;
    }
    admin.create(GROUP, &pool(true)).await?;
    let coordinator = scene.coordinated().await?;
    let kubectl = scene.fleet.cluster.kubectl()?;
    // As the operator does before it restarts a node.
    kubectl.run(&["cordon", "node-001"]).await?;
    scene.drain(&json!({})).await?;

    // Whose pool is paused is left alone; the others are not.
    scene.fleet.holds(1, &scene.credentials[1]).await?;
    let waits = async |words: &str| {
        eventually(&format!("it waits: {words}"), async || {
            let status = scene.fleet.rollout().await?["status"].clone();
            let message = status["message"].as_str().unwrap_or_default();
            ensure!(
                status["phase"] == "Waiting" && message.contains(words),
                "{status}"
            );
            Ok(())
        })
        .await
    };
    waits("maintained by others").await?;
    // One of the pool may be unavailable, and one is.
    let path = format!("{GROUP}/worker");
    admin
        .merge(&path, &json!({"spec": {"paused": false}}))
        .await?;
    waits("maxUnavailable").await?;
    assert_eq!(scene.fleet.holders(&scene.credentials[1])?.len(), 1);
    let trace = scene.trace()?;
    for node in pooled {
        assert_eq!(trace.cordons(node), 0, "{node}");
    }
    kubectl.run(&["uncordon", "node-001"]).await?;
    scene.completes().await?;
    scene.judge(&[]).await?;
    coordinator.stop().await?;
    Ok(())
}
