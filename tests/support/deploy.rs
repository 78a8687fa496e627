//! What `deploy/` has, on a control plane: definitions, rights and policies as an administrator installs them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::built;
use crate::cluster::{Api, Cluster};
use crate::eventually;
use crate::http::{Answer, Method, StatusCode};
use crate::patience;
use crate::process::Program;
use crate::scratch::Scratch;

/// The namespace of what Pullkeeper runs in the cluster.
pub const NAMESPACE: &str = "pullkeeper";
/// The service account of the agents.
pub const AGENT: &str = "pullkeeper-agent";
/// The service account of the coordinator.
pub const COORDINATOR: &str = "pullkeeper-coordinator";
/// The namespace of the pull secret that the agents may read: the one named `pull-secret`.
pub const SECRET_NAMESPACE: &str = "openshift-config";

/// The path of the rollouts.
pub const ROLLOUTS: &str = "/apis/pullkeeper.io/v1alpha1/pullsecretrollouts";
/// The path of the records of nodes.
pub const RECORDS: &str = "/apis/pullkeeper.io/v1alpha1/nodepullsecrets";

/// Applies the definitions, policies and rights of `deploy/overlays/openshift` and of `deploy/components/drain`, and [`SECRET_NAMESPACE`] before them; no workload. On return
/// the definitions are served, the rights hold and the policies are enforced. Only the first call for a cluster does anything.
///
/// # Errors
/// When something is refused, or not in force in time.
pub async fn install(cluster: &Cluster) -> Result<()> {
    let install = async || {
        let admin = cluster.api(cluster.admin())?;
        let kubectl = cluster.kubectl()?;
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": SECRET_NAMESPACE },
        });
        kubectl.apply(&namespace.to_string()).await?;
        let overlay = render("overlays/openshift").await?;
        let drain = render("components/drain").await?;
        let mut parts: Vec<_> = overlay.split(BETWEEN).chain(drain.split(BETWEEN)).collect();
        parts.retain(|part| !LEFT_OUT.contains(&kind(part)));
        let parts = parts.join(BETWEEN);
        let apply = ["apply", "--server-side", "-f", "-"];
        kubectl.run_with_input(&apply, &parts).await?;
        established(&admin).await?;
        enforced(cluster, &admin).await
    };
    cluster.installed.get_or_try_init(install).await?;
    Ok(())
}

/// What is between the documents that [`render`] returns.
pub const BETWEEN: &str = "\n---\n";
/// The kinds of what runs, and of what depends on it or on OpenShift.
const LEFT_OUT: [&str; 6] = [
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "PodDisruptionBudget",
    "SecurityContextConstraints",
    "Service",
];

/// `kubectl kustomize` of a folder of `deploy/`: YAML documents.
///
/// # Errors
/// When it cannot be put together.
pub async fn render(folder: &str) -> Result<String> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let kubectl = Program::new("kubectl", Cluster::bin("kubectl")?);
    let kustomize = kubectl.arg("kustomize").arg(deploy.join(folder));
    Ok(kustomize.run(patience()).await?.success()?.stdout)
}

/// [`render`] of a site's own overlay: that of any Kubernetes with these components.
///
/// # Errors
/// When it cannot be put together.
pub async fn render_with(components: &[&str]) -> Result<String> {
    let site = Scratch::new("site")?;
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let copy = Program::installed("cp")?
        .arg("-r")
        .args([deploy, site.join("deploy")]);
    copy.run(patience()).await?.success()?;
    let components = components
        .iter()
        .map(|name| format!("../../components/{name}"));
    let overlay = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": ["../kubernetes"], "components": components.collect::<Vec<_>>(),
    });
    let folder = "deploy/overlays/site";
    site.write(format!("{folder}/kustomization.yaml"), overlay.to_string())?;
    render(&site.join(folder).display().to_string()).await
}

