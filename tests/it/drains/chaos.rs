//! Coordinators that are killed at every step, two at once, an API server that restarts: no limit is exceeded, and every node comes
//! back.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use support::deploy::{COORDINATOR, NAMESPACE};
use support::eventually;
use support::fleet::leader;
use support::http::Method;
use support::proxy::{Side, Trap};
use support::workloads::{Workloads, pod, stubborn, uid};

use super::scene::Scene;

const NODES: usize = 6;
const CONTROL_PLANE: usize = 1;
const SLOTS: usize = 2;

/// A controller that has not seen an evicted pod go takes its namesake for it, and lets nobody under that budget go for two minutes
/// (`DeletionTimeout` in kubernetes pkg/controller/disruption/disruption.go). What is blocked is tried again later and later.
const AFTER_OUTAGE: Duration = Duration::from_secs(300);

/// What it is, and whether a request is it.
type Step = (&'static str, fn(&Method, &str, &str) -> bool);

/// What a coordinator writes for a node, in this order.
const STEPS: [Step; 10] = [
    ("reserves", |method, uri, body| {
        ledger(method, uri) && body.contains("\"mark\":") && !body.contains("\"phase\":{\"")
    }),
    ("cordons", |method, uri, body| {
        node(method, uri) && body.contains("pullkeeper.io/cordon")
    }),
    ("begins to drain", |method, uri, body| {
        ledger(method, uri) && phase(body, "Draining")
    }),
    ("evicts", |method, uri, body| {
        *method == Method::POST
            && uri.contains("/eviction")
            && !uri.contains("dryRun")
            && !body.contains("dryRun")
    }),
    ("says that it is empty", |method, uri, body| {
        ledger(method, uri) && phase(body, "Drained")
    }),
    ("gives the permit", |method, uri, body| {
        *method == Method::PATCH && uri.contains("/nodepullsecrets/") && body.contains("\"permit\"")
    }),
    ("verifies", |method, uri, body| {
        ledger(method, uri) && phase(body, "Verifying")
    }),
    ("begins to restore", |method, uri, body| {
        ledger(method, uri) && phase(body, "Restoring")
    }),
    ("uncordons", |method, uri, body| {
        node(method, uri) && !body.contains("pullkeeper.io/cordon")
    }),
    ("frees the slot", |method, uri, body| {
        ledger(method, uri) && body.contains("\"reservations\":{}")
    }),
];

fn ledger(method: &Method, uri: &str) -> bool {
    *method == Method::PUT && uri.contains("/pullsecretrollouts/cluster/status")
}

fn node(method: &Method, uri: &str) -> bool {
    *method == Method::PATCH && uri.contains("/api/v1/nodes/")
}

fn phase(body: &str, name: &str) -> bool {
    body.contains(&format!("\"name\":\"{name}\""))
}

/// Pods everywhere, some of which take a while to go.
async fn busy(scene: &Scene) -> Result<()> {
    let shop = Workloads::new(&scene.fleet.cluster, "shop").await?;
    shop.controller("Deployment", 2 * NODES, &pod("web"))
        .await?;
    shop.controller("StatefulSet", NODES, &stubborn("db", 1))
        .await?;
    let db = json!({"app": "db"});
    shop.budget("db", &db, &json!({"maxUnavailable": 2}))
        .await?;
    shop.run("web", 2 * NODES).await?;
    shop.run("db", NODES).await?;
    Ok(())
}

async fn killed_at_every_step(side: Side) -> Result<()> {
    let scene = Scene::new(NODES, CONTROL_PLANE, SLOTS).await?;
    busy(&scene).await?;
    let proxy = scene.fleet.cluster.proxy()?;
    let site = scene.fleet.coordinator_through(&proxy, "node-000").await?;
    let mut coordinator = site.start().await?;
    scene.first().await?;
    let mut kills = 0;
    proxy.trap(Trap::new(side, STEPS[0].1));
    scene.drain(&json!({})).await?;
    for (number, (step, _)) in STEPS.iter().enumerate() {
        let caught = eventually(&format!("a coordinator {step}"), async || {
            // Some slot is always taken while there are nodes left, so the last step may come at the end alone.
            let status = scene.fleet.rollout().await?["status"].clone();
            let over = status["phase"] == "Complete" && status["generation"] == 2;
            ensure!(proxy.caught() > kills || over, "not yet");
            Ok(proxy.caught() > kills)
        })
        .await?;
        if !caught {
            ensure!(number == STEPS.len() - 1, "complete, and nobody {step}");
            break;
        }
        kills += 1;
        coordinator.process().kill_9();
        if let Some((_, takes)) = STEPS.get(number + 1) {
            proxy.trap(Trap::new(side, *takes));
        }
        coordinator = site.start().await?;
    }
    scene.completes().await?;
    println!("killed {kills} times, {side:?} the API server had it");
    scene.judge(&[]).await?;
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_coordinator_that_is_killed_before_each_of_its_writes_leaves_nothing_behind() -> Result<()>
{
    Box::pin(killed_at_every_step(Side::Before)).await
}

#[tokio::test]
async fn a_coordinator_that_is_killed_after_each_of_its_writes_leaves_nothing_behind() -> Result<()>
{
    Box::pin(killed_at_every_step(Side::After)).await
}

#[tokio::test]
async fn two_coordinators_drain_no_more_nodes_than_one() -> Result<()> {
    let scene = Scene::new(NODES, CONTROL_PLANE, SLOTS).await?;
    busy(&scene).await?;
    let sites = [
        scene.fleet.coordinator("node-000").await?,
        scene.fleet.coordinator("node-001").await?,
    ];
    let mut running = [sites[0].start().await?, sites[1].start().await?];
    scene.first().await?;
    scene.drain(&json!({})).await?;
    for target in [1, 3, 4] {
        eventually("it goes on", async || {
            let updated = scene.fleet.holders(&scene.credentials[1])?.len();
            ensure!(updated >= target, "{updated} of {target}");
            Ok(())
        })
        .await?;
        let leader = leader(&running).await?;
        running[leader].process().kill_9();
        running[leader] = sites[leader].start().await?;
    }
    scene.completes().await?;
    scene.judge(&[]).await?;
    for agent in running {
        agent.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_restarts_in_the_middle_of_a_drain_changes_nothing() -> Result<()> {
    let mut scene = Scene::new(NODES, CONTROL_PLANE, SLOTS).await?;
    busy(&scene).await?;
    let coordinator = scene.coordinated().await?;
    scene.drain(&json!({})).await?;
    eventually("a node is cordoned", async || {
        let cordoned = scene.cordoned().await?;
        ensure!(!cordoned.is_empty());
        Ok(())
    })
    .await?;
    scene.fleet.cluster.apiserver.restart().await?;
    scene.completes_within(AFTER_OUTAGE).await?;
    scene.judge(&[]).await?;
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_coordinator_whose_own_node_is_drained_hands_over() -> Result<()> {
    let scene = Scene::new(4, 0, 1).await?;
    let first = scene.fleet.coordinator("node-001").await?.start().await?;
    scene.first().await?;
    let second = scene.fleet.coordinator("node-000").await?.start().await?;
    // Its pod is one like all others; who drains it loses its own token.
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let listed = scene.fleet.admin.get(&pods).await?;
    let listed = listed["items"].as_array().context("no list")?.iter();
    let mut own = listed.filter(|pod| {
        pod["spec"]["nodeName"] == "node-001" && pod["metadata"]["labels"]["app"] == COORDINATOR
    });
    let own = own.next().context("the coordinator has no pod")?;
    let name = own["metadata"]["name"].as_str().context("no name")?;
    let label = json!({"metadata": {"labels": {"app": "leaves"}}});
    let path = format!("{pods}/{name}");
    scene.fleet.admin.merge(&path, &label).await?;
    scene.drain(&json!({})).await?;
    scene.completes().await?;
    scene.judge(&[]).await?;
    assert_eq!(scene.trace()?.evictions(&uid(own)?), 1);
    first.process().kill_9();
    second.stop().await?;
    Ok(())
}
