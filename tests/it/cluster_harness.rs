//! The harness itself, before anything is tested with it: real parts run, break as told and come
//! back, and leave nothing behind.

mod breaking;
mod children;
mod kwok;
mod proxy;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use support::cluster::{Api, Cluster, Identity};
use support::eventually;
use support::http::{Method, StatusCode};

#[tokio::test]
async fn a_secret_makes_the_round_trip_through_kubectl() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("round-trip").await?;
    let kubectl = cluster.kubectl()?;
    let config = r#"{"auths":{"registry.test":{"auth":"dTpw"}}}"#;
    let manifest = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": { "name": "pull-secret", "namespace": namespace },
        "stringData": { ".dockerconfigjson": config },
    });
    kubectl.apply(&manifest.to_string()).await?;
    let template = r"-o=go-template={{index .data .dockerconfigjson | base64decode}}";
    let template = template.replace(".dockerconfigjson", r#"".dockerconfigjson""#);
    let got = kubectl
        .run(&["get", "secret", "pull-secret", "-n", &namespace, &template])
        .await?;
    assert_eq!(got, config);
    Ok(())
}

#[tokio::test]
async fn kubectl_errors_carry_what_it_said() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let error = cluster
        .kubectl()?
        .run(&["get", "secret", "nowhere"])
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains(r#"secrets "nowhere" not found"#),
        "{error:#}"
    );
    Ok(())
}

#[test]
fn a_missing_part_names_the_command_that_builds_it() {
    let error = Cluster::bin("kube-teapot").unwrap_err().to_string();
    assert!(
        error.ends_with("run `tests/cluster/build kube-teapot`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_service_account_may_do_what_rbac_says_and_no_more() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let (namespace, reader) = namespace_with_reader(cluster, "rbac").await?;
    let kubectl = cluster.kubectl_with(&cluster.kubeconfig(&reader)?)?;
    let whoami = kubectl.run(&["auth", "whoami", "-o=jsonpath={.status.userInfo.username}"]);
    assert_eq!(
        whoami.await?,
        format!("system:serviceaccount:{namespace}:reader")
    );

    let api = cluster.api(&reader)?;
    api.get(&secret(&namespace)).await?;
    let others = format!("/api/v1/namespaces/{namespace}/secrets/another");
    let all = format!("/api/v1/namespaces/{namespace}/secrets");
    let elsewhere = secret("kube-system");
    for (method, path) in [
        (Method::DELETE, &secret(&namespace)),
        (Method::GET, &others),
        (Method::GET, &all),
        (Method::GET, &elsewhere),
    ] {
        let answer = api.request(method.clone(), path, None).await?;
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{method} {path}: {}",
            answer.text()
        );
    }
    Ok(())
}

#[tokio::test]
async fn nodes_and_users_are_who_their_certificates_say() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("who").await?;
    let node = cluster.node("worker-0")?;
    let user = cluster.user("jane", Some("readers"))?;
    for (who, name, group) in [
        (&node, "system:node:worker-0", "system:nodes"),
        (&user, "jane", "readers"),
    ] {
        let kubectl = cluster.kubectl_with(&cluster.kubeconfig(who)?)?;
        let said: Value =
            serde_json::from_str(&kubectl.run(&["auth", "whoami", "-o=json"]).await?)?;
        let info = &said["status"]["userInfo"];
        assert_eq!(info["username"], name);
        assert!(
            info["groups"].as_array().unwrap().contains(&json!(group)),
            "{info}"
        );
    }
    // A node may read the Secrets of its pods alone, and it has none.
    let answer = cluster
        .api(&node)?
        .request(Method::GET, &secret(&namespace), None)
        .await?;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(
        answer.text().contains("no relationship found"),
        "{}",
        answer.text()
    );
    Ok(())
}

#[tokio::test]
async fn the_audit_log_tells_who_did_what() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let (namespace, reader) = namespace_with_reader(cluster, "audit").await?;
    cluster.api(&reader)?.get(&secret(&namespace)).await?;
    let event = eventually("the request is in the audit log", async || {
        let events = cluster.audit_events()?;
        let ours = |e: &&support::cluster::AuditEvent| {
            e.user.username == reader.name() && e.uri == secret(&namespace)
        };
        events
            .iter()
            .rfind(ours)
            .cloned()
            .ok_or_else(|| anyhow::anyhow!("{} others", events.len()))
    })
    .await?;
    assert_eq!(event.verb, "get");
    assert_eq!(event.stage, "ResponseComplete");
    Ok(())
}

/// A namespace with a Secret `pull-secret`, and a service account `reader` with the rights of an
/// agent on it: get, list and watch by name, and patch for the convenience of tests.
async fn namespace_with_reader(cluster: &Cluster, name: &str) -> Result<(String, Identity)> {
    let namespace = cluster.namespace(name).await?;
    let admin = cluster.api(cluster.admin())?;
    let object = json!({ "metadata": { "name": "pull-secret" }, "stringData": { "a": "0" } });
    admin
        .create(&format!("/api/v1/namespaces/{namespace}/secrets"), &object)
        .await?;
    let reader = cluster.service_account(&namespace, "reader").await?;
    let rights = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
          "metadata": { "name": "reader", "namespace": namespace },
          "rules": [{ "apiGroups": [""], "resources": ["secrets"],
                      "resourceNames": ["pull-secret"],
                      "verbs": ["get", "list", "watch", "patch"] }] },
        { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
          "metadata": { "name": "reader", "namespace": namespace },
          "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader" },
          "subjects": [{ "kind": "ServiceAccount", "name": "reader", "namespace": namespace }] },
    ]});
    cluster.kubectl()?.apply(&rights.to_string()).await?;
    let api = cluster.api(&reader)?;
    eventually("the rights have arrived", async || {
        api.get(&secret(&namespace)).await
    })
    .await?;
    Ok((namespace, reader))
}

fn secret(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/pull-secret")
}

/// Changes the Secret and returns its new version.
async fn update(api: &Api, namespace: &str, value: &str) -> Result<String> {
    let patch = json!({ "stringData": { "a": value } });
    version(&api.merge(&secret(namespace), &patch).await?)
}

/// The path that watches the Secret from a version on.
fn watch_from(namespace: &str, version: &str) -> String {
    format!(
        "/api/v1/namespaces/{namespace}/secrets?watch=1\
         &fieldSelector=metadata.name%3Dpull-secret&resourceVersion={version}"
    )
}

fn version(object: &Value) -> Result<String> {
    let version = object["metadata"]["resourceVersion"].as_str();
    Ok(version
        .with_context(|| format!("no version in {object}"))?
        .to_owned())
}
