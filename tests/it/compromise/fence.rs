//! Rights and policies by themselves, on a control plane of one's own: what is granted and taken away here would be felt by
//! every other test.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::cluster::{Api, Cluster};
use support::deploy::{AGENT, COORDINATOR, NAMESPACE, RECORDS, refused_by};
use support::eventually;
use support::http::{Answer, Method};

use super::scene::{
    AGENT_POLICY, EVICTIONS_POLICY, MARK, NODES_POLICY, RECORDS_POLICY, Scene, rights_refuse, text,
};

const POLICIES: [&str; 4] = [AGENT_POLICY, RECORDS_POLICY, NODES_POLICY, EVICTIONS_POLICY];
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";

#[tokio::test]
async fn the_policies_hold_alone_and_are_needed() -> Result<()> {
    let cluster = Cluster::start().await?;
    let (scene, other) = (
        Scene::on(&cluster, "fence-a").await?,
        Scene::on(&cluster, "fence-b").await?,
    );
    scene.make_record().await?;
    other.make_record().await?;
    let theirs = json!({ "metadata": { "labels": { "theirs": "yes" } } });
    scene.admin.merge(&scene.record_path(), &theirs).await?;
    scene.administrator_sets(true).await?;
    policies_fit_their_types(&scene).await?;
    without_the_rights_nothing_is_drained(&scene).await?;

    far_too_much(&scene).await?;
    let attempts = attempts(&scene, &other).await?;
    for attempt in &attempts {
        refused_by(attempt.policy, &attempt.make().await?)
            .with_context(|| format!("{} {} {}", attempt.method, attempt.path, attempt.body))?;
    }

    for policy in POLICIES {
        let binding = format!("{ADMISSION}/validatingadmissionpolicybindings/{policy}");
        scene.admin.delete(&binding).await?;
    }
    for attempt in &attempts {
        eventually("without its policy the attempt succeeds", async || {
            let answer = attempt.make().await?;
            let what = format!("{} {} {}", attempt.method, attempt.path, attempt.body);
            ensure!(answer.status.is_success(), "{what}: {}", answer.text());
            Ok(())
        })
        .await?;
    }
    ensure!(scene.cordon().await? == (false, None));
    Ok(())
}

/// The server compares what a policy reads with what the objects have, and says so in its status.
async fn policies_fit_their_types(scene: &Scene<'_>) -> Result<()> {
    for policy in POLICIES {
        let path = format!("{ADMISSION}/validatingadmissionpolicies/{policy}");
        let status = eventually("a policy's types are checked", async || {
            let policy = scene.admin.get(&path).await?;
            let checked = policy.pointer("/status/typeChecking");
            Ok(checked.context("not yet")?.clone())
        })
        .await?;
        ensure!(status["expressionWarnings"].is_null(), "{policy}: {status}");
    }
    Ok(())
}

/// `rbac/coordinator-drain.yaml` taken back, or never given.
async fn without_the_rights_nothing_is_drained(scene: &Scene<'_>) -> Result<()> {
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let drain = format!("{bindings}/pullkeeper-coordinator-drain");
    scene.admin.delete(&drain).await?;
    let cordon = json!({ "spec": { "unschedulable": true } });
    let evict = format!("/api/v1/namespaces/{NAMESPACE}/pods/any/eviction");
    let requests = [
        (Method::PATCH, scene.node_path(), cordon),
        (
            Method::PATCH,
            format!("{}/status", scene.node_path()),
            json!({}),
        ),
        (Method::GET, "/api/v1/pods".to_owned(), Value::Null),
        (Method::POST, evict, eviction("any")),
    ];
    eventually("the rights are gone", async || {
        rights_refuse(&scene.coordinator, &requests).await
    })
    .await?;
    scene.coordinator.get(RECORDS).await?;
    Ok(())
}

async fn far_too_much(scene: &Scene<'_>) -> Result<()> {
    let account = |name| json!({ "kind": "ServiceAccount", "name": name, "namespace": NAMESPACE });
    let grant = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": "far-too-much" },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin",
        },
        "subjects": [account(AGENT), account(COORDINATOR)],
    });
    scene.cluster.kubectl()?.apply(&grant.to_string()).await?;
    for api in [&scene.agent, &scene.coordinator] {
        let pods = async || api.get("/api/v1/pods").await;
        eventually("far too much is granted", pods).await?;
    }
    Ok(())
}

