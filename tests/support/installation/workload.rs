//! Pods of people who know nothing of all this.

use anyhow::{Context as _, Result, ensure};

use super::{Installation, NODE};
use crate::deploy::NAMESPACE;
use crate::node::{Pod, PodSpec};

impl Installation {
    /// A pod of this name pulls the workload and runs.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn pulls(&self, name: &str) -> Result<Pod> {
        let pod = PodSpec::new(&self.namespace, name, &self.workload);
        let pod = self.node.create(&pod).await?;
        pod.running().await?;
        Ok(pod)
    }

    /// No pull has failed, of anybody's image, and kubelet was started once.
    ///
    /// # Errors
    /// Otherwise.
    pub async fn was_undisturbed(&self) -> Result<()> {
        for namespace in [&self.namespace, NAMESPACE] {
            let path = format!("/api/v1/namespaces/{namespace}/events");
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
            let undisturbed = pulled > 0 && failed.is_empty();
            ensure!(undisturbed, "{namespace}: {pulled} pulls, and {failed:?}");
        }
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
}
