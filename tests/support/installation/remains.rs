//! What is left of it after its removal.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Installation, LONG};
use crate::eventually::eventually_within;
use crate::node::Node;
use crate::patience;

/// What says how it is removed.
const PAGE: &str = "../docs/usage/cluster.md";
/// Where a node may have something of ours. What containerd keeps of images is its own, as of all images.
const FIND: &str = "find /etc /opt /run /usr/local /var -path '*/containerd' -prune -o -name '*pullkeeper*' -print";

impl Installation {
    /// Removes it all with the commands of docs/usage/cluster.md. The cluster then has no object that knows of it, and the node no
    /// file but kubelet's, with which it goes on pulling.
    ///
    /// # Errors
    /// When something is left, or a pull fails afterwards.
    pub async fn remove(&mut self) -> Result<()> {
        // What looks has to see something as long as there is something.
        let seen = !self.objects().await?.is_empty() && !self.files().await?.is_empty();
        ensure!(seen, "nothing is installed, or not seen");

        // First of all, as the page says: kubelet does not start without a program that its configuration names.
        self.node.set_credential_providers(None);
        self.node.restart_kubelet().await?;
        for command in commands("$ kubectl delete ")? {
            let command = command.replace("deploy/overlays/site", &self.site());
            let words: Vec<_> = command.split_whitespace().collect();
            let delete = [&["delete"], &words[..]].concat();
            self.kubectl.run(&delete).await?;
        }
        eventually_within(patience(), "the cluster has nothing of it", async || {
            let left = self.objects().await?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await?;
        self.holds().await?;

        for command in commands("# rm ")? {
            run(&self.node, &format!("rm {command}")).await?;
        }
        // kubelet takes the logs of pods that are gone away once in a minute.
        eventually_within(LONG, "the node has nothing of it", async || {
            let left = self.files().await?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await?;
        self.pulls("removed").await.map(drop)
    }

    /// The objects of any kind that have a name or a mark of it.
    async fn objects(&self) -> Result<Vec<String>> {
        let kinds = ["api-resources", "--verbs=list", "--output=name"];
        let kinds = self.kubectl.run(&kinds).await?;
        // They tell what was, for an hour.
        let kinds = kinds.lines().filter(|kind| !kind.starts_with("events"));
        let kinds = kinds.collect::<Vec<_>>().join(",");
        let get = ["get", &kinds, "--all-namespaces", "--output=json"];
        let mut objects: Value = serde_json::from_str(&self.kubectl.run(&get).await?)?;
        let objects = objects["items"].as_array_mut().context("no list")?;
        // Which images containerd has is no mark of ours.
        for object in objects.iter_mut() {
            object["status"]["images"].take();
        }
        let ours = objects.iter();
        let ours = ours.filter(|object| object.to_string().contains("pullkeeper"));
        Ok(ours
            .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]))
            .collect())
    }

    /// The files of the node that have a name of it, and that were not there before. A developer's machine may have some.
    async fn files(&self) -> Result<Vec<String>> {
        let now = remains(&self.node).await?;
        Ok(now.difference(&self.before).cloned().collect())
    }
}

/// The names of what a node has of it.
pub(super) async fn remains(node: &Node) -> Result<BTreeSet<String>> {
    let found = run(node, FIND).await?;
    Ok(found.lines().map(str::to_owned).collect())
}

async fn run(node: &Node, command: &str) -> Result<String> {
    let shell = node.inside("sh", Path::new("/bin/sh"))?;
    let output = shell.args(["-euc", command]).run(patience()).await?;
    Ok(output.success()?.stdout)
}

/// The commands of the page that begin so, without that and without remarks.
fn commands(prefix: &str) -> Result<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(page)?;
    let lines = page.lines().filter_map(|line| line.strip_prefix(prefix));
    let commands = lines.map(|line| line.split(" # ").next().unwrap_or(line).trim().to_owned());
    let commands: Vec<_> = commands.collect();
    ensure!(!commands.is_empty(), "the page has no command {prefix}");
    Ok(commands)
}
