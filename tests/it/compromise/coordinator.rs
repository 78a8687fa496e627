//! The coordinator's token, without what is for draining: records, the rollout, the lease, Secrets.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::deploy::{COORDINATOR, NAMESPACE, RECORDS, ROLLOUTS, SECRET_NAMESPACE};
use support::eventually::eventually_within;
use support::http::{Method, StatusCode};
use support::patience;

use super::scene::{RECORDS_POLICY, Scene, policy_refuses, refused_because, rights_refuse};

/// A permit of this number for a node.
fn permit(uid: &str, serial: u64) -> Value {
    let secret = json!({
        "namespace": SECRET_NAMESPACE, "name": "pull-secret", "uid": "u", "resourceVersion": "7",
    });
    json!({ "spec": { "permit": {
        "nodeUID": uid, "generation": 1, "serial": serial, "revision": [secret],
    } } })
}

#[tokio::test]
async fn it_gives_permits() -> Result<()> {
    let scene = Scene::new("permits").await?;
    scene.make_record().await?;
    let path = scene.record_path();
    scene
        .coordinator
        .merge(&path, &permit(&scene.uid, 7))
        .await?;
    let record = scene
        .coordinator
        .merge(&path, &permit(&scene.uid, 8))
        .await?;
    ensure!(record["spec"]["permit"]["serial"] == 8, "{record}");

    let older = scene.coordinator.merge(&path, &permit(&scene.uid, 7)).await;
    let error = format!("{:#}", older.unwrap_err());
    ensure!(error.contains("spec.permit"), "{error}");
    ensure!(
        error.contains("a permit is not replaced by an older one"),
        "{error}"
    );

    let why = "pullkeeper coordinator: permit.nodeUID is not spec.nodeUID";
    let another = permit("another", 9);
    policy_refuses(RECORDS_POLICY, why, &scene.coordinator, &path, &another).await?;
    let why = "pullkeeper coordinator: a permit is replaced by a newer one, and not taken back";
    let none = json!({ "spec": { "permit": null } });
    policy_refuses(RECORDS_POLICY, why, &scene.coordinator, &path, &none).await
}

#[tokio::test]
async fn it_makes_records_that_go_with_their_node_alone() -> Result<()> {
    let (scene, other) = (Scene::new("owner-a").await?, Scene::new("owner-b").await?);
    let owner = "a record has one owner, the Node of its name, whose UID is spec.nodeUID";
    let bare = "a record is made without labels, annotations and finalizers";
    let mut pod = scene.owner();
    pod["kind"] = json!("Pod");
    for (field, value, why) in [
        ("/metadata/ownerReferences", json!([]), owner),
        ("/metadata/ownerReferences", json!([other.owner()]), owner),
        ("/metadata/ownerReferences", json!([pod]), owner),
        (
            "/metadata/ownerReferences",
            json!([scene.owner(), other.owner()]),
            owner,
        ),
        ("/metadata/name", json!(other.node), owner),
        ("/spec/nodeUID", json!(other.uid), owner),
        ("/metadata/labels", json!({ "a": "b" }), bare),
        ("/metadata/annotations", json!({ "a": "b" }), bare),
        ("/metadata/finalizers", json!(["a.b/c"]), bare),
        (
            "/spec/permit",
            permit(&other.uid, 1)["spec"]["permit"].clone(),
            "permit.nodeUID is not spec.nodeUID",
        ),
    ] {
        let mut record = scene.record();
        let (parent, key) = field.rsplit_once('/').unwrap();
        record.pointer_mut(parent).unwrap()[key] = value;
        let create = scene
            .coordinator
            .request(Method::POST, RECORDS, Some(&record));
        let why = format!("pullkeeper coordinator: {why}");
        refused_because(RECORDS_POLICY, &why, &create.await?)?;
    }
    scene.make_record().await?;
    let (path, record) = (other.record_path(), other.record());
    let apply = scene.coordinator.apply(&path, &record, COORDINATOR);
    apply.await?.json()?;
    Ok(())
}

