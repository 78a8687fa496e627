//! How many services are restarted at once, and when a slot comes back.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use support::cluster::FakeNode;
use support::eventually;

use super::scene::{Scene, Start, restarting};
use crate::rollouts::ledgers::{Recorder, complete};

const NODES: usize = 8;
const SLOTS: usize = 2;

#[tokio::test]
async fn every_service_is_restarted_once_and_never_more_at_a_time_than_allowed() -> Result<()> {
    let (scene, coordinator) = Scene::new(NODES).await?;
    let before = scene.invocations().await?;
    scene.fleet.want(&restarting(SLOTS)).await?;
    let recorder = Recorder::on(scene.fleet.history().await?, complete(2));
    scene.rotate().await?;
    scene.reaches("Complete").await?;
    scene.fleet.holds(NODES, &scene.credentials[1]).await?;

    let history = recorder.history().await?;
    history.is_lawful()?;
    let most = history.most(|_| String::new());
    let after = scene.invocations().await?;
    let mut moments = Vec::new();
    for (node, invocation) in &before {
        ensure!(after[node] != *invocation, "{node} was not restarted");
        let starts = scene.starts(node)?;
        ensure!(starts.len() == 2, "{node} was started {starts:?}");
        let Start { stopped, up } = starts[1];
        ensure!(stopped > 0.0 && up > stopped, "{starts:?}");
        moments.extend([(stopped, 1_isize), (up, -1)]);
    }
    moments.sort_by(|one, other| one.0.total_cmp(&other.0));
    let away = moments.iter().scan(0, |away, (_, change)| {
        *away += change;
        Some(*away)
    });
    let away = away.max().unwrap_or(0);
    println!("{NODES} services, at most {away} away at once, {most} of {SLOTS} slots at most");
    ensure!(most == SLOTS, "{most} slots of {SLOTS}");
    ensure!((1..=isize::try_from(SLOTS)?).contains(&away), "{away} away");
    // The canary alone at first.
    assert_eq!(history.admitted()[0], "node-000");
    let admitted: BTreeSet<_> = history.admitted().into_iter().collect();
    assert_eq!(admitted.len(), NODES);
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_slot_comes_back_with_a_ready_that_is_newer_than_the_restart_and_with_no_other()
-> Result<()> {
    let (scene, coordinator) = Scene::new(1).await?;
    let node = "node-000";
    scene.fleet.want(&restarting(1)).await?;
    scene.rotate().await?;
    let report = scene.answered(node).await?;
    assert_eq!(report["outcome"], "Reached");
    let restarted = report["restarted"].as_str().context("no time")?;
    let restarted: Timestamp = restarted.parse()?;
    scene.slot(node, Some("Verifying")).await?;
    // It says so within the second of the restart: which of them was first, nobody knows.
    scene.fleet.nodes.says_ready(node, restarted).await?;
    // When the coordinator counts a node that came later, it has seen that.
    let _later = scene
        .fleet
        .cluster
        .fake_nodes([FakeNode::new("later")])
        .await?;
    let rollout = eventually("the later node is counted", async || {
        let rollout = scene.fleet.rollout().await?;
        let nodes = &rollout["status"]["nodes"];
        ensure!(nodes["total"] == 2, "{nodes}");
        Ok(rollout)
    })
    .await?;
    let slot = &rollout["status"]["ledger"]["reservations"][node];
    ensure!(slot["phase"]["name"] == "Verifying", "{slot}");

    let next = Timestamp::from_second(restarted.as_second() + 1)?;
    scene.fleet.nodes.says_ready(node, next).await?;
    scene.slot(node, None).await?;
    coordinator.stop().await?;
    Ok(())
}
