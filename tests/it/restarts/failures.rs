//! A service that does not run with what is new.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::eventually;
use support::evidence::{self, Kind};
use support::fleet::{REGISTRY, good};

use super::scene::{Scene, restarting, unit};

const NODES: usize = 3;

/// Notes of the Events about a node with this reason.
async fn notes(scene: &Scene, node: &str, reason: &str) -> Result<Vec<String>> {
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let events = scene.fleet.admin.get(events).await?;
    let events = events["items"].as_array().context("no list")?.iter();
    let about = events.filter(|event| {
        event["regarding"]["kind"] == "Node"
            && event["regarding"]["name"] == node
            && event["reason"] == reason
    });
    let note = |event: &Value| event["note"].as_str().unwrap_or_default().to_owned();
    Ok(about.map(note).collect())
}

#[tokio::test]
async fn a_service_that_does_not_start_is_rolled_back_and_no_second_one_is_touched() -> Result<()> {
    let (scene, coordinator) = Scene::new(NODES).await?;
    let canary = "node-000";
    let auth = serde_json::from_str::<Value>(&good(&scene.credentials[1]))?;
    let auth = auth["auths"][REGISTRY]["auth"]
        .as_str()
        .context("no auth")?;
    scene.services.write("refused", auth)?;
    let path = scene.fleet.site(canary)?.join("auth.json");
    let former = fs::read(&path)?;
    let before = scene.invocations().await?;
    let agent = scene.fleet.agent(canary)?;
    let labels = ["outcome=\"rolled-back\""];
    let none = agent.metric("pullkeeper_activations_total", &labels);
    assert_eq!(none.await?, 0.0, "an alert waits for an increase");

    scene.fleet.want(&restarting(NODES)).await?;
    scene.rotate().await?;
    let halted = scene.reaches("Halted").await?;
    let halt = &halted["status"]["halt"];
    assert_eq!(
        (&halt["reason"], &halt["nodes"]),
        (&json!("CanaryFailed"), &json!([canary]))
    );
    let message = halted["status"]["message"].as_str().unwrap_or_default();
    for part in [canary, &unit(canary), "spec.resumes"] {
        ensure!(message.contains(part), "no {part} in {message}");
    }
    scene.slot(canary, None).await?;

    // The former file, byte for byte, and the service with it: tried, and started once more.
    ensure!(fs::read(&path)? == former, "the file is not as it was");
    let starts = scene.starts(canary)?;
    ensure!(starts.len() == 3, "{starts:?}");
    ensure!(starts[1].up == 0.0 && starts[2].up > 0.0, "{starts:?}");
    let record = scene.fleet.record(canary).await?;
    let status = &record["status"];
    assert_eq!(
        (&status["phase"], &status["reason"]),
        (&json!("Failed"), &json!("RestartFailed"))
    );
    let report = status["report"]["message"].as_str().unwrap_or_default();
    let down = format!("{} did not come back: failed", unit(canary));
    ensure!(report.starts_with(&down), "{report}");
    let back = "the former files are back; the services are back";
    ensure!(report.ends_with(back), "{report}");
    ensure!(!report.contains(auth), "the report has the credential");

    // The others were not touched, neither file nor service.
    let after = scene.invocations().await?;
    for node in ["node-001", "node-002"] {
        assert_eq!(after[node], before[node]);
        assert_eq!(scene.starts(node)?.len(), 1);
    }
    let holders = scene.fleet.holders(&scene.credentials[0])?;
    assert_eq!(holders.len(), NODES);

    for (reason, part) in [
        ("RestartFailed", down.as_str()),
        ("RestartRolledBack", back),
    ] {
        let notes = eventually(&format!("the Event {reason}"), async || {
            let notes = notes(&scene, canary, reason).await?;
            ensure!(!notes.is_empty(), "none yet");
            Ok(notes)
        })
        .await?;
        ensure!(notes.len() == 1 && notes[0].contains(part), "{notes:?}");
        evidence::keep(Kind::Events, &notes[0])?;
        ensure!(!notes[0].contains(auth), "an Event has the credential");
    }
    let of = format!("unit=\"{}\"", unit(canary));
    for (name, labels, count) in [
        (
            "pullkeeper_activations_total",
            vec!["outcome=\"rolled-back\""],
            1.0,
        ),
        (
            "pullkeeper_unit_restarts_total",
            vec![&of, "outcome=\"down\""],
            1.0,
        ),
        (
            "pullkeeper_unit_restarts_total",
            vec![&of, "outcome=\"back\""],
            1.0,
        ),
        ("pullkeeper_unit_restart_seconds_count", vec![&of], 2.0),
    ] {
        let counted = agent.metric(name, &labels).await?;
        ensure!(counted == count, "{name} {labels:?} is {counted}");
    }
    agent.keep_evidence().await?;

    // With the services put right somebody resumes, and everybody gets there.
    scene.services.write("refused", "")?;
    let mut spec = restarting(NODES);
    spec["resumes"] = 1.into();
    scene.fleet.want(&spec).await?;
    scene.reaches("Complete").await?;
    scene.fleet.holds(NODES, &scene.credentials[1]).await?;
    assert_eq!(scene.starts("node-001")?.len(), 2);
    coordinator.stop().await?;
    Ok(())
}
