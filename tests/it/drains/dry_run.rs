//! What a coordinator says that is only to say what it would do.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::deploy::{COORDINATOR, NAMESPACE};
use support::evidence::{self, Kind};
use support::fleet::{good, manifest};
use support::workloads::{Workloads, pod};

use super::oracle::{self, Trace};
use super::scene::Scene;
use crate::rollouts::ledgers::Recorder;

const LIMIT: Duration = Duration::from_secs(60);

/// The names of a wave's nodes.
fn names(wave: &Value) -> Vec<&str> {
    let nodes = wave["nodes"].as_array().into_iter().flatten();
    nodes.filter_map(|node| node["name"].as_str()).collect()
}

#[tokio::test]
async fn it_says_who_would_be_drained_and_who_not_and_changes_nothing() -> Result<()> {
    let scene = Scene::new(5, 1, 2).await?;
    let shop = Workloads::new(&scene.fleet.cluster, "shop").await?;
    shop.controller("Deployment", 6, &pod("web")).await?;
    let web = json!({"app": "web"});
    shop.budget("web", &web, &json!({"maxUnavailable": 1}))
        .await?;
    shop.run("web", 6).await?;
    shop.bare("guarded", "node-003", &pod("guarded")).await?;
    shop.run("guarded", 1).await?;
    let guarded = json!({"app": "guarded"});
    shop.budget("guarded", &guarded, &json!({"minAvailable": 1}))
        .await?;
    // Records are made by a coordinator, and agents say in them what they see.
    let coordinator = scene.coordinated().await?;
    coordinator.stop().await?;
    scene
        .change("node-004", &json!({"spec": {"unschedulable": true}}))
        .await?;
    let before = scene.fleet.cluster.audit_events()?.len();

    let site = scene.fleet.coordinator("node-001").await?;
    let arguments = ["--dry-run", "--filename", "-", "--output", "json"];
    let spec = scene.spec(&json!({}));
    let program = site.program()?.args(arguments);
    let output = program
        .input(manifest(&spec).to_string())
        .run(LIMIT)
        .await?;
    evidence::keep(Kind::Output, &output.stdout)?;
    evidence::keep(Kind::Log, &output.stderr)?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let said: Value = serde_json::from_str(&output.stdout)?;
    let waves = said["waves"].as_array().context("no waves")?;
    let order: Vec<_> = waves.iter().map(names).collect();
    // Zone by zone, the control plane last. One that is cordoned by others is unavailable already, so that one at a time is left.
    ensure!(
        order == [["node-003"], ["node-001"], ["node-002"], ["node-000"]],
        "{said}"
    );
    ensure!(said["left"] == json!({"node-004": "Cordoned"}), "{said}");
    for node in waves
        .iter()
        .flat_map(|wave| wave["nodes"].as_array().into_iter().flatten())
    {
        let blockers = node["blockers"].as_array().map_or(&[][..], |all| all);
        let reasons: Vec<_> = blockers
            .iter()
            .map(|one| (&one["pod"], &one["reason"]))
            .collect();
        if node["name"] == "node-003" {
            let guarded = format!("{}/guarded", shop.namespace());
            let (pod, reason) = (json!(guarded), json!("DisruptionBudget"));
            ensure!(reasons == [(&pod, &reason)], "{node}");
        } else {
            ensure!(reasons.is_empty() && node["pods"].is_u64(), "{node}");
        }
    }

    // S23: whatever its rights are, it has asked for nothing that changes anything.
    let account = format!("system:serviceaccount:{NAMESPACE}:{COORDINATOR}");
    let events = scene.fleet.cluster.audit_events()?;
    let mut tried = 0;
    for event in events[before..]
        .iter()
        .filter(|event| event.user.username == account)
    {
        let reads = ["get", "list", "watch"].contains(&event.verb.as_str());
        let tries = event.about("pods", "eviction") && event.uri.contains("dryRun=All");
        tried += usize::from(tries);
        ensure!(reads || tries, "{event:?}");
        ensure!(!event.about("leases", ""), "{event:?}");
    }
    ensure!(tried > 0, "no pod was tried");

    // And it is what happens: the first one is left as it is, and another one is the canary in its place.
    let recorder = Recorder::on(scene.fleet.history().await?, |version| {
        let ledger = &version["status"]["ledger"];
        ledger["generation"] == 2 && ledger["stage"]["name"] == "Waves"
    });
    let coordinator = site.start().await?;
    scene.fleet.want(&spec).await?;
    scene.fleet.change(&good(&scene.credentials[1])).await?;
    scene.parked("node-003", "Blocked", &["/guarded"]).await?;
    let history = recorder.history().await?;
    ensure!(
        history.admitted().starts_with(&["node-003", "node-001"]),
        "{:?}",
        history.admitted()
    );
    scene.leaves_cordoned(&["node-004"]).await?;
    coordinator.stop().await?;
    // Without what was only tried: nobody had a slot then.
    let mut all = scene.fleet.cluster.audit_events()?;
    all.drain(before..events.len());
    oracle::hold(&Trace::of(&all), &scene.promise)
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_nothing_else() -> Result<()> {
    let scene = Scene::new(1, 0, 1).await?;
    let site = scene.fleet.coordinator("node-000").await?;
    let run = async |input: String, arguments: &[&str]| {
        let program = site.program()?.args(arguments.iter().copied());
        program.input(input).run(LIMIT).await
    };
    let none = run(String::new(), &["--dry-run"]).await?;
    ensure!(none.status.code() == Some(69), "{none:?}");
    ensure!(
        none.stderr.contains("no PullSecretRollout named cluster"),
        "{none:?}"
    );
    let spec = json!({"maxParallel": "150%"});
    let file = ["--dry-run", "-f", "-"];
    let invalid = run(manifest(&spec).to_string(), &file).await?;
    ensure!(invalid.status.code() == Some(64), "{invalid:?}");
    ensure!(invalid.stderr.contains("spec.maxParallel"), "{invalid:?}");
    let other = run("kind: Secret\nspec: {}\n".to_owned(), &file).await?;
    ensure!(other.status.code() == Some(64), "{other:?}");
    ensure!(other.stderr.contains("no PullSecretRollout"), "{other:?}");
    let broken = run("kind: [".to_owned(), &file).await?;
    ensure!(broken.status.code() == Some(64), "{broken:?}");
    let alone = run(String::new(), &["--filename", "-"]).await?;
    ensure!(alone.status.code() == Some(64), "{alone:?}");
    Ok(())
}
