//! Pods with one container, and what becomes of their image.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::cluster::Api;
use crate::eventually::eventually_within;
use crate::http::{Method, StatusCode};
use crate::patience;

/// When the image is asked of its registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// For every container that starts: the credential is checked each time.
    #[default]
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Not at all.
    Never,
}

/// What a pod is to be: one container from one image, without a token of its service account.
#[derive(Clone, Debug)]
pub struct PodSpec {
    namespace: String,
    name: String,
    image: String,
    service_account: String,
    pull_policy: PullPolicy,
    pull_secrets: Vec<String>,
    probe: Option<Vec<String>>,
}

impl PodSpec {
    /// A pod that pulls its image each time, as the service account `default`.
    pub fn new(namespace: &str, name: &str, image: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            image: image.to_owned(),
            service_account: "default".to_owned(),
            pull_policy: PullPolicy::default(),
            pull_secrets: Vec::new(),
            probe: None,
        }
    }

    /// Sets the service account.
    #[must_use]
    pub fn service_account(mut self, name: &str) -> Self {
        name.clone_into(&mut self.service_account);
        self
    }

    /// Sets when the image is pulled.
    #[must_use]
    pub fn pull_policy(mut self, policy: PullPolicy) -> Self {
        self.pull_policy = policy;
        self
    }

    /// Adds a pull secret of the pod's own.
    #[must_use]
    pub fn pull_secret(mut self, name: &str) -> Self {
        self.pull_secrets.push(name.to_owned());
        self
    }

    /// Has kubelet ask each second whether it is ready, by a command within the container.
    #[must_use]
    pub fn ready_when(mut self, command: &[&str]) -> Self {
        self.probe = Some(command.iter().map(ToString::to_string).collect());
        self
    }

    fn object(&self, node: &str) -> Value {
        let policy = match self.pull_policy {
            PullPolicy::Always => "Always",
            PullPolicy::IfNotPresent => "IfNotPresent",
            PullPolicy::Never => "Never",
        };
        let secrets: Vec<_> = self
            .pull_secrets
            .iter()
            .map(|name| json!({ "name": name }))
            .collect();
        let probe = self.probe.as_ref().map(|command| {
            json!({ "exec": { "command": command }, "periodSeconds": 1, "timeoutSeconds": 5 })
        });
        json!({
            "metadata": { "name": self.name },
            "spec": {
                // The scheduler's choice, but there may be other nodes.
                "nodeSelector": { "kubernetes.io/hostname": node },
                "serviceAccountName": self.service_account,
                "automountServiceAccountToken": false,
                "imagePullSecrets": secrets,
                "containers": [{
                    "name": CONTAINER, "image": self.image, "imagePullPolicy": policy,
                    "readinessProbe": probe,
                }],
            },
        })
    }
}

/// A pod of a node. It stays when this is dropped, and ends with its node.
#[derive(Clone)]
pub struct Pod {
    api: Api,
    path: String,
}

/// Why a container waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// `ErrImagePull`, `ImagePullBackOff`, …
    pub reason: String,
    /// What kubelet says about it.
    pub message: String,
}

impl Pod {
    pub(super) async fn create(api: Api, node: &str, spec: &PodSpec) -> Result<Self> {
        let pods = format!("/api/v1/namespaces/{}/pods", spec.namespace);
        api.create(&pods, &spec.object(node)).await?;
        Ok(Self::existing(api, &spec.namespace, &spec.name))
    }

    pub(super) fn existing(api: Api, namespace: &str, name: &str) -> Self {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        Self { api, path }
    }

    /// Waits until the container runs. Failed pulls on the way are no failure: kubelet tries again,
    /// at first after ten seconds.
    ///
    /// # Errors
    /// When it does not within [`patience`]; says what it waits for.
    pub async fn running(&self) -> Result<()> {
        self.running_within(patience()).await
    }

    /// [`Pod::running`] with a limit of its own.
    ///
    /// # Errors
    /// As [`Pod::running`].
    pub async fn running_within(&self, limit: Duration) -> Result<()> {
        eventually_within(limit, &format!("{} runs", self.path), async || {
            let status = self.container().await?;
            ensure!(
                status["state"]["running"].is_object(),
                "{}",
                status["state"]
            );
            Ok(())
        })
        .await
    }

    /// Waits until the image could not be pulled, and says why.
    ///
    /// # Errors
    /// When the container runs, or neither happens within [`patience`].
    pub async fn pull_failure(&self) -> Result<Waiting> {
        let what = format!("the image of {} is refused", self.path);
        let outcome = eventually_within(patience(), &what, async || {
            let state = self.container().await?["state"].take();
            if state["running"].is_object() {
                return Ok(None);
            }
            let text = |field: &str| state["waiting"][field].as_str().unwrap_or_default();
            let reason = text("reason");
            ensure!(
                matches!(reason, "ErrImagePull" | "ImagePullBackOff"),
                "{state}"
            );
            Ok(Some(Waiting {
                reason: reason.to_owned(),
                message: text("message").to_owned(),
            }))
        });
        match outcome.await? {
            Some(waiting) => Ok(waiting),
            None => bail!("{} runs", self.path),
        }
    }

    /// The pod as the API server has it.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn object(&self) -> Result<Value> {
        self.api.get(&self.path).await
    }

    /// Deletes the pod and waits until kubelet has ended it.
    ///
    /// # Errors
    /// When it is gone already or does not end.
    pub async fn delete(self) -> Result<()> {
        self.api
            .delete(&format!("{}?gracePeriodSeconds=1", self.path))
            .await?;
        eventually_within(patience(), &format!("{} is gone", self.path), async || {
            let answer = self.api.request(Method::GET, &self.path, None).await?;
            ensure!(answer.status == StatusCode::NOT_FOUND, "{}", answer.text());
            Ok(())
        })
        .await
    }

    async fn container(&self) -> Result<Value> {
        let mut pod = self.object().await?;
        let statuses = pod["status"]["containerStatuses"].as_array_mut();
        let status = statuses.and_then(|statuses| statuses.pop());
        status.with_context(|| format!("no container yet: {}", pod["status"]))
    }
}

const CONTAINER: &str = "main";
