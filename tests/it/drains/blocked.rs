//! Nodes that do not become empty: asked before, not cordoned; or given up after a while, and tried again.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::eventually;
use support::eventually::eventually_within;
use support::fleet::good;
use support::workloads::{Workloads, pod, stubborn, uid, with_data};

use super::scene::{LONG, Scene};

const NODES: usize = 4;

/// A pod of a Deployment that stays on this node as long as it can.
fn on(node: &str, mut template: Value) -> Value {
    template["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    template
}

#[tokio::test]
async fn a_node_with_a_pod_that_may_not_go_is_not_even_cordoned() -> Result<()> {
    let scene = Scene::new(NODES, 0, 2).await?;
    let shop = Workloads::new(&scene.fleet.cluster, "shop").await?;
    // Where no budget allows anything, and where two say different things.
    let [steady, twice] = ["node-001", "node-002"];
    shop.controller("Deployment", 1, &on(steady, pod("steady")))
        .await?;
    shop.controller("Deployment", 1, &on(twice, pod("twice")))
        .await?;
    let (none, any) = (json!({"maxUnavailable": 0}), json!({"maxUnavailable": 1}));
    shop.budget("keep-steady", &json!({"app": "steady"}), &none)
        .await?;
    for name in ["keep-twice", "keep-thrice"] {
        shop.budget(name, &json!({"app": "twice"}), &any).await?;
    }
    let mut kept = Vec::new();
    for app in ["steady", "twice"] {
        kept.push((app, uid(&shop.run(app, 1).await?[0])?));
    }

    let coordinator = scene.coordinated().await?;
    scene.drain(&json!({})).await?;
    scene.parked(steady, "Blocked", &["keep-steady"]).await?;
    scene
        .parked(twice, "Blocked", &["keep-twice", "keep-thrice"])
        .await?;
    scene.fleet.holds(NODES - 2, &scene.credentials[1]).await?;
    for (app, before) in &kept {
        assert_eq!(uid(&shop.run(app, 1).await?[0])?, *before);
    }
    let trace = scene.trace()?;
    for node in [steady, twice] {
        assert_eq!(trace.cordons(node), 0, "{node}");
    }
    for (_, uid) in &kept {
        assert_eq!(trace.evictions(uid), 0);
    }

    // With a budget that allows it, the node is drained: its pod has nowhere else to go, and need not.
    shop.budget("keep-steady", &json!({"app": "steady"}), &any)
        .await?;
    let kubectl = scene.fleet.cluster.kubectl()?;
    let namespace = format!("--namespace={}", shop.namespace());
    kubectl
        .run(&["delete", "poddisruptionbudget", "keep-thrice", &namespace])
        .await?;
    scene.completes().await?;
    scene.judge(&[]).await?;
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_would_be_lost_is_asked_for_first() -> Result<()> {
    let scene = Scene::new(NODES, 0, 2).await?;
    let shop = Workloads::new(&scene.fleet.cluster, "shop").await?;
    let [bare, data] = ["node-001", "node-002"];
    let mut kept = vec![shop.bare("alone", bare, &pod("alone")).await?];
    shop.controller("Deployment", 1, &on(data, with_data("data")))
        .await?;
    kept.push(uid(&shop.run("data", 1).await?[0])?);
    shop.run("alone", 1).await?;

    let coordinator = scene.coordinated().await?;
    let careful = json!({"force": false, "deleteEmptyDirData": false});
    scene.drain(&careful).await?;
    scene.parked(bare, "Blocked", &["alone", "force"]).await?;
    scene
        .parked(data, "Blocked", &["data", "deleteEmptyDirData"])
        .await?;
    scene.fleet.holds(NODES - 2, &scene.credentials[1]).await?;
    let trace = scene.trace()?;
    for uid in &kept {
        assert_eq!(trace.asked(uid), 0, "not even a question");
    }
    for node in [bare, data] {
        assert_eq!(trace.cordons(node), 0, "{node}");
    }

    scene.fleet.want(&scene.spec(&json!({}))).await?;
    scene.completes().await?;
    scene.judge(&[]).await?;
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_budget_that_is_spent_after_the_cordon_costs_the_node_its_turn_and_nobody_else()
-> Result<()> {
    let scene = Scene::new(NODES, 0, 2).await?;
    let shop = Workloads::new(&scene.fleet.cluster, "shop").await?;
    let stuck = "node-001";
    shop.controller("Deployment", 2, &on(stuck, pod("web")))
        .await?;
    let web = json!({"app": "web"});
    shop.budget("keep-web", &web, &json!({"minAvailable": 1}))
        .await?;
    let pods = shop.run("web", 2).await?;

    let coordinator = scene.coordinated().await?;
    scene.drain(&json!({"timeout": "12s"})).await?;
    // Each of them could go, and would be missing: it comes back to this node alone.
    scene.parked(stuck, "Overdue", &["keep-web"]).await?;
    eventually("it is schedulable again", async || {
        let node = scene.node(stuck).await?;
        ensure!(node["spec"]["unschedulable"] != true);
        Ok(())
    })
    .await?;
    scene.fleet.holds(NODES - 1, &scene.credentials[1]).await?;
    let trace = scene.trace()?;
    let mut most = 0;
    for pod in &pods {
        most = most.max(trace.evictions(&uid(pod)?));
    }
    println!("{most} evictions of one pod in 12 s that were of no use");
    // At least five seconds apart.
    ensure!(most <= 4, "{most} evictions");

    kubectl_delete(&scene, shop.namespace(), "keep-web").await?;
    scene.completes().await?;
    scene.judge(&[]).await?;
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn two_nodes_that_wait_for_each_other_do_not_wait_for_ever() -> Result<()> {
    let scene = Scene::new(NODES, 0, 2).await?;
    let shop = Workloads::new(&scene.fleet.cluster, "shop").await?;
    // Of each pair one may be missing until its node is back. What goes first on one node goes last on the other.
    for (node, first, last) in [("node-001", "left", "right"), ("node-002", "right", "left")] {
        for (side, critical) in [(first, false), (last, true)] {
            let app = format!("{side}-{node}");
            let mut template = on(node, stubborn(&app, 2));
            template["metadata"]["labels"]["pair"] = side.into();
            if critical {
                template["spec"]["priorityClassName"] = "system-cluster-critical".into();
            }
            shop.controller("Deployment", 1, &template).await?;
            shop.run(&app, 1).await?;
        }
    }
    for side in ["left", "right"] {
        let pair = json!({"pair": side});
        shop.budget(side, &pair, &json!({"minAvailable": 1}))
            .await?;
    }
    let coordinator = scene.coordinated().await?;
    scene.drain(&json!({"timeout": "30s"})).await?;
    scene.completes().await?;
    scene.judge(&[]).await?;
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_newer_generation_does_not_drain_again_what_is_being_drained() -> Result<()> {
    let scene = Scene::new(NODES, 0, 1).await?;
    let shop = Workloads::new(&scene.fleet.cluster, "shop").await?;
    let slow = "node-000";
    shop.controller("Deployment", 2, &on(slow, stubborn("slow", 6)))
        .await?;
    shop.run("slow", 2).await?;
    let coordinator = scene.coordinated().await?;
    scene.drain(&json!({})).await?;
    scene.phase(slow, "Draining").await?;
    let newer = support::fixture::Credential::new();
    scene.fleet.change(&good(&newer)).await?;
    scene.fleet.reaches_within(LONG, "Complete", 3).await?;
    scene.fleet.holds(NODES, &newer).await?;
    let trace = scene.trace()?;
    assert_eq!(trace.cordons(slow), 1);
    scene.judge(&[]).await?;
    coordinator.stop().await?;
    Ok(())
}

async fn kubectl_delete(scene: &Scene, namespace: &str, budget: &str) -> Result<()> {
    let kubectl = scene.fleet.cluster.kubectl()?;
    let namespace = format!("--namespace={namespace}");
    let delete = ["delete", "poddisruptionbudget", budget, &namespace];
    eventually_within(LONG, "the budget goes", async || kubectl.run(&delete).await)
        .await
        .map(drop)
}