/// One thing that must not be.
struct Attempt<'s> {
    policy: &'static str,
    api: &'s Api,
    method: Method,
    path: String,
    body: Value,
}

impl Attempt<'_> {
    async fn make(&self) -> Result<Answer> {
        let body = (!self.body.is_null()).then_some(&self.body);
        let request = self.api.request(self.method.clone(), &self.path, body);
        request.await
    }
}

/// In an order in which all of them succeed where nothing refuses.
async fn attempts<'s>(scene: &'s Scene<'_>, other: &'s Scene<'_>) -> Result<Vec<Attempt<'s>>> {
    let pod = scene
        .cluster
        .pod_object(NAMESPACE, AGENT, &scene.node)
        .await?;
    let pod = text(&pod, "/metadata/name")?;
    let evict = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction");
    let named = |name: &str| {
        let mut record = scene.record();
        record["metadata"]["name"] = json!(name);
        record
    };
    let label = json!({ "metadata": { "labels": { "a": "b" } } });
    let unlabel = json!({ "metadata": { "labels": null } });
    let lie = json!({ "status": { "reason": "Lie" } });
    let sources = json!({ "spec": { "sources": [{ "namespace": "another" }] } });
    let uncordon = json!({ "spec": { "unschedulable": null } });
    let cordon = json!({ "spec": { "unschedulable": true } });
    let mark = json!({ "metadata": { "annotations": { MARK: other.mark() } } });
    let ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });

    let another = json!({ "status": { "conditions": [{ "type": "Lie", "status": "True" }] } });
    let capacity = json!({ "status": { "capacity": { "cpu": "400" } } });
    let images = json!({ "status": { "images": [{ "names": ["registry.example/lie:1"] }] } });
    let address = json!([{ "type": "InternalIP", "address": "10.6.6.6" }]);
    let addresses = json!({ "status": { "addresses": address } });

    let by = |policy, api: &'s Api, method, path: &str, body: &Value| Attempt {
        policy,
        api,
        method,
        path: path.to_owned(),
        body: body.clone(),
    };
    let agent = |method, path: &str, body| by(AGENT_POLICY, &scene.agent, method, path, body);
    let coordinator =
        |policy, method, path: &str, body| by(policy, &scene.coordinator, method, path, body);
    let records = |method, path: &str, body| coordinator(RECORDS_POLICY, method, path, body);
    let nodes = |method, path: &str, body| coordinator(NODES_POLICY, method, path, body);
    let (record, node) = (scene.record_path(), scene.node_path());
    let status = format!("{node}/status");
    Ok(vec![
        records(Method::POST, RECORDS, &named("third")),
        records(Method::PATCH, &scene.status_path(), &lie),
        records(Method::PATCH, &record, &unlabel),
        records(Method::DELETE, &record, &Value::Null),
        agent(Method::POST, RECORDS, &scene.record()),
        agent(Method::PATCH, &record, &sources),
        agent(Method::PATCH, &record, &label),
        agent(Method::PATCH, &record, &unlabel),
        agent(Method::DELETE, &record, &Value::Null),
        agent(Method::POST, RECORDS, &named("fourth")),
        agent(Method::PATCH, &other.status_path(), &lie),
        agent(Method::DELETE, &other.record_path(), &Value::Null),
        nodes(Method::PATCH, &node, &uncordon),
        nodes(Method::PATCH, &node, &label),
        nodes(Method::PATCH, &status, &another),
        nodes(Method::PATCH, &status, &ready),
        nodes(Method::PATCH, &status, &capacity),
        nodes(Method::PATCH, &status, &images),
        nodes(Method::PATCH, &status, &addresses),
        nodes(
            Method::PATCH,
            &status,
            &json!({ "metadata": { "labels": { "c": "d" } } }),
        ),
        nodes(Method::PATCH, &other.node_path(), &mark),
        nodes(Method::PATCH, &other.node_path(), &cordon),
        coordinator(EVICTIONS_POLICY, Method::POST, &evict, &eviction(&pod)),
        nodes(Method::DELETE, &other.node_path(), &Value::Null),
    ])
}

fn eviction(pod: &str) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": pod, "namespace": NAMESPACE },
    })
}
