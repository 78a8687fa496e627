//! What it costs the API server.

use std::time::Duration;

use anyhow::{Result, ensure};
use support::draining::drain;

use super::oracle::{self, Promise, Trace};

const NODES: usize = 6;
/// For each node with thirty pods that go, of which ten are under a budget.
const GOAL: f64 = 60.0;

#[tokio::test]
async fn a_drained_node_with_thirty_pods_takes_sixty_requests_at_most() -> Result<()> {
    let (fleet, cost) = drain(NODES, None).await?;
    let trace = Trace::of(&fleet.cluster.audit_events()?);
    println!(
        "requests_per_drained_node {:.1}: {NODES} nodes in {:.1} s, {:.1} evictions for each, {:#?}",
        cost.per_node(),
        cost.seconds,
        trace.accepted_per(NODES),
        cost.kinds
    );
    let promise = Promise {
        slots: 2,
        unavailable: 2,
        settle: Duration::from_secs(1),
        control_plane: [].into(),
    };
    oracle::hold(&trace, &promise)?;
    ensure!(cost.per_node() <= GOAL, "{:.1} requests", cost.per_node());
    Ok(())
}
