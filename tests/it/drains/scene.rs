//! A fleet whose nodes are to be drained, and what is promised about it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::agent::Agent;
use support::deploy::COORDINATOR;
use support::eventually;
use support::fixture::Credential;
use support::fleet::{Fleet, good};
use support::workloads::STAYS;

use super::oracle::{self, Promise, Trace};
use crate::rollouts::nodes;

/// How long a rollout may take, beside other tests.
pub(super) const LONG: Duration = Duration::from_secs(120);
/// How long after the cordon pods may come.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) struct Scene {
    pub(super) fleet: Fleet,
    pub(super) credentials: [Credential; 2],
    pub(super) promise: Promise,
    /// Pods, by UID, that must stay although they do not look like it.
    pub(super) spared: Vec<String>,
}

impl Scene {
    /// Nodes with agents; nothing is rolled out yet.
    pub(super) async fn new(count: usize, control_plane: usize, slots: usize) -> Result<Self> {
        let credentials = [Credential::new(), Credential::new()];
        let fleet = Fleet::scheduled(nodes(count, control_plane), &credentials[0], None).await?;
        let promise = Promise {
            slots,
            unavailable: slots,
            settle: SETTLE,
            control_plane: fleet.nodes.names()[..control_plane]
                .iter()
                .cloned()
                .collect(),
        };
        Ok(Self {
            fleet,
            credentials,
            promise,
            spared: Vec::new(),
        })
    }

    /// Starts a coordinator, and has what there is already rolled out without draining anything.
    pub(super) async fn coordinated(&self) -> Result<Agent> {
        let coordinator = self.fleet.coordinator("node-000").await?.start().await?;
        self.first().await?;
        Ok(coordinator)
    }

    /// Has what there is already rolled out, and wants drains from then on.
    pub(super) async fn first(&self) -> Result<()> {
        self.fleet
            .want(&json!({"soak": "0s", "maxParallel": "100%", "canary": {"count": 0}}))
            .await?;
        self.fleet.reaches_within(LONG, "Complete", 1).await?;
        Ok(())
    }

    /// Wants drains, with these changes of `spec.drain`, and makes a second generation of it.
    pub(super) async fn drain(&self, changes: &Value) -> Result<()> {
        self.fleet.want(&self.spec(changes)).await?;
        self.fleet.change(&good(&self.credentials[1])).await
    }

    /// A rollout that drains, quickly.
    pub(super) fn spec(&self, changes: &Value) -> Value {
        let mut drain = json!({
            "timeout": "20s", "settle": "1s", "patience": "5s", "retryAfter": "10s",
            "force": true, "deleteEmptyDirData": true,
            "skipPods": {"matchExpressions": [
                {"key": "app", "operator": "In", "values": [COORDINATOR, STAYS]},
            ]},
        });
        for (key, value) in changes.as_object().into_iter().flatten() {
            drain[key] = value.clone();
        }
        json!({
            "strategy": "Drain", "soak": "0s", "canary": {"count": 1}, "nodeDeadline": "60s",
            "maxParallel": self.promise.slots, "maxUnavailable": self.promise.unavailable,
            "failureBudget": {"count": 100, "percent": 100}, "drain": drain,
        })
    }

    /// Waits for the end of the second generation: every node has what is new.
    pub(super) async fn completes(&self) -> Result<()> {
        self.completes_within(LONG).await
    }

    /// [`Scene::completes`] for what takes longer.
    pub(super) async fn completes_within(&self, limit: Duration) -> Result<()> {
        self.fleet.reaches_within(limit, "Complete", 2).await?;
        let names = self.fleet.nodes.names();
        let holders = self.fleet.holders(&self.credentials[1])?;
        ensure!(holders == names, "only {holders:?} have the credential");
        Ok(())
    }

    /// The nodes that are cordoned now.
    pub(super) async fn cordoned(&self) -> Result<BTreeSet<String>> {
        let nodes = self.fleet.admin.get("/api/v1/nodes").await?;
        let nodes = nodes["items"].as_array().context("no list")?.iter();
        let cordoned = nodes.filter(|node| node["spec"]["unschedulable"] == true);
        let name = |node: &Value| node["metadata"]["name"].as_str().map(str::to_owned);
        Ok(cordoned.filter_map(name).collect())
    }

    /// Waits until these nodes alone are cordoned.
    pub(super) async fn leaves_cordoned(&self, cordoned: &[&str]) -> Result<()> {
        eventually(&format!("{cordoned:?} alone are cordoned"), async || {
            let left = self.cordoned().await?;
            ensure!(left.iter().eq(cordoned), "{left:?} are");
            Ok(())
        })
        .await
    }

    /// The audit log until now.
    pub(super) fn trace(&self) -> Result<Trace> {
        let mut trace = Trace::of(&self.fleet.cluster.audit_events()?);
        trace.spare(self.spared.iter().cloned());
        Ok(trace)
    }

    /// Judges all that has happened: nothing is broken, these nodes alone are cordoned, and none shows any work.
    pub(super) async fn judge(&self, cordoned: &[&str]) -> Result<()> {
        self.leaves_cordoned(cordoned).await?;
        self.fleet.shows_no_work().await?;
        oracle::hold(&self.trace()?, &self.promise)
    }

    /// The node, as it is.
    pub(super) async fn node(&self, name: &str) -> Result<Value> {
        self.fleet.admin.get(&format!("/api/v1/nodes/{name}")).await
    }

    /// Merges this into the node, as an administrator.
    pub(super) async fn change(&self, name: &str, patch: &Value) -> Result<()> {
        let path = format!("/api/v1/nodes/{name}");
        self.fleet.admin.merge(&path, patch).await.map(drop)
    }

    /// Waits until the node's slot is in this phase.
    pub(super) async fn phase(&self, node: &str, phase: &str) -> Result<()> {
        eventually(&format!("{node} is {phase}"), async || {
            let status = self.fleet.rollout().await?["status"].clone();
            let slot = &status["ledger"]["reservations"][node];
            ensure!(slot["phase"]["name"] == phase, "{slot}: {status}");
            Ok(())
        })
        .await
    }

    /// Waits until the node is parked for this reason, and its record says why in a message with all these parts.
    pub(super) async fn parked(&self, node: &str, why: &str, parts: &[&str]) -> Result<()> {
        eventually(&format!("{node} is parked: {why}"), async || {
            let status = self.fleet.rollout().await?["status"].clone();
            let parked = status["ledger"]["parked"].as_object();
            let mut parked = parked.into_iter().flatten().map(|(_, one)| one);
            let found = parked.any(|one| one["node"] == node && one["why"] == why);
            ensure!(found, "{}", status["ledger"]);
            Ok(())
        })
        .await?;
        eventually(&format!("its record says {parts:?}"), async || {
            let blocked = self.fleet.record(node).await?["spec"]["blocked"].clone();
            let message = blocked["message"].as_str().unwrap_or_default();
            for part in parts {
                ensure!(message.contains(part), "no {part} in {blocked}");
            }
            Ok(())
        })
        .await
    }
}
