//! The coordinator's token on nodes.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::deploy::{COORDINATOR, NAMESPACE};
use support::http::{Method, StatusCode};

use super::scene::{
    MARK, NODES_POLICY, PRIOR, Scene, policy_refuses, refused_because, rights_refuse,
};

fn flag(unschedulable: bool) -> Value {
    json!({ "unschedulable": unschedulable })
}

/// A change of flag and annotations together.
fn change(unschedulable: bool, annotations: &Value) -> Value {
    json!({ "metadata": { "annotations": annotations }, "spec": flag(unschedulable) })
}

async fn refuses(scene: &Scene<'_>, why: &str, patch: &Value) -> Result<()> {
    let why = format!("pullkeeper coordinator: {why}");
    let path = scene.node_path();
    policy_refuses(NODES_POLICY, &why, &scene.coordinator, &path, patch).await
}

const ONLY_WITH_MARK: &str = "a node is cordoned only together with adding the mark";
const ONLY_OURS: &str = "a node is uncordoned only together with removing the mark";
const STAYS: &str = "a mark that is there stays as it is until it is removed";

#[tokio::test]
async fn it_cordons_with_its_mark_and_releases() -> Result<()> {
    let scene = Scene::new("cordon").await?;
    // What others apply is no hindrance.
    let labels = json!({ "metadata": { "labels": { "a": "b" }, "annotations": { "c": "d" } } });
    scene.admin.merge(&scene.node_path(), &labels).await?;
    let mark = scene.mark();
    scene
        .apply_node(flag(true), json!({ MARK: mark }))
        .await?
        .json()?;
    ensure!(scene.cordon().await? == (true, Some(mark)));

    refuses(&scene, ONLY_OURS, &json!({ "spec": flag(false) })).await?;
    let other = json!({ "generation": 2, "nodeUID": scene.uid }).to_string();
    refuses(&scene, STAYS, &change(true, &json!({ MARK: other }))).await?;
    refuses(&scene, STAYS, &change(true, &json!({ PRIOR: "true" }))).await?;

    scene.apply_node(json!({}), json!({})).await?.json()?;
    ensure!(scene.cordon().await? == (false, None));
    Ok(())
}

#[tokio::test]
async fn an_administrators_cordon_stays() -> Result<()> {
    let scene = Scene::new("cordon-admin").await?;
    scene.administrator_sets(true).await?;
    refuses(&scene, ONLY_OURS, &json!({ "spec": flag(false) })).await?;
    refuses(
        &scene,
        ONLY_OURS,
        &json!({ "spec": { "unschedulable": null } }),
    )
    .await?;
    // Neither by marking and releasing at once, nor by a mark that keeps silent about it.
    let both = change(false, &json!({ MARK: scene.mark(), PRIOR: "true" }));
    refuses(&scene, ONLY_OURS, &both).await?;
    let silent =
        "pullkeeper.io/cordon-prior must be \\\"true\\\" when the node is cordoned already";
    for prior in [json!(null), json!("false"), json!("")] {
        let marked = change(true, &json!({ MARK: scene.mark(), PRIOR: prior }));
        refuses(&scene, silent, &marked).await?;
    }

    let mark = json!({ MARK: scene.mark(), PRIOR: "true" });
    scene.apply_node(flag(true), mark).await?.json()?;
    ensure!(scene.cordon().await?.1.is_some());
    refuses(
        &scene,
        STAYS,
        &json!({ "metadata": { "annotations": { PRIOR: "false" } } }),
    )
    .await?;
    let gone = json!({ MARK: null, PRIOR: null });
    let stays = "the node was cordoned before it was marked, and stays so";
    refuses(&scene, stays, &change(false, &gone)).await?;
    let left = json!({ "metadata": { "annotations": { MARK: null } } });
    refuses(
        &scene,
        "pullkeeper.io/cordon-prior goes with the mark",
        &left,
    )
    .await?;

    scene.apply_node(json!({}), json!({})).await?.json()?;
    ensure!(scene.cordon().await? == (true, None));
    Ok(())
}

#[tokio::test]
async fn what_an_administrator_released_is_not_cordoned_again() -> Result<()> {
    let scene = Scene::new("cordon-released").await?;
    let mark = json!({ MARK: scene.mark() });
    scene.apply_node(flag(true), mark.clone()).await?.json()?;
    scene.administrator_sets(false).await?;
    let again = scene.apply_node(flag(true), mark).await?;
    refused_because(NODES_POLICY, ONLY_WITH_MARK, &again)?;
    scene.apply_node(json!({}), json!({})).await?.json()?;
    ensure!(scene.cordon().await? == (false, None));
    Ok(())
}

