//! What agent and coordinator take on a real node, in pods of the image that is shipped.

use std::time::Duration;

use anyhow::{Context as _, Result};
use support::container_image::ImagePlan;
use support::installation::Installation;

use crate::figures::{Figures, percentile};
use crate::page;
use crate::process::{age_seconds, anonymous_mib, resident_mib, thread_seconds};

const STARTS: usize = 7;
const ROTATIONS: usize = 5;
const IDLE: Duration = Duration::from_secs(60);
const PAGE: &str = "docs/usage/cluster.md";

pub(crate) async fn measure(figures: &mut Figures, pages: bool) -> Result<()> {
    let image = ImagePlan::of(
        &std::fs::canonicalize("target/dist/pullkeeper")?,
        &std::fs::canonicalize("target/bench/docker-credential-pullkeeper")?,
    );
    let mut site = Installation::new(&image).await?;
    site.deploy().await?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let agent = site.replace_agent().await?;
        starts.push(age_seconds(agent.process)?);
    }
    let ready = percentile(&mut starts, 0.5);
    let how = format!(
        "from the start of the container's process until the API server has the pod as Ready, median of {STARTS} pods"
    );
    figures.lower("pod_agent_ready_seconds", ready, "s", None, how);

    site.paced(1).await?;
    for round in 1..=ROTATIONS {
        site.rotate().await?;
        site.pulls(&format!("rotated-{round}")).await?;
    }
    let agents = site.containers("agent").await?;
    let agent = agents.first().context("no agent")?.process;
    // What a rotation leaves to be done is done by then.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = thread_seconds(agent)?;
    tokio::time::sleep(IDLE).await;
    let idle = (thread_seconds(agent)? - before) / IDLE.as_secs_f64() * 100.0;
    let how = format!(
        "time that the threads of the container's process were on a processor, over {IDLE:?} of nothing but kubelet's probes"
    );
    figures.lower("pod_agent_idle_cpu_percent", idle, "%", None, how);
    let memory = resident_mib(agent)?;
    let how = format!(
        "VmRSS of the container's process after {ROTATIONS} rotations and {IDLE:?} of nothing"
    );
    figures.lower("pod_agent_rss_mib", memory, "MiB", Some(10.0), how.clone());

    let own = anonymous_mib(agent)?;
    let what =
        "the part of pod_agent_rss_mib that is no file's, that is neither code nor constants";
    figures.lower("pod_agent_anonymous_mib", own, "MiB", None, what);

    let coordinators = site.containers("coordinator").await?;
    let sizes = coordinators.iter().map(|one| resident_mib(one.process));
    let largest = sizes
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .fold(0.0, f64::max);
    let how = format!("{how}; the larger of two, with one node");
    figures.lower("pod_coordinator_rss_mib", largest, "MiB", None, how);
    let restarts = [agents, coordinators].concat();
    let restarts = restarts.iter().map(|one| f64::from(one.restarts)).sum();
    let how = "restarts of all containers of the pods that were there at the end";
    figures.lower("pod_restarts", restarts, "", Some(0.0), how);
    site.was_undisturbed().await?;

    if pages {
        let (size, _) = site
            .image
            .said("compressed")?
            .split_once(',')
            .context("no size")?;
        let table = format!(
            "\n| | measured |\n|---|---|\n\
             | image, compressed | {size} |\n\
             | memory of an agent (RSS) | {memory:.1} MiB |\n\
             | of that neither code nor constants | {own:.1} MiB |\n\
             | memory of a coordinator (RSS), one node | {largest:.1} MiB |\n\
             | processor time of an idle agent | {idle:.3} % of a core |\n\
             | start of the agent's container until its pod is Ready | {ready:.1} s |\n\
             | restarts of the containers | {restarts} |\n\n"
        );
        page::replace(PAGE, "pod", &table)?;
    }
    Ok(())
}