/// The policy cannot see which UID the node has. The garbage collector can, once it has noticed that there are records.
#[tokio::test]
async fn a_record_of_a_node_that_is_not_there_goes() -> Result<()> {
    let (scene, gone) = (Scene::new("uid-a").await?, Scene::new("uid-b").await?);
    gone.make_record().await?;
    scene.admin.delete(&gone.node_path()).await?;
    let mut lie = scene.record();
    lie["metadata"]["ownerReferences"][0]["uid"] = json!(gone.uid);
    lie["spec"]["nodeUID"] = json!(gone.uid);
    scene.coordinator.create(RECORDS, &lie).await?;
    eventually_within(patience() * 3, "the records are gone", async || {
        for path in [gone.record_path(), scene.record_path()] {
            let answer = scene.admin.request(Method::GET, &path, None).await?;
            ensure!(answer.status == StatusCode::NOT_FOUND, "{path} is there");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn it_changes_nothing_of_a_record_but_what_a_node_is_told() -> Result<()> {
    let scene = Scene::new("told").await?;
    scene.make_record().await?;
    let path = scene.record_path();
    let sources = json!({ "spec": { "sources": [{ "namespace": SECRET_NAMESPACE }] } });
    scene.coordinator.merge(&path, &sources).await?;

    let metadata =
        "the metadata (labels, annotations, owners, finalizers) is not the coordinator's";
    for (change, why) in [
        (json!({ "metadata": { "labels": { "a": "b" } } }), metadata),
        (
            json!({ "metadata": { "annotations": { "a": "b" } } }),
            metadata,
        ),
        (json!({ "metadata": { "finalizers": ["a.b/c"] } }), metadata),
        (json!({ "metadata": { "ownerReferences": null } }), metadata),
        (
            json!({ "spec": { "nodeUID": "another" } }),
            "spec.nodeUID stays as it is; a new node gets a new record",
        ),
    ] {
        let why = format!("pullkeeper coordinator: {why}");
        policy_refuses(RECORDS_POLICY, &why, &scene.coordinator, &path, &change).await?;
    }
    // Nor may it take away what an administrator put there.
    let labels = json!({ "metadata": { "labels": { "theirs": "yes" } } });
    scene.admin.merge(&path, &labels).await?;
    let none = json!({ "metadata": { "labels": null } });
    policy_refuses(RECORDS_POLICY, metadata, &scene.coordinator, &path, &none).await?;
    scene
        .coordinator
        .merge(&path, &permit(&scene.uid, 1))
        .await?;

    let reached = json!({ "status": { "phase": "Current" } });
    rights_refuse(
        &scene.coordinator,
        &[
            (Method::PATCH, scene.status_path(), reached),
            (Method::DELETE, path, Value::Null),
            (Method::DELETE, RECORDS.to_owned(), Value::Null),
        ],
    )
    .await
}

#[tokio::test]
async fn it_says_how_far_the_rollout_is_and_not_what_is_wanted() -> Result<()> {
    let scene = Scene::new("rollout-status").await?;
    let rollout = format!("{ROLLOUTS}/cluster");
    let object = json!({
        "apiVersion": "pullkeeper.io/v1alpha1", "kind": "PullSecretRollout",
        "metadata": { "name": "cluster" },
        "spec": { "sources": [{ "namespace": SECRET_NAMESPACE }] },
    });
    scene.cluster.kubectl()?.apply(&object.to_string()).await?;
    // Dry runs: whoever else uses this control plane has the same rollout.
    let phase = json!({ "status": { "phase": "Waves", "ledger": { "version": 1 } } });
    let status = format!("{rollout}/status");
    let dry = format!("{status}?dryRun=All");
    let after = scene.coordinator.merge(&dry, &phase).await?;
    ensure!(after["status"]["ledger"]["version"] == 1, "{after}");
    scene.coordinator.get(ROLLOUTS).await?;

    let paused = json!({ "spec": { "paused": true } });
    rights_refuse(
        &scene.coordinator,
        &[
            (Method::PATCH, format!("{rollout}?dryRun=All"), paused),
            (Method::PUT, format!("{rollout}?dryRun=All"), object.clone()),
            (Method::POST, format!("{ROLLOUTS}?dryRun=All"), object),
            (Method::DELETE, format!("{rollout}?dryRun=All"), Value::Null),
        ],
    )
    .await
}

#[tokio::test]
async fn it_takes_its_lease_and_no_other() -> Result<()> {
    let scene = Scene::new("lease").await?;
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
    let lease = |name: &str| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": name, "namespace": NAMESPACE },
        })
    };
    let mine = format!("{leases}/{COORDINATOR}");
    let holder = json!({ "spec": { "holderIdentity": "one", "leaseDurationSeconds": 60 } });
    // It is left without a holder, as whoever else uses this control plane may find it.
    let dry = format!("{leases}?dryRun=All");
    scene.coordinator.create(&dry, &lease("probe")).await?;
    let both = json!({
        "apiVersion": "v1", "kind": "List", "items": [lease(COORDINATOR), lease("another")],
    });
    scene.cluster.kubectl()?.apply(&both.to_string()).await?;
    scene.coordinator.get(&mine).await?;
    let taken = scene
        .coordinator
        .merge(&format!("{mine}?dryRun=All"), &holder)
        .await?;
    ensure!(taken["spec"]["holderIdentity"] == "one", "{taken}");

    let (another, system) = (
        format!("{leases}/another"),
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases".to_owned(),
    );
    rights_refuse(
        &scene.coordinator,
        &[
            (Method::GET, another.clone(), Value::Null),
            (Method::PATCH, another.clone(), holder),
            (Method::PUT, another, lease("another")),
            (Method::POST, system.clone(), lease("any")),
            (Method::PATCH, format!("{system}/kube-scheduler"), json!({})),
            (Method::DELETE, mine, Value::Null),
        ],
    )
    .await
}

#[tokio::test]
async fn it_sees_no_credential() -> Result<()> {
    let scene = Scene::new("no-credential").await?;
    let secrets = format!("/api/v1/namespaces/{SECRET_NAMESPACE}/secrets");
    let token = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/pullkeeper-agent/token");
    rights_refuse(
        &scene.coordinator,
        &[
            (Method::GET, format!("{secrets}/pull-secret"), Value::Null),
            (Method::GET, secrets, Value::Null),
            (Method::GET, "/api/v1/secrets".to_owned(), Value::Null),
            (Method::POST, token, json!({ "spec": {} })),
        ],
    )
    .await
}
