//! What agents and coordinators may ask the API server for: asked of it verb by verb.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use support::cluster::{Api, Cluster};
use support::deploy::{AGENT, COORDINATOR, NAMESPACE, SECRET_NAMESPACE, install};
use support::eventually;

const VERBS: [&str; 8] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];
/// All of them, and each for which there is a right.
const NAMES: [&str; 3] = ["", "pull-secret", COORDINATOR];

/// Whatever could matter: group, resource, subresource.
const RESOURCES: [(&str, &str, &str); 29] = [
    ("", "configmaps", ""),
    ("", "events", ""),
    ("", "namespaces", ""),
    ("", "nodes", ""),
    ("", "nodes", "proxy"),
    ("", "nodes", "status"),
    ("", "persistentvolumes", ""),
    ("", "pods", ""),
    ("", "pods", "eviction"),
    ("", "pods", "exec"),
    ("", "pods", "status"),
    ("", "secrets", ""),
    ("", "serviceaccounts", ""),
    ("", "serviceaccounts", "token"),
    ("", "services", ""),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        "",
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions", ""),
    ("apps", "daemonsets", ""),
    ("apps", "deployments", ""),
    ("certificates.k8s.io", "certificatesigningrequests", ""),
    ("coordination.k8s.io", "leases", ""),
    ("events.k8s.io", "events", ""),
    (
        "machineconfiguration.openshift.io",
        "machineconfigpools",
        "",
    ),
    ("policy", "poddisruptionbudgets", ""),
    ("pullkeeper.io", "nodepullsecrets", ""),
    ("pullkeeper.io", "nodepullsecrets", "status"),
    ("pullkeeper.io", "pullsecretrollouts", ""),
    ("pullkeeper.io", "pullsecretrollouts", "status"),
    ("rbac.authorization.k8s.io", "clusterroles", ""),
];

/// A namespace that is nobody's of ours.
const ELSEWHERE: &str = "kube-system";
const EVENTS: &str = "default";

/// Account, namespace ("*": everywhere), what, name ("": any), verbs.
type Right = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const RIGHTS: [Right; 12] = [
    (AGENT, "*", "nodes", "", "get"),
    (
        AGENT,
        "*",
        "nodepullsecrets.pullkeeper.io",
        "",
        "get list watch",
    ),
    (
        AGENT,
        "*",
        "nodepullsecrets.pullkeeper.io/status",
        "",
        "patch update",
    ),
    (AGENT, EVENTS, "events.events.k8s.io", "", "create patch"),
    (
        AGENT,
        SECRET_NAMESPACE,
        "secrets",
        "pull-secret",
        "get list watch",
    ),
    (
        COORDINATOR,
        "*",
        "nodepullsecrets.pullkeeper.io",
        "",
        "create get list patch watch",
    ),
    (COORDINATOR, "*", "nodes", "", "get list watch"),
    (
        COORDINATOR,
        "*",
        "machineconfigpools.machineconfiguration.openshift.io",
        "",
        "list watch",
    ),
    (
        COORDINATOR,
        "*",
        "pullsecretrollouts.pullkeeper.io",
        "",
        "get list watch",
    ),
    (
        COORDINATOR,
        "*",
        "pullsecretrollouts.pullkeeper.io/status",
        "",
        "patch update",
    ),
    (
        COORDINATOR,
        EVENTS,
        "events.events.k8s.io",
        "",
        "create patch",
    ),
    (
        COORDINATOR,
        NAMESPACE,
        "leases.coordination.k8s.io",
        "",
        "create",
    ),
];

/// Of this name alone.
const LEASE: Right = (
    COORDINATOR,
    NAMESPACE,
    "leases.coordination.k8s.io",
    COORDINATOR,
    "get patch update",
);

/// What the component adds.
const DRAIN: [Right; 5] = [
    (COORDINATOR, "*", "nodes", "", "patch"),
    (COORDINATOR, "*", "nodes/status", "", "patch"),
    (COORDINATOR, "*", "pods", "", "get list watch"),
    (COORDINATOR, "*", "pods/eviction", "", "create"),
    (
        COORDINATOR,
        "*",
        "poddisruptionbudgets.policy",
        "",
        "list watch",
    ),
];

