//! A hundred nodes, in stages.

use anyhow::{Result, ensure};
use serde_json::json;
use support::eventually;
use support::fixture::Credential;
use support::fleet::{Fleet, good};

use super::ledgers::{Recorder, complete};
use super::nodes;

/// All of it goes on two cores beside other tests.
const NODES: usize = 100;

#[tokio::test]
async fn a_change_reaches_a_hundred_nodes_by_canary_soak_and_waves() -> Result<()> {
    let credentials = [Credential::new(), Credential::new()];
    let fleet = Fleet::start(nodes(NODES, 3), &credentials[0]).await?;
    // Without a coordinator agents take what there is at once.
    fleet.holds(NODES, &credentials[0]).await?;

    let coordinator = fleet.coordinator("node-000").await?.start().await?;
    fleet
        .want(&json!({
            "canary": {"count": 2}, "soak": "3s", "maxParallel": "10%", "maxParallelPerZone": 4,
        }))
        .await?;
    // What every node has already is a generation like any other.
    fleet.reaches("Complete", 1).await?;

    let recorder = Recorder::on(fleet.history().await?, complete(2));
    fleet.change(&good(&credentials[1])).await?;
    fleet.reaches("Soaking", 2).await?;
    let first = fleet.holders(&credentials[1])?;
    ensure!(first.len() == 2, "{first:?} have it while the others wait");
    ensure!(first.iter().all(|name| *name > "node-002"), "{first:?}");
    let waits = fleet.record("node-050").await?;
    assert_eq!(waits["status"]["phase"], "Waiting");
    assert_eq!(waits["status"]["reason"], "NoPermit");

    let rollout = fleet.reaches("Complete", 2).await?;
    assert_eq!(fleet.holders(&credentials[1])?.len(), NODES);
    assert_eq!(rollout["status"]["nodes"]["updated"], NODES);
    assert_eq!(rollout["status"]["nodes"]["failed"], 0);

    let history = recorder.history().await?;
    history.is_lawful()?;
    let zone = |name: &str| {
        let number: usize = name.trim_start_matches("node-").parse().unwrap_or(0);
        format!("zone-{}", number % 3)
    };
    let control_plane = |name: &str| match name < "node-003" {
        true => "control plane".to_owned(),
        false => name.to_owned(),
    };
    let most = history.most(|_| String::new());
    println!(
        "{NODES} nodes: {} versions of the rollout, {most} slots at most, {} in one zone, phases {:?}",
        history.len(),
        history.most(zone),
        history.phases()
    );
    ensure!(most <= 10, "{most} slots of 10");
    ensure!(most > 4, "the waves were no waves");
    ensure!(history.most(zone) <= 4);
    assert_eq!(history.most(control_plane), 1);
    let admitted = history.admitted();
    assert_eq!(admitted.len(), NODES);
    assert_eq!(admitted[..2], first[..]);
    let phases = ["Canary", "Soaking", "Waves", "Complete"];
    assert_eq!(history.phases(), phases);
    // The control plane is last: nobody starts after it but itself.
    ensure!(
        admitted[NODES - 3..].iter().all(|name| *name < "node-003"),
        "{admitted:?}"
    );

    requests(&fleet).await?;
    coordinator.stop().await?;
    Ok(())
}

/// Who asked the API server for what, and how often: by its audit log.
async fn requests(fleet: &Fleet) -> Result<()> {
    eventually("the audit log has what was asked", async || {
        let events = fleet.cluster.audit_events()?;
        let count = |account: &str, verb: &str, part: &str| {
            let user = format!("system:serviceaccount:pullkeeper:{account}");
            let asked = events.iter().filter(|event| {
                event.user.username == user && event.verb == verb && event.uri.contains(part)
            });
            asked.count()
        };
        let permits = count("pullkeeper-coordinator", "patch", "/nodepullsecrets/");
        let records = count("pullkeeper-coordinator", "create", "/nodepullsecrets");
        let reports = count("pullkeeper-agent", "patch", "/nodepullsecrets/");
        let others = events.iter().filter(|event| {
            event.user.username.ends_with(":pullkeeper-agent")
                && ["nodes", "pods", "pullsecretrollouts"]
                    .iter()
                    .any(|kind| event.uri.contains(&format!("/{kind}")) && event.verb != "get")
        });
        println!(
            "{NODES} nodes, two generations: {records} records made, {permits} permits, {reports} reports"
        );
        ensure!(records >= NODES && permits >= 2 * NODES);
        ensure!(permits <= 2 * NODES + NODES / 10, "{permits} permits");
        // What is seen, that it waits, and what came of it; twice, and a few for what crosses.
        ensure!(reports <= 9 * NODES, "{reports} reports");
        ensure!(others.count() == 0, "agents looked at what is not theirs");
        Ok(())
    })
    .await
}