/// The file with the Prometheus operator's definition of these objects, such as `servicemonitors`.
///
/// # Errors
/// When it is not there; the message says what gets it.
pub fn operator_definition(objects: &str) -> Result<PathBuf> {
    let file = format!("definitions/monitoring.coreos.com_{objects}.yaml");
    let path = built::folder("monitoring", "go.sum")?.join(file);
    let there = path.is_file();
    ensure!(
        there,
        "{} does not exist; run `tests/monitoring/build`",
        path.display()
    );
    Ok(path)
}

/// The kind of a document.
pub fn kind(document: &str) -> &str {
    let mut lines = document.lines();
    let kind = lines.find_map(|line| line.strip_prefix("kind: "));
    kind.unwrap_or_default()
}

/// Whether an answer is a policy's refusal.
///
/// # Errors
/// When it is anything else.
pub fn refused_by(policy: &str, answer: &Answer) -> Result<()> {
    let text = answer.text();
    ensure!(
        answer.status == StatusCode::UNPROCESSABLE_ENTITY
            && text.contains(&format!("ValidatingAdmissionPolicy '{policy}'")),
        "not refused by {policy}: {} {text}",
        answer.status
    );
    Ok(())
}

async fn established(admin: &Api) -> Result<()> {
    for path in [ROLLOUTS, RECORDS] {
        let served = async || admin.get(path).await;
        eventually("a definition is established", served).await?;
    }
    Ok(())
}

/// Policies come into force some time after they are stored, so each is asked something that it must refuse. Nothing but
/// a node and its record, which are removed at the end, is written for that.
async fn enforced(cluster: &Cluster, admin: &Api) -> Result<()> {
    let node = cluster.node_object("policy-probe").await?;
    let name = node["metadata"]["name"].as_str().context("no name")?;
    let (record, node) = (format!("{RECORDS}/{name}"), format!("/api/v1/nodes/{name}"));
    admin.create(RECORDS, &ownerless(name)).await?;

    // Tokens that are bound to nothing. The rights arrive on their own time too, and until then RBAC refuses.
    let agent = cluster.api(&cluster.service_account(NAMESPACE, AGENT).await?)?;
    let coordinator = cluster.service_account(NAMESPACE, COORDINATOR).await?;
    let coordinator = cluster.api(&coordinator)?;
    let status = json!({ "status": { "reason": "Probe" } });
    let label = json!({ "metadata": { "labels": { "probe": "yes" } } });
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": "policy-probe", "namespace": NAMESPACE },
    });
    let evictions = format!("/api/v1/namespaces/{NAMESPACE}/pods/policy-probe/eviction");
    for (policy, api, method, path, body) in [
        (
            "pullkeeper-agent",
            &agent,
            Method::PATCH,
            &format!("{record}/status"),
            &status,
        ),
        (
            "pullkeeper-coordinator-records",
            &coordinator,
            Method::PATCH,
            &record,
            &label,
        ),
        (
            "pullkeeper-coordinator-nodes",
            &coordinator,
            Method::PATCH,
            &node,
            &label,
        ),
        (
            "pullkeeper-coordinator-evictions",
            &coordinator,
            Method::POST,
            &evictions,
            &eviction,
        ),
    ] {
        let path = format!("{path}?dryRun=All");
        eventually("a policy is enforced", async || {
            refused_by(
                policy,
                &api.request(method.clone(), &path, Some(body)).await?,
            )
        })
        .await?;
    }
    for (api, path) in [
        (
            &agent,
            format!("/api/v1/namespaces/{SECRET_NAMESPACE}/secrets/pull-secret"),
        ),
        (
            &coordinator,
            format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{COORDINATOR}"),
        ),
    ] {
        eventually("the rights in a namespace hold", async || {
            let answer = api.request(Method::GET, &path, None).await?;
            ensure!(answer.status != StatusCode::FORBIDDEN, "{}", answer.text());
            Ok(())
        })
        .await?;
    }
    admin.delete(&record).await?;
    admin.delete(&node).await?;
    Ok(())
}

fn ownerless(name: &str) -> Value {
    json!({
        "apiVersion": "pullkeeper.io/v1alpha1", "kind": "NodePullSecret",
        "metadata": { "name": name },
        "spec": { "nodeUID": "none", "sources": [{ "namespace": SECRET_NAMESPACE }] },
    })
}
