//! The pair of Secrets in one project: its pods pull with them, and nobody else does.

use anyhow::{Result, ensure};
use serde_json::json;
use support::clients::Clients;
use support::cluster::Cluster;
use support::eventually;
use support::fixture::{Credential, config_json};
use support::keycloak::Keycloak;
use support::node::{Image, NodePlan, PodSpec};
use support::provider::KubeletProvider;

use super::APP;
use crate::agent_cluster::Scene;
use crate::helper_protocols::docker;
use crate::node_harness::allow_audience;
use crate::registry_harness::single_sign_on::guarded_by;

#[tokio::test]
async fn the_pair_of_secrets_serves_the_pods_of_its_project_alone() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let scene = Scene::new(cluster, "project").await?;
    let (project, other) = (scene.namespace.as_str(), cluster.namespace("other").await?);
    for namespace in [project, other.as_str()] {
        cluster.service_account(namespace, "app").await?;
    }
    let keycloak = Keycloak::shared().await?;
    let realm = keycloak.realm("project").await?;
    let (registry, user) = guarded_by(&realm).await?;
    let (host, image) = (registry.host(), registry.image(APP));
    let clients = Clients::new(&config_json([(host.as_str(), &user)]))?;
    clients
        .push_image(&image, &Image::pause("project")?)
        .await?;

    // Two Secrets, as the documentation's procedure has them in one project.
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
    let socket = scene.site.join("broker.sock");
    let agent = scene
        .start(Some(&format!(
            "[[source]]\nname = \"project\"\nnamespace = \"{project}\"\nlabel_selector = \"pullkeeper=true\"\n\
             scope = \"namespace\"\n\
             [[delegation]]\nname = \"sso\"\nregistries = [\"{host}\"]\nrealms = [\"{}\"]\n\
             registry_scheme = \"http\"\n\
             [broker]\nlisten = \"unix:{}\"\n",
            keycloak.url(),
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

    let audience = "pullkeeper-project";
    allow_audience(cluster, audience, audience).await?;
    let provider = KubeletProvider::new(&[&host], &socket, Some(audience))?;
    let node = NodePlan::new("project")
        .credential_providers(provider.config(), provider.programs())
        .join(cluster)
        .await?;
    let pod =
        |namespace: &str, name: &str| PodSpec::new(namespace, name, &image).service_account("app");
    // First, while the image is not on the node.
    let stranger = node.create(&pod(&other, "stranger")).await?;
    stranger.pull_failure().await?;
    stranger.delete().await?;
    let log = node.kubelet_log()?;
    ensure!(
        log.contains("there is no entry with user name and password for the token service"),
        "no reason in kubelet's log"
    );
    let own = node.create(&pod(project, "own")).await?;
    own.running().await?;
    own.delete().await?;

    // Nor does anything on the node itself get it, through the helper or from a file.
    let output = docker(&scene.site, "get", host.as_str()).await?;
    ensure!(!output.status.success(), "the helper handed it out");
    ensure!(!scene.site.join("auth.json").exists(), "a file was written");
    agent.stop().await?;
    node.leave().await
}
