//! Fake nodes: there are many of them, the control plane takes them for nodes, and they go.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::cluster::{Api, Cluster, FakeNode};
use support::eventually;
use support::http::{Method, StatusCode};

#[tokio::test]
async fn a_hundred_fake_nodes_become_ready_and_hold_leases() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("crowd").await?;
    let api = cluster.api(cluster.admin())?;
    let zone = format!("{namespace}-a");
    let plan = (0..100).map(|i| {
        let node = FakeNode::new(&format!("{namespace}-{i}"));
        match i {
            0..3 => node.control_plane().zone(&zone),
            _ => node,
        }
    });
    let nodes = cluster.fake_nodes(plan).await?;
    assert_eq!(nodes.names().len(), 100);
    let query = format!(
        "labelSelector=topology.kubernetes.io/zone={zone},node-role.kubernetes.io/control-plane"
    );
    let found = api.get(&format!("/api/v1/nodes?{query}")).await?;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(3));

    // The controllers would take a node without renewed leases for dead after a while.
    let first = renewal(&api, &nodes.names()[99]).await?;
    eventually("the lease is renewed", async || {
        let now = renewal(&api, &nodes.names()[99]).await?;
        ensure!(now != first, "still {now}");
        Ok(())
    })
    .await?;

    let name = nodes.names()[0].clone();
    nodes.leave().await?;
    assert!(gone(&api, &format!("/api/v1/nodes/{name}")).await?);
    Ok(())
}

#[tokio::test]
async fn a_pod_runs_on_a_fake_node_as_long_as_that_is_there() -> Result<()> {
    let cluster = Cluster::shared().await?;
    cluster.scheduler().await?;
    let namespace = cluster.namespace("played").await?;
    let api = cluster.api(cluster.admin())?;
    let name = format!("{namespace}-0");
    let node = FakeNode::new(&name).zone(&namespace);
    let mut nodes = cluster.fake_nodes([node]).await?;

    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let pod = json!({ "metadata": { "name": "played" }, "spec": {
        "nodeSelector": { "topology.kubernetes.io/zone": namespace },
        "containers": [{ "name": "main", "image": "registry.test/nothing" }],
    }});
    api.create(&pods, &pod).await?;
    let path = format!("{pods}/played");
    let running = eventually("the pod runs", async || {
        let pod = api.get(&path).await?;
        ensure!(pod["status"]["phase"] == "Running", "{}", pod["status"]);
        Ok(pod)
    })
    .await?;
    assert_eq!(running["spec"]["nodeName"], *name);

    nodes.remove(&name).await?;
    assert!(nodes.names().is_empty());
    assert!(gone(&api, &format!("/api/v1/nodes/{name}")).await?);
    assert!(gone(&api, &path).await?);
    Ok(())
}

#[tokio::test]
async fn a_fake_node_breaks_down_and_recovers() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("broken").await?;
    let api = cluster.api(cluster.admin())?;
    let name = format!("{namespace}-0");
    let nodes = cluster.fake_nodes([FakeNode::new(&name)]).await?;

    nodes.break_down(&name).await?;
    tainted(&api, &name, true).await?;
    assert_eq!(condition(&api, &name).await?["reason"], "KubeletNotReady");
    nodes.recover(&name).await?;
    tainted(&api, &name, false).await?;
    assert_eq!(condition(&api, &name).await?["status"], "True");
    nodes.leave().await
}

/// Waits until the controllers have (not) tainted the node as not Ready.
async fn tainted(api: &Api, node: &str, expected: bool) -> Result<()> {
    eventually(&format!("the taint is there: {expected}"), async || {
        let node = api.get(&format!("/api/v1/nodes/{node}")).await?;
        let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
        let tainted = taints.any(|taint| taint["key"] == "node.kubernetes.io/not-ready");
        ensure!(tainted == expected, "{}", node["spec"]);
        Ok(())
    })
    .await
}

async fn condition(api: &Api, node: &str) -> Result<Value> {
    let node = api.get(&format!("/api/v1/nodes/{node}")).await?;
    let conditions = node["status"]["conditions"].as_array();
    let mut conditions = conditions.context("no conditions")?.iter();
    let ready = conditions.find(|condition| condition["type"] == "Ready");
    Ok(ready.context("no condition Ready")?.clone())
}

async fn renewal(api: &Api, node: &str) -> Result<String> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}");
    let lease = api.get(&path).await?;
    let renewal = lease["spec"]["renewTime"].as_str();
    Ok(renewal.context("no renewal")?.to_owned())
}

async fn gone(api: &Api, path: &str) -> Result<bool> {
    let answer = api.request(Method::GET, path, None).await?;
    Ok(answer.status == StatusCode::NOT_FOUND)
}
