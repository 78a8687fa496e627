//! What nodes that are drained show to other tools.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use support::draining::drain;

#[tokio::test]
async fn a_node_says_how_far_its_drain_is_in_three_requests() -> Result<()> {
    let (fleet, _) = drain(2, None).await?;
    let mut told = BTreeMap::<_, Vec<Vec<String>>>::new();
    for event in fleet.cluster.audit_events()? {
        if event.about("nodes", "status") && event.user_agent.starts_with("pullkeeper") {
            ensure!(event.code() == 200, "{event:?}");
            let sent = event.request_object.context("not recorded")?;
            let conditions = sent["status"]["conditions"].as_array();
            let kinds = conditions.into_iter().flatten();
            let kinds = kinds.map(|one| one["type"].as_str().unwrap_or_default().to_owned());
            let node = event.object_ref.context("of no object")?.name;
            told.entry(node).or_default().push(kinds.collect());
        }
    }
    let drained = ["Drained", "MaintenanceInProgress"];
    let expected: [&[&str]; 3] = [&["DrainInProgress"], &drained, &[]];
    ensure!(told.len() == 2, "{told:?}");
    for (node, told) in told {
        ensure!(told == expected, "{node}: {told:?}");
        let admin = fleet.cluster.api(fleet.cluster.admin())?;
        let node = admin.get(&format!("/api/v1/nodes/{node}")).await?;
        let conditions = node["status"]["conditions"].to_string();
        ensure!(conditions.contains("Ready"), "{conditions}");
        ensure!(!conditions.contains("PullkeeperRollout"), "{conditions}");
    }
    Ok(())
}
