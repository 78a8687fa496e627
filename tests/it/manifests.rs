//! What `kubectl apply -k` applies, as a real API server reads it.

mod pods;
mod rights;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use support::cluster::Cluster;
use support::deploy::{BETWEEN, install, kind, operator_definition, render};

const OVERLAYS: [&str; 4] = ["agent-only", "hypershift", "kubernetes", "openshift"];
/// OpenShift's alone: no API server here knows it.
const CONSTRAINTS: &str = "SecurityContextConstraints";

/// What the API server would store of an overlay.
async fn stored(cluster: &Cluster, overlay: &str) -> Result<Vec<Value>> {
    stored_from(cluster, &format!("overlays/{overlay}")).await
}

/// What it would store of a folder of `deploy/`.
async fn stored_from(cluster: &Cluster, folder: &str) -> Result<Vec<Value>> {
    taken(cluster, folder, &render(folder).await?).await
}

/// What it would store of these documents, which `folder` names in messages.
async fn taken(cluster: &Cluster, folder: &str, rendered: &str) -> Result<Vec<Value>> {
    install(cluster).await?;
    let known = rendered.split(BETWEEN);
    let known: Vec<_> = known.filter(|part| kind(part) != CONSTRAINTS).collect();
    let kubectl = cluster.kubectl()?;
    let mut apply =
        "apply --server-side --force-conflicts --dry-run=server --validate=strict -o json -f -"
            .split(' ')
            .collect::<Vec<_>>();
    apply.push("--field-manager=manifests");
    let list = kubectl
        .run_with_input(&apply, &known.join(BETWEEN))
        .await
        .with_context(|| format!("the API server does not take {folder}"))?;
    let mut objects = Vec::new();
    for object in serde_json::Deserializer::from_str(&list).into_iter::<Value>() {
        let object = object?;
        match object["items"].as_array() {
            Some(items) => objects.extend(items.iter().cloned()),
            None => objects.push(object),
        }
    }
    ensure!(
        objects.len() == known.len(),
        "{folder}: {} of {} were stored",
        objects.len(),
        known.len()
    );
    Ok(objects)
}

/// The one object of this kind.
fn one<'a>(objects: &'a [Value], kind: &str) -> Result<&'a Value> {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let one = found.next().with_context(|| format!("no {kind}"))?;
    ensure!(found.next().is_none(), "more than one {kind}");
    Ok(one)
}

#[tokio::test]
async fn every_overlay_is_taken_by_the_api_server() -> Result<()> {
    let cluster = Cluster::shared().await?;
    for overlay in OVERLAYS {
        let objects = stored(cluster, overlay).await?;
        let kinds: std::collections::BTreeSet<_> = objects
            .iter()
            .filter_map(|object| object["kind"].as_str())
            .collect();
        let coordinated = overlay != "agent-only";
        for kind in [
            "Deployment",
            "CustomResourceDefinition",
            "ValidatingAdmissionPolicy",
        ] {
            ensure!(kinds.contains(kind) == coordinated, "{overlay}: {kinds:?}");
        }
        println!(
            "{overlay}: {} objects, {}",
            objects.len(),
            kinds.into_iter().collect::<Vec<_>>().join(", ")
        );
    }
    Ok(())
}

#[tokio::test]
async fn constraints_of_openshift_allow_what_the_agents_pod_asks_for_and_no_more() -> Result<()> {
    for overlay in ["hypershift", "openshift"] {
        let rendered = render(&format!("overlays/{overlay}")).await?;
        let mut constraints = rendered
            .split(BETWEEN)
            .filter(|part| kind(part) == CONSTRAINTS);
        let constraints = constraints.next().context("no constraints")?;
        let said = |line: &str| constraints.lines().any(|other| other == line);
        for forbidden in [
            "HostIPC",
            "HostNetwork",
            "HostPID",
            "HostPorts",
            "PrivilegeEscalation",
            "PrivilegedContainer",
        ] {
            ensure!(
                said(&format!("allow{forbidden}: false")),
                "{forbidden}: {constraints}"
            );
        }
        for line in [
            "allowedCapabilities: []",
            "defaultAddCapabilities: []",
            "readOnlyRootFilesystem: true",
            "users: []",
            "groups: []",
        ] {
            ensure!(said(line), "{line}: {constraints}");
        }
        ensure!(
            constraints.contains("requiredDropCapabilities:\n- ALL\n"),
            "{constraints}"
        );
        ensure!(constraints.contains("    type: spc_t\n"), "{constraints}");
    }
    Ok(())
}

#[tokio::test]
async fn monitors_of_the_prometheus_operator_select_the_services() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let kubectl = cluster.kubectl()?;
    let definition = operator_definition("servicemonitors")?;
    let definition = definition.to_str().context("a path that is no text")?;
    // Too large for the annotation of another apply.
    kubectl
        .run(&["apply", "--server-side", "-f", definition])
        .await?;
    kubectl
        .run(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "-f",
            definition,
        ])
        .await?;
    let monitors = stored_from(cluster, "components/prometheus").await?;
    let objects = stored(cluster, "kubernetes").await?;
    let services = objects.iter().filter(|object| object["kind"] == "Service");
    let services: Vec<_> = services.collect();
    ensure!(monitors.len() == 2 && services.len() == 2);
    for (monitor, service) in monitors.iter().zip(services) {
        ensure!(monitor["metadata"]["name"] == service["metadata"]["name"]);
        ensure!(monitor["spec"]["selector"]["matchLabels"] == service["metadata"]["labels"]);
        ensure!(monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]);
    }
    Ok(())
}
