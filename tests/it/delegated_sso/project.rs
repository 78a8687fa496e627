//! The pair of Secrets in one project: its pods pull with them, and nobody else does.

use anyhow::{Result, ensure};
use serde_json::json;
use support::cluster::Cluster;
use support::eventually;
use support::fixture::{Credential, config_json};
use support::keycloak::Keycloak;
use support::node::{Image, Node, PodSpec};
use support::provider::KubeletProvider;
use support::registry::Registry;

use super::{APP, provider_node};
use crate::agent_cluster::Scene;
use crate::helper_protocols::docker;
use crate::registry_harness::single_sign_on::guarded_by;

/// A registry that trusts Keycloak, a project with the two Secrets of the documentation's procedure, and another one.
struct Projects {
    scene: Scene<'static>,
    other: String,
    keycloak: &'static Keycloak,
    registry: Registry,
}

impl Projects {
    async fn new(name: &str) -> Result<Self> {
        let cluster = Cluster::shared().await?;
        let scene = Scene::new(cluster, name).await?;
        let other = cluster.namespace("other").await?;
        for namespace in [scene.namespace.as_str(), other.as_str()] {
            cluster.service_account(namespace, "app").await?;
        }
        let keycloak = Keycloak::shared().await?;
        let realm = keycloak.realm(name).await?;
        let (registry, user) = guarded_by(&realm).await?;
        registry.push(&user, APP, &Image::pause(name)?).await?;
        let host = registry.host();
        let sso = keycloak.url().trim_start_matches("http://");
        let labels = json!({ "pullkeeper": "true" });
        for (name, place, credential) in [
            ("registry", host.as_str(), &Credential::new()),
            ("sso", sso, &user),
        ] {
            let body = config_json([(place, credential)]);
            let (kind, key) = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson");
            scene
                .apply_labelled(name, kind, key, &body, &labels)
                .await?;
        }
        Ok(Self {
            scene,
            other,
            keycloak,
            registry,
        })
    }

    async fn node(&self, name: &str, audience: &str) -> Result<(KubeletProvider, Node)> {
        let scene = &self.scene;
        provider_node(scene.cluster, name, &scene.site, &self.registry, audience).await
    }

    fn pod(&self, namespace: &str, name: &str, account: &str) -> PodSpec {
        PodSpec::new(namespace, name, &self.registry.image(APP)).service_account(account)
    }

    /// Neither the helper's clients nor a file get anything.
    async fn stays_in_the_project(&self) -> Result<()> {
        let site = &self.scene.site;
        let output = docker(site, "get", self.registry.host()).await?;
        ensure!(!output.status.success(), "the helper handed it out");
        ensure!(!site.join("auth.json").exists(), "a file was written");
        Ok(())
    }
}

#[tokio::test]
async fn the_pair_of_secrets_serves_the_pods_of_its_project_alone() -> Result<()> {
    let projects = Projects::new("project").await?;
    let scene = &projects.scene;
    let project = scene.namespace.as_str();
    let socket = scene.site.join("broker.sock");
    let agent = scene
        .start(Some(&format!(
            "[[source]]\nname = \"project\"\nnamespace = \"{project}\"\nlabel_selector = \"pullkeeper=true\"\n\
             scope = \"namespace\"\n\
             [[delegation]]\nname = \"sso\"\nregistries = [\"{}\"]\nrealms = [\"{}\"]\n\
             registry_scheme = \"http\"\n\
             [broker]\nlisten = \"unix:{}\"\n",
            projects.registry.host(),
            projects.keycloak.url(),
            socket.display()
        )))
        .await?;
    eventually("the Secrets are read", async || {
        let status = agent.status().await?;
        let sources = status["sources"].as_array().map_or(0, Vec::len);
        ensure!(sources == 2, "{status}");
        Ok(())
    })
    .await?;

    let (_provider, node) = projects.node("project", "pullkeeper-project").await?;
    // First, while the image is not on the node.
    let stranger = projects.pod(&projects.other, "stranger", "app");
    let stranger = node.create(&stranger).await?;
    stranger.pull_failure().await?;
    stranger.delete().await?;
    let log = node.kubelet_log()?;
    ensure!(
        log.contains("there is no entry with user name and password for the token service"),
        "no reason in kubelet's log"
    );
    let own = node.create(&projects.pod(project, "own", "app")).await?;
    own.running().await?;
    own.delete().await?;
    projects.stays_in_the_project().await?;
    agent.stop().await?;
    node.leave().await
}

/// As CRI-O's provider does it: the agent may read nothing there, the pod's account may.
#[tokio::test]
async fn the_pair_of_secrets_is_read_with_the_pods_own_account() -> Result<()> {
    let projects = Projects::new("own-account").await?;
    let (scene, other) = (&projects.scene, projects.other.as_str());
    let (cluster, project) = (scene.cluster, scene.namespace.as_str());
    cluster.service_account(project, "without-rights").await?;
    for namespace in [project, other] {
        let name = json!({ "name": "pull", "namespace": namespace });
        let rules = json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["list"] }]);
        let account = json!({ "kind": "ServiceAccount", "name": "app", "namespace": namespace });
        let role =
            json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pull" });
        let version = "rbac.authorization.k8s.io/v1";
        let rights = json!({ "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": version, "kind": "Role", "metadata": name, "rules": rules },
            { "apiVersion": version, "kind": "RoleBinding", "metadata": name, "roleRef": role, "subjects": [account] },
        ]});
        cluster.kubectl()?.apply(&rights.to_string()).await?;
    }
    let audience = cluster.issuer();
    let agent = scene
        .start(Some(&format!(
            "[[delegation]]\nname = \"sso\"\nregistries = [\"{}\"]\npreset = \"namespace-secrets\"\n\
             audience = \"{audience}\"\nrealms = [\"{}\"]\nregistry_scheme = \"http\"\n\
             [broker]\nlisten = \"unix:{}\"\n\
             [[source]]\nname = \"global\"\nsecret = \"{project}/absent\"\n",
            projects.registry.host(),
            projects.keycloak.url(),
            scene.site.join("broker.sock").display(),
        )))
        .await?;

    let (_provider, node) = projects.node("own-account", &audience).await?;
    let refused = async |pod: PodSpec, words: &str| -> Result<()> {
        let pod = node.create(&pod).await?;
        pod.pull_failure().await?;
        pod.delete().await?;
        ensure!(
            node.kubelet_log()?.contains(words),
            "kubelet's log has not: {words}"
        );
        Ok(())
    };
    let words = format!("in the pull Secrets of namespace {other}; add one");
    refused(projects.pod(other, "stranger", "app"), &words).await?;
    // The agent could read them, by rights of its own. It does not.
    let words = format!("to list the Secrets of namespace {project} (status 403)");
    refused(
        projects.pod(project, "without-rights", "without-rights"),
        &words,
    )
    .await?;
    let own = node.create(&projects.pod(project, "own", "app")).await?;
    own.running().await?;
    own.delete().await?;
    projects.stays_in_the_project().await?;
    let labels = ["outcome=\"obtained\""];
    assert_eq!(
        agent.metric("pullkeeper_exchanges_total", &labels).await?,
        1.0
    );
    agent.stop().await?;
    node.leave().await
}
