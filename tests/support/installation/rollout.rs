//! How the coordinator paces the pull secret.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Installation, LONG, NODE};
use crate::deploy::{NAMESPACE, RECORDS, ROLLOUTS};
use crate::eventually::eventually_within;

impl Installation {
    /// Has the coordinator pace the pull secret, with so many nodes as canary.
    ///
    /// # Errors
    /// When it is refused, or the first rollout does not end in time.
    pub async fn paced(&self, canary: u32) -> Result<()> {
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

    /// Waits until the rollout of this generation has come to its end.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn complete(&self, generation: u64) -> Result<()> {
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

    /// Waits until the node's record, and the rollout with it, say that the Secret is bad for this reason.
    ///
    /// # Errors
    /// When they do not in time.
    pub async fn says(&self, reason: &str) -> Result<()> {
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

    async fn rollout(&self) -> Result<Value> {
        Ok(self.api.get(&format!("{ROLLOUTS}/cluster")).await?["status"].clone())
    }
}
