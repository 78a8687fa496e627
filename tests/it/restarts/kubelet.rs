//! The service is a real kubelet: what it says of its node is what gives the slot back.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;
use support::agent::Site;
use support::cluster::FakeNode;
use support::fixture::Credential;
use support::fleet::{Fleet, good, target};
use support::node::NodePlan;
use support::patience;

use super::scene::{BUS, activation, restarting};
use crate::rollouts::ledgers::{Recorder, complete};

const UNIT: &str = "kubelet.service";
const NODE: &str = "real";

#[tokio::test]
async fn a_kubelet_is_restarted_once_and_says_itself_that_its_node_is_back() -> Result<()> {
    let credentials = [Credential::new(), Credential::new()];
    // The coordinator runs on a node of its own, whose agent restarts nothing.
    let mut fleet = Fleet::start(vec![FakeNode::new("desk")], &credentials[0]).await?;
    let mut node = NodePlan::new(NODE).join(&fleet.cluster).await?;
    let kubelet = node
        .kubelet_as_service(|command| format!("ExecStart={command}"), &[])
        .await?;
    node.start_service(&kubelet).await?;
    let file = node.auth_file();
    let tables = |_: &Site| target("kubelet", &file) + &activation(UNIT);
    fleet
        .attend(NODE, &[(BUS, &kubelet.address())], tables)
        .await?;
    let coordinator = fleet.coordinator("desk").await?.start().await?;
    fleet.want(&restarting(2)).await?;
    fleet.reaches("Complete", 1).await?;
    let before = kubelet.invocation(UNIT).await?;

    let recorder = Recorder::on(fleet.history().await?, complete(2));
    fleet.change(&good(&credentials[1])).await?;
    let limit = patience() * 2;
    let rollout = fleet.reaches_within(limit, "Complete", 2).await?;
    let nodes = &rollout["status"]["nodes"];
    ensure!(nodes["failed"] == 0 && nodes["updated"] == 2, "{nodes}");

    let content: Value = serde_json::from_slice(&fs::read(&file)?)?;
    let wanted: Value = serde_json::from_str(&good(&credentials[1]))?;
    ensure!(content == wanted, "the file has something else");
    let after = kubelet.invocation(UNIT).await?;
    ensure!(after != before, "kubelet was not restarted");
    let agent = fleet.agent(NODE)?;
    let labels = ["unit=\"kubelet.service\"", "outcome=\"back\""];
    let counted = agent.metric("pullkeeper_unit_restarts_total", &labels);
    assert_eq!(counted.await?, 1.0);

    let record = fleet.record(NODE).await?;
    let report = &record["status"]["report"];
    assert_eq!(report["outcome"], "Reached", "{report}");
    let restarted: Timestamp = report["restarted"].as_str().context("no time")?.parse()?;
    let ready = heartbeat(&fleet).await?;
    println!("restarted {restarted}, ready {ready}");
    ensure!(ready > restarted, "it has said nothing since {restarted}");
    // As the ledger tells it: it had answered, and was looked at, before its slot came back.
    let history = recorder.history().await?;
    history.is_lawful()?;
    ensure!(history.slot_phases(NODE) == ["Reserved", "Verifying"]);
    coordinator.stop().await?;
    Ok(())
}

/// When the node last said that it is ready.
async fn heartbeat(fleet: &Fleet) -> Result<Timestamp> {
    let node = fleet.admin.get(&format!("/api/v1/nodes/{NODE}")).await?;
    let conditions = node["status"]["conditions"].as_array();
    let mut conditions = conditions.context("no conditions")?.iter();
    let ready = conditions.find(|condition| condition["type"] == "Ready");
    let said = ready.and_then(|ready| ready["lastHeartbeatTime"].as_str());
    Ok(said.context("it says nothing")?.parse()?)
}
