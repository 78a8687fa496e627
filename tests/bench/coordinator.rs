//! The coordinator as it is shipped, on a real API server with KWOK's nodes. Agents are played: what is measured is what pacing them
//! takes, and a thousand agents would be all that this machine does.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use support::cluster::{Api, FakeNode};
use support::deploy::{RECORDS, SECRET_NAMESPACE};
use support::eventually::eventually_within;
use support::fleet::Fleet;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::figures::Figures;
use crate::process::cpu_seconds;

const PATIENCE: Duration = Duration::from_secs(300);
/// With a tenth of the nodes at a time, and a canary that is one of them.
const WAVES: f64 = 10.0;
/// How often an agent says something that is not heard.
const TRIES: usize = 5;
/// Agents that write at the same time.
const WRITING: usize = 16;

pub(crate) async fn measure(figures: &mut Figures) -> Result<()> {
    println!(
        "| nodes | RSS, MiB | CPU, s | requests per node | versions of the ledger | seconds per wave |"
    );
    println!("|---|---|---|---|---|---|");
    for nodes in [100, 1000, 5000] {
        let cost = roll_out(nodes).await?;
        println!("{}", cost.row(nodes));
        if nodes == 1000 {
            figures.lower(
                "coordinator_rss_1000_nodes_mib",
                cost.rss_mib,
                "MiB",
                None,
                cost.how(nodes, "VmHWM of the coordinator after"),
            );
            figures.lower(
                "coordinator_cpu_seconds_1000_nodes",
                cost.cpu_seconds,
                "s",
                None,
                cost.how(nodes, "user and system time of the coordinator during"),
            );
            figures.lower(
                "coordinator_requests_per_node_1000",
                cost.requests_per_node,
                "",
                None,
                cost.how(nodes, "requests of the coordinator in the audit log"),
            );
        }
    }
    Ok(())
}

/// What one rollout took.
#[derive(Debug)]
struct Cost {
    rss_mib: f64,
    cpu_seconds: f64,
    seconds: f64,
    requests_per_node: f64,
    ledgers: f64,
    ledger_bytes: usize,
}

impl Cost {
    fn row(&self, nodes: usize) -> String {
        format!(
            "| {nodes} | {:.1} | {:.2} | {:.2} | {} | {:.2} |",
            self.rss_mib,
            self.cpu_seconds,
            self.requests_per_node,
            self.ledgers,
            self.seconds / WAVES
        )
    }

    fn how(&self, nodes: usize, what: &str) -> String {
        format!(
            "{what} one file-only rollout to {nodes} fake nodes with played agents on a real API server, 10 % at a time: {:.1} s, {} \
             versions of the ledger, {} bytes at the end",
            self.seconds, self.ledgers, self.ledger_bytes
        )
    }
}

async fn roll_out(count: usize) -> Result<Cost> {
    let nodes = (0..count).map(|number| {
        FakeNode::new(&format!("node-{number:04}")).zone(&format!("zone-{}", number % 3))
    });
    let fleet = Fleet::unattended(nodes.collect()).await?;
    // As it is in a cluster: one that must show every second that it lives is busy with that.
    let site = fleet.patient_coordinator("node-0000").await?;
    let site = site.running(std::fs::canonicalize("target/dist/pullkeeper")?);
    let coordinator = site.start().await?;
    let secret = Arc::new(AtomicU64::new(1));
    let mut agents = tokio::spawn(play(fleet.admin.clone(), Arc::clone(&secret)));
    fleet
        .want(&json!({"soak": "0s", "maxParallel": "10%"}))
        .await?;
    complete(&fleet, 1, &mut agents).await?;

    let pid = coordinator.process().id();
    let (cpu, requests) = (cpu_seconds(pid)?, requests(&fleet)?);
    let written = "pullkeeper_rollout_ledger_writes_total";
    let ledgers = coordinator.metric(written, &["result=\"written\""]).await?;
    let begun = Instant::now();
    secret.store(2, Ordering::Release);
    see(&fleet.admin, 2).await?;
    complete(&fleet, 2, &mut agents).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.context("no VmHWM")?.trim().trim_end_matches(" kB");
    let ledger = fleet.rollout().await?["status"]["ledger"].to_string();
    #[allow(clippy::cast_precision_loss, reason = "some thousand requests")]
    let per_node = (self::requests(&fleet)? - requests) as f64 / count as f64;
    let cost = Cost {
        rss_mib: peak.parse::<f64>()? / 1024.0,
        cpu_seconds: cpu_seconds(pid)? - cpu,
        seconds,
        requests_per_node: per_node,
        ledgers: coordinator.metric(written, &["result=\"written\""]).await? - ledgers,
        ledger_bytes: ledger.len(),
    };
    agents.abort();
    coordinator.stop().await?;
    Ok(cost)
}

