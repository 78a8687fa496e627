//! One of the nodes that are compared, and what happened on it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use support::cluster::Api;
use support::eventually;
use support::node::{Node, Pod, PodSpec};

use super::readiness::Readiness;

/// What all nodes share.
pub(super) struct Scene {
    pub(super) api: Api,
    pub(super) namespace: String,
    pub(super) image: String,
}

pub(super) struct Contender {
    pub(super) node: Node,
    /// From each rotation until a new pod ran.
    pub(super) seconds: Vec<f64>,
    /// Pulls that failed.
    pub(super) failed: f64,
    /// How long kubelet was away each time: from its SIGTERM until it said again that it is healthy.
    pub(super) away: Vec<f64>,
    /// Starts of kubelet after its first one.
    pub(super) restarts: f64,
    /// When the node was not Ready, and a pod that runs on it all the time.
    pub(super) node_ready: Readiness,
    pub(super) pod_ready: Readiness,
}

/// A pod that is on its way.
pub(super) struct Begun {
    at: Instant,
    name: String,
    pod: Pod,
}

impl Contender {
    /// Has the node pull with the first credential, for a pod that stays.
    pub(super) async fn new(scene: &Scene, node: Node) -> Result<Self> {
        let name = format!("{}-before", node.name());
        let spec = PodSpec::new(&scene.namespace, &name, &scene.image);
        // The one thing that this program does and ends.
        let pod = node.create(&spec.ready_when(&["/pause", "-v"])).await?;
        pod.running().await?;
        let pods = format!("/api/v1/namespaces/{}/pods", scene.namespace);
        Ok(Self {
            node_ready: Readiness::watch(&scene.api, "/api/v1/nodes", node.name()).await?,
            pod_ready: Readiness::watch(&scene.api, &pods, &name).await?,
            node,
            seconds: Vec::new(),
            failed: 0.0,
            away: Vec::new(),
            restarts: 0.0,
        })
    }

    /// The node has the new credential; somebody wants a pod.
    pub(super) async fn begin(&self, scene: &Scene, round: usize) -> Result<Begun> {
        let at = Instant::now();
        let name = format!("{}-{round}", self.node.name());
        let spec = PodSpec::new(&scene.namespace, &name, &scene.image);
        let pod = self.node.create(&spec).await?;
        Ok(Begun { at, name, pod })
    }

    pub(super) async fn restart_kubelet(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.node.restart_kubelet().await?;
        self.away.push(begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Waits until that pod runs.
    pub(super) async fn end(&mut self, scene: &Scene, begun: Begun, limit: Duration) -> Result<()> {
        let Begun { at, name, pod } = begun;
        pod.running_within(limit).await?;
        self.seconds.push(at.elapsed().as_secs_f64());
        let failures = format!("involvedObject.name={name},reason=Failed");
        let path = format!("/api/v1/namespaces/{}/events", scene.namespace);
        self.failed += counted(&scene.api, &path, &failures, "Failed to pull image").await?;
        self.calm().await
    }

    /// Waits until node and pod are Ready, so that one rotation is not counted with the next.
    async fn calm(&self) -> Result<()> {
        for readiness in [&self.node_ready, &self.pod_ready] {
            eventually("node and pod are Ready", async || {
                ensure!(readiness.now()?, "not yet");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Counts what is counted at the end.
    pub(super) async fn rested(&mut self, scene: &Scene) -> Result<()> {
        self.calm().await?;
        let starts = format!("involvedObject.name={},reason=Starting", self.node.name());
        let path = "/api/v1/namespaces/default/events";
        self.restarts = counted(&scene.api, path, &starts, "Starting kubelet").await? - 1.0;
        Ok(())
    }
}

impl Scene {
    /// Of kubelet and its runtime.
    pub(super) async fn versions(&self) -> Result<String> {
        let nodes = self.api.get("/api/v1/nodes").await?;
        let info = &nodes["items"][0]["status"]["nodeInfo"];
        let version = |of: &str| info[of].as_str().context("a node without versions");
        let (kubelet, runtime) = (
            version("kubeletVersion")?,
            version("containerRuntimeVersion")?,
        );
        let runtime = runtime.replace("://", " ");
        Ok(format!(
            "kubelet {}, {runtime}",
            kubelet.trim_start_matches('v')
        ))
    }
}

/// How often kubelet has said this, by its Events, which count.
async fn counted(api: &Api, path: &str, selector: &str, message: &str) -> Result<f64> {
    let events = api.get(&format!("{path}?fieldSelector={selector}")).await?;
    let events = events["items"].as_array().into_iter().flatten();
    let events = events.filter(|event| {
        let said = event["message"].as_str().unwrap_or_default();
        said.starts_with(message)
    });
    Ok(events
        .map(|event| event["count"].as_f64().unwrap_or(1.0))
        .sum())
}
