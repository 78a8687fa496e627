//! The running containers of the product, as the node sees them.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Installation;
use crate::cluster::nodes;
use crate::deploy::NAMESPACE;

/// The label that tells agents and coordinators apart.
const COMPONENT: &str = "app.kubernetes.io/component";

/// A container with its one process.
#[derive(Clone, Debug)]
pub struct Container {
    /// The name of its pod.
    pub pod: String,
    /// How often it was started again.
    pub restarts: u32,
    /// The ID of its process on this machine.
    pub process: u32,
}

impl Installation {
    /// The running containers of a component: `agent` or `coordinator`.
    ///
    /// # Errors
    /// When one does not run, or has another number of processes than one.
    pub async fn containers(&self, component: &str) -> Result<Vec<Container>> {
        let pods = self.pods(NAMESPACE).await?;
        let pods = pods.iter();
        // One that is deleted may be listed for a while, with a container that has ended.
        let pods = pods.filter(|pod| {
            let metadata = &pod["metadata"];
            metadata["labels"][COMPONENT] == component && metadata["deletionTimestamp"].is_null()
        });
        pods.map(container).collect()
    }

    /// Deletes the agent's pod. Returns with the next one at the moment in which it becomes Ready.
    ///
    /// # Errors
    /// When there is none, or the next one is not Ready in time.
    pub async fn replace_agent(&self) -> Result<Container> {
        let agents = self.containers("agent").await?;
        let old = &agents.first().context("no agent")?.pod;
        let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        let list = self.api.get(&pods).await?;
        let version = list["metadata"]["resourceVersion"].as_str();
        let version = version.context("a list without a version")?;
        let of = format!("labelSelector={COMPONENT}%3Dagent");
        let watch = format!("{pods}?watch=1&resourceVersion={version}&{of}");
        let mut watch = self.api.watch(&watch).await?;
        self.api.delete(&format!("{pods}/{old}")).await?;
        while let Some(event) = watch.next().await? {
            let pod = &event["object"];
            if pod["metadata"]["name"] != **old && nodes::ready(pod).is_ok() {
                return container(pod);
            }
        }
        bail!("the watch has ended before another agent was ready")
    }
}

fn container(pod: &Value) -> Result<Container> {
    let (name, status) = (
        pod["metadata"]["name"].as_str().context("no name")?,
        &pod["status"]["containerStatuses"][0],
    );
    let id = status["containerID"].as_str();
    let id = id.and_then(|id| id.strip_prefix("containerd://"));
    let id = id.with_context(|| format!("{name} does not run: {status}"))?;
    let restarts = status["restartCount"].as_u64().context("no restartCount")?;
    let restarts = restarts.try_into()?;
    Ok(Container {
        pod: name.to_owned(),
        restarts,
        process: only_process(id)?,
    })
}

/// The process in the control groups of a container. containerd's own are elsewhere.
fn only_process(container: &str) -> Result<u32> {
    let mut found = Vec::new();
    for entry in Path::new("/proc").read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may have ended since it was listed.
        let groups = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        if groups.contains(container) {
            found.push(process);
        }
    }
    match found[..] {
        [process] => Ok(process),
        _ => bail!("not one process but {found:?} in container {container}"),
    }
}