#[tokio::test]
async fn flag_and_mark_come_together() -> Result<()> {
    let scene = Scene::new("cordon-both").await?;
    let prior = "pullkeeper.io/cordon-prior must be \\\"true\\\" when the node is cordoned already";
    for (why, patch) in [
        (ONLY_WITH_MARK, json!({ "spec": flag(true) })),
        (
            "the mark pullkeeper.io/cordon is added only to a node that is cordoned with it",
            json!({ "metadata": { "annotations": { MARK: scene.mark() } } }),
        ),
        (
            STAYS,
            json!({ "metadata": { "annotations": { PRIOR: "true" } } }),
        ),
        (
            prior,
            change(true, &json!({ MARK: scene.mark(), PRIOR: "true" })),
        ),
        (
            "the mark pullkeeper.io/cordon does not name the node's UID",
            change(true, &json!({ MARK: "{\"generation\":1}" })),
        ),
    ] {
        refuses(&scene, why, &patch).await?;
    }
    ensure!(scene.cordon().await? == (false, None));
    Ok(())
}

#[tokio::test]
async fn nothing_else_rides_along_with_a_cordon() -> Result<()> {
    let scene = Scene::new("cordon-more").await?;
    let theirs = json!({ "metadata": { "labels": { "a": "b" }, "annotations": { "a": "b" } } });
    scene.admin.merge(&scene.node_path(), &theirs).await?;
    let (labels, annotations) = (
        "labels of a node are not the coordinator's to change",
        "other annotations of a node are not the coordinator's to change",
    );
    let metadata = "the metadata of a node (finalizers, owners) is not the coordinator's to change";
    let taint = json!([{ "key": "ours", "effect": "NoExecute" }]);
    for (field, value, why) in [
        ("/metadata/labels", json!({ "c": "d" }), labels),
        ("/metadata/labels", json!({ "a": null }), labels),
        ("/metadata/annotations/c", json!("d"), annotations),
        ("/metadata/annotations/a", json!("c"), annotations),
        ("/metadata/annotations/a", json!(null), annotations),
        ("/metadata/finalizers", json!(["a.b/c"]), metadata),
        (
            "/spec/taints",
            taint,
            "taints of a node are not the coordinator's to change",
        ),
        (
            "/spec/providerID",
            json!("cloud://elsewhere"),
            "of the spec of a node only unschedulable is the coordinator's to change",
        ),
    ] {
        let mut patch = change(true, &json!({ MARK: scene.mark() }));
        let (parent, key) = field.rsplit_once('/').unwrap();
        patch.pointer_mut(parent).unwrap()[key] = value;
        refuses(&scene, why, &patch).await?;
    }
    // Nor without one.
    let label = json!({ "metadata": { "labels": { "c": "d" } } });
    refuses(&scene, labels, &label).await?;
    ensure!(scene.cordon().await? == (false, None));
    Ok(())
}

#[tokio::test]
async fn only_a_pods_token_cordons() -> Result<()> {
    let scene = Scene::new("cordon-unbound").await?;
    let unbound = scene
        .cluster
        .service_account(NAMESPACE, COORDINATOR)
        .await?;
    let unbound = scene.cluster.api(&unbound)?;
    let cordon = change(true, &json!({ MARK: scene.mark() }));
    let why = "pullkeeper coordinator: the token is not that of a pod on a node";
    policy_refuses(NODES_POLICY, why, &unbound, &scene.node_path(), &cordon).await
}

#[tokio::test]
async fn nodes_are_not_made_removed_or_spoken_for() -> Result<()> {
    let scene = Scene::new("cordon-rights").await?;
    let ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
    rights_refuse(
        &scene.coordinator,
        &[
            (Method::DELETE, scene.node_path(), Value::Null),
            (Method::PUT, format!("{}/status", scene.node_path()), ready),
            (
                Method::POST,
                "/api/v1/nodes".to_owned(),
                json!({ "metadata": { "name": "ghost" } }),
            ),
        ],
    )
    .await?;
    // An apply to a node that is gone would make it anew.
    let ghost = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": "ghost" }, "spec": flag(true),
    });
    let apply = scene
        .coordinator
        .apply("/api/v1/nodes/ghost", &ghost, COORDINATOR);
    let answer = apply.await?;
    ensure!(answer.status == StatusCode::FORBIDDEN, "{}", answer.text());
    Ok(())
}
