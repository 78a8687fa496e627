//! The agent as it is shipped, on a real API server.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::{Value, json};
use support::agent::{Agent, Site};
use support::cluster::{Api, Cluster};
use support::eventually;
use support::fixture::{Credential, config_json};
use support::http::StatusCode;

use crate::figures::{Figures, percentile};
use crate::process::{cpu_seconds, resident_mib};

const UPDATES: usize = 220;
const STARTS: usize = 11;
const IDLE: Duration = Duration::from_secs(60);

pub(crate) async fn measure(figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start().await?;
    let namespace = cluster.namespace("bench").await?;
    let api = cluster.api(cluster.admin())?;
    let secrets = format!("/api/v1/namespaces/{namespace}/secrets");
    api.create(&secrets, &secret(&Credential::new())).await?;

    let site = Site::new("bench")?.running(std::fs::canonicalize("target/dist/pullkeeper")?);
    let (kubeconfig, target) = (
        cluster.kubeconfig(cluster.admin())?,
        site.join("node/config.json"),
    );
    std::fs::create_dir(site.join("node"))?;
    site.configure(
        "",
        &format!(
            "[[source]]\nname = \"global\"\nsecret = \"{namespace}/pull-secret\"\n\
             [[target]]\nkind = \"kubelet\"\npath = {target:?}\n[kubernetes]\nkubeconfig = {kubeconfig:?}\n"
        ),
    )?;

    starts(figures, &site).await?;
    let agent = site.start().await?;
    eventually("the first file", async || Ok(std::fs::metadata(&target)?)).await?;
    updates(figures, &api, &format!("{secrets}/pull-secret"), &target).await?;
    idle(figures, &agent).await?;
    agent.stop().await?;
    Ok(())
}

/// From the start of the process to the first good answer of `/readyz`.
async fn starts(figures: &mut Figures, site: &Site) -> Result<()> {
    let mut samples = Vec::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let agent = site.start().await?;
        loop {
            if agent.endpoint().get("/readyz").await?.status == StatusCode::OK {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        samples.push(begun.elapsed().as_secs_f64() * 1000.0);
        agent.stop().await?;
    }
    let how = format!(
        "median of {STARTS} starts with a Secret of a real API server as source, process start to 200"
    );
    figures.lower(
        "agent_ready_ms",
        percentile(&mut samples, 0.5),
        "ms",
        Some(200.0),
        how,
    );
    Ok(())
}

/// From the watch event, and from the update call, to the rename on disk.
async fn updates(figures: &mut Figures, api: &Api, path: &str, target: &Path) -> Result<()> {
    let list = path.rsplit_once('/').context("a path with a name")?.0;
    let version = api.get(path).await?["metadata"]["resourceVersion"].clone();
    let version = version.as_str().context("a resourceVersion")?;
    let mut watch = api
        .watch(&format!(
            "{list}?watch=1&resourceVersion={version}&fieldSelector=metadata.name%3Dpull-secret"
        ))
        .await?;

    let (mut from_event, mut from_update) = (Vec::new(), Vec::new());
    for _ in 0..UPDATES {
        let renamed = next_rename(target)?;
        let begun = Instant::now();
        let update = secret(&Credential::new());
        let (event, update) = tokio::join!(
            async {
                let event = watch.next().await?.context("the watch ended")?;
                ensure!(event["type"] == "MODIFIED", "{event}");
                Ok(Instant::now())
            },
            api.merge(path, &update),
        );
        update?;
        let event: Instant = event?;
        let renamed = tokio::time::timeout(Duration::from_secs(10), renamed)
            .await
            .context("no rename")???;
        from_event.push(renamed.saturating_duration_since(event).as_secs_f64() * 1000.0);
        from_update.push(renamed.saturating_duration_since(begun).as_secs_f64() * 1000.0);
        // Updates do not come in bursts, and a burst would measure the queue.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let how = |from: &str| {
        format!(
            "{UPDATES} updates of a Secret on a real API server, {from} to inotify's report of the rename"
        )
    };
    let event = || how("arrival of the watch event at another watcher");
    let update = || how("begin of the update call");
    figures.lower(
        "secret_to_file_p50_ms",
        percentile(&mut from_event, 0.5),
        "ms",
        None,
        event(),
    );
    figures.lower(
        "secret_to_file_p99_ms",
        percentile(&mut from_event, 0.99),
        "ms",
        Some(50.0),
        event(),
    );
    figures.lower(
        "secret_update_to_file_p50_ms",
        percentile(&mut from_update, 0.5),
        "ms",
        None,
        update(),
    );
    figures.lower(
        "secret_update_to_file_p99_ms",
        percentile(&mut from_update, 0.99),
        "ms",
        None,
        update(),
    );
    Ok(())
}

/// When the target is next renamed into place; watching has begun on return.
fn next_rename(target: &Path) -> Result<tokio::task::JoinHandle<Result<Instant>>> {
    let (folder, name) = (
        target.parent().context("a folder")?,
        target.file_name().context("a name")?.to_owned(),
    );
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(folder, AddWatchFlags::IN_MOVED_TO)?;
    Ok(tokio::task::spawn_blocking(move || {
        loop {
            let events = inotify.read_events()?;
            let now = Instant::now();
            if events
                .iter()
                .any(|event| event.name.as_deref() == Some(name.as_os_str()))
            {
                return Ok(now);
            }
        }
    }))
}

/// Memory and processor time of an agent that has nothing to do but to watch.
async fn idle(figures: &mut Figures, agent: &Agent) -> Result<()> {
    let pid = agent.process().id();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = cpu_seconds(pid)?;
    tokio::time::sleep(IDLE).await;
    let spent = cpu_seconds(pid)? - before;
    let resident = resident_mib(pid)?;
    ensure!(
        std::fs::metadata(format!("/proc/{pid}"))?.uid() == 0,
        "not the agent"
    );
    let how = format!(
        "VmRSS after {UPDATES} updates and {IDLE:?} of nothing, a watch on a real API server open"
    );
    figures.lower("agent_rss_mib", resident, "MiB", Some(10.0), how);
    let how = format!("user and system time over {IDLE:?} of nothing");
    figures.lower(
        "agent_idle_cpu_percent",
        spent / IDLE.as_secs_f64() * 100.0,
        "%",
        None,
        how,
    );
    Ok(())
}

fn secret(credential: &Credential) -> Value {
    let data = STANDARD.encode(config_json([
        ("quay.io", credential),
        ("registry.example.com", credential),
    ]));
    json!({
        "metadata": {"name": "pull-secret"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": data},
    })
}
