//! The pull secret, and where its credential gets.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Installation, LONG};
use crate::deploy::NAMESPACE;
use crate::eventually::eventually_within;
use crate::fixture::{Credential, config_json};
use crate::patience;

/// The type of pull secrets.
pub const DOCKER: &str = "kubernetes.io/dockerconfigjson";
/// What the agent puts on the node.
pub const HELPER: &str = "/opt/pullkeeper/bin/docker-credential-pullkeeper";

impl Installation {
    /// The registry has another password, and then the cluster's Secret. On return the agent has it.
    ///
    /// # Errors
    /// When something is refused, or the agent does not have it in time.
    pub async fn rotate(&mut self) -> Result<()> {
        self.credential = Credential::new();
        self.registry.set_users(&[&self.credential]).await?;
        self.publish().await?;
        self.holds().await
    }

    /// Waits until the helper that the agent has put on the node answers there with the credential.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn helps(&self) -> Result<()> {
        let program = self.node.inside("helper", Path::new(HELPER))?;
        let program = program.arg("get").input(self.registry.host());
        eventually_within(LONG, "the node's helper answers", async || {
            let output = program.run(patience()).await?.success()?;
            let answer: Value = serde_json::from_str(&output.stdout)?;
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
    pub(super) async fn publish(&self) -> Result<()> {
        let config = config_json([(self.registry.host().as_str(), &self.credential)]);
        self.replace(DOCKER, &config).await
    }

    /// Puts another Secret, of a type and with a content, in the place of the pull secret.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn replace(&self, kind: &str, content: &str) -> Result<()> {
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
        let secret = secret.to_string();
        self.kubectl.run_with_input(verb, &secret).await.map(drop)
    }

    /// Removes the pull secret.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete(&self) -> Result<()> {
        let secret = ["delete", "secret", "--namespace", NAMESPACE, "pull-secret"];
        self.kubectl.run(&secret).await.map(drop)
    }

    /// Waits until the node's file has the credential, which helpers were given before.
    pub(super) async fn holds(&self) -> Result<()> {
        let file = self.node.auth_file();
        eventually_within(LONG, "the node's file has the credential", async || {
            let text = std::fs::read_to_string(&file)?;
            ensure!(text.contains(&self.credential.auth()), "another one");
            Ok(())
        })
        .await
    }

    /// The type of the pull secret; none if there is none.
    async fn kind(&self) -> Result<Value> {
        let path = format!(
            "/api/v1/namespaces/{NAMESPACE}/secrets?fieldSelector=metadata.name=pull-secret"
        );
        Ok(self.api.get(&path).await?["items"][0]["type"].clone())
    }
}
