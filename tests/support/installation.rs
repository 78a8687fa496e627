//! What a cluster runs, on a cluster of one node whose images are all behind one password: agent and coordinators from their
//! image, put there by an overlay as a site has one.

mod containers;
mod overlay;
mod remains;
mod rollout;
mod secret;
mod workload;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cluster::{Api, Cluster, Kubectl};
use crate::container_image::{ContainerImage, ImagePlan};
use crate::deploy::NAMESPACE;
use crate::eventually::eventually_within;
use crate::fixture::{Credential, config_json};
use crate::node::{Image, Node, NodePlan};
use crate::provider::KubeletProvider;
use crate::registry::Registry;
use crate::relay::Relay;
use crate::scratch::Scratch;

pub use containers::Container;
pub use secret::{DOCKER, HELPER};

/// How long all pods may take, with programs that are large and slow and other tests beside them.
const LONG: Duration = Duration::from_secs(180);
const NODE: &str = "real";
/// Where helpers look on any node.
const SOCKET: &str = "/run/pullkeeper/broker.sock";
/// The tag of the image that is there from the beginning.
const FIRST: &str = "1";

/// A site with one node. All of it ends when this is dropped.
pub struct Installation {
    // The node ends before the control plane that it belongs to.
    /// The node, which was installed with the first password.
    pub node: Node,
    api: Api,
    kubectl: Kubectl,
    /// The image that is there from the beginning.
    pub image: ContainerImage,
    /// The registry of all images, also of the agent's own.
    pub registry: Registry,
    credential: Credential,
    /// A namespace, and an image, of people who know nothing of all this.
    namespace: String,
    workload: String,
    relay: Relay,
    folder: Scratch,
    provider: KubeletProvider,
    /// What the node had with a name like ours before there was anything.
    before: BTreeSet<String>,
    /// The control plane.
    pub cluster: Cluster,
}

impl Installation {
    /// A node that was installed with the first password, and whose kubelet has the provider. The agent's own image is in the same
    /// registry as all others. Nothing of it is applied yet.
    ///
    /// # Errors
    /// When the image cannot be made, or as [`Cluster::start`] and [`NodePlan::join`].
    pub async fn new(plan: &ImagePlan) -> Result<Self> {
        let credential = Credential::new();
        let registry = Registry::with_passwords(&[&credential]).await?;
        let (host, workload) = (registry.host(), registry.image("team/app:1"));
        let app = Image::pause("app")?;
        registry.push(&credential, "team/app:1", &app).await?;
        let folder = Scratch::new("installation")?;
        let secret = config_json([(host.as_str(), &credential)]);
        let image = plan.build(&folder, "image").await?;
        image.push(&registry, &credential, &named(FIRST)).await?;

        let cluster = Cluster::start().await?;
        let address: SocketAddr = cluster.url().trim_start_matches("https://").parse()?;
        let relay = Relay::to(address).await?;
        let (helper, socket) = (plan.helper(), Path::new(SOCKET));
        let provider = KubeletProvider::executing(helper, &[&host], socket, None)?;
        let node = NodePlan::new(NODE)
            .auth_file(&secret)
            .credential_providers(provider.config(), provider.programs())
            .join(&cluster)
            .await?;
        Ok(Self {
            before: remains::remains(&node).await?,
            node,
            image,
            api: cluster.api(cluster.admin())?,
            kubectl: cluster.kubectl()?,
            namespace: cluster.namespace("team").await?,
            registry,
            credential,
            workload,
            relay,
            folder,
            provider,
            cluster,
        })
    }

    /// `kubectl apply -k` of the site's overlay, and then the pull secret. On return all pods are ready, and the helper that kubelet
    /// executes is the one that the agent has put on the node.
    ///
    /// # Errors
    /// When something is refused, or not ready in time.
    pub async fn deploy(&self) -> Result<()> {
        self.apply(FIRST).await?;
        self.publish().await?;
        self.settled().await?;
        self.holds().await?;
        self.helps().await?;
        self.provider.execute(Path::new(HELPER))
    }

    /// Pushes another image of the product.
    ///
    /// # Errors
    /// When the registry refuses it.
    pub async fn push(&self, image: &ContainerImage, tag: &str) -> Result<()> {
        let name = named(tag);
        image.push(&self.registry, &self.credential, &name).await
    }

    /// Changes the tag and applies, as docs/usage/cluster.md says. On return all pods are of that image and ready.
    ///
    /// # Errors
    /// As [`Installation::deploy`].
    pub async fn upgrade(&self, tag: &str) -> Result<()> {
        self.apply(tag).await?;
        self.settled().await
    }

    /// Waits until all pods are those that were asked for last, and ready.
    async fn settled(&self) -> Result<()> {
        for (resource, wanted) in [
            (
                "daemonsets/pullkeeper-agent",
                [("updatedNumberScheduled", 1), ("numberReady", 1)],
            ),
            (
                "deployments/pullkeeper-coordinator",
                [("updatedReplicas", 2), ("readyReplicas", 2)],
            ),
        ] {
            let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/{resource}");
            eventually_within(LONG, &format!("{resource} is ready"), async || {
                let object = self.api.get(&path).await?;
                let (status, generation) = (&object["status"], &object["metadata"]["generation"]);
                let current = status["observedGeneration"] == *generation;
                let there = wanted.iter().all(|(count, of)| status[count] == *of);
                // Those of a former image are gone.
                let alone = status["replicas"].as_u64().is_none_or(|all| all == 2);
                let told = self.waiting().await?;
                ensure!(current && there && alone, "{status}: {told}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// What the pods of ours wait for.
    async fn waiting(&self) -> Result<String> {
        let pods = self.pods(NAMESPACE).await?;
        let told = pods.iter().map(|pod| {
            let statuses = &pod["status"]["containerStatuses"];
            format!("{} {statuses}", pod["metadata"]["name"])
        });
        Ok(told.collect::<Vec<_>>().join("; "))
    }

    async fn pods(&self, namespace: &str) -> Result<Vec<Value>> {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let mut pods = self.api.get(&path).await?;
        let pods = pods["items"].as_array_mut().context("no list")?;
        Ok(std::mem::take(pods))
    }
}

/// The name of the product's image in the registry.
fn named(tag: &str) -> String {
    format!("pullkeeper:{tag}")
}
