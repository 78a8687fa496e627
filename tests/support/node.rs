//! A Kubernetes node of real parts: containerd and kubelet, joined to a [`Cluster`].
//!
//! The node runs on this machine but in PID and mount namespaces of its own, where its files lie
//! in the usual places (`/var/lib/kubelet`, `/run/containerd`) and whatever it or its pods change
//! (`/etc`, `/usr`, `/opt`, …) is seen by nobody else and gone with it. It shares this machine's
//! network, so it reaches all that listens on loopback. It needs root.

mod containerd;
mod image;
mod kubelet;
mod machine;
mod pod;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cluster::{Api, Cluster, nodes};
use crate::eventually::eventually_within;
use crate::patience;
use crate::ports::Port;
use crate::process::Program;
use crate::scratch::Scratch;
use crate::services::Services;
use kubelet::{Kubelet, ProviderPaths};
use machine::{Machine, Resident};

pub use image::Image;
pub use pod::{Pod, PodSpec, PullPolicy, Waiting};

/// A node that is not there yet.
#[derive(Clone, Debug)]
pub struct NodePlan {
    name: String,
    auth_file: Option<String>,
    providers: Option<ProviderPaths>,
}

/// A running node. Its containers end when it is dropped, and when the test process dies.
pub struct Node {
    // In this order: kubelet would start again what containerd lost, and the machine's end is the
    // end of everything in it.
    kubelet: Kubelet,
    containerd: Resident,
    machine: Machine,
    providers: Option<ProviderPaths>,
    api: Api,
    name: String,
    gateway: String,
    folder: Scratch,
}

impl NodePlan {
    /// A node of this name, which must be the only one in its cluster.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            auth_file: None,
            providers: None,
        }
    }

    /// Gives it a [`Node::auth_file`] before kubelet starts.
    #[must_use]
    pub fn auth_file(mut self, content: &str) -> Self {
        self.auth_file = Some(content.to_owned());
        self
    }

    /// Gives kubelet credential providers: the paths of a `CredentialProviderConfig` and of the
    /// folder with the programs that it names. kubelet reads them when it starts. Paths below
    /// `target` are the same in the node, so any [`Scratch`] will do.
    #[must_use]
    pub fn credential_providers(
        mut self,
        config: impl Into<PathBuf>,
        programs: impl Into<PathBuf>,
    ) -> Self {
        self.providers = Some(ProviderPaths {
            config: config.into(),
            programs: programs.into(),
        });
        self
    }

    /// Starts the node, and the cluster's scheduler with the first one; it is Ready on return.
    ///
    /// # Errors
    /// Without root; when a program is missing (the message says what gets it) or does not start.
    pub async fn join(self, cluster: &Cluster) -> Result<Node> {
        let Self {
            name,
            auth_file,
            providers,
        } = self;
        cluster.scheduler().await?;
        let folder = Scratch::new("node")?;
        let ports = [Port::free()?, Port::free()?];
        // Whoever has the port is alone on this machine with a subnet derived from its number.
        let [high, low] = ports[0].number().to_be_bytes();
        let [subnet, gateway] = [".0/24", ".1"].map(|end| format!("10.{}.{low}{end}", 64 + high));

        let machine = Machine::start(folder.path()).await?;
        let containerd = containerd::start(&machine, &folder, &subnet).await?;
        let kubelet = Kubelet::new(cluster, &machine, &folder, &name, ports)?;
        let mut node = Node {
            kubelet,
            containerd,
            machine,
            providers,
            api: cluster.api(cluster.admin())?,
            name,
            gateway,
            folder,
        };
        if let Some(content) = auth_file {
            node.write_auth_file(&content)?;
        }
        node.start_kubelet().await?;
        node.ready().await?;
        Ok(node)
    }
}

impl Node {
    /// Its name in the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address at which its pods reach this machine; there is one as long as a pod runs.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Its folder, with the logs of its parts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `config.json` in [`Node::kubelet_folder`]: the auth file that kubelet pulls with.
    pub fn auth_file(&self) -> PathBuf {
        self.kubelet_folder().join("config.json")
    }

    /// kubelet's root folder as seen from outside; in the node it is `/var/lib/kubelet`. What is
    /// mounted below it is only there inside.
    pub fn kubelet_folder(&self) -> PathBuf {
        self.folder.join("kubelet")
    }

    /// The logs of containers, `/var/log/pods` in the node: `NAMESPACE_POD_UID/CONTAINER/N.log`.
    pub fn pod_logs(&self) -> PathBuf {
        self.folder.join("pod-logs")
    }

