//! A pod on a real kubelet, through the credential provider: delegation and rotation.

use anyhow::{Result, ensure};
use support::agent::Site;
use support::cluster::Cluster;
use support::eventually;
use support::fixture::{Credential, config_json};
use support::keycloak::Keycloak;
use support::node::{Image, NodePlan, PodSpec};
use support::provider::KubeletProvider;
use support::registry::Registry;

use super::{APP, delegation, two_secrets};
use crate::helper_protocols::{docker, knows, site};
use crate::registry_harness::single_sign_on::guarded_by;

#[tokio::test]
async fn a_pod_pulls_with_the_two_secrets() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("two-secrets").await?;
    let keycloak = Keycloak::shared().await?;
    let realm = keycloak.realm("pod").await?;
    let (registry, user) = guarded_by(&realm).await?;
    let host = registry.host();
    registry
        .push(&user, APP, &Image::pause("two-secrets")?)
        .await?;
    let secrets = two_secrets(&registry, keycloak.url(), &user);
    let spec = |name: &str| PodSpec::new(&namespace, name, &registry.image(APP));

    let without = NodePlan::new("without")
        .auth_file(&secrets)
        .join(cluster)
        .await?;
    let pod = without.create(&spec("without")).await?;
    let failure = pod.pull_failure().await?;
    ensure!(failure.message.contains("401"), "{failure:?}");
    pod.delete().await?;
    without.leave().await?;

    let site = site("pod", &secrets, &delegation(&registry, keycloak.url()))?;
    let agent = site.start().await?;
    let provider = KubeletProvider::new(&[&host], &site.join("broker.sock"), None)?;
    let with = NodePlan::new("with")
        .credential_providers(provider.config(), provider.programs())
        .join(cluster)
        .await?;
    with.create(&spec("with")).await?.running().await?;
    agent.stop().await?;
    with.leave().await
}

/// A registry with a password, and a node with an agent that follows a file.
async fn rotation_scene(name: &str) -> Result<(Registry, Credential, Site, String)> {
    let old = Credential::new();
    let registry = Registry::with_passwords(&[&old]).await?;
    registry.push(&old, APP, &Image::pause(name)?).await?;
    let host = registry.host();
    let site = site(name, &config_json([(host.as_str(), &old)]), "")?;
    Ok((registry, old, site, host))
}

#[tokio::test]
async fn a_rotated_password_is_used_at_the_next_pull() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("rotation").await?;
    let (registry, old, site, host) = rotation_scene("rotation").await?;
    let agent = site.start().await?;
    knows(&site, &host, &old).await?;
    let provider = KubeletProvider::new(&[&host], &site.join("broker.sock"), None)?;
    let with_provider = NodePlan::new("provider")
        .credential_providers(provider.config(), provider.programs())
        .join(cluster)
        .await?;
    let file_only = NodePlan::new("file-only")
        .auth_file(&config_json([(host.as_str(), &old)]))
        .join(cluster)
        .await?;
    let spec = |name: &str| PodSpec::new(&namespace, name, &registry.image(APP));
    for (node, name) in [(&with_provider, "provider-0"), (&file_only, "file-0")] {
        node.create(&spec(name)).await?.running().await?;
    }

    for round in 1..=3 {
        let new = Credential::new();
        registry.set_users(&[&new]).await?;
        site.write("source.json", config_json([(host.as_str(), &new)]))?;
        file_only.write_auth_file(&config_json([(host.as_str(), &new)]))?;
        knows(&site, &host, &new).await?;
        let name = format!("provider-{round}");
        with_provider.create(&spec(&name)).await?.running().await?;
        let log = with_provider.kubelet_log()?;
        let failed = log
            .lines()
            .filter(|line| line.contains(&name) && line.contains("ErrImagePull"));
        assert_eq!(failed.count(), 0, "a pull of {name} failed");
        // kubelet goes on with what it read from the file before, for up to five minutes.
        let stale = file_only.create(&spec(&format!("file-{round}"))).await?;
        stale.pull_failure().await?;
        stale.delete().await?;
    }

    // An agent that does not answer is told in kubelet's log, and is no miss.
    agent.process().stop()?;
    let output = docker(&site, "get", host.as_str()).await?;
    ensure!(
        output.stdout.contains("did not answer in time"),
        "{}",
        output.stdout
    );
    let hung = with_provider.create(&spec("hung")).await?;
    eventually("kubelet tells why", async || {
        let log = with_provider.kubelet_log()?;
        ensure!(
            log.contains("pullkeeper: cannot ask the agent"),
            "not in the log"
        );
        Ok(())
    })
    .await?;
    agent.process().cont()?;
    hung.running().await?;
    agent.stop().await?;
    with_provider.leave().await?;
    file_only.leave().await
}

#[tokio::test]
async fn what_is_not_ours_is_pulled_without_a_credential() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("not-ours").await?;
    let (registry, old, site, host) = rotation_scene("not-ours").await?;
    let agent = site.start().await?;
    knows(&site, &host, &old).await?;
    let other = Registry::with_passwords(&[&old]).await?;
    let provider = KubeletProvider::new(&[&host, &other.host()], &site.join("broker.sock"), None)?;
    let node = NodePlan::new("not-ours")
        .credential_providers(provider.config(), provider.programs())
        .join(cluster)
        .await?;
    let pod = PodSpec::new(&namespace, "other", &other.image(APP));
    let failure = node.create(&pod).await?.pull_failure().await?;
    ensure!(failure.message.contains("401"), "{failure:?}");
    ensure!(
        !node.kubelet_log()?.contains("pullkeeper: "),
        "a miss told as a failure"
    );
    let pod = PodSpec::new(&namespace, "ours", &registry.image(APP));
    node.create(&pod).await?.running().await?;
    agent.stop().await?;
    node.leave().await
}
