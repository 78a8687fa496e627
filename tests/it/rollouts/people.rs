//! What people do, and what they see: bad Secrets, halts, pauses, nonsense, the end.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::cluster::FakeNode;
use support::eventually;
use support::fixture::Credential;
use support::fleet::{Fleet, good};

use super::{nodes, quickly};

const NODES: usize = 8;

#[tokio::test]
async fn a_broken_secret_stops_at_the_canary_and_a_good_one_goes_on() -> Result<()> {
    let credentials = [Credential::new(), Credential::new()];
    let mut fleet = Fleet::start(nodes(NODES, 0), &credentials[0]).await?;
    let coordinator = fleet.coordinator("node-000").await?.start().await?;
    fleet.want(&quickly(json!({}))).await?;
    fleet.reaches("Complete", 1).await?;

    fleet
        .change(r#"{"auths": {"registry.example": {"auth": "bm90"}}}"#)
        .await?;
    let halted = fleet.reaches("Halted", 2).await?;
    let status = &halted["status"];
    assert_eq!(status["halt"]["reason"], "CanaryFailed");
    assert_eq!(status["halt"]["nodes"], json!(["node-000"]));
    let message = status["message"].as_str().unwrap_or_default();
    for part in ["node-000", "registry.example", "spec.resumes"] {
        ensure!(message.contains(part), "{message}");
    }
    assert_eq!(condition(&halted, "Degraded"), ("True", "CanaryFailed"));
    assert_eq!(condition(&halted, "Progressing"), ("False", "Halted"));
    assert_eq!(
        fleet.holders(&credentials[0])?.len(),
        NODES,
        "the last good stays"
    );
    let record = fleet.record("node-000").await?;
    assert_eq!(record["status"]["phase"], "Failed");
    assert_eq!(record["status"]["reason"], "BadSecret");
    metric(&coordinator, "pullkeeper_rollout_phase", "Halted").await?;
    let reason = ["reason=\"CanaryFailed\""];
    let halted = coordinator.metric("pullkeeper_rollout_halted", &reason);
    ensure!(halted.await? == 1.0);
    let writes = ["verb=\"update\"", "resource=\"pullsecretrollouts/status\""];
    let writes = coordinator.metric("pullkeeper_api_requests_total", &writes);
    ensure!(writes.await? >= 1.0);

    // A node that joins has nothing to lose; here nothing good either.
    fleet.grow(vec![FakeNode::new("node-new")]).await?;
    fleet.change(&good(&credentials[1])).await?;
    fleet.reaches("Complete", 3).await?;
    fleet.holds(NODES + 1, &credentials[1]).await?;

    let table = fleet
        .cluster
        .kubectl()?
        .run(&["get", "pullsecretrollouts"])
        .await?;
    println!("{table}");
    let header: Vec<_> = table
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        header,
        [
            "NAME",
            "PHASE",
            "GENERATION",
            "NODES",
            "UPDATED",
            "UPDATING",
            "FAILED",
            "SINCE"
        ]
    );
    ensure!(table.contains("Complete"), "{table}");
    let table = fleet
        .cluster
        .kubectl()?
        .run(&["get", "nodepullsecrets", "node-001"])
        .await?;
    println!("{table}");
    ensure!(
        table.contains("Current") && table.contains("UpToDate"),
        "{table}"
    );
    let events = fleet
        .cluster
        .kubectl()?
        .run(&["get", "events", "-o=jsonpath={.items[*].reason}"])
        .await?;
    for reason in ["RolloutStarted", "RolloutHalted", "RolloutComplete"] {
        ensure!(events.contains(reason), "{events}");
    }
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn nodes_that_cannot_write_spend_the_budget_and_a_human_goes_on() -> Result<()> {
    let credentials = [Credential::new(), Credential::new()];
    let fleet = Fleet::start(nodes(NODES, 0), &credentials[0]).await?;
    let coordinator = fleet.coordinator("node-000").await?.start().await?;
    let mut spec = quickly(json!({
        "canary": {"count": 0}, "maxParallel": 1, "failureBudget": {"count": 1, "percent": 100},
    }));
    fleet.want(&spec).await?;
    fleet.reaches("Complete", 1).await?;

    // A directory in the way: even root cannot write a file there.
    let broken = ["node-004", "node-002"];
    for node in broken {
        let target = fleet.site(node)?.join("auth.json");
        // Or the agent would put the file back in between.
        fleet.silence(node)?;
        fs::remove_file(&target)?;
        fs::create_dir(&target)?;
        fleet.wake(node)?;
    }
    fleet.change(&good(&credentials[1])).await?;
    let halted = fleet.reaches("Halted", 2).await?;
    assert_eq!(halted["status"]["halt"]["reason"], "FailureBudgetSpent");
    assert_eq!(halted["status"]["halt"]["nodes"], json!(broken));
    // Zone by zone: those in front of them have it, the one behind waits.
    let in_front = ["node-000", "node-001", "node-003", "node-006", "node-007"];
    assert_eq!(fleet.holders(&credentials[1])?, in_front);

    // Nothing but a human ends it.
    for node in broken {
        fs::remove_dir(fleet.site(node)?.join("auth.json"))?;
    }
    eventually("the nodes heal by themselves", async || {
        let record = fleet.record("node-004").await?;
        ensure!(
            record["status"]["phase"] == "Current",
            "{}",
            record["status"]
        );
        Ok(())
    })
    .await?;
    assert_eq!(fleet.rollout().await?["status"]["phase"], "Halted");
    spec["resumes"] = json!(1);
    fleet.want(&spec).await?;
    fleet.reaches("Complete", 2).await?;
    fleet.holds(NODES, &credentials[1]).await?;
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_makes_no_sense_starts_nobody_and_names_its_field() -> Result<()> {
    let credentials = [Credential::new(), Credential::new(), Credential::new()];
    let fleet = Fleet::start(nodes(NODES, 0), &credentials[0]).await?;
    let coordinator = fleet.coordinator("node-000").await?.start().await?;
    fleet.want(&quickly(json!({}))).await?;
    fleet.reaches("Complete", 1).await?;

    // What only somebody who knows the time zones can refuse.
    let nowhere = json!([{"start": "22:00", "duration": "1h", "timeZone": "Mars/Olympus"}]);
    fleet.want(&quickly(json!({"windows": nowhere}))).await?;
    fleet.change(&good(&credentials[1])).await?;
    let invalid = fleet.reaches("Invalid", 1).await?;
    assert_eq!(condition(&invalid, "Accepted"), ("False", "InvalidSpec"));
    let message = invalid["status"]["message"].as_str().unwrap_or_default();
    ensure!(message.contains("spec.windows[0].timeZone"), "{message}");

    // A window that opens at another time of the day.
    let closed = json!([{"start": opposite(), "duration": "1h"}]);
    fleet
        .want(&quickly(json!({"windows": closed, "canary": {"count": 0}})))
        .await?;
    fleet.reaches("Waiting", 2).await?;
    // And a pause, which is stronger than a window that is open.
    fleet
        .want(&quickly(json!({"windows": [], "paused": true})))
        .await?;
    fleet.reaches("Paused", 2).await?;
    assert_eq!(fleet.holders(&credentials[1])?.len(), 0);

    // A ledger that somebody else has written is nobody's to replace.
    let status = "/apis/pullkeeper.io/v1alpha1/pullsecretrollouts/cluster/status";
    let written = fleet.rollout().await?["status"]["ledger"].clone();
    let newer = json!({"status": {"ledger": {"version": "2"}}});
    fleet.admin.merge(status, &newer).await?;
    fleet.want(&quickly(json!({}))).await?;
    let invalid = fleet.reaches("Invalid", 2).await?;
    assert_eq!(
        condition(&invalid, "Accepted"),
        ("False", "LedgerUnreadable")
    );
    assert_eq!(invalid["status"]["ledger"]["version"], "2");
    assert_eq!(fleet.holders(&credentials[1])?.len(), 0);
    fleet
        .admin
        .merge(status, &json!({"status": {"ledger": written}}))
        .await?;
    fleet.reaches("Complete", 2).await?;
    fleet.holds(NODES, &credentials[1]).await?;

    // Without a rollout nothing is paced any more, and nothing is left behind that would.
    fleet
        .cluster
        .kubectl()?
        .run(&["delete", "pullsecretrollouts", "cluster"])
        .await?;
    eventually("records name no Secret", async || {
        for node in fleet.nodes.names() {
            let record = fleet.record(node).await?;
            ensure!(record["spec"]["sources"] == json!([]), "{}", record["spec"]);
        }
        Ok(())
    })
    .await?;
    fleet.change(&good(&credentials[2])).await?;
    fleet.holds(NODES, &credentials[2]).await?;
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_credential_that_has_leaked_is_replaced_everywhere_at_once() -> Result<()> {
    let credentials = [Credential::new(), Credential::new()];
    let fleet = Fleet::start(nodes(NODES, 3), &credentials[0]).await?;
    let coordinator = fleet.coordinator("node-000").await?.start().await?;
    let slow = |strategy: &str| json!({"strategy": strategy, "soak": "24h", "maxParallel": 1});
    fleet.want(&slow("FileOnly")).await?;
    fleet.reaches("Soaking", 1).await?;
    fleet.change(&good(&credentials[1])).await?;
    fleet.reaches("Soaking", 2).await?;
    assert_eq!(fleet.holders(&credentials[1])?.len(), 1);
    fleet.want(&slow("Immediate")).await?;
    fleet.reaches("Complete", 2).await?;
    assert_eq!(fleet.holders(&credentials[1])?.len(), NODES);
    coordinator.stop().await?;
    Ok(())
}

/// A start of a window that neither is now nor will be during the test.
fn opposite() -> String {
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let hour = (seconds / 3600 + 12) % 24;
    format!("{hour:02}:00")
}

/// Status and reason of a condition.
fn condition<'r>(rollout: &'r Value, kind: &str) -> (&'r str, &'r str) {
    let conditions = rollout["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|one| one["type"] == kind);
    let text = |key: &str| found.and_then(|one| one[key].as_str()).unwrap_or_default();
    (text("status"), text("reason"))
}

async fn metric(coordinator: &support::agent::Agent, name: &str, phase: &str) -> Result<()> {
    let label = format!("phase=\"{phase}\"");
    let value = coordinator.metric(name, &[&label]).await;
    ensure!(value.context("no such phase")? == 1.0);
    Ok(())
}
