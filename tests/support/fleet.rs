//! Agents on many fake nodes, each a process of its own that shows the token of a pod on its node, and coordinators that pace
//! them: everything as `deploy/` has it, on a control plane of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::agent::{Agent, Site};
use crate::cluster::{Api, Cluster, FakeNode, FakeNodes, Watch};
use crate::deploy::{self, AGENT, COORDINATOR, NAMESPACE, RECORDS, ROLLOUTS, SECRET_NAMESPACE};
use crate::eventually::{eventually, eventually_within, patience};
use crate::fixture::{Credential, config_json};
use crate::proxy::Proxy;

/// The registry that the pull secret is for.
pub const REGISTRY: &str = "registry.example";
/// Agents that are started at the same time.
const STARTING: usize = 8;

/// A fleet of nodes with their agents.
pub struct Fleet {
    /// The control plane.
    pub cluster: Cluster,
    /// The fake nodes.
    pub nodes: FakeNodes,
    /// The administrator.
    pub admin: Api,
    members: BTreeMap<String, Member>,
    /// Whether the agents' pods are those of a DaemonSet.
    daemons: bool,
    /// What is run instead of the program of this build.
    program: Option<PathBuf>,
}

struct Member {
    site: Site,
    agent: Agent,
}

impl Fleet {
    /// Starts a control plane, installs `deploy/`, makes the pull secret and the nodes, and starts an agent for each.
    ///
    /// # Errors
    /// When any of that fails.
    pub async fn start(nodes: Vec<FakeNode>, first: &Credential) -> Result<Self> {
        let mut fleet = Self::unattended(nodes).await?;
        fleet.change(&good(first)).await?;
        let names = fleet.nodes.names().to_vec();
        fleet.join(names).await?;
        Ok(fleet)
    }

