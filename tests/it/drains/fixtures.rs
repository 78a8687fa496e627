//! What the other suites stand on: pods of all kinds run, take their grace where they are to, and the audit log tells enough.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use support::cluster::{Cluster, FakeNode};
use support::eventually;
use support::http::{Method, StatusCode};
use support::workloads::{Workloads, pod, stubborn, uid, with_data};

#[tokio::test]
async fn pods_of_all_kinds_run_and_the_log_tells_who_evicts_them() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.scheduler().await?;
    let nodes = cluster
        .fake_nodes([FakeNode::new("one"), FakeNode::new("two")])
        .await?;
    let api = cluster.api(cluster.admin())?;
    let shop = Workloads::new(&cluster, "shop").await?;
    shop.controller("Deployment", 2, &pod("web")).await?;
    shop.controller("StatefulSet", 2, &with_data("db")).await?;
    shop.controller("DaemonSet", 0, &pod("log")).await?;
    let none = json!({"maxUnavailable": 0});
    shop.budget("db", &json!({"app": "db"}), &none).await?;
    shop.bare("slow", "one", &stubborn("slow", 3)).await?;
    shop.mirror("mirror", "one").await?;
    shop.finished("finished", "two").await?;
    for (app, count) in [
        ("web", 2),
        ("db", 2),
        ("log", 2),
        ("slow", 1),
        ("mirror", 1),
    ] {
        shop.run(app, count).await?;
    }

    let evict = async |app: &str| {
        let pod = shop.pods(app).await?.into_iter().next();
        let pod = pod.context("no pod")?;
        let name = pod["metadata"]["name"]
            .as_str()
            .context("no name")?
            .to_owned();
        let path = format!(
            "/api/v1/namespaces/{}/pods/{name}/eviction",
            shop.namespace()
        );
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name},
            "deleteOptions": {"preconditions": {"uid": uid(&pod)?}},
        });
        let answer = api.request(Method::POST, &path, Some(&eviction)).await?;
        anyhow::Ok((answer.status, uid(&pod)?, pod["spec"]["nodeName"].clone()))
    };
    let (refused, ..) = evict("db").await?;
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    let (taken, evicted, node) = evict("web").await?;
    assert_eq!(taken, StatusCode::CREATED);
    evict("slow").await?;
    let begun = Instant::now();
    eventually("the slow pod is gone", async || {
        ensure!(shop.pods("slow").await?.is_empty());
        Ok(())
    })
    .await?;
    ensure!(begun.elapsed().as_secs() >= 1, "it did not take its grace");
    shop.run("web", 2).await?;

    let events = cluster.audit_events()?;
    let told = events.iter().find(|event| {
        let sent = event.request_object.as_ref();
        event.about("pods", "eviction")
            && sent.is_some_and(|sent| sent["deleteOptions"]["preconditions"]["uid"] == evicted)
    });
    let told = told.context("the log does not have the eviction's content")?;
    ensure!(told.received <= told.done && told.code() == 201, "{told:?}");
    let bound = events.iter().find(|event| {
        let sent = event.request_object.as_ref();
        event.about("pods", "binding")
            && sent.is_some_and(|sent| sent["metadata"]["uid"] == evicted)
    });
    let bound = bound.and_then(|event| event.request_object.as_ref());
    let bound = bound.context("the log does not have where it went")?;
    assert_eq!(bound["target"]["name"], node);
    let secrets = events
        .iter()
        .filter(|event| event.about("secrets", "") || event.about("serviceaccounts", "token"));
    for event in secrets {
        ensure!(event.request_object.is_none() && event.response_object.is_none());
    }
    drop(nodes);
    Ok(())
}
