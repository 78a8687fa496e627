//! What nodes that restart services show to other tools, and what becomes of that where the coordinator has no right to say so.

use anyhow::{Context as _, Result, ensure};
use support::cluster::AuditEvent;
use support::deploy::COORDINATOR;
use support::eventually;

use super::scene::{Scene, restarting};

/// What the coordinator has asked to be shown in the conditions of nodes.
fn shown(scene: &Scene) -> Result<Vec<AuditEvent>> {
    let events = scene.fleet.cluster.audit_events()?.into_iter();
    let shown = events.filter(|event| {
        event.about("nodes", "status") && event.user.username.ends_with(COORDINATOR)
    });
    Ok(shown.collect())
}

#[tokio::test]
async fn a_node_is_maintained_while_its_service_is_restarted() -> Result<()> {
    let (scene, coordinator) = Scene::new(2).await?;
    ensure!(shown(&scene)?.is_empty(), "files were replaced, no more");
    scene.fleet.want(&restarting(1)).await?;
    scene.rotate().await?;
    let node = "node-000";
    eventually("it says that it is maintained", async || {
        let path = format!("/api/v1/nodes/{node}");
        let node = scene.fleet.admin.get(&path).await?;
        let conditions = &node["status"]["conditions"];
        let conditions = conditions.as_array().context("no conditions")?;
        let maintained = conditions
            .iter()
            .find(|one| one["type"] == "MaintenanceInProgress")
            .context("not yet")?;
        assert_eq!(maintained["status"], "True");
        assert_eq!(maintained["reason"], "PullkeeperRollout");
        Ok(())
    })
    .await?;
    // It does so as long as it has its slot, which it keeps because it has not said that it is ready.
    scene.slot(node, Some("Verifying")).await?;
    scene.reaches("Complete").await?;
    scene.fleet.shows_no_work().await?;
    for node in ["node-000", "node-001"] {
        let mut told = Vec::new();
        for event in shown(&scene)? {
            let object = event.object_ref.as_ref().context("of no object")?;
            if object.name == node {
                ensure!(event.code() == 200, "{event:?}");
                let sent = event.request_object.as_ref().context("not recorded")?;
                let conditions = sent["status"]["conditions"].as_array().cloned();
                let kinds = conditions.into_iter().flatten();
                let kinds = kinds.map(|one| one["type"].as_str().unwrap_or_default().to_owned());
                told.push(kinds.collect::<Vec<_>>());
            }
        }
        ensure!(told == [vec!["MaintenanceInProgress"], vec![]], "{told:?}");
    }
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn where_it_may_not_say_so_it_asks_once_and_goes_on() -> Result<()> {
    let scene = Scene::unattended(2).await?;
    let kubectl = scene.fleet.cluster.kubectl()?;
    let binding = [
        "delete",
        "clusterrolebinding",
        "pullkeeper-coordinator-drain",
    ];
    kubectl.run(&binding).await?;
    // Its folder has its log.
    let site = scene.fleet.coordinator("node-000").await?;
    let coordinator = site.start().await?;
    scene.first().await?;
    scene.fleet.want(&restarting(1)).await?;
    scene.rotate().await?;
    scene.reaches("Complete").await?;
    scene.fleet.holds(2, &scene.credentials[1]).await?;
    let refused: Vec<_> = shown(&scene)?.iter().map(AuditEvent::code).collect();
    ensure!(refused == [403], "{refused:?}");
    let log = coordinator.process().stderr();
    let told = log.matches("no right to `patch` nodes/status").count();
    ensure!(told == 1, "told {told} times:\n{log}");
    coordinator.stop().await?;
    Ok(())
}