async fn complete(
    fleet: &Fleet,
    generation: u64,
    agents: &mut JoinHandle<Result<Infallible>>,
) -> Result<()> {
    let complete = eventually_within(PATIENCE, "the rollout is complete", async || {
        let status = fleet.rollout().await?["status"].clone();
        ensure!(
            status["phase"] == "Complete" && status["generation"] == generation,
            "{}: {}",
            status["phase"],
            status["message"]
        );
        Ok(())
    });
    tokio::select! {
        complete = complete => complete,
        ended = agents => match ended? {
            Err(error) => Err(error.context("the played agents have ended")),
            Ok(never) => match never {},
        },
    }
}

/// Requests of the coordinator so far.
fn requests(fleet: &Fleet) -> Result<usize> {
    let events = fleet.cluster.audit_events()?;
    let of_coordinator = events
        .iter()
        .filter(|event| event.user.username.ends_with(":pullkeeper-coordinator"));
    Ok(of_coordinator.count())
}

/// Plays the agents: each says what it sees, and answers its permits at once.
async fn play(api: Api, secret: Arc<AtomicU64>) -> Result<Infallible> {
    let (lost, mut losses) = mpsc::channel(1);
    let agents = Agents {
        api,
        secret,
        answered: HashMap::new(),
        lost,
    };
    tokio::select! {
        ended = agents.live() => ended,
        Some(error) = losses.recv() => Err(error),
    }
}

/// The agents of all nodes.
struct Agents {
    api: Api,
    secret: Arc<AtomicU64>,
    /// The serial of the last permit, by node.
    answered: HashMap<String, u64>,
    /// Why one of them could not say something.
    lost: mpsc::Sender<anyhow::Error>,
}

impl Agents {
    /// Follows the records. The API server ends the watch of a reader that cannot keep up.
    async fn live(mut self) -> Result<Infallible> {
        loop {
            let list = self.api.get(RECORDS).await?;
            let records = list["items"].as_array().context("no list")?;
            records.iter().for_each(|record| self.hear(record));
            let version = list["metadata"]["resourceVersion"].as_str();
            let version = version.context("a list without a version")?;
            let since = format!("{RECORDS}?watch=1&resourceVersion={version}");
            let mut watch = self.api.watch(&since).await?;
            while let Some(event) = watch.next().await? {
                if event["type"] == "ERROR" {
                    break;
                }
                self.hear(&event["object"]);
            }
        }
    }

    fn hear(&mut self, record: &Value) {
        let name = record["metadata"]["name"].as_str().unwrap_or_default();
        let mut status = json!({});
        if record["status"]["seen"].is_null() {
            status["seen"] = revision(self.secret.load(Ordering::Acquire));
        }
        let permit = &record["spec"]["permit"];
        let serial = permit["serial"].as_u64().unwrap_or(0);
        let last = self.answered.entry(name.to_owned()).or_default();
        if serial > *last {
            *last = serial;
            status["report"] = json!({
                "nodeUID": permit["nodeUID"], "generation": permit["generation"], "serial": serial,
                "outcome": "Reached",
            });
        }
        if status == json!({}) {
            return;
        }
        // Not waited for, or one agent would wait for another. What is lost is said again, as agents do.
        let (api, path) = (self.api.clone(), format!("{RECORDS}/{name}/status"));
        let said = json!({"status": status});
        let lost = self.lost.clone();
        tokio::spawn(async move {
            for left in (0..TRIES).rev() {
                match api.merge(&path, &said).await {
                    Ok(_) => return,
                    Err(_) if left > 0 => {}
                    Err(error) => drop(lost.try_send(error)),
                }
            }
        });
    }
}

/// All agents see another version.
async fn see(api: &Api, version: u64) -> Result<()> {
    let records = api.get(RECORDS).await?;
    let names = records["items"].as_array().into_iter().flatten();
    let names = names.filter_map(|record| record["metadata"]["name"].as_str());
    stream::iter(names)
        .map(|name| async move {
            let status = json!({"status": {"seen": revision(version)}});
            api.merge(&format!("{RECORDS}/{name}/status"), &status)
                .await
        })
        .buffer_unordered(WRITING)
        .try_for_each(|_| async { Ok(()) })
        .await
}

fn revision(version: u64) -> Value {
    json!([{
        "namespace": SECRET_NAMESPACE, "name": "pull-secret", "uid": "b0f5c1de-0000-4000-8000-000000000001",
        "resourceVersion": version.to_string(),
    }])
}
