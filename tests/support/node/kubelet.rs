//! kubelet, as a service on the node would run it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::containerd::SOCKET;
use super::machine::{Machine, Resident};
use crate::cluster::Cluster;
use crate::eventually::eventually_within;
use crate::http::Endpoint;
use crate::patience;
use crate::ports::Port;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

/// Where kubelet finds its credential providers: two flags of it, read when it starts.
#[derive(Clone, Debug)]
pub(super) struct ProviderPaths {
    pub(super) config: PathBuf,
    pub(super) programs: PathBuf,
}

pub(super) struct Kubelet {
    /// What runs in the machine.
    command: Vec<String>,
    program: Program,
    health: Endpoint,
    metrics: Program,
    resident: Option<Resident>,
    _ports: [Port; 2],
}

impl Kubelet {
    /// Prepares a kubelet for the machine; it does not run yet.
    pub(super) fn new(
        cluster: &Cluster,
        machine: &Machine,
        folder: &Scratch,
        name: &str,
        ports: [Port; 2],
    ) -> Result<Self> {
        let authority = folder.write("ca.crt", cluster.certificate())?;
        let kubeconfig = cluster.kubeconfig(&cluster.node(name)?)?;
        let config = config(&authority, &ports).to_string();
        let config = folder.write("kubelet.json", config)?;
        let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let path = Cluster::bin("kubelet")?;
        let flags = [
            flag("config", &config),
            flag("kubeconfig", &kubeconfig),
            format!("--hostname-override={name}"),
        ];
        let program = machine.inside("kubelet", &path)?.args(&flags);
        let mut command = vec![path.display().to_string()];
        command.extend(flags);
        // Who knows the node's own key may ask; kubelet's certificate is one that nobody else has signed.
        let identity = cluster.node(name)?;
        let (certificate, key) = identity.pair().context("a node has no certificate")?;
        let metrics = Program::installed("curl")?
            .args(["--silent", "--show-error", "--fail", "--insecure", "--cert"])
            .arg(folder.write("kubelet.crt", certificate)?)
            .arg("--key")
            .arg(folder.write("kubelet.key", key)?)
            .arg(format!("https://{}/metrics", ports[0].address()));
        Ok(Self {
            command,
            metrics,
            program,
            health: Endpoint::plain(ports[1].address()),
            resident: None,
            _ports: ports,
        })
    }

    /// Starts it and waits until it says that it is healthy.
    pub(super) async fn start(
        &mut self,
        machine: &Machine,
        providers: Option<&ProviderPaths>,
    ) -> Result<()> {
        let mut program = self.program.clone();
        if let Some(ProviderPaths { config, programs }) = providers {
            let (config, programs) = (config.display(), programs.display());
            program = program
                .arg(format!("--image-credential-provider-config={config}"))
                .arg(format!("--image-credential-provider-bin-dir={programs}"));
        }
        let resident = self.resident.insert(machine.spawn(&program)?);
        let process = resident.process();
        let healthy = eventually_within(patience() * 2, "kubelet is healthy", async || {
            let answer = self.health.get("/healthz").await?;
            ensure!(answer.status.is_success(), "{}", answer.text());
            Ok(())
        });
        tokio::select! {
            healthy = healthy => healthy.with_context(|| format!("kubelet hangs{}", process.tail())),
            ended = process.wait(patience() * 3) => {
                bail!("kubelet ended at its start ({}){}", ended?, process.tail())
            }
        }
    }

    /// SIGTERM, and waits for the end. Its pods run on.
    pub(super) async fn stop(&mut self) -> Result<()> {
        let resident = self.resident.take().context("kubelet does not run")?;
        resident.stop().await.context("cannot stop kubelet")
    }

    /// The words of the command that runs in the machine, without credential providers.
    pub(super) fn command(&self) -> &[String] {
        &self.command
    }

    /// What it tells on `/metrics`.
    pub(super) async fn metrics(&self) -> Result<String> {
        Ok(self.metrics.run(patience()).await?.success()?.stdout)
    }

    pub(super) fn process(&self) -> Result<&Process> {
        let resident = self.resident.as_ref().context("kubelet does not run")?;
        Ok(resident.process())
    }
}

fn config(authority: &Path, [port, health]: &[Port; 2]) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "address": "127.0.0.1",
        "port": port.number(),
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": health.number(),
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": false },
            "x509": { "clientCAFile": authority },
        },
        "authorization": { "mode": "AlwaysAllow" },
        // Whoever needs a word of it that is newer than a restart need not wait for five minutes, where the first one came within the
        // same second.
        "nodeStatusReportFrequency": "10s",
        // What the machines that tests run on have or lack.
        "failSwapOn": false,
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        "localStorageCapacityIsolation": false,
        // The network is shared with this machine, whose firewall is none of the node's business.
        "makeIPTablesUtilChains": false,
        "resolvConf": "",
        // The disk of a developer may be as full as it likes.
        "evictionHard": { "nodefs.available": "0%", "imagefs.available": "0%" },
        "imageGCHighThresholdPercent": 100,
        // Tests pull more often than nodes.
        "registryPullQPS": 0,
    })
}
