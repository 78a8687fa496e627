//! What a cluster runs: image, DaemonSet and coordinator on a real node, from nothing.

mod scene;

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use scene::{DOCKER, Scene};

/// Rotations, one after the other.
const ROUNDS: usize = 3;

#[tokio::test]
async fn a_node_pulls_with_a_rotated_password_at_its_next_pull() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.deploy().await?;
    scene.pulls("before").await?;
    for round in 1..=ROUNDS {
        scene.rotate().await?;
        let begun = Instant::now();
        scene.pulls(&format!("after-{round}")).await?;
        scene.helps().await?;
        let seconds = begun.elapsed().as_secs_f64();
        println!("rotation {round}: a pod runs after {seconds:.2} s");
    }
    scene.was_undisturbed().await
}

#[tokio::test]
async fn coordinators_pace_agents_and_both_leave_nothing_behind() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.deploy().await?;
    scene.paced(0).await?;
    scene.rotate().await?;
    scene.complete(2).await?;
    // Nothing was asked for that the accounts have no right to.
    for event in scene.cluster.audit_events()? {
        let ours = event.user.username.contains(":pullkeeper:pullkeeper-");
        ensure!(!ours || event.code() != 403, "{event:?}");
    }
    scene.remove().await
}

#[tokio::test]
async fn a_broken_secret_costs_no_pull_and_the_record_says_why() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.deploy().await?;
    scene.paced(1).await?;
    let file = std::fs::read(scene.node.auth_file())?;
    let entry = |auth: &str| json!({"auths": {scene.registry.host(): {"auth": auth}}}).to_string();
    let kinds = [
        ("WrongType", "Opaque", "{".to_owned()),
        ("MissingAuths", DOCKER, "null".to_owned()),
        ("MissingAuths", DOCKER, "{}".to_owned()),
        ("EmptyAuths", DOCKER, r#"{"auths": {}}"#.to_owned()),
        ("BadEntry", DOCKER, entry("%%%")),
        ("EmptyCredential", DOCKER, entry("")),
    ];
    for (number, (reason, kind, content)) in kinds.iter().enumerate() {
        scene.replace(kind, content).await?;
        scene.says(reason).await?;
        scene.pulls(&format!("broken-{number}")).await?;
    }
    scene.delete().await?;
    scene.says("SecretNotFound").await?;
    scene.pulls("deleted").await?;
    ensure!(
        std::fs::read(scene.node.auth_file())? == file,
        "the file has changed"
    );

    scene.rotate().await?;
    scene.pulls("mended").await?;
    scene.was_undisturbed().await
}
