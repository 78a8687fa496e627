//! A rooted node, that is the agent's token.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::deploy::{AGENT, COORDINATOR, NAMESPACE, RECORDS, ROLLOUTS, SECRET_NAMESPACE};
use support::http::Method;

use super::scene::{AGENT_POLICY, Scene, policy_refuses, rights_refuse};

fn status(reason: &str) -> Value {
    json!({ "status": { "phase": "Current", "reason": reason } })
}

#[tokio::test]
async fn it_tells_of_itself() -> Result<()> {
    let scene = Scene::new("agent-self").await?;
    scene.make_record().await?;
    let path = scene.status_path();
    let record = scene.agent.merge(&path, &status("Patched")).await?;
    ensure!(record["status"]["reason"] == "Patched", "{record}");

    let mut record = scene.agent.get(&scene.record_path()).await?;
    record["status"]["reason"] = json!("Replaced");
    let answer = scene.agent.request(Method::PUT, &path, Some(&record));
    let record = answer.await?.json()?;
    ensure!(record["status"]["reason"] == "Replaced", "{record}");

    let node = scene.agent.get(&scene.node_path()).await?;
    ensure!(node["metadata"]["uid"] == scene.uid.as_str(), "{node}");
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    scene.agent.create(events, &event(&scene)).await?;
    Ok(())
}

#[tokio::test]
async fn it_tells_of_no_other_node() -> Result<()> {
    let (scene, other) = (Scene::new("agent-a").await?, Scene::new("agent-b").await?);
    scene.make_record().await?;
    other.make_record().await?;
    let why = format!(
        "pullkeeper agent: the record is another node's: the token is bound to {}",
        scene.node
    );
    let path = other.status_path();
    policy_refuses(AGENT_POLICY, &why, &scene.agent, &path, &status("Lie")).await?;
    let record = scene.admin.get(&other.record_path()).await?;
    ensure!(record.get("status").is_none(), "{record}");
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_bound_to_no_node_tells_nothing() -> Result<()> {
    let scene = Scene::new("agent-unbound").await?;
    scene.make_record().await?;
    let unbound = scene.cluster.service_account(NAMESPACE, AGENT).await?;
    let unbound = scene.cluster.api(&unbound)?;
    let why = "pullkeeper agent: the token is bound to no node";
    let path = scene.status_path();
    policy_refuses(AGENT_POLICY, why, &unbound, &path, &status("Lie")).await
}

#[tokio::test]
async fn it_changes_nothing_of_its_record_but_the_status() -> Result<()> {
    let scene = Scene::new("agent-record").await?;
    scene.make_record().await?;
    let before = scene.admin.get(&scene.record_path()).await?;
    let changes = json!({
        "metadata": {
            "labels": { "a": "b" }, "annotations": { "a": "b" }, "finalizers": ["a/b"],
            "ownerReferences": [],
        },
        "spec": { "nodeUID": "another" },
    });
    let (path, another) = (scene.record_path(), format!("{RECORDS}/another"));
    rights_refuse(
        &scene.agent,
        &[
            (Method::PATCH, path.clone(), changes.clone()),
            (Method::PUT, path.clone(), before.clone()),
            (Method::DELETE, path.clone(), Value::Null),
            (Method::DELETE, RECORDS.to_owned(), Value::Null),
            (Method::POST, RECORDS.to_owned(), scene.record()),
            (Method::PATCH, another, changes.clone()),
        ],
    )
    .await?;

    // Beside the status the server takes nothing, and does not complain.
    scene.agent.merge(&scene.status_path(), &changes).await?;
    let after = scene.admin.get(&path).await?;
    for field in [
        "/metadata/labels",
        "/metadata/annotations",
        "/metadata/finalizers",
        "/metadata/ownerReferences",
        "/spec",
    ] {
        let (before, after) = (before.pointer(field), after.pointer(field));
        ensure!(before == after, "{field}: {before:?} {after:?}");
    }
    Ok(())
}

#[tokio::test]
async fn it_moves_no_workload() -> Result<()> {
    let (scene, other) = (Scene::new("agent-c").await?, Scene::new("agent-d").await?);
    let pod = scene
        .cluster
        .pod_object(NAMESPACE, AGENT, &scene.node)
        .await?;
    let pod = super::scene::text(&pod, "/metadata/name")?;
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": pod, "namespace": NAMESPACE },
    });
    let flag = json!({ "spec": { "unschedulable": true } });
    rights_refuse(
        &scene.agent,
        &[
            (Method::PATCH, scene.node_path(), flag.clone()),
            (Method::PATCH, other.node_path(), flag),
            (Method::GET, "/api/v1/nodes".to_owned(), Value::Null),
            (Method::POST, format!("{pods}/{pod}/eviction"), eviction),
            (Method::DELETE, format!("{pods}/{pod}"), Value::Null),
            (Method::GET, format!("{pods}/{pod}"), Value::Null),
        ],
    )
    .await
}