    /// The same with agents whose pods are those of a DaemonSet, so that they are no obstacle where nodes are drained; kube-scheduler
    /// runs. Agents and coordinators are this program instead of the one of this build.
    ///
    /// # Errors
    /// When any of that fails.
    pub async fn scheduled(
        nodes: Vec<FakeNode>,
        first: &Credential,
        program: Option<PathBuf>,
    ) -> Result<Self> {
        let mut fleet = Self::unattended(nodes).await?;
        fleet.daemons = true;
        fleet.program = program;
        fleet.cluster.scheduler().await?;
        let agents = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": AGENT, "namespace": NAMESPACE},
            "spec": {
                "selector": {"matchLabels": {"app": AGENT}},
                "template": {
                    "metadata": {"labels": {"app": AGENT}},
                    "spec": {
                        "serviceAccountName": AGENT,
                        "tolerations": [{"operator": "Exists"}],
                        "containers": [{"name": "main", "image": "registry.test/main"}],
                    },
                },
            },
        });
        fleet.cluster.kubectl()?.apply(&agents.to_string()).await?;
        fleet.change(&good(first)).await?;
        let names = fleet.nodes.names().to_vec();
        fleet.join(names).await?;
        Ok(fleet)
    }

    /// [`Fleet::start`] without a pull secret and without agents.
    ///
    /// # Errors
    /// When any of that fails.
    pub async fn unattended(nodes: Vec<FakeNode>) -> Result<Self> {
        let cluster = Cluster::start().await?;
        deploy::install(&cluster).await?;
        let admin = cluster.api(cluster.admin())?;
        let nodes = cluster.fake_nodes(nodes).await?;
        Ok(Self {
            cluster,
            nodes,
            admin,
            members: BTreeMap::new(),
            daemons: false,
            program: None,
        })
    }

    /// Further nodes.
    ///
    /// # Errors
    /// When they or their agents cannot be started.
    pub async fn grow(&mut self, nodes: Vec<FakeNode>) -> Result<()> {
        let more = self.cluster.fake_nodes(nodes).await?;
        self.join(more.names().to_vec()).await
    }

    async fn join(&mut self, names: Vec<String>) -> Result<()> {
        let members = stream::iter(names)
            .map(|name| self.member(name))
            .buffer_unordered(STARTING);
        let members: Vec<_> = members.try_collect().await?;
        self.members.extend(members);
        Ok(())
    }

    /// Starts an agent for a node that has none. `tables` gives tables of its configuration, with its targets among them;
    /// [`Fleet::holders`] looks at a site's `auth.json`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn attend(
        &mut self,
        node: &str,
        environment: &[(&str, &str)],
        tables: impl Fn(&Site) -> String,
    ) -> Result<()> {
        let member = self.hire(node, None, environment, tables).await?;
        self.members.insert(node.to_owned(), member);
        Ok(())
    }

    /// The same with this program as the agent.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn attend_running(
        &mut self,
        node: &str,
        program: PathBuf,
        tables: impl Fn(&Site) -> String,
    ) -> Result<()> {
        let member = self.hire(node, Some(program), &[], tables).await?;
        self.members.insert(node.to_owned(), member);
        Ok(())
    }

    async fn member(&self, name: String) -> Result<(String, Member)> {
        let target = |site: &Site| target("containers", &site.join("auth.json"));
        let member = self.hire(&name, None, &[], target).await?;
        Ok((name, member))
    }

    async fn hire(
        &self,
        node: &str,
        program: Option<PathBuf>,
        environment: &[(&str, &str)],
        tables: impl Fn(&Site) -> String,
    ) -> Result<Member> {
        let kubeconfig = self.kubeconfig(AGENT, node).await?;
        let mut site = self.site_for(node)?;
        if let Some(program) = program {
            site = site.running(program);
        }
        let site = environment
            .iter()
            .fold(site, |site, (name, value)| site.env(name, *value));
        let tables = tables(&site);
        site.configure(
            &format!("node_name = \"{node}\""),
            &format!(
                "[[source]]\nname = \"global\"\nsecret = \"{SECRET_NAMESPACE}/pull-secret\"\n{tables}\
                 [kubernetes]\nkubeconfig = {kubeconfig:?}\nrollouts = true\n"
            ),
        )?;
        let agent = site.start().await?;
        Ok(Member { site, agent })
    }

    /// A kubeconfig with the token of a pod on the node.
    async fn kubeconfig(&self, account: &str, node: &str) -> Result<PathBuf> {
        let pod = if self.daemons && account == AGENT {
            self.daemon(node).await?
        } else {
            self.cluster.pod_object(NAMESPACE, account, node).await?
        };
        let identity = self.cluster.pod_identity(&pod).await?;
        self.cluster.kubeconfig(&identity)
    }

    /// The agent's pod on the node.
    async fn daemon(&self, node: &str) -> Result<Value> {
        let pods = format!(
            "/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3D{AGENT}&fieldSelector=spec.nodeName%3D{node}"
        );
        eventually(&format!("{node} has an agent's pod"), async || {
            let pods = self.admin.get(&pods).await?;
            pods["items"].get(0).cloned().context("none yet")
        })
        .await
    }

    /// Where a coordinator can be started, and started again: a pod on this node. Its Lease lasts 3 s.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn coordinator(&self, node: &str) -> Result<Site> {
        let kubeconfig = self.kubeconfig(COORDINATOR, node).await?;
        self.coordinator_with(&kubeconfig, "lease_duration = \"3s\"")
    }

    /// [`Fleet::coordinator`] with the Lease that it has where nobody says otherwise.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn patient_coordinator(&self, node: &str) -> Result<Site> {
        let kubeconfig = self.kubeconfig(COORDINATOR, node).await?;
        self.coordinator_with(&kubeconfig, "")
    }

    /// [`Fleet::coordinator`] for one that asks through a proxy.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn coordinator_through(&self, proxy: &Proxy, node: &str) -> Result<Site> {
        let pod = self
            .cluster
            .pod_object(NAMESPACE, COORDINATOR, node)
            .await?;
        let identity = self.cluster.pod_identity(&pod).await?;
        let kubeconfig = self.cluster.kubeconfig_through(proxy, &identity)?;
        self.coordinator_with(&kubeconfig, "lease_duration = \"3s\"")
    }

    fn coordinator_with(&self, kubeconfig: &Path, settings: &str) -> Result<Site> {
        let site = self.site_for("coordinator")?.coordinating();
        site.configure(
            "",
            &format!("[kubernetes]\nkubeconfig = {kubeconfig:?}\n[coordinator]\n{settings}\n"),
        )?;
        Ok(site)
    }

    fn site_for(&self, name: &str) -> Result<Site> {
        let site = Site::new(name)?;
        Ok(match &self.program {
            Some(program) => site.running(program.clone()),
            None => site,
        })
    }

    /// Makes the pull secret hold these bytes.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn change(&self, config: &str) -> Result<()> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "pull-secret", "namespace": SECRET_NAMESPACE},
            "stringData": {".dockerconfigjson": config},
        });
        self.cluster.kubectl()?.apply(&secret.to_string()).await?;
        Ok(())
    }

    /// Says how changes are to be rolled out.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn want(&self, spec: &Value) -> Result<()> {
        let rollout = manifest(spec);
        self.cluster.kubectl()?.apply(&rollout.to_string()).await?;
        Ok(())
    }

    /// The rollout as it is.
    ///
    /// # Errors
    /// When there is none.
    pub async fn rollout(&self) -> Result<Value> {
        self.admin.get(&format!("{ROLLOUTS}/cluster")).await
    }

    /// The record of a node as it is.
    ///
    /// # Errors
    /// When there is none.
    pub async fn record(&self, node: &str) -> Result<Value> {
        self.admin.get(&format!("{RECORDS}/{node}")).await
    }

    /// Waits until no node shows any more in its conditions that it is worked on.
    ///
    /// # Errors
    /// When one still does in the end.
    pub async fn shows_no_work(&self) -> Result<()> {
        eventually("no node says that it is worked on", async || {
            let nodes = self.admin.get("/api/v1/nodes").await?;
            let nodes = nodes["items"].as_array().context("no list")?.iter();
            let mut shows = nodes.filter(|node| {
                let conditions = node["status"]["conditions"].as_array();
                let mut conditions = conditions.into_iter().flatten();
                conditions.any(|one| one["reason"] == "PullkeeperRollout")
            });
            let shown = shows.next().map(|node| &node["metadata"]["name"]);
            ensure!(shown.is_none(), "{shown:?} does");
            Ok(())
        })
        .await
    }

    /// Every version of the rollout from now on.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub async fn history(&self) -> Result<Watch> {
        let list = self.admin.get(ROLLOUTS).await?;
        let version = list["metadata"]["resourceVersion"].as_str();
        let version = version.context("a list without a version")?;
        self.admin
            .watch(&format!("{ROLLOUTS}?watch=1&resourceVersion={version}"))
            .await
    }

    /// Waits until the rollout is in this phase, in this generation, and returns it.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn reaches(&self, phase: &str, generation: u64) -> Result<Value> {
        self.reaches_within(patience(), phase, generation).await
    }

    /// [`Fleet::reaches`] for what takes long.
    ///
    /// # Errors
    /// When it takes longer than that.
    pub async fn reaches_within(
        &self,
        limit: Duration,
        phase: &str,
        generation: u64,
    ) -> Result<Value> {
        let what = format!("{phase} in generation {generation}");
        eventually_within(limit, &what, async || {
            let rollout = self.rollout().await?;
            let status = &rollout["status"];
            ensure!(
                status["phase"] == phase && status["generation"] == generation,
                "{} in generation {}: {}",
                status["phase"],
                status["generation"],
                status["message"]
            );
            Ok(rollout)
        })
        .await
    }

    /// The nodes whose file holds this credential.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn holders(&self, credential: &Credential) -> Result<Vec<&str>> {
        let wanted: Value = serde_json::from_str(&good(credential))?;
        let mut holders = Vec::new();
        for (name, member) in &self.members {
            let path = member.site.join("auth.json");
            let found: Value = match std::fs::read(&path) {
                Ok(bytes) => serde_json::from_slice(&bytes).context("a file that is no JSON")?,
                Err(_) => continue,
            };
            if found == wanted {
                holders.push(name.as_str());
            }
        }
        Ok(holders)
    }

    /// Waits until so many nodes have this credential.
    ///
    /// # Errors
    /// When they do not in time.
    pub async fn holds(&self, count: usize, credential: &Credential) -> Result<()> {
        eventually(&format!("{count} nodes have the credential"), async || {
            let holders = self.holders(credential)?.len();
            ensure!(holders == count, "{holders} have it");
            Ok(())
        })
        .await
    }

    /// The folder of a node's agent.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn site(&self, node: &str) -> Result<&Site> {
        Ok(&self.member_of(node)?.site)
    }

    /// Stops a node's agent from doing anything: it is there, and silent.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn silence(&self, node: &str) -> Result<()> {
        self.member_of(node)?.agent.process().stop()
    }

    /// Lets it go on after [`Fleet::silence`].
    ///
    /// # Errors
    /// When there is no such node.
    pub fn wake(&self, node: &str) -> Result<()> {
        self.member_of(node)?.agent.process().cont()
    }

    /// A node's agent.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn agent(&self, node: &str) -> Result<&Agent> {
        Ok(&self.member_of(node)?.agent)
    }

    /// Kills a node's agent, with SIGKILL, and starts another one in its place.
    ///
    /// # Errors
    /// When there is no such node, or the other one does not start.
    pub async fn replace(&mut self, node: &str) -> Result<()> {
        let member = self.members.get_mut(node);
        let member = member.with_context(|| format!("no node {node}"))?;
        member.agent.process().kill_9();
        member.agent = member.site.start().await?;
        Ok(())
    }

    fn member_of(&self, node: &str) -> Result<&Member> {
        let member = self.members.get(node);
        member.with_context(|| format!("no node {node}"))
    }
}

/// The rollout of the pull secret with this spec.
pub fn manifest(spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["sources"] = json!([{"namespace": SECRET_NAMESPACE, "name": "pull-secret"}]);
    json!({
        "apiVersion": "pullkeeper.io/v1alpha1", "kind": "PullSecretRollout",
        "metadata": {"name": "cluster"}, "spec": spec,
    })
}

/// The table of a target.
pub fn target(kind: &str, path: &Path) -> String {
    format!("[[target]]\nkind = \"{kind}\"\npath = {path:?}\n")
}

/// A pull secret with this credential.
pub fn good(credential: &Credential) -> String {
    config_json([(REGISTRY, credential)])
}

/// Which of two coordinators leads now; exactly one does, sooner or later.
///
/// # Errors
/// When none or both do for too long.
pub async fn leader(running: &[Agent; 2]) -> Result<usize> {
    eventually("one coordinator leads", async || {
        let mut leaders = Vec::new();
        for (number, one) in running.iter().enumerate() {
            if one.metric("pullkeeper_coordinator_leader", &[]).await? == 1.0 {
                leaders.push(number);
            }
        }
        ensure!(leaders.len() == 1, "{leaders:?} lead");
        Ok(leaders[0])
    })
    .await
}
