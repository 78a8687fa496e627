//! Fake nodes with an agent and a service each; all services are those of one real systemd.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use support::agent::{Agent, Site};
use support::eventually;
use support::fixture::Credential;
use support::fleet::{Fleet, good, target};
use support::services::Services;

use crate::rollouts::nodes;

/// The variable that says where a system bus is.
pub(super) const BUS: &str = "DBUS_SYSTEM_BUS_ADDRESS";

pub(super) struct Scene {
    // Agents before their systemd.
    pub(super) fleet: Fleet,
    pub(super) services: Services,
    pub(super) credentials: [Credential; 2],
}

/// What a service has written down about one start, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    /// When the one before it was told to stop; 0 for the first.
    pub(super) stopped: f64,
    /// When it was up; 0 when it never was.
    pub(super) up: f64,
}

/// A service that writes down when it stops, starts and is up, does not start with a file that has one of the words in `refused`,
/// and does not go on while there is a file `NODE.stopping` or `NODE.starting`.
fn service(node: &str) -> String {
    let note = |what: &str| format!("echo {what} $$(date +%%s.%%N) >>FOLDER/{node}.log");
    let gate = |what: &str| format!("while test -e FOLDER/{node}.{what}; do sleep 0.05; done");
    let fits = format!("! grep -qFf FOLDER/refused FOLDER/{node}/auth.json");
    let shell = |key: &str, parts: &[String]| format!("{key}=/bin/sh -c '{}'\n", parts.join("; "));
    [
        shell(
            "ExecStartPre",
            &[note("start"), gate("starting"), "sleep 0.2".into(), fits],
        ),
        "ExecStart=/bin/sleep infinity\n".to_owned(),
        shell("ExecStartPost", &[note("up")]),
        shell("ExecStop", &[note("stop"), gate("stopping")]),
    ]
    .concat()
}

/// A service's name.
pub(super) fn unit(node: &str) -> String {
    format!("{node}.service")
}

/// The table of an agent that restarts this unit.
pub(super) fn activation(unit: &str) -> String {
    format!("[activation]\nunits = [\"{unit}\"]\ntimeout = \"20s\"\nsettle = \"1s\"\n")
}

/// A rollout that restarts services, so many nodes at a time.
pub(super) fn restarting(slots: usize) -> Value {
    json!({
        "strategy": "Restart", "soak": "0s", "canary": {"count": 1}, "nodeDeadline": "60s",
        "maxParallel": slots, "maxUnavailable": slots,
    })
}

impl Scene {
    /// Nodes whose services run with the first credential, which is rolled out, and the coordinator.
    pub(super) async fn new(count: usize) -> Result<(Self, Agent)> {
        let scene = Box::pin(Self::unattended(count)).await?;
        let coordinator = scene.fleet.coordinator("node-000").await?.start().await?;
        scene.first().await?;
        Ok((scene, coordinator))
    }

    /// [`Scene::new`] without a coordinator, and so with nothing rolled out.
    pub(super) async fn unattended(count: usize) -> Result<Self> {
        let credentials = [Credential::new(), Credential::new()];
        let nodes = nodes(count, 0);
        let mut fleet = Fleet::unattended(nodes).await?;
        let names = fleet.nodes.names().to_vec();
        let units = names.iter().map(|name| (unit(name), service(name)));
        let services = Services::boot(&units.collect::<Vec<_>>()).await?;
        services.write("refused", "")?;
        fleet.change(&good(&credentials[0])).await?;
        let bus = services.address();
        for name in &names {
            let tables = |site: &Site| {
                target("containers", &site.join("auth.json")) + &activation(&unit(name))
            };
            fleet.attend(name, &[(BUS, &bus)], tables).await?;
            symlink(fleet.site(name)?.join(""), services.join(name))?;
        }
        let scene = Self {
            fleet,
            services,
            credentials,
        };
        scene.fleet.holds(count, &scene.credentials[0]).await?;
        for name in &names {
            scene.services.start(&unit(name)).await?;
        }
        Ok(scene)
    }

