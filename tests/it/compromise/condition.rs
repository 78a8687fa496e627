//! The coordinator's token on the status of nodes.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::deploy::COORDINATOR;
use support::http::Answer;

use super::scene::{MARK, NODES_POLICY, PRIOR, Scene, policy_refuses, refused_because};

const ONLY_OURS: &str = "of the conditions of a node only DrainInProgress, Drained and MaintenanceInProgress with the reason PullkeeperRollout are the coordinator's to change";
const ONLY_CONDITIONS: &str =
    "of the status of a node only conditions are the coordinator's to change";

fn condition(kind: &str, reason: &str) -> Value {
    json!({ "type": kind, "status": "True", "reason": reason, "message": "any" })
}

fn ours(kind: &str) -> Value {
    condition(kind, "PullkeeperRollout")
}

/// The types of these conditions.
fn types(conditions: &Value) -> Vec<&str> {
    let conditions = conditions.as_array().into_iter().flatten();
    conditions.filter_map(|one| one["type"].as_str()).collect()
}

/// A node whose kubelet has spoken.
async fn scene(name: &str) -> Result<Scene<'static>> {
    let scene = Scene::new(name).await?;
    let status = json!({ "status": {
        "conditions": [condition("Ready", "KubeletReady")],
        "capacity": { "cpu": "4" },
        "addresses": [{ "type": "InternalIP", "address": "10.0.0.1" }],
        "images": [{ "names": ["registry.example/app:1"], "sizeBytes": 7 }],
    } });
    scene.admin.merge(&path(&scene), &status).await?;
    Ok(scene)
}

fn path(scene: &Scene<'_>) -> String {
    format!("{}/status", scene.node_path())
}

/// Applies these conditions, and no other, as a coordinator does.
async fn applies(scene: &Scene<'_>, conditions: &Value) -> Result<Answer> {
    let mut body = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": scene.node, "uid": scene.uid },
    });
    if conditions.as_array().is_some_and(|all| !all.is_empty()) {
        body["status"] = json!({ "conditions": conditions });
    }
    let path = path(scene);
    scene.coordinator.apply(&path, &body, COORDINATOR).await
}

async fn refuses(scene: &Scene<'_>, why: &str, patch: &Value) -> Result<()> {
    let why = format!("pullkeeper coordinator: {why}");
    policy_refuses(NODES_POLICY, &why, &scene.coordinator, &path(scene), patch).await
}

#[tokio::test]
async fn it_says_how_far_a_drain_is() -> Result<()> {
    let scene = scene("condition").await?;
    for kinds in [
        &["DrainInProgress"][..],
        &["Drained", "MaintenanceInProgress"],
        &["MaintenanceInProgress"],
        &[],
    ] {
        let conditions: Value = kinds.iter().map(|kind| ours(kind)).collect();
        let node = applies(&scene, &conditions).await?.json()?;
        let expected: Vec<_> = ["Ready"].iter().chain(kinds).copied().collect();
        let shown = types(&node["status"]["conditions"]);
        ensure!(shown == expected, "{shown:?} {expected:?}");
    }
    // For the node that it was, and for no other.
    let body = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": scene.node, "uid": "another" },
        "status": { "conditions": [ours("Drained")] },
    });
    let path = path(&scene);
    let answer = scene.coordinator.apply(&path, &body, COORDINATOR).await?;
    ensure!(!answer.status.is_success(), "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn what_others_say_of_a_node_stays() -> Result<()> {
    let scene = scene("condition-others").await?;
    let ready = condition("Ready", "KubeletReady");
    let mut lie = ready.clone();
    lie["status"] = json!("False");
    for conditions in [
        json!([lie]),
        json!([]),
        json!(null),
        json!([ours("Ready")]),
        json!([ready, condition("MemoryPressure", "KubeletHasNoMemory")]),
        json!([ready, ours("MemoryPressure")]),
        json!([ready, condition("Drained", "Another")]),
        json!([ready, ours("Drained"), ours("MaintenancePlanned")]),
    ] {
        let patch = json!({ "status": { "conditions": conditions } });
        refuses(&scene, ONLY_OURS, &patch).await?;
    }
    refused_because(
        NODES_POLICY,
        ONLY_OURS,
        &applies(&scene, &json!([ours("Ready")])).await?,
    )
    .or_else(|error| owned_by_others(&error))?;

    for (field, value) in [
        ("capacity", json!({ "cpu": "400" })),
        ("capacity", json!(null)),
        ("allocatable", json!({ "cpu": "400" })),
        (
            "addresses",
            json!([{ "type": "InternalIP", "address": "10.6.6.6" }]),
        ),
        (
            "images",
            json!([{ "names": ["registry.example/lie:1"], "sizeBytes": 7 }]),
        ),
        ("nodeInfo", json!({ "kubeletVersion": "v0" })),
        (
            "daemonEndpoints",
            json!({ "kubeletEndpoint": { "Port": 666 } }),
        ),
        ("volumesInUse", json!(["kubernetes.io/any"])),
    ] {
        let patch = json!({ "status": { field: value } });
        refuses(&scene, ONLY_CONDITIONS, &patch)
            .await
            .with_context(|| field.to_owned())?;
    }
    Ok(())
}

