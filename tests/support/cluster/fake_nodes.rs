//! Nodes by the hundred that cost next to nothing: the control plane sees them and gives them
//! pods, but nothing runs anywhere.

use std::collections::HashSet;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::api::Api;
use super::kwok::FAKE;
use super::{Cluster, nodes};
use crate::eventually::{eventually, eventually_within};
use crate::patience;

/// A fake node that is not there yet.
#[derive(Clone, Debug)]
pub struct FakeNode {
    name: String,
    labels: Map<String, Value>,
}

/// Fake nodes of a cluster. They stay when this is dropped, see [`FakeNodes::leave`].
pub struct FakeNodes {
    api: Api,
    names: Vec<String>,
}

impl FakeNode {
    /// A node of this name, which must be the only one in its cluster, with the labels that
    /// kubelet gives it.
    pub fn new(name: &str) -> Self {
        let node = Self {
            name: name.to_owned(),
            labels: Map::new(),
        };
        node.label("kubernetes.io/hostname", name)
            .label("kubernetes.io/os", "linux")
            .label("kubernetes.io/arch", "amd64")
    }

    /// Puts it into a zone.
    #[must_use]
    pub fn zone(self, zone: &str) -> Self {
        self.label("topology.kubernetes.io/zone", zone)
    }

    /// Gives it the role of the control plane. That is a label; no taint keeps pods away.
    #[must_use]
    pub fn control_plane(self) -> Self {
        self.label("node-role.kubernetes.io/control-plane", "")
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.into());
        self
    }

    fn object(&self) -> Value {
        let (annotation, value) = FAKE;
        json!({ "metadata": {
            "name": self.name, "labels": self.labels, "annotations": { annotation: value },
        }})
    }
}

impl Cluster {
    /// Creates fake nodes, and starts [KWOK](Cluster::kwok) with the first; all of them are Ready
    /// on return.
    ///
    /// Whatever pod goes to one of them, by name or by the [scheduler](Cluster::scheduler), is
    /// Running at once. On the shared cluster that may be anybody's pod without a node selector.
    ///
    /// # Errors
    /// When KWOK is missing (the message says what builds it) or does not start, the API server
    /// refuses, or the nodes do not become Ready.
    pub async fn fake_nodes(&self, nodes: impl IntoIterator<Item = FakeNode>) -> Result<FakeNodes> {
        self.kwok().await?;
        let nodes: Vec<_> = nodes.into_iter().collect();
        let api = self.api(self.admin())?;
        nodes::each(&nodes, async |node: &FakeNode| {
            api.create("/api/v1/nodes", &node.object()).await.map(drop)
        })
        .await?;
        let names = nodes.into_iter().map(|node| node.name).collect();
        let nodes = FakeNodes { api, names };
        nodes.ready().await?;
        Ok(nodes)
    }
}

impl FakeNodes {
    /// Their names, in the order in which they were given.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Waits until the API server knows all of them as Ready; longer, the more there are.
    ///
    /// # Errors
    /// When one is not in time; says which.
    pub async fn ready(&self) -> Result<()> {
        let count = self.names.len();
        let limit = patience() * u32::try_from(1 + count / 500)?;
        let what = format!("{count} fake nodes are Ready");
        eventually_within(limit, &what, async || {
            let all = self.api.get("/api/v1/nodes").await?;
            let all = all["items"].as_array().context("no list of nodes")?;
            let ready = all.iter().filter(|node| nodes::ready(node).is_ok());
            let name = |node: &Value| node["metadata"]["name"].as_str().map(str::to_owned);
            let ready: HashSet<_> = ready.filter_map(name).collect();
            let mut others = self.names.iter().filter(|name| !ready.contains(*name));
            if let Some(first) = others.next() {
                bail!("neither {first} nor {} others", others.count());
            }
            Ok(())
        })
        .await
    }

    /// Makes a node not Ready, as its kubelet does when containerd is down: it goes on renewing
    /// its lease, and its pods stay. The controllers taint it a moment later.
    ///
    /// # Errors
    /// When there is no such node.
    pub async fn break_down(&self, name: &str) -> Result<()> {
        // KWOK repairs every node that has the annotation, at once.
        self.annotate(name, Value::Null).await?;
        let down = json!({
            "status": "False", "reason": "KubeletNotReady", "message": "container runtime is down",
        });
        self.say(name, down).await
    }

    /// Ends [`FakeNodes::break_down`]; the node is Ready on return.
    ///
    /// # Errors
    /// When there is no such node or KWOK is down.
    pub async fn recover(&self, name: &str) -> Result<()> {
        self.annotate(name, FAKE.1.into()).await?;
        eventually(&format!("{name} is Ready again"), async || {
            nodes::ready(&self.api.get(&format!("/api/v1/nodes/{name}")).await?)
        })
        .await
    }

    /// Has a node say at this time that it is Ready, as its kubelet does when it starts and then every few minutes; KWOK says so
    /// once, and then for ten minutes not again.
    ///
    /// # Errors
    /// When there is no such node.
    pub async fn says_ready(&self, name: &str, at: Timestamp) -> Result<()> {
        let second = Timestamp::from_second(at.as_second())?.to_string();
        let ready = json!({ "status": "True", "lastHeartbeatTime": second });
        self.say(name, ready).await
    }

    /// Takes one node out of the cluster, as [`FakeNodes::leave`] does.
    ///
    /// # Errors
    /// When it is none of these, or the API server refuses.
    pub async fn remove(&mut self, name: &str) -> Result<()> {
        let at = self.names.iter().position(|own| own == name);
        let at = at.with_context(|| format!("no fake node {name}"))?;
        nodes::forget(&self.api, &[self.names.remove(at)]).await
    }

    /// Takes the nodes out of their cluster: the Nodes and their pods are deleted by force. For a
    /// cluster that outlives them; where the cluster ends too, dropping is enough.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn leave(self) -> Result<()> {
        nodes::forget(&self.api, &self.names).await
    }

    /// Changes its condition Ready, and no other.
    async fn say(&self, name: &str, mut ready: Value) -> Result<()> {
        ready["type"] = "Ready".into();
        let patch = json!({ "status": { "conditions": [ready] } });
        let path = format!("/api/v1/nodes/{name}/status");
        self.api.merge_by_key(&path, &patch).await.map(drop)
    }

    async fn annotate(&self, name: &str, value: Value) -> Result<()> {
        let patch = json!({ "metadata": { "annotations": { FAKE.0: value } } });
        let path = format!("/api/v1/nodes/{name}");
        self.api.merge(&path, &patch).await.map(drop)
    }
}