    /// Has what there is already rolled out, which restarts nothing.
    pub(super) async fn first(&self) -> Result<()> {
        let spec = json!({"soak": "0s", "maxParallel": "100%", "canary": {"count": 0}});
        self.fleet.want(&spec).await?;
        self.fleet.reaches("Complete", 1).await?;
        Ok(())
    }

    /// Makes the second credential the one that there is.
    pub(super) async fn rotate(&self) -> Result<()> {
        self.fleet.change(&good(&self.credentials[1])).await
    }

    /// Which start of its service each node has.
    pub(super) async fn invocations(&self) -> Result<BTreeMap<String, String>> {
        let mut invocations = BTreeMap::new();
        for name in self.fleet.nodes.names() {
            let invocation = self.services.invocation(&unit(name)).await?;
            invocations.insert(name.clone(), invocation);
        }
        Ok(invocations)
    }

    /// What a node's service has written down.
    pub(super) fn log(&self, node: &str) -> Result<String> {
        let path = self.services.join(&format!("{node}.log"));
        Ok(fs::read_to_string(path)?)
    }

    /// All starts of a node's service.
    pub(super) fn starts(&self, node: &str) -> Result<Vec<Start>> {
        let log = self.log(node)?;
        let mut starts = Vec::<Start>::new();
        let mut stopped = 0.0;
        for line in log.lines() {
            let (what, at) = line.split_once(' ').context("a line without a time")?;
            let at: f64 = at.parse()?;
            match what {
                "stop" => stopped = at,
                "start" => starts.push(Start { stopped, up: 0.0 }),
                _ => starts.last_mut().context("up before a start")?.up = at,
            }
        }
        Ok(starts)
    }

    /// Keeps a node's service from going on where it is `starting` or `stopping`.
    pub(super) fn hold(&self, node: &str, at: &str) -> Result<()> {
        self.services.write(&format!("{node}.{at}"), "")
    }

    /// Ends [`Scene::hold`].
    pub(super) fn release(&self, node: &str, at: &str) -> Result<()> {
        Ok(fs::remove_file(
            self.services.join(&format!("{node}.{at}")),
        )?)
    }

    /// Waits until the rollout is in this phase in the second generation, while all nodes say that they are ready as kubelets do.
    pub(super) async fn reaches(&self, phase: &str) -> Result<Value> {
        eventually(&format!("{phase} in generation 2"), async || {
            self.all_say_ready().await?;
            let rollout = self.fleet.rollout().await?;
            let status = &rollout["status"];
            ensure!(
                status["phase"] == phase && status["generation"] == 2,
                "{status}"
            );
            Ok(rollout)
        })
        .await
    }

    /// Every node says now that it is ready.
    pub(super) async fn all_say_ready(&self) -> Result<()> {
        let now = Timestamp::now();
        for name in self.fleet.nodes.names() {
            self.fleet.nodes.says_ready(name, now).await?;
        }
        Ok(())
    }

    /// Waits until a node has answered its permit of the second generation, and returns the report.
    pub(super) async fn answered(&self, node: &str) -> Result<Value> {
        eventually(&format!("{node} has answered"), async || {
            let record = self.fleet.record(node).await?;
            let report = &record["status"]["report"];
            ensure!(report["generation"] == 2, "{}", record["status"]);
            Ok(report.clone())
        })
        .await
    }

    /// Waits until a node's slot is in this phase; none while it has no slot.
    pub(super) async fn slot(&self, node: &str, phase: Option<&str>) -> Result<Value> {
        eventually(&format!("the slot of {node} is {phase:?}"), async || {
            let rollout = self.fleet.rollout().await?;
            let slot = &rollout["status"]["ledger"]["reservations"][node];
            let name = slot["phase"]["name"].as_str();
            ensure!(
                slot.is_object() == phase.is_some() && name == phase,
                "{slot}"
            );
            Ok(rollout)
        })
        .await
    }
}
