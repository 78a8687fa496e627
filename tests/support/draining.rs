//! What draining a fleet of busy nodes takes, counted by the API server's audit log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use crate::cluster::FakeNode;
use crate::deploy::{COORDINATOR, NAMESPACE};
use crate::fixture::Credential;
use crate::fleet::{Fleet, good};
use crate::workloads::{Workloads, pod};

/// Pods of a node that go when it is drained, and are under no budget.
const FREE: usize = 20;
/// Those that are under one.
const BUDGETED: usize = 10;
/// What an eviction is that was accepted.
const EVICTED: &str = "create pods/eviction";
const LONG: Duration = Duration::from_secs(240);

/// What one generation took.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Nodes that were drained.
    pub nodes: usize,
    /// Requests of the coordinator, watches included.
    pub requests: usize,
    /// How many of each kind.
    pub kinds: BTreeMap<String, usize>,
    /// Seconds from the change to the end.
    pub seconds: f64,
}

impl Cost {
    /// Requests for each node, had each of them had thirty pods that go: where pods go to others that are drained later is the
    /// scheduler's choice, and differs from run to run. Evictions that were refused count as they are.
    #[allow(clippy::cast_precision_loss, reason = "some thousand requests")]
    pub fn per_node(&self) -> f64 {
        let accepted = self.kinds.get(EVICTED).copied().unwrap_or_default();
        let others = self.requests - accepted;
        others as f64 / self.nodes as f64 + (FREE + BUDGETED) as f64
    }
}

/// Drains `count` nodes with thirty pods each, two at a time, with this program instead of the one of this build.
///
/// # Errors
/// When it does not come to its end.
pub async fn drain(count: usize, program: Option<PathBuf>) -> Result<(Fleet, Cost)> {
    let credentials = [Credential::new(), Credential::new()];
    let nodes = (0..count).map(|number| FakeNode::new(&format!("node-{number:03}")));
    let fleet = Fleet::scheduled(nodes.collect(), &credentials[0], program).await?;
    // What nodes have that are cordoned is on the others, which are not to have more than that.
    let full = count - 1;
    let busy = Workloads::new(&fleet.cluster, "busy").await?;
    busy.controller("Deployment", FREE * full, &pod("free"))
        .await?;
    busy.controller("Deployment", BUDGETED * full, &pod("budgeted"))
        .await?;
    let budgeted = json!({"app": "budgeted"});
    busy.budget("budgeted", &budgeted, &json!({"maxUnavailable": "20%"}))
        .await?;
    busy.run("free", FREE * full).await?;
    busy.run("budgeted", BUDGETED * full).await?;

    let coordinator = fleet.patient_coordinator("node-000").await?.start().await?;
    fleet
        .want(&json!({"soak": "0s", "maxParallel": "100%"}))
        .await?;
    fleet.reaches_within(LONG, "Complete", 1).await?;
    fleet
        .want(&json!({
            "strategy": "Drain", "soak": "0s", "maxParallel": 2, "maxUnavailable": 2,
            "drain": {
                "settle": "1s", "force": true,
                "skipPods": {"matchLabels": {"app": COORDINATOR}},
            },
        }))
        .await?;
    let before = requests(&fleet)?;
    let begun = Instant::now();
    fleet.change(&good(&credentials[1])).await?;
    fleet.reaches_within(LONG, "Complete", 2).await?;
    let mut kinds = requests(&fleet)?;
    for (kind, earlier) in before {
        if let Some(all) = kinds.get_mut(&kind) {
            *all -= earlier;
        }
    }
    let cost = Cost {
        nodes: count,
        requests: kinds.values().sum(),
        kinds,
        seconds: begun.elapsed().as_secs_f64(),
    };
    coordinator.stop().await?;
    Ok((fleet, cost))
}

/// Requests of the coordinator so far, by verb and resource.
fn requests(fleet: &Fleet) -> Result<BTreeMap<String, usize>> {
    let account = format!("system:serviceaccount:{NAMESPACE}:{COORDINATOR}");
    let mut kinds = BTreeMap::new();
    for event in fleet.cluster.audit_events()? {
        if event.user.username == account && event.is_request() {
            let object = event.object_ref.unwrap_or_default();
            let mut kind = format!("{} {}", event.verb, object.resource);
            if !object.subresource.is_empty() {
                kind = format!("{kind}/{}", object.subresource);
            }
            if event.uri.contains("dryRun=") {
                kind += " (dry run)";
            }
            let refused = event
                .response_status
                .is_none_or(|status| status.code >= 400);
            if kind == EVICTED && refused {
                kind += " (refused)";
            }
            *kinds.entry(kind).or_insert(0) += 1;
        }
    }
    Ok(kinds)
}
