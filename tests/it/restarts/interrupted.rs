//! Agents that do not stay as they are while a service is restarted.

use std::fs;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use support::agent::Agent;
use support::eventually;

use super::scene::{Scene, restarting, unit};

const NODE: &str = "node-000";

/// Where a service is kept from going on, and what it has written down how often by then.
type Middle = (&'static str, &'static str, usize);

const STOPPING: Middle = ("stopping", "stop", 1);
const STARTING: Middle = ("starting", "start", 2);

/// A node whose service is being restarted, and stays in the middle of it; with the name of the start before that.
async fn in_the((middle, word, times): Middle) -> Result<(Scene, Agent, String)> {
    let (scene, coordinator) = Scene::new(1).await?;
    let before = scene.services.invocation(&unit(NODE)).await?;
    scene.hold(NODE, middle)?;
    scene.fleet.want(&restarting(1)).await?;
    scene.rotate().await?;
    eventually(&format!("the service is {middle}"), async || {
        let log = scene.log(NODE)?;
        ensure!(log.matches(word).count() == times, "{log}");
        Ok(())
    })
    .await?;
    Ok((scene, coordinator, before))
}

/// Kills the agent and waits until another one in its place is about to look at the service, which has not gone on yet.
async fn replaced(scene: &mut Scene) -> Result<()> {
    scene.fleet.replace(NODE).await?;
    let agent = scene.fleet.agent(NODE)?;
    eventually("the next agent goes on with the restart", async || {
        ensure!(agent.logged("restarting") == 1);
        Ok(())
    })
    .await
}

/// It goes on, and the service was restarted once.
async fn once(scene: Scene, coordinator: Agent, before: &str) -> Result<()> {
    let report = scene.answered(NODE).await?;
    assert_eq!(report["outcome"], "Reached", "{report}");
    ensure!(report["restarted"].is_string(), "{report}");
    scene.reaches("Complete").await?;
    scene.fleet.holds(1, &scene.credentials[1]).await?;
    let starts = scene.starts(NODE)?;
    ensure!(starts.len() == 2 && starts[1].up > 0.0, "{starts:?}");
    let after = scene.services.invocation(&unit(NODE)).await?;
    ensure!(after != before, "the service was not restarted");
    let log = scene.log(NODE)?;
    ensure!(log.matches("stop").count() == 1, "{log}");
    let agent = scene.fleet.agent(NODE)?;
    let labels = ["outcome=\"back\""];
    let counted = agent
        .metric("pullkeeper_unit_restarts_total", &labels)
        .await?;
    ensure!(counted == 1.0, "counted {counted} times");
    ensure!(
        !scene
            .fleet
            .site(NODE)?
            .join("state/activation.json")
            .exists()
    );
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_that_takes_a_new_configuration_meanwhile_goes_on_with_the_restart() -> Result<()>
{
    let (scene, coordinator, before) = in_the(STARTING).await?;
    let agent = scene.fleet.agent(NODE)?;
    let config = scene.fleet.site(NODE)?.config();
    let text = fs::read_to_string(config)?.replace("settle = \"1s\"", "settle = \"2s\"");
    scene.fleet.site(NODE)?.write("config.toml", text)?;
    agent.signal(Signal::SIGHUP)?;
    eventually("the configuration is taken", async || {
        ensure!(agent.logged("configuration reloaded") == 1);
        Ok(())
    })
    .await?;
    scene.release(NODE, "starting")?;
    once(scene, coordinator, &before).await
}

#[tokio::test]
async fn an_agent_that_is_killed_while_a_service_starts_does_not_restart_it_again() -> Result<()> {
    let (mut scene, coordinator, before) = in_the(STARTING).await?;
    replaced(&mut scene).await?;
    scene.release(NODE, "starting")?;
    once(scene, coordinator, &before).await
}

#[tokio::test]
async fn an_agent_that_is_killed_while_a_service_stops_does_not_restart_it_again() -> Result<()> {
    let (mut scene, coordinator, before) = in_the(STOPPING).await?;
    replaced(&mut scene).await?;
    scene.release(NODE, "stopping")?;
    once(scene, coordinator, &before).await
}