    /// Replaces [`Node::auth_file`] in one step. kubelet may go on with what it has read for up to
    /// five minutes, unless it is restarted.
    ///
    /// # Errors
    /// When it cannot be written.
    #[expect(
        clippy::disallowed_methods,
        reason = "plays the part of somebody else; nothing here has to survive"
    )]
    pub fn write_auth_file(&self, content: &str) -> Result<()> {
        let new = self.folder.write("kubelet/.config.json.new", content)?;
        let path = self.auth_file();
        std::fs::rename(new, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Lets images of `host` (`registry.test`, `127.0.0.1:5000`) come from the server at `url`
    /// (`http://127.0.0.1:5000`), from the next pull on. kubelet looks credentials up for `host`.
    ///
    /// # Errors
    /// When containerd's configuration cannot be written.
    pub fn add_registry(&self, host: &str, url: &str) -> Result<()> {
        // Without a `host` table containerd 1.6 takes no notice of the file.
        let hosts = format!("server = \"{url}\"\n\n[host.\"{url}\"]\n");
        let path = Path::new(containerd::HOSTS).join(host).join("hosts.toml");
        self.folder.write(path, hosts).map(drop)
    }

    /// Gives the node the images of an archive (OCI, or as docker saves it) without any registry.
    /// Pods that use one need a policy other than [`PullPolicy::Always`].
    ///
    /// # Errors
    /// When containerd refuses; shows what it said.
    pub async fn import(&self, archive: &Path) -> Result<()> {
        containerd::import(&self.machine, archive).await
    }

    /// Creates a pod for this node; the scheduler binds it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn create(&self, spec: &PodSpec) -> Result<Pod> {
        Pod::create(self.api.clone(), &self.name, spec).await
    }

    /// A pod that somebody else has created or will create, of one container if its image matters.
    pub fn pod(&self, namespace: &str, name: &str) -> Pod {
        Pod::existing(self.api.clone(), namespace, name)
    }

    /// What kubelet has logged since the node was started, over its restarts.
    ///
    /// # Errors
    /// When kubelet does not run.
    pub fn kubelet_log(&self) -> Result<String> {
        Ok(self.kubelet.process()?.stderr())
    }

    /// Starts kubelet after [`Node::kubelet_as_service`]; it has read all of its configuration on return, and its node is Ready.
    ///
    /// # Errors
    /// When it does not start, or is not ready in time.
    pub async fn start_service(&self, services: &Services) -> Result<()> {
        services.start("kubelet.service").await?;
        // That the node was Ready says nothing of this kubelet.
        let answers = eventually_within(patience() * 2, "kubelet answers", async || {
            self.kubelet_metrics().await.map(drop)
        });
        answers.await?;
        self.ready().await
    }

    /// The metrics of kubelet, whoever has started it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn kubelet_metrics(&self) -> Result<String> {
        self.kubelet.metrics().await
    }

    /// What containerd has logged: pulls in full, where kubelet tells their end.
    pub fn containerd_log(&self) -> String {
        self.containerd.process().stderr()
    }

    /// Stops kubelet with SIGTERM and starts it again; it is healthy on return. Pods run on.
    ///
    /// # Errors
    /// When it does not end or does not come back, as with a bad provider configuration; shows its
    /// log's tail.
    pub async fn restart_kubelet(&mut self) -> Result<()> {
        self.kubelet.stop().await?;
        self.start_kubelet().await
    }

    /// Stops kubelet with SIGTERM. Pods run on.
    ///
    /// # Errors
    /// When it does not run or does not end.
    pub async fn stop_kubelet(&mut self) -> Result<()> {
        self.kubelet.stop().await
    }

    /// Starts kubelet after [`Node::stop_kubelet`] or its own end; it is healthy on return.
    ///
    /// # Errors
    /// When it does not start; shows its log's tail.
    pub async fn start_kubelet(&mut self) -> Result<()> {
        self.kubelet
            .start(&self.machine, self.providers.as_ref())
            .await
    }

    /// Changes what [`NodePlan::credential_providers`] said, from kubelet's next start on; `None`
    /// takes the flags away.
    pub fn set_credential_providers(&mut self, paths: Option<(PathBuf, PathBuf)>) {
        self.providers = paths.map(|(config, programs)| ProviderPaths { config, programs });
    }

    /// Starts a systemd in the node that has kubelet as `kubelet.service`, and these services. `[Service]` of kubelet is what
    /// `service` makes of its command. kubelet does not run on return: the one that ran before is stopped, and nobody has started
    /// the service.
    ///
    /// # Errors
    /// When kubelet does not end, or as [`Services::boot`].
    pub async fn kubelet_as_service(
        &mut self,
        service: impl FnOnce(&str) -> String,
        others: &[(String, String)],
    ) -> Result<Services> {
        self.kubelet.stop().await?;
        let kubelet = service(&self.kubelet.command().join(" "));
        let mut services = vec![("kubelet.service".to_owned(), kubelet)];
        services.extend_from_slice(others);
        Services::boot_inside(&self.machine.enter(), &services).await
    }

    /// A program to run in the node, where it sees the node's files and processes. Unlike pods it
    /// ends with the returned program's [`crate::process::Process`] only if it does not daemonize;
    /// all of it ends with the node.
    ///
    /// # Errors
    /// When this machine has no `nsenter`.
    pub fn inside(&self, name: &str, program: &Path) -> Result<Program> {
        self.machine.inside(name, program)
    }

    /// Waits until the API server knows the node as Ready.
    ///
    /// # Errors
    /// When it is not in time; shows the end of kubelet's log.
    pub async fn ready(&self) -> Result<()> {
        let path = format!("/api/v1/nodes/{}", self.name);
        let ready = eventually_within(patience() * 2, "the node is Ready", async || {
            let node = self.api.get(&path).await?;
            nodes::ready(&node)
        });
        ready.await.with_context(|| {
            let tail = self.kubelet.process().map(|process| process.tail());
            format!("{} is not Ready{}", self.name, tail.unwrap_or_default())
        })
    }

    /// Takes the node out of its cluster: its pods and the Node are deleted by force. For a cluster
    /// that outlives the node; where the cluster ends too, dropping is enough.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn leave(self) -> Result<()> {
        let (api, name) = (self.api.clone(), self.name.clone());
        drop(self);
        nodes::forget(&api, &[name]).await
    }
}
