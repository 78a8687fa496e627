//! What stays of a node when it is dropped or its test is killed: nothing.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use support::cluster::Cluster;
use support::node::{Node, NodePlan};
use support::process::Program;
use support::scratch::Scratch;
use support::{eventually, patience};

use super::Scene;
use support::fixture::config_json;

const NAME: &str = "node_harness::leaving::nothing_of_a_node_outlives_its_test";
const ROLE: &str = "PULLKEEPER_TEST_VICTIM";

/// Runs this test in a process of its own, where it starts a pod and does not clean up.
#[tokio::test]
async fn nothing_of_a_node_outlives_its_test() -> Result<()> {
    if std::env::var_os(ROLE).is_some() {
        return victim().await;
    }
    let scratch = Scratch::new("victim")?;
    let mut program = Program::new("victim", std::env::current_exe()?)
        .args(["--exact", NAME, "--nocapture"])
        .env(ROLE, "yes");
    for name in ["HOME", "PULLKEEPER_CACHE", "XDG_CACHE_HOME"] {
        if let Some(value) = std::env::var_os(name) {
            program = program.env(name, value);
        }
    }
    let victim = program.spawn(scratch.path())?;
    let traces = support::eventually::eventually_within(
        patience() * 4,
        "the victim tells of its node",
        async || {
            ensure!(victim.is_running(), "it ended{}", victim.tail());
            let told = victim.stdout();
            let line = told.lines().find_map(|line| line.strip_prefix("traces:"));
            Ok(serde_json::from_str::<Vec<String>>(
                line.context("not yet")?,
            )?)
        },
    )
    .await?;
    let [container, namespace, address] = &traces[..] else {
        anyhow::bail!("{traces:?}")
    };
    let there = left(container, namespace, address).await?;
    assert_eq!(there.len(), 3, "{there:?}");
    victim.kill_9();
    eventually("all of the node is gone", async || {
        let left = left(container, namespace, address).await?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn nothing_of_a_node_is_left_when_it_is_dropped() -> Result<()> {
    let scene = Scene::new("drop").await?;
    let node = node_with_pod(&scene, "drop").await?;
    let [container, namespace, address] = traces(&node, &scene).await?;
    let there = left(&container, &namespace, &address).await?;
    assert_eq!(there.len(), 3, "{there:?}");
    let folder = node.folder().to_owned();
    node.leave().await?;
    assert_eq!(
        left(&container, &namespace, &address).await?,
        Vec::<String>::new()
    );
    let kept = std::env::var_os("PULLKEEPER_TEST_KEEP").is_some();
    assert_eq!(folder.exists(), kept);
    Ok(())
}

async fn victim() -> Result<()> {
    let scene = Scene::new("victim").await?;
    let node = node_with_pod(&scene, "victim").await?;
    let traces = serde_json::to_string(&traces(&node, &scene).await?)?;
    // libtest has begun a line of its own.
    writeln!(std::io::stdout(), "\ntraces:{traces}")?;
    std::future::pending().await
}

async fn node_with_pod(scene: &Scene, name: &str) -> Result<Node> {
    let host = scene.registry.host();
    let node = NodePlan::new(name)
        .auth_file(&config_json([(host.as_str(), &scene.credential)]))
        .join(Cluster::shared().await?)
        .await?;
    node.create(&scene.pod("pod")).await?.running().await?;
    Ok(node)
}

/// By what a node with its pod is recognized: its container, the namespace of the processes, the pod's address.
async fn traces(node: &Node, scene: &Scene) -> Result<[String; 3]> {
    let namespace = node
        .inside("readlink", Path::new("/bin/readlink"))?
        .arg("/proc/self/ns/pid")
        .run(patience())
        .await?
        .success()?
        .stdout;
    let cluster = Cluster::shared().await?;
    let path = format!("/api/v1/namespaces/{}/pods/pod", scene.namespace);
    let pod = cluster.api(cluster.admin())?.get(&path).await?;
    let address = pod["status"]["podIP"].as_str().context("no address")?;
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
    let id = id.and_then(|id| id.strip_prefix("containerd://"));
    Ok([
        id.context("no container")?.to_owned(),
        namespace.trim().to_owned(),
        address.to_owned(),
    ])
}

/// Which of the traces can still be found.
async fn left(container: &str, namespace: &str, address: &str) -> Result<Vec<String>> {
    let mut left = Vec::new();
    let cgroups = Program::installed("find")?
        .args(["/sys/fs/cgroup", "-maxdepth", "3", "-name", container])
        .run(patience())
        .await?
        .stdout;
    if !cgroups.is_empty() {
        left.push(cgroups);
    }
    for process in std::fs::read_dir("/proc")?.flatten() {
        let link = std::fs::read_link(process.path().join("ns/pid"));
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        // Nobody may reap an orphan in a container; a zombie has no command any more.
        if link.is_ok_and(|link| link == Path::new(namespace)) && !command.is_empty() {
            left.push(String::from_utf8_lossy(&command).into_owned());
            break;
        }
    }
    let routes = Program::installed("ip")?
        .args(["route", "show", address])
        .run(patience())
        .await?
        .stdout;
    if !routes.is_empty() {
        left.push(routes);
    }
    Ok(left)
}
