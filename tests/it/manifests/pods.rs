//! What the pods may do on their nodes.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::cluster::Cluster;
use support::deploy::render_with;
use support::http::Method;

use super::{OVERLAYS, one, stored, taken};

/// The folders of the node that an agent sees.
const FOLDERS: [&str; 3] = ["/run/pullkeeper", "/var/lib/kubelet", "/var/lib/pullkeeper"];

/// What the pod security standards say of an agent's pod at the level `restricted`: it mounts folders of the node and is root.
const AGENT_IS: &str = "would violate PodSecurity \"restricted:latest\": \
    restricted volume types (volumes \"kubelet\", \"state\", \"run\" use restricted volume type \"hostPath\"), \
    runAsNonRoot != true (pod or container \"agent\" must set securityContext.runAsNonRoot=true), \
    runAsUser=0 (pod must not set runAsUser=0)";

#[tokio::test]
async fn no_pod_has_more_than_it_needs() -> Result<()> {
    let cluster = Cluster::shared().await?;
    for overlay in OVERLAYS {
        let objects = stored(cluster, overlay).await?;
        let agent = one(&objects, "DaemonSet")?;
        let mut pods = vec![agent];
        if overlay != "agent-only" {
            pods.push(one(&objects, "Deployment")?);
        }
        for workload in pods {
            let pod = &workload["spec"]["template"]["spec"];
            confined(pod)
                .with_context(|| format!("{overlay}: {}", workload["metadata"]["name"]))?;
        }
        let pod = &agent["spec"]["template"]["spec"];
        ensure!(
            folders(pod) == FOLDERS.into(),
            "{overlay}: {:?}",
            folders(pod)
        );
        ensure!(pod["tolerations"] == json!([{"operator": "Exists"}]));
        ensure!(pod["priorityClassName"] == "system-node-critical");
        ensure!(agent["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == "10%");
        let selinux = &pod["containers"][0]["securityContext"]["seLinuxOptions"];
        let openshift = ["hypershift", "openshift"].contains(&overlay);
        ensure!(
            *selinux
                == if openshift {
                    json!({"type": "spc_t"})
                } else {
                    Value::Null
                },
            "{overlay}: {selinux}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn who_changes_kubelet_sees_the_host_and_writes_two_of_its_folders() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let component = "kubelet-provider";
    let rendered = render_with(&[component]).await?;
    let objects = taken(cluster, component, &rendered).await?;
    let pod = &one(&objects, "DaemonSet")?["spec"]["template"]["spec"];
    confined(pod)?;
    let more: Vec<_> = folders(pod)
        .into_iter()
        .filter(|path| !FOLDERS.contains(path))
        .collect();
    ensure!(
        more == ["/", "/etc", "/opt/pullkeeper", "/run/dbus"],
        "{more:?}"
    );
    let mounts = pod["containers"][0]["volumeMounts"].as_array();
    let mounts = mounts.context("no mounts")?.iter();
    let host = mounts.filter(|mount| {
        mount["mountPath"]
            .as_str()
            .is_some_and(|path| path.starts_with("/host"))
    });
    let read_only: Vec<_> = host
        .map(|mount| (&mount["mountPath"], mount["readOnly"] == true))
        .collect();
    let expected = [
        ("/host", true),
        ("/host/etc", false),
        ("/host/opt/pullkeeper", false),
    ];
    ensure!(read_only.len() == expected.len(), "{read_only:?}");
    for (path, only) in expected {
        ensure!(
            read_only.contains(&(&json!(path), only)),
            "{path}: {read_only:?}"
        );
    }
    Ok(())
}

fn confined(pod: &Value) -> Result<()> {
    for shared in [
        "hostPID",
        "hostIPC",
        "hostNetwork",
        "hostUsers",
        "shareProcessNamespace",
    ] {
        ensure!(pod[shared].is_null(), "{shared}");
    }
    ensure!(pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault");
    let containers = pod["containers"].as_array().context("no containers")?;
    ensure!(containers.len() == 1 && pod["initContainers"].is_null());
    let container = &containers[0];
    let context = &container["securityContext"];
    ensure!(
        context["privileged"].is_null() && context["allowPrivilegeEscalation"] == false,
        "{context}"
    );
    ensure!(
        context["capabilities"] == json!({"drop": ["ALL"]}),
        "{context}"
    );
    ensure!(context["readOnlyRootFilesystem"] == true, "{context}");
    for probe in ["livenessProbe", "readinessProbe"] {
        ensure!(
            container[probe]["httpGet"]["port"] == "metrics",
            "{probe}: {}",
            container[probe]
        );
    }
    let resources = &container["resources"];
    for given in [
        &resources["requests"]["cpu"],
        &resources["requests"]["memory"],
        &resources["limits"]["memory"],
    ] {
        ensure!(given.is_string(), "{resources}");
    }
    Ok(())
}

fn folders(pod: &Value) -> BTreeSet<&str> {
    let volumes = pod["volumes"].as_array().into_iter().flatten();
    volumes
        .filter_map(|volume| volume["hostPath"]["path"].as_str())
        .collect()
}

#[tokio::test]
async fn the_pod_security_standards_object_to_folders_and_root_alone() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let admin = cluster.api(cluster.admin())?;
    let namespace = cluster.namespace("standards").await?;
    let warn = json!({"metadata": {"labels": {"pod-security.kubernetes.io/warn": "restricted"}}});
    admin
        .merge(&format!("/api/v1/namespaces/{namespace}"), &warn)
        .await?;
    let objects = stored(cluster, "kubernetes").await?;
    for (kind, resource, expected) in [
        ("DaemonSet", "daemonsets", vec![AGENT_IS]),
        ("Deployment", "deployments", vec![]),
    ] {
        let workload = one(&objects, kind)?;
        let workload = json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"name": "tried", "namespace": namespace}, "spec": workload["spec"],
        });
        let path = format!("/apis/apps/v1/namespaces/{namespace}/{resource}?dryRun=All");
        let answer = admin.request(Method::POST, &path, Some(&workload)).await?;
        ensure!(answer.status.is_success(), "{}", answer.text());
        let warnings: Vec<_> = answer.headers.get_all("warning").iter().collect();
        println!("{kind}: {warnings:?}");
        let said = warnings.iter().filter_map(|said| said.to_str().ok());
        let said: Vec<_> = said.map(|said| said.replace("\\\"", "\"")).collect();
        ensure!(
            said.len() == expected.len()
                && said
                    .iter()
                    .zip(&expected)
                    .all(|(said, expected)| said.contains(expected)),
            "{kind}: {said:?}"
        );
    }
    Ok(())
}
