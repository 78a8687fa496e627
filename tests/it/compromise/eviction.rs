//! The coordinator's token on pods.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::cluster::Api;
use support::deploy::{AGENT, COORDINATOR, NAMESPACE};
use support::eventually;
use support::http::{Answer, Method, StatusCode};

use super::scene::{EVICTIONS_POLICY, Scene, refused_because, rights_refuse, text};

/// A pod to be evicted.
struct Victim {
    namespace: String,
    name: String,
    uid: String,
}

impl Victim {
    async fn on(scene: &Scene<'_>) -> Result<Self> {
        let namespace = scene.cluster.namespace("victims").await?;
        let pod = scene
            .cluster
            .pod_object(&namespace, "default", &scene.node)
            .await?;
        Ok(Self {
            name: text(&pod, "/metadata/name")?,
            uid: text(&pod, "/metadata/uid")?,
            namespace,
        })
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, self.name)
    }

    async fn evict(&self, api: &Api, options: Value) -> Result<Answer> {
        let mut eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "name": self.name, "namespace": self.namespace },
        });
        let fields = eviction.as_object_mut().context("no object")?;
        fields.extend(options.as_object().context("no object")?.clone());
        let path = format!("{}/eviction", self.path());
        api.request(Method::POST, &path, Some(&eviction)).await
    }
}

#[tokio::test]
async fn it_evicts_the_pod_that_it_saw() -> Result<()> {
    let scene = Scene::new("evict").await?;
    let victim = Victim::on(&scene).await?;
    let missing = "pullkeeper coordinator: deleteOptions.preconditions.uid is missing";
    let grace = "pullkeeper coordinator: deleteOptions.gracePeriodSeconds must not be 0";
    let uid = json!({ "uid": victim.uid });
    for (options, why) in [
        (json!({}), missing),
        (json!({ "deleteOptions": {} }), missing),
        (
            json!({ "deleteOptions": { "preconditions": { "resourceVersion": "1" } } }),
            missing,
        ),
        // Under a name that the server drops.
        (
            json!({ "delete_options": { "preconditions": uid } }),
            missing,
        ),
        (
            json!({ "deleteOptions": { "preconditions": uid, "gracePeriodSeconds": 0 } }),
            grace,
        ),
    ] {
        let answer = victim.evict(&scene.coordinator, options).await?;
        refused_because(EVICTIONS_POLICY, why, &answer)?;
    }
    scene.admin.get(&victim.path()).await?;

    let options = json!({ "deleteOptions": {
        "preconditions": uid, "gracePeriodSeconds": 5, "propagationPolicy": "Background",
    } });
    victim.evict(&scene.coordinator, options).await?.json()?;
    // No kubelet says that it stopped: the mark of its deletion is all there is, or it is gone.
    eventually("the pod goes", async || {
        let answer = scene
            .admin
            .request(Method::GET, &victim.path(), None)
            .await?;
        let pod = answer.json().unwrap_or_default();
        let leaving = pod.pointer("/metadata/deletionTimestamp").is_some();
        ensure!(answer.status == StatusCode::NOT_FOUND || leaving, "{pod}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn only_a_pods_token_evicts() -> Result<()> {
    let scene = Scene::new("evict-unbound").await?;
    let victim = Victim::on(&scene).await?;
    let unbound = scene
        .cluster
        .service_account(NAMESPACE, COORDINATOR)
        .await?;
    let unbound = scene.cluster.api(&unbound)?;
    let options = json!({ "deleteOptions": { "preconditions": { "uid": victim.uid } } });
    let why = "pullkeeper coordinator: the token is not that of a pod on a node";
    refused_because(
        EVICTIONS_POLICY,
        why,
        &victim.evict(&unbound, options).await?,
    )
}

#[tokio::test]
async fn it_deletes_and_makes_no_pod() -> Result<()> {
    let scene = Scene::new("evict-rights").await?;
    let victim = Victim::on(&scene).await?;
    scene.coordinator.get(&victim.path()).await?;
    scene.coordinator.get("/api/v1/pods?limit=1").await?;
    scene
        .coordinator
        .get("/apis/policy/v1/poddisruptionbudgets")
        .await?;
    let pods = format!("/api/v1/namespaces/{}/pods", victim.namespace);
    let pod = json!({ "metadata": { "name": AGENT }, "spec": { "containers": [] } });
    let budgets = format!(
        "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
        victim.namespace
    );
    rights_refuse(
        &scene.coordinator,
        &[
            (Method::DELETE, victim.path(), Value::Null),
            (Method::DELETE, pods.clone(), Value::Null),
            (Method::POST, pods, pod),
            (
                Method::POST,
                format!("{}/exec?command=id", victim.path()),
                Value::Null,
            ),
            (Method::DELETE, budgets, Value::Null),
        ],
    )
    .await
}
