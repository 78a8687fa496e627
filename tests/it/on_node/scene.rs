//! A cluster of one node whose images are all behind one password.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::cluster::{Api, Cluster, Kubectl};
use support::deploy::{NAMESPACE, RECORDS, ROLLOUTS};
use support::eventually::eventually_within;
use support::fixture::{Credential, config_json};
use support::node::{Image, Node, NodePlan, PodSpec};
use support::patience;
use support::process::Program;
use support::provider::KubeletProvider;
use support::registry::Registry;
use support::relay::Relay;
use support::scratch::Scratch;

use crate::image;

/// How long all pods may take, with programs that are large and slow and other tests beside them.
pub(super) const LONG: Duration = Duration::from_secs(180);
/// The type of pull secrets.
pub(super) const DOCKER: &str = "kubernetes.io/dockerconfigjson";
const NODE: &str = "real";
/// The overlay of this site.
const SITE: &str = "deploy/overlays/site";
/// Where helpers look on any node.
const SOCKET: &str = "/run/pullkeeper/broker.sock";

pub(super) struct Scene {
    // The node ends before the control plane that it belongs to.
    pub(super) node: Node,
    api: Api,
    kubectl: Kubectl,
    pub(super) registry: Registry,
    credential: Credential,
    /// A namespace, and an image, of people who know nothing of all this.
    namespace: String,
    workload: String,
    relay: Relay,
    folder: Scratch,
    _provider: KubeletProvider,
    pub(super) cluster: Cluster,
}

impl Scene {
    /// A node that was installed with the first password, and whose kubelet has the provider. The agent's own image is in the same
    /// registry as all others.
    pub(super) async fn new() -> Result<Self> {
        let credential = Credential::new();
        let registry = Registry::with_passwords(&[&credential]).await?;
        let (host, workload) = (registry.host(), registry.image("team/app:1"));
        registry
            .push(&credential, "team/app:1", &Image::pause("app")?)
            .await?;
        let folder = Scratch::new("deploy")?;
        let secret = config_json([(host.as_str(), &credential)]);
        let login = folder.write("login.json", &secret)?;
        image::build(&folder, "image", "022", &[]).await?;
        let archive = format!(
            "oci-archive:{}",
            folder.join("image/pullkeeper.oci.tar").display()
        );
        let copy = Program::installed("skopeo")?.args([
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            "--dest-authfile",
        ]);
        let copy = copy.arg(login).args([
            archive,
            format!("docker://{}", registry.image("pullkeeper:1")),
        ]);
        copy.run(LONG).await?.success()?;

        let cluster = Cluster::start().await?;
        let address: SocketAddr = cluster.url().trim_start_matches("https://").parse()?;
        let relay = Relay::to(address).await?;
        let provider = KubeletProvider::new(&[&host], Path::new(SOCKET), None)?;
        let node = NodePlan::new(NODE)
            .auth_file(&secret)
            .credential_providers(provider.config(), provider.programs())
            .join(&cluster)
            .await?;
        Ok(Self {
            node,
            api: cluster.api(cluster.admin())?,
            kubectl: cluster.kubectl()?,
            namespace: cluster.namespace("team").await?,
            registry,
            credential,
            workload,
            relay,
            folder,
            _provider: provider,
            cluster,
        })
    }

