//! Agents change kubelet under a permit of the coordinator, and never without.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::agent::Site;
use support::cluster::FakeNode;
use support::eventually::eventually_within;
use support::fixture::Credential;
use support::fleet::{Fleet, good, target};
use support::node::{Node, NodePlan};
use support::product::{helper, pullkeeper};
use support::services::Services;

use super::scene::{LONG, UNIT};

const NODE: &str = "real";

/// A fleet of one real node, whose agent is to give kubelet the provider, and a coordinator that runs elsewhere.
struct Paced {
    fleet: Fleet,
    services: Services,
    node: Node,
    credentials: [Credential; 3],
}

impl Paced {
    /// kubelet's unit is what `start` makes of its command.
    async fn new(start: impl FnOnce(&str) -> String) -> Result<Self> {
        let credentials = [Credential::new(), Credential::new(), Credential::new()];
        let fleet = Fleet::start(vec![FakeNode::new("desk")], &credentials[0]).await?;
        let mut node = NodePlan::new(NODE).join(&fleet.cluster).await?;
        let service = |command: &str| format!("{}\nRestart=always\nRestartSec=1", start(command));
        let services = node.kubelet_as_service(service, &[]).await?;
        let ours = services.join("opt/kubelet");
        let picky = format!(
            "case \"$*\" in\n*{}/config-*) test -e {} || exit 1 ;;\nesac\nexec \"$@\"\n",
            ours.display(),
            services.join("relented").display()
        );
        services.write("picky", &picky)?;
        node.start_service(&services).await?;
        Ok(Self {
            fleet,
            services,
            node,
            credentials,
        })
    }

    async fn attend(&mut self, management: &str) -> Result<()> {
        let (file, helper) = (self.node.auth_file(), helper()?);
        let directory = self.services.join("opt");
        fs::create_dir_all(&directory)?;
        let program = self.services.inside(pullkeeper()?.path())?;
        let tables = |_: &Site| {
            format!(
                "{}[kubelet_provider]\nmanagement = \"{management}\"\ndirectory = {:?}\n\
                 helper = {:?}\ntimeout = \"30s\"\nsettle = \"3s\"\n",
                target("kubelet", &file),
                directory.join("kubelet"),
                helper.path(),
            )
        };
        self.fleet.attend_running(NODE, program, tables).await
    }

    async fn provider(&self) -> Result<Value> {
        let record = self.fleet.record(NODE).await?;
        Ok(record["status"]["kubeletProvider"].clone())
    }

    async fn progress(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let path = format!("{}/cluster", support::deploy::ROLLOUTS);
        eventually_within(LONG, "the rollout of the provider is so far", async || {
            let status = self.fleet.admin.get(&path).await?["status"].clone();
            let progress = status["kubeletProvider"].clone();
            ensure!(wanted(&progress), "{progress}, {}", self.provider().await?);
            ensure!(
                status["atWork"].as_array().is_none_or(Vec::is_empty),
                "{status}"
            );
            Ok(progress)
        })
        .await
    }
}

fn file_only() -> Value {
    json!({"strategy": "FileOnly", "soak": "0s", "canary": {"count": 1}})
}

#[tokio::test]
async fn kubelet_is_restarted_once_under_a_permit_and_credentials_need_none() -> Result<()> {
    let mut paced = Box::pin(Paced::new(|command| format!("ExecStart={command}"))).await?;
    paced.attend("managed").await?;
    let before = paced.services.invocation(UNIT).await?;
    let coordinator = paced.fleet.coordinator("desk").await?.start().await?;
    paced.fleet.want(&file_only()).await?;
    paced.progress(|progress| progress["inEffect"] == 1).await?;
    let after = paced.services.invocation(UNIT).await?;
    ensure!(after != before, "kubelet was not restarted");
    let provider = paced.provider().await?;
    println!("{provider}");
    ensure!(
        provider["state"] == "InEffect" && provider["restarts"] == 1,
        "{provider}"
    );
    let metrics = paced.node.kubelet_metrics().await?;
    let hash = provider["configHash"].as_str().context("no hash")?;
    ensure!(metrics.contains(hash), "kubelet has not read {hash}");

    for (generation, credential) in [(2, 1), (3, 2)] {
        paced
            .fleet
            .change(&good(&paced.credentials[credential]))
            .await?;
        paced
            .fleet
            .reaches_within(LONG, "Complete", generation)
            .await?;
    }
    ensure!(
        paced.services.invocation(UNIT).await? == after,
        "kubelet was restarted again"
    );

    // Another wish, which undoes it.
    paced.attend("removed").await?;
    paced
        .progress(|progress| progress["wanted"] == "removed" && progress["inEffect"] == 1)
        .await?;
    ensure!(
        paced.services.invocation(UNIT).await? != after,
        "kubelet was not restarted"
    );
    let metrics = paced.node.kubelet_metrics().await?;
    ensure!(!metrics.contains(hash), "kubelet has it still");
    ensure!(
        !paced.services.join("opt/kubelet").exists(),
        "something is left"
    );
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_kubelet_that_fails_halts_the_others_and_says_why() -> Result<()> {
    let start = |command: &str| format!("ExecStart=/bin/sh FOLDER/picky {command}");
    let mut paced = Box::pin(Paced::new(start)).await?;
    paced.attend("managed").await?;
    let coordinator = paced.fleet.coordinator("desk").await?.start().await?;
    paced.fleet.want(&file_only()).await?;
    let progress = paced
        .progress(|progress| progress["failed"] == 1 && progress["halt"].is_string())
        .await?;
    println!("{progress}");
    let halt = progress["halt"].as_str().context("no halt")?;
    ensure!(
        halt.starts_with("real: ") && halt.contains("raise spec.resumes"),
        "{halt}"
    );
    let provider = paced.provider().await?;
    println!("{provider}");
    ensure!(
        provider["state"] == "Failed" && provider["restarts"] == 2,
        "{provider}"
    );
    paced.node.ready().await?;

    // Credentials are not held up, and do not undo the halt.
    paced.fleet.change(&good(&paced.credentials[1])).await?;
    paced.fleet.reaches_within(LONG, "Complete", 2).await?;
    let still = paced
        .progress(|progress| progress["halt"].is_string())
        .await?;
    ensure!(still["failed"] == 1, "{still}");

    let relented = paced.services.join("relented");
    fs::File::create(&relented)?.set_permissions(fs::Permissions::from_mode(0o644))?;
    let mut spec = file_only();
    spec["resumes"] = json!(1);
    paced.fleet.want(&spec).await?;
    paced
        .progress(|progress| progress["inEffect"] == 1 && progress["halt"].is_null())
        .await?;
    coordinator.stop().await?;
    Ok(())
}
