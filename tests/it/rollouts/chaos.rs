//! Two coordinators that are killed, a control plane that restarts, nodes that come and go: no limit is exceeded, and it ends.

use anyhow::{Result, ensure};
use serde_json::json;
use support::eventually;
use support::fixture::Credential;
use support::fleet::{Fleet, good, leader};

use super::ledgers::{Recorder, complete};
use super::{nodes, quickly};

const NODES: usize = 24;
const SLOTS: usize = 3;

#[tokio::test]
async fn coordinators_that_die_at_any_moment_exceed_no_limit_and_lose_no_node() -> Result<()> {
    let credentials = [Credential::new(), Credential::new()];
    let fleet = Fleet::start(nodes(NODES, 3), &credentials[0]).await?;
    let sites = [
        fleet.coordinator("node-000").await?,
        fleet.coordinator("node-001").await?,
    ];
    let mut running = [sites[0].start().await?, sites[1].start().await?];
    fleet.want(&quickly(json!({"maxParallel": SLOTS}))).await?;
    fleet.reaches("Complete", 1).await?;

    let recorder = Recorder::on(fleet.history().await?, complete(2));
    fleet.change(&good(&credentials[1])).await?;
    let mut kills = 0;
    // Each time a little further, so that it is somewhere else in its work.
    for target in [1, 3, 6, 9, 13, 17] {
        eventually("it goes on", async || {
            let updated = fleet.holders(&credentials[1])?.len();
            ensure!(updated >= target, "{updated} of {target}");
            Ok(())
        })
        .await?;
        let leader = leader(&running).await?;
        running[leader].process().kill_9();
        kills += 1;
        running[leader] = sites[leader].start().await?;
    }
    fleet.reaches("Complete", 2).await?;
    fleet.holds(NODES, &credentials[1]).await?;
    let history = recorder.history().await?;
    history.is_lawful()?;
    let most = history.most(|_| String::new());
    println!("{NODES} nodes, leader killed {kills} times: {most} of {SLOTS} slots at most");
    ensure!(most <= SLOTS, "{most} slots of {SLOTS}");
    let control_plane =
        |name: &str| (name < "node-003").to_string() + if name < "node-003" { "" } else { name };
    assert_eq!(history.most(control_plane), 1);
    assert_eq!(history.admitted().len(), NODES);
    for agent in running {
        agent.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_control_plane_that_restarts_and_nodes_that_go_hold_nothing_up_for_ever() -> Result<()> {
    let credentials = [Credential::new(), Credential::new()];
    let mut fleet = Fleet::start(nodes(NODES, 0), &credentials[0]).await?;
    let sites = [
        fleet.coordinator("node-000").await?,
        fleet.coordinator("node-001").await?,
    ];
    let running = [sites[0].start().await?, sites[1].start().await?];
    fleet.want(&quickly(json!({"maxParallel": SLOTS}))).await?;
    fleet.reaches("Complete", 1).await?;

    // A node that stops answering keeps its slot until it is gone.
    let silent = "node-005";
    fleet.silence(silent)?;
    fleet.change(&good(&credentials[1])).await?;
    eventually("the silent node has a slot", async || {
        let rollout = fleet.rollout().await?;
        ensure!(rollout["status"]["ledger"]["reservations"][silent].is_object());
        Ok(())
    })
    .await?;
    fleet.cluster.apiserver.restart().await?;
    eventually("only the silent node is left", async || {
        let holders = fleet.holders(&credentials[1])?.len();
        ensure!(holders == NODES - 1, "{holders} have it");
        let rollout = fleet.rollout().await?;
        let reservations = &rollout["status"]["ledger"]["reservations"];
        let reserved = reservations
            .as_object()
            .map(|all| all.keys().collect::<Vec<_>>());
        ensure!(
            reserved == Some(vec![&silent.to_owned()]),
            "{reserved:?} have slots"
        );
        Ok(())
    })
    .await?;
    fleet.nodes.remove(silent).await?;
    let rollout = fleet.reaches("Complete", 2).await?;
    assert_eq!(rollout["status"]["nodes"]["total"], NODES - 1);
    assert_eq!(rollout["status"]["nodes"]["updated"], NODES - 1);
    for agent in running {
        agent.stop().await?;
    }
    Ok(())
}