    /// `kubectl apply -k` of an overlay on top of ours, as a site has one; all pods are ready on return.
    pub(super) async fn deploy(&self) -> Result<()> {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        let copy = Program::installed("cp")?
            .arg("-r")
            .args([deploy, self.folder.join("deploy")]);
        copy.run(LONG).await?.success()?;
        // There is no Service `kubernetes` here, and nothing that would make one reachable.
        let reach = json!([
            {"op": "add", "path": "/spec/template/spec/hostAliases", "value": [
                {"ip": self.node.gateway(), "hostnames": ["kubernetes.default.svc"]},
            ]},
            {"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value":
                {"name": "KUBERNETES_SERVICE_HOST", "value": "kubernetes.default.svc"}},
            {"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value":
                {"name": "KUBERNETES_SERVICE_PORT", "value": self.relay.port().to_string()}},
        ])
        .to_string();
        let image = self.registry.image("pullkeeper");
        let site = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
            "resources": ["../kubernetes"], "components": ["../../components/credential-helper"],
            "images": [{"name": "pullkeeper", "newName": image, "newTag": "1"}],
            "patches": [
                {"target": {"kind": "DaemonSet"}, "patch": reach},
                {"target": {"kind": "Deployment"}, "patch": reach},
            ],
        });
        self.folder
            .write(format!("{SITE}/kustomization.yaml"), site.to_string())?;
        self.kubectl
            .run(&["apply", "--server-side", "-k", &self.site()])
            .await?;
        self.publish().await?;
        for (resource, ready) in [
            ("daemonsets/pullkeeper-agent", "numberReady"),
            ("deployments/pullkeeper-coordinator", "readyReplicas"),
        ] {
            let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/{resource}");
            let wanted = if ready == "numberReady" { 1 } else { 2 };
            eventually_within(LONG, &format!("{resource} is ready"), async || {
                let status = self.api.get(&path).await?["status"].clone();
                ensure!(status[ready] == wanted, "{status}: {}", self.pods().await?);
                Ok(())
            })
            .await?;
        }
        self.holds().await
    }

    /// The registry has another password, and then the cluster's Secret. On return the agent has it.
    pub(super) async fn rotate(&mut self) -> Result<()> {
        self.credential = Credential::new();
        self.registry.set_users(&[&self.credential]).await?;
        self.publish().await?;
        self.holds().await
    }

    /// Waits until the helper that the agent has put on the node answers there with the credential.
    pub(super) async fn helps(&self) -> Result<()> {
        let helper = Path::new("/opt/pullkeeper/bin/docker-credential-pullkeeper");
        let program = self
            .node
            .inside("helper", helper)?
            .arg("get")
            .input(self.registry.host());
        eventually_within(LONG, "the node's helper answers", async || {
            let answer: Value =
                serde_json::from_str(&program.run(patience()).await?.success()?.stdout)?;
            let Credential { username, password } = &self.credential;
            ensure!(
                answer["Username"] == *username && answer["Secret"] == *password,
                "another credential"
            );
            Ok(())
        })
        .await
    }

    /// Makes the pull secret hold the credential.
    async fn publish(&self) -> Result<()> {
        let config = config_json([(self.registry.host().as_str(), &self.credential)]);
        self.replace(DOCKER, &config).await
    }

    /// Puts another Secret in the place of the pull secret.
    pub(super) async fn replace(&self, kind: &str, content: &str) -> Result<()> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind,
            "metadata": {"name": "pull-secret", "namespace": NAMESPACE},
            "stringData": {".dockerconfigjson": content},
        });
        let (apply, replace) = (["apply", "-f", "-"], ["replace", "--force", "-f", "-"]);
        // A type cannot be changed.
        let verb: &[&str] = if kind == DOCKER && self.kind().await? == DOCKER {
            &apply
        } else {
            &replace
        };
        self.kubectl
            .run_with_input(verb, &secret.to_string())
            .await
            .map(drop)
    }

    /// Removes the pull secret.
    pub(super) async fn delete(&self) -> Result<()> {
        let secret = ["delete", "secret", "--namespace", NAMESPACE, "pull-secret"];
        self.kubectl.run(&secret).await.map(drop)
    }

    /// Has the coordinator pace the pull secret, with so many nodes as canary.
    pub(super) async fn paced(&self, canary: u32) -> Result<()> {
        let rollout = json!({
            "apiVersion": "pullkeeper.io/v1alpha1", "kind": "PullSecretRollout", "metadata": {"name": "cluster"},
            "spec": {
                "sources": [{"namespace": NAMESPACE, "name": "pull-secret"}],
                "canary": {"count": canary}, "soak": "0s",
            },
        });
        self.kubectl.apply(&rollout.to_string()).await?;
        self.complete(1).await
    }

    /// Waits until the rollout has come to its end.
    pub(super) async fn complete(&self, generation: u64) -> Result<()> {
        eventually_within(LONG, "the rollout is complete", async || {
            let status = self.rollout().await?;
            ensure!(
                status["phase"] == "Complete" && status["generation"] == generation,
                "{status}"
            );
            Ok(())
        })
        .await
    }

    async fn rollout(&self) -> Result<Value> {
        Ok(self.api.get(&format!("{ROLLOUTS}/cluster")).await?["status"].clone())
    }

    /// Waits until the node's record, and the rollout with it, say that the Secret is bad for this reason.
    pub(super) async fn says(&self, reason: &str) -> Result<()> {
        eventually_within(LONG, &format!("the record says {reason}"), async || {
            let record = self.api.get(&format!("{RECORDS}/{NODE}")).await?["status"].clone();
            let findings = record["findings"].as_array().into_iter().flatten();
            let mut reasons = findings.filter_map(|finding| finding["reason"].as_str());
            ensure!(
                record["reason"] == "BadSecret" && reasons.any(|one| one == reason),
                "{record}"
            );
            let rollout = self.rollout().await?;
            let message = rollout["message"].as_str().unwrap_or_default();
            ensure!(
                rollout["phase"] == "Halted" && message.contains(reason),
                "{rollout}"
            );
            Ok(())
        })
        .await
    }

    /// A pod of this name pulls the workload and runs.
    pub(super) async fn pulls(&self, name: &str) -> Result<()> {
        let pod = PodSpec::new(&self.namespace, name, &self.workload);
        self.node.create(&pod).await?.running().await
    }

    /// No pull has failed, and kubelet was started once.
    pub(super) async fn was_undisturbed(&self) -> Result<()> {
        let path = format!("/api/v1/namespaces/{}/events", self.namespace);
        let events = self.api.get(&path).await?;
        let events = events["items"].as_array().context("no list")?;
        let (mut pulled, mut failed) = (0, Vec::new());
        for event in events {
            match event["reason"].as_str() {
                Some("Pulled") => pulled += 1,
                Some("Failed" | "BackOff") => failed.push(&event["message"]),
                _ => {}
            }
        }
        ensure!(
            pulled > 0 && failed.is_empty(),
            "{pulled} pulls, and {failed:?}"
        );
        let nodes = format!(
            "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name={NODE},reason=Starting"
        );
        let starts = self.api.get(&nodes).await?;
        let starts = starts["items"].as_array().context("no list")?;
        ensure!(
            starts.len() == 1 && starts[0]["count"].as_u64().unwrap_or(1) == 1,
            "{starts:?}"
        );
        Ok(())
    }

    /// Waits until the node's file has the credential, which helpers were given before.
    async fn holds(&self) -> Result<()> {
        let file = self.node.auth_file();
        eventually_within(LONG, "the node's file has the credential", async || {
            let text = std::fs::read_to_string(&file)?;
            ensure!(text.contains(&self.credential.auth()), "another one");
            Ok(())
        })
        .await
    }

    fn site(&self) -> String {
        self.folder.join(SITE).display().to_string()
    }

    /// Removes it all as docs/usage/cluster.md says. Of what the cluster had, nothing is left; the node keeps its credential.
    pub(super) async fn remove(&self) -> Result<()> {
        let kubectl =
            async |line: &str| self.kubectl.run(&line.split(' ').collect::<Vec<_>>()).await;
        kubectl("delete pullsecretrollouts --all").await?;
        kubectl(&format!("delete -k {} --timeout=60s", self.site())).await?;
        let kinds = "namespaces,clusterroles,clusterrolebindings,roles,rolebindings,customresourcedefinitions,\
            validatingadmissionpolicies,validatingadmissionpolicybindings,priorityclasses,apiservices";
        let left = kubectl(&format!("get {kinds} -A -o name")).await?;
        let left: Vec<_> = left
            .lines()
            .filter(|name| name.contains("pullkeeper"))
            .collect();
        ensure!(left.is_empty(), "{left:?} are left");
        let node = kubectl(&format!("get node {NODE} -o json")).await?;
        ensure!(!node.contains("pullkeeper.io"), "{node}");
        self.holds().await
    }

    /// The type of the pull secret; none if there is none.
    async fn kind(&self) -> Result<Value> {
        let path = format!(
            "/api/v1/namespaces/{NAMESPACE}/secrets?fieldSelector=metadata.name=pull-secret"
        );
        Ok(self.api.get(&path).await?["items"][0]["type"].clone())
    }

    /// What the pods of ours wait for.
    async fn pods(&self) -> Result<String> {
        let pods = self
            .api
            .get(&format!("/api/v1/namespaces/{NAMESPACE}/pods"))
            .await?;
        let pods = pods["items"].as_array().context("no list")?.iter();
        let told = pods.map(|pod| {
            format!(
                "{} {}",
                pod["metadata"]["name"], pod["status"]["containerStatuses"]
            )
        });
        Ok(told.collect::<Vec<_>>().join("; "))
    }
}