#[tokio::test]
async fn the_accounts_may_do_what_they_need_and_nothing_else() -> Result<()> {
    let cluster = Cluster::start().await?;
    install(&cluster).await?;
    let admin = cluster.api(cluster.admin())?;
    let all: Vec<_> = RIGHTS
        .iter()
        .chain([&LEASE])
        .chain(&DRAIN)
        .copied()
        .collect();
    compare(&admin, &all).await?;

    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    admin
        .delete(&format!("{bindings}/pullkeeper-coordinator-drain"))
        .await?;
    let without: Vec<_> = RIGHTS.iter().chain([&LEASE]).copied().collect();
    // The authorizer takes its time to see it.
    eventually("nothing is left of the component", async || {
        ensure!(
            !may(
                &admin,
                COORDINATOR,
                ELSEWHERE,
                ("", "pods", "eviction"),
                "",
                "create"
            )
            .await?
        );
        Ok(())
    })
    .await?;
    compare(&admin, &without).await
}

/// Asks for everything, and compares.
async fn compare(admin: &Api, rights: &[Right]) -> Result<()> {
    let expected: BTreeSet<_> = rights.iter().flat_map(written_out).collect();
    let mut found = BTreeSet::new();
    let mut asked = 0;
    for account in [AGENT, COORDINATOR] {
        for namespace in [NAMESPACE, SECRET_NAMESPACE, EVENTS, ELSEWHERE] {
            for resource in RESOURCES {
                for name in NAMES {
                    for verb in VERBS {
                        asked += 1;
                        if may(admin, account, namespace, resource, name, verb).await? {
                            found.insert((account, namespace, title(resource), name, verb));
                        }
                    }
                }
            }
        }
    }
    let missing: Vec<_> = expected
        .iter()
        .filter(|one| !found.contains(*one))
        .collect();
    let extra: Vec<_> = found
        .iter()
        .filter(|one| !expected.contains(*one))
        .collect();
    println!("{asked} questions, {} were answered with yes", found.len());
    ensure!(
        missing.is_empty() && extra.is_empty(),
        "missing: {missing:#?}\nextra: {extra:#?}"
    );
    Ok(())
}

type Allowed = (
    &'static str,
    &'static str,
    String,
    &'static str,
    &'static str,
);

/// Each question that a right answers with yes.
fn written_out(right: &Right) -> Vec<Allowed> {
    let &(account, namespace, what, name, verbs) = right;
    let namespaces: &[&str] = match namespace {
        "*" => &[NAMESPACE, SECRET_NAMESPACE, EVENTS, ELSEWHERE],
        one => &[one],
    };
    let names: &[&str] = match name {
        "" => &NAMES,
        one => &[one],
    };
    let mut all = Vec::new();
    for namespace in namespaces {
        for name in names {
            for verb in verbs.split(' ') {
                all.push((account, *namespace, what.to_owned(), *name, verb));
            }
        }
    }
    all
}

/// `RESOURCE.GROUP/SUBRESOURCE`, as kubectl writes it.
fn title((group, resource, subresource): (&str, &str, &str)) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    let slash = if subresource.is_empty() { "" } else { "/" };
    format!("{resource}{dot}{group}{slash}{subresource}")
}

async fn may(
    admin: &Api,
    account: &str,
    namespace: &str,
    (group, resource, subresource): (&str, &str, &str),
    name: &str,
    verb: &str,
) -> Result<bool> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": format!("system:serviceaccount:{NAMESPACE}:{account}"),
            "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{NAMESPACE}"), "system:authenticated"],
            "resourceAttributes": {
                "namespace": namespace, "group": group, "resource": resource, "subresource": subresource, "name": name, "verb": verb,
            },
        },
    });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer = admin.create(path, &review).await?;
    answer["status"]["allowed"].as_bool().context("no answer")
}
