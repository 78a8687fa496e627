//! What people say about a node goes before what a rollout wants.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::eventually;
use support::fixture::Credential;
use support::fleet::good;
use support::workloads::{Workloads, pod, stubborn, uid};

use super::scene::{LONG, Scene};

const NODES: usize = 4;
const HOLD: &str = "pullkeeper.io/hold";
const PRIOR: &str = "pullkeeper.io/cordon-prior";
const MARK: &str = "pullkeeper.io/cordon";

/// Four pods on the node that go one by one, and take some seconds each; anybody may run them afterwards.
async fn slow_to_go(shop: &Workloads<'_>, node: &str) -> Result<Vec<String>> {
    let mut uids = Vec::new();
    for number in 0..4 {
        let name = format!("slow-{number}");
        let mut template = stubborn(&name, 4);
        template["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": node});
        template["metadata"]["labels"]["pace"] = "slow".into();
        shop.controller("Deployment", 1, &template).await?;
        uids.push(uid(&shop.run(&name, 1).await?[0])?);
    }
    // Those that went are back when the node is; until then two are missing.
    let slow = json!({"pace": "slow"});
    shop.budget("slow", &slow, &json!({"minAvailable": 2}))
        .await?;
    Ok(uids)
}

/// Waits until one of these pods is on its way, so that the drain is in its middle.
async fn in_the_middle(scene: &Scene, uids: &[String]) -> Result<()> {
    eventually("the drain is in its middle", async || {
        let trace = scene.trace()?;
        ensure!(uids.iter().any(|uid| trace.evictions(uid) > 0));
        Ok(())
    })
    .await
}

fn annotate(key: &str, value: impl Into<Value>) -> Value {
    json!({"metadata": {"annotations": {key: value.into()}}})
}

#[tokio::test]
async fn who_cordoned_before_finds_it_cordoned_afterwards() -> Result<()> {
    let scene = Scene::new(NODES, 0, 2).await?;
    let shop = Workloads::new(&scene.fleet.cluster, "shop").await?;
    shop.controller("Deployment", 4, &pod("web")).await?;
    shop.run("web", 4).await?;
    let kubectl = scene.fleet.cluster.kubectl()?;
    let theirs = "node-002";
    kubectl.run(&["cordon", theirs]).await?;

    let coordinator = scene.coordinated().await?;
    scene.drain(&json!({})).await?;
    scene.fleet.holds(NODES - 1, &scene.credentials[1]).await?;
    assert_eq!(scene.trace()?.cordons(theirs), 0);
    scene.judge(&[theirs]).await?;

    kubectl.run(&["uncordon", theirs]).await?;
    scene.completes().await?;
    scene.judge(&[]).await?;
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn who_uncordons_a_node_has_it_until_the_next_generation() -> Result<()> {
    let scene = Scene::new(NODES, 0, 2).await?;
    let shop = Workloads::new(&scene.fleet.cluster, "shop").await?;
    let node = "node-001";
    let uids = slow_to_go(&shop, node).await?;
    let coordinator = scene.coordinated().await?;
    scene.drain(&json!({})).await?;
    in_the_middle(&scene, &uids).await?;
    scene
        .fleet
        .cluster
        .kubectl()?
        .run(&["uncordon", node])
        .await?;
    scene.parked(node, "TakenOver", &[]).await?;
    let evicted = |trace: &super::oracle::Trace| -> usize {
        uids.iter().filter(|uid| trace.evictions(uid) > 0).count()
    };
    let until_then = evicted(&scene.trace()?);
    scene.fleet.holds(NODES - 1, &scene.credentials[1]).await?;
    let trace = scene.trace()?;
    assert_eq!(evicted(&trace), until_then, "evictions went on");
    ensure!(until_then < uids.len(), "none is left");
    assert_eq!(trace.cordons(node), 1);
    let left = scene.node(node).await?;
    assert_eq!(left["metadata"]["annotations"][MARK], Value::Null);
    scene.judge(&[]).await?;

    let newer = Credential::new();
    scene.fleet.change(&good(&newer)).await?;
    // The budget would have it wait for the timeout: two of four are away while the node is cordoned.
    let namespace = format!("--namespace={}", shop.namespace());
    let delete = ["delete", "poddisruptionbudget", "slow", &namespace];
    scene.fleet.cluster.kubectl()?.run(&delete).await?;
    scene.fleet.reaches_within(LONG, "Complete", 3).await?;
    scene.fleet.holds(NODES, &newer).await?;
    assert_eq!(scene.trace()?.cordons(node), 2);
    scene.judge(&[]).await?;
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn who_wants_it_to_stay_cordoned_says_so() -> Result<()> {
    let scene = Scene::new(NODES, 0, 2).await?;
    let shop = Workloads::new(&scene.fleet.cluster, "shop").await?;
    let node = "node-001";
    shop.bare("slow", node, &stubborn("slow", 5)).await?;
    shop.run("slow", 1).await?;
    let coordinator = scene.coordinated().await?;
    scene.drain(&json!({})).await?;
    scene.phase(node, "Draining").await?;
    scene.change(node, &annotate(PRIOR, "true")).await?;
    scene.completes().await?;
    let left = scene.node(node).await?;
    assert_eq!(left["spec"]["unschedulable"], true);
    let annotations = &left["metadata"]["annotations"];
    assert_eq!(annotations[MARK], Value::Null, "{annotations}");
    assert_eq!(annotations[PRIOR], Value::Null, "{annotations}");
    scene.judge(&[node]).await?;
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn nodes_on_hold_are_left_alone_before_and_in_the_middle() -> Result<()> {
    let scene = Scene::new(NODES, 0, 2).await?;
    let shop = Workloads::new(&scene.fleet.cluster, "shop").await?;
    let [before, meanwhile] = ["node-003", "node-001"];
    let uids = slow_to_go(&shop, meanwhile).await?;
    let coordinator = scene.coordinated().await?;
    scene.change(before, &annotate(HOLD, "ask Ann")).await?;
    scene.drain(&json!({})).await?;
    in_the_middle(&scene, &uids).await?;
    scene.change(meanwhile, &annotate(HOLD, "")).await?;
    eventually("it is uncordoned", async || {
        let node = scene.node(meanwhile).await?;
        ensure!(node["spec"]["unschedulable"] != true, "{}", node["spec"]);
        Ok(())
    })
    .await?;
    scene.fleet.holds(NODES - 2, &scene.credentials[1]).await?;
    let trace = scene.trace()?;
    ensure!(uids.iter().any(|uid| trace.evictions(uid) == 0));
    assert_eq!((trace.cordons(before), trace.cordons(meanwhile)), (0, 1));
    scene.judge(&[]).await?;

    let namespace = format!("--namespace={}", shop.namespace());
    let delete = ["delete", "poddisruptionbudget", "slow", &namespace];
    scene.fleet.cluster.kubectl()?.run(&delete).await?;
    for node in [before, meanwhile] {
        scene.change(node, &annotate(HOLD, Value::Null)).await?;
    }
    scene.completes().await?;
    scene.judge(&[]).await?;
    coordinator.stop().await?;
    Ok(())
}
