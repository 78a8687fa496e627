//! Pods as applications have them, on fake nodes: with budgets, without controllers, with data of their own.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::{Api, Cluster, STUBBORN};
use crate::eventually;

/// The label `app` of pods that the drains of the suites pass over.
pub const STAYS: &str = "stays";

/// Applications in a namespace of their own.
pub struct Workloads<'c> {
    cluster: &'c Cluster,
    admin: Api,
    namespace: String,
}

/// A pod that runs as long as nobody ends it, for a template or by itself: its label `app` is its name.
pub fn pod(app: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {
            "terminationGracePeriodSeconds": 2,
            "containers": [{"name": "main", "image": "registry.test/main"}],
        },
    })
}

/// The same with a volume of its own on the node.
pub fn with_data(app: &str) -> Value {
    let mut pod = pod(app);
    pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    pod
}

/// The same, but it takes so many seconds to stop.
pub fn stubborn(app: &str, seconds: u32) -> Value {
    let mut pod = pod(app);
    pod["metadata"]["annotations"] = json!({STUBBORN: ""});
    pod["spec"]["terminationGracePeriodSeconds"] = seconds.into();
    pod
}

impl<'c> Workloads<'c> {
    /// A namespace without any yet.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn new(cluster: &'c Cluster, name: &str) -> Result<Self> {
        Ok(Self {
            cluster,
            admin: cluster.api(cluster.admin())?,
            namespace: cluster.namespace(name).await?,
        })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// `Deployment`, `StatefulSet` or `DaemonSet` of pods of this template; its name is their label `app`. It has so many
    /// replicas unless it is a DaemonSet.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn controller(&self, kind: &str, replicas: usize, template: &Value) -> Result<()> {
        let labels = &template["metadata"]["labels"];
        let mut spec = json!({"selector": {"matchLabels": labels}, "template": template});
        match kind {
            "Deployment" => spec["replicas"] = replicas.into(),
            "StatefulSet" => {
                spec["replicas"] = replicas.into();
                spec["podManagementPolicy"] = "Parallel".into();
                spec["serviceName"] = labels["app"].clone();
            }
            _ => {}
        }
        let object = json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"name": labels["app"], "namespace": self.namespace}, "spec": spec,
        });
        self.apply(&object).await
    }

    /// A PodDisruptionBudget for the pods of these labels. It is in force on return.
    ///
    /// # Errors
    /// When the API server refuses, or the controller does not look at it.
    pub async fn budget(&self, name: &str, labels: &Value, limit: &Value) -> Result<()> {
        let mut spec = limit.clone();
        spec["selector"] = json!({"matchLabels": labels});
        let object = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
        });
        // Its spec may be replaced: one limit is not merged with another.
        let path = format!(
            "/apis/policy/v1/namespaces/{}/poddisruptionbudgets/{name}",
            self.namespace
        );
        if self.admin.get(&path).await.is_ok() {
            self.admin.delete(&path).await?;
        }
        self.apply(&object).await?;
        eventually("the budget is looked at", async || {
            let found = self.admin.get(&path).await?;
            ensure!(
                found["status"]["observedGeneration"] == found["metadata"]["generation"],
                "{}",
                found["status"]
            );
            Ok(())
        })
        .await
    }

    /// A pod without a controller on this node, and its UID.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn bare(&self, name: &str, node: &str, template: &Value) -> Result<String> {
        let mut object = template.clone();
        object["metadata"]["name"] = name.into();
        object["spec"]["nodeName"] = node.into();
        let made = self.admin.create(&self.pods_path(), &object).await?;
        uid(&made)
    }

    /// A pod that is finished on this node, and its UID.
    ///
    /// # Errors
    /// When the API server refuses, or it does not run before.
    pub async fn finished(&self, name: &str, node: &str) -> Result<String> {
        let mut template = pod(name);
        template["spec"]["restartPolicy"] = "Never".into();
        let uid = self.bare(name, node, &template).await?;
        let path = format!("{}/{name}", self.pods_path());
        eventually("the pod runs", async || {
            let phase = self.admin.get(&path).await?["status"]["phase"].clone();
            ensure!(phase == "Running", "{phase}");
            Ok(())
        })
        .await?;
        let status = json!({"status": {"phase": "Succeeded"}});
        self.admin.merge(&format!("{path}/status"), &status).await?;
        Ok(uid)
    }

    /// A pod that the node's kubelet has from a file, as that shows it to the API server, and its UID.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn mirror(&self, name: &str, node: &str) -> Result<String> {
        let owner = self.admin.get(&format!("/api/v1/nodes/{node}")).await?;
        let mut object = pod(name);
        object["metadata"]["name"] = format!("{name}-{node}").into();
        object["metadata"]["annotations"] = json!({
            "kubernetes.io/config.mirror": "0", "kubernetes.io/config.hash": "0",
            "kubernetes.io/config.source": "file",
        });
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "v1", "kind": "Node", "name": node, "uid": owner["metadata"]["uid"],
            "controller": true,
        }]);
        object["spec"]["nodeName"] = node.into();
        let kubelet = self.cluster.api(&self.cluster.node(node)?)?;
        let made = kubelet.create(&self.pods_path(), &object).await?;
        uid(&made)
    }

    /// Waits until there are so many pods with this label `app`, all of them Ready, and returns them.
    ///
    /// # Errors
    /// When there are not in time.
    pub async fn run(&self, app: &str, count: usize) -> Result<Vec<Value>> {
        eventually(&format!("{count} pods of {app} run"), async || {
            let pods = self.pods(app).await?;
            let ready = pods.iter().filter(|pod| {
                let conditions = pod["status"]["conditions"].as_array();
                let mut conditions = conditions.into_iter().flatten();
                pod["metadata"]["deletionTimestamp"].is_null()
                    && conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
            });
            let ready = ready.count();
            ensure!(
                ready == count && pods.len() == count,
                "{ready} of {}",
                pods.len()
            );
            Ok(pods)
        })
        .await
    }

    /// The pods with this label `app`.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn pods(&self, app: &str) -> Result<Vec<Value>> {
        let path = format!("{}?labelSelector=app%3D{app}", self.pods_path());
        let list = self.admin.get(&path).await?;
        Ok(list["items"].as_array().context("no list")?.clone())
    }

    fn pods_path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }

    async fn apply(&self, object: &Value) -> Result<()> {
        let kubectl = self.cluster.kubectl()?;
        kubectl.apply(&object.to_string()).await.map(drop)
    }
}

/// The UID of an object.
///
/// # Errors
/// When it has none.
pub fn uid(object: &Value) -> Result<String> {
    let uid = object["metadata"]["uid"].as_str();
    Ok(uid.context("no UID")?.to_owned())
}
