//! What a cluster runs: image, DaemonSet and coordinator on a real node, from nothing.

mod sentries;
mod upgrade;

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;
use support::container_image::ImagePlan;
use support::installation::{DOCKER, Installation};

/// Rotations, one after the other.
const ROUNDS: usize = 3;

#[tokio::test]
async fn a_node_pulls_with_a_rotated_password_at_its_next_pull() -> Result<()> {
    let mut site = Installation::new(&ImagePlan::new()?).await?;
    site.deploy().await?;
    site.pulls("before").await?;
    for round in 1..=ROUNDS {
        site.rotate().await?;
        let begun = Instant::now();
        site.pulls(&format!("after-{round}")).await?;
        site.helps().await?;
        let seconds = begun.elapsed().as_secs_f64();
        println!("rotation {round}: a pod runs after {seconds:.2} s");
    }
    site.was_undisturbed().await
}

#[tokio::test]
async fn coordinators_pace_agents_and_both_leave_nothing_behind() -> Result<()> {
    let mut site = Installation::new(&ImagePlan::new()?).await?;
    site.deploy().await?;
    site.paced(0).await?;
    site.rotate().await?;
    site.complete(2).await?;
    // Nothing was asked for that the accounts have no right to.
    for event in site.cluster.audit_events()? {
        let ours = event.user.username.contains(":pullkeeper:pullkeeper-");
        ensure!(!ours || event.code() != 403, "{event:?}");
    }
    site.remove().await
}

#[tokio::test]
async fn a_broken_secret_costs_no_pull_and_the_record_says_why() -> Result<()> {
    let mut site = Installation::new(&ImagePlan::new()?).await?;
    site.deploy().await?;
    site.paced(1).await?;
    let file = std::fs::read(site.node.auth_file())?;
    let entry = |auth: &str| json!({"auths": {site.registry.host(): {"auth": auth}}}).to_string();
    let kinds = [
        ("WrongType", "Opaque", "{".to_owned()),
        ("MissingAuths", DOCKER, "null".to_owned()),
        ("MissingAuths", DOCKER, "{}".to_owned()),
        ("EmptyAuths", DOCKER, r#"{"auths": {}}"#.to_owned()),
        ("BadEntry", DOCKER, entry("%%%")),
        ("EmptyCredential", DOCKER, entry("")),
    ];
    for (number, (reason, kind, content)) in kinds.iter().enumerate() {
        site.replace(kind, content).await?;
        site.says(reason).await?;
        site.pulls(&format!("broken-{number}")).await?;
    }
    site.delete().await?;
    site.says("SecretNotFound").await?;
    site.pulls("deleted").await?;
    ensure!(
        std::fs::read(site.node.auth_file())? == file,
        "the file has changed"
    );

    site.rotate().await?;
    site.pulls("mended").await?;
    site.was_undisturbed().await
}