#[tokio::test]
async fn it_reads_the_pull_secret_and_no_other() -> Result<()> {
    let scene = Scene::new("agent-secrets").await?;
    let secret = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "namespace": SECRET_NAMESPACE },
        })
    };
    let both = json!({
        "apiVersion": "v1", "kind": "List", "items": [secret("pull-secret"), secret("another")],
    });
    scene.cluster.kubectl()?.apply(&both.to_string()).await?;
    let secrets = format!("/api/v1/namespaces/{SECRET_NAMESPACE}/secrets");
    let named = "fieldSelector=metadata.name%3Dpull-secret";
    scene.agent.get(&format!("{secrets}/pull-secret")).await?;
    scene.agent.get(&format!("{secrets}?{named}")).await?;
    let watch = format!("{secrets}?{named}&watch=1&timeoutSeconds=1");
    scene.agent.watch(&watch).await?;

    let pull_secret = format!("{secrets}/pull-secret");
    let data = json!({ "stringData": { "a": "b" } });
    rights_refuse(
        &scene.agent,
        &[
            (Method::GET, format!("{secrets}/another"), Value::Null),
            (Method::GET, secrets.clone(), Value::Null),
            (Method::GET, format!("{secrets}?watch=1"), Value::Null),
            (Method::GET, "/api/v1/secrets".to_owned(), Value::Null),
            (Method::PATCH, pull_secret.clone(), data),
            (Method::DELETE, pull_secret, Value::Null),
        ],
    )
    .await
}

#[tokio::test]
async fn it_has_no_part_in_the_rollout() -> Result<()> {
    let scene = Scene::new("agent-rollout").await?;
    let rollout = format!("{ROLLOUTS}/cluster");
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
    let lease = format!("{leases}/{COORDINATOR}");
    let holder = json!({ "spec": { "holderIdentity": "rooted" } });
    let resumes = json!({ "spec": { "resumes": 1 } });
    let complete = json!({ "status": { "phase": "Complete" } });
    let elsewhere = "/apis/events.k8s.io/v1/namespaces/kube-system/events".to_owned();
    rights_refuse(
        &scene.agent,
        &[
            (Method::GET, rollout.clone(), Value::Null),
            (Method::GET, ROLLOUTS.to_owned(), Value::Null),
            (Method::PATCH, rollout.clone(), resumes),
            (Method::PATCH, format!("{rollout}/status"), complete),
            (Method::GET, lease.clone(), Value::Null),
            (Method::PATCH, lease, holder.clone()),
            (Method::POST, leases, holder),
            (Method::POST, elsewhere, event(&scene)),
        ],
    )
    .await
}

fn event(scene: &Scene<'_>) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": { "name": format!("{}.told", scene.node) },
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "pullkeeper", "reportingInstance": scene.node,
        "action": "SyncPullSecret", "reason": "Told", "type": "Warning",
        "regarding": { "apiVersion": "v1", "kind": "Node", "name": scene.node, "uid": scene.uid },
    })
}