/// The server itself lets nobody apply what somebody else has written, unless it is forced.
fn owned_by_others(error: &anyhow::Error) -> Result<()> {
    let text = format!("{error:#}");
    ensure!(text.contains("conflict"), "{text}");
    Ok(())
}

#[tokio::test]
async fn another_tools_drain_is_not_spoken_of() -> Result<()> {
    let scene = scene("condition-tool").await?;
    let ready = condition("Ready", "KubeletReady");
    let theirs = condition("Drained", "Another");
    let both = json!({ "status": { "conditions": [ready, theirs] } });
    scene.admin.merge(&path(&scene), &both).await?;
    for conditions in [json!([ready]), json!([ready, ours("Drained")])] {
        let patch = json!({ "status": { "conditions": conditions } });
        refuses(&scene, ONLY_OURS, &patch).await?;
    }
    // Beside it there is room for ours.
    let node = applies(&scene, &json!([ours("MaintenanceInProgress")])).await?;
    let node = node.json()?;
    let shown = types(&node["status"]["conditions"]);
    ensure!(
        shown == ["Ready", "Drained", "MaintenanceInProgress"],
        "{shown:?}"
    );
    let node = applies(&scene, &json!([])).await?.json()?;
    let shown = types(&node["status"]["conditions"]);
    ensure!(shown == ["Ready", "Drained"], "{shown:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_else_rides_along_with_a_condition() -> Result<()> {
    let scene = scene("condition-more").await?;
    scene.administrator_sets(true).await?;
    let metadata = "the metadata of a node (finalizers, owners) is not the coordinator's to change";
    let ready = condition("Ready", "KubeletReady");
    for (change, why) in [
        (
            json!({ "labels": { "a": "b" } }),
            "labels of a node are not the coordinator's to change",
        ),
        (
            json!({ "annotations": { "a": "b" } }),
            "other annotations of a node are not the coordinator's to change",
        ),
        (
            json!({ "annotations": { MARK: scene.mark(), PRIOR: "true" } }),
            "a mark does not come or go through the status of a node",
        ),
        (json!({ "finalizers": ["a.b/c"] }), metadata),
    ] {
        let status = json!({ "conditions": [ready, ours("Drained")] });
        refuses(
            &scene,
            why,
            &json!({ "metadata": change, "status": status }),
        )
        .await?;
        refuses(&scene, why, &json!({ "metadata": change })).await?;
    }
    // Of the spec the server takes nothing there, and does not complain.
    let uncordon = json!({ "spec": { "unschedulable": false } });
    scene.coordinator.merge(&path(&scene), &uncordon).await?;
    ensure!(scene.cordon().await? == (true, None));
    Ok(())
}
