//! podman, skopeo, buildah, crane, oras and docker, through the helper.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use support::clients::{Client, Clients};
use support::fixture::Credential;
use support::keycloak::Keycloak;
use support::{eventually, patience};

use super::{APP, delegation, helper_folder, pull, two_secrets};
use crate::helper_protocols::site;
use crate::registry_harness::single_sign_on::guarded_by;

#[tokio::test]
async fn every_client_pulls_with_the_two_secrets_and_none_without_pullkeeper() -> Result<()> {
    let keycloak = Keycloak::shared().await?;
    let realm = keycloak.realm("two-secrets").await?;
    let (registry, user) = guarded_by(&realm).await?;
    let image = registry.image(APP);
    let host = registry.host();
    Clients::new(&support::fixture::config_json([(host.as_str(), &user)]))?
        .push(&image, "one")
        .await?;
    let secrets = two_secrets(&registry, keycloak.url(), &user);

    // With the same two entries in its own file no client looks the second one up.
    let plain = Clients::new(&secrets)?;
    for client in Client::ALL {
        let output = plain.pull(client, &image).await?;
        ensure!(
            !output.status.success(),
            "{client:?} pulled without Pullkeeper"
        );
    }

    let site = site(
        "two-secrets",
        &secrets,
        &delegation(&registry, keycloak.url()),
    )?;
    let agent = site.start().await?;
    let helped = Clients::new(&json!({"credHelpers": {(host): "pullkeeper"}}).to_string())?;
    for client in Client::ALL {
        pull(&site, &helped, client, &image).await?.success()?;
    }
    // One for all of them, and one for oras, which calls the registry by its other name.
    let labels = ["outcome=\"obtained\""];
    assert_eq!(
        agent.metric("pullkeeper_exchanges_total", &labels).await?,
        2.0
    );

    // The password changes at the single sign-on, and then in the secret: the next pull has it.
    let changed = Credential::new();
    realm.set_password(&changed).await?;
    site.write(
        "source.json",
        two_secrets(&registry, keycloak.url(), &changed),
    )?;
    eventually("the new password", async || {
        pull(&site, &helped, Client::Skopeo, &image)
            .await?
            .success()
    })
    .await?;
    for client in Client::ALL {
        pull(&site, &helped, client, &image).await?.success()?;
    }

    // A wrong one is told as what it is.
    site.write(
        "source.json",
        two_secrets(&registry, keycloak.url(), &Credential::new()),
    )?;
    let words = format!("{} refuses the credential with status 401", keycloak.url());
    eventually("the refusal", async || {
        let output = pull(&site, &helped, Client::Skopeo, &image).await?;
        ensure!(output.stderr.contains(&words), "{}", output.stderr);
        Ok(())
    })
    .await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn containers_tools_find_the_helper_through_registries_conf() -> Result<()> {
    let keycloak = Keycloak::shared().await?;
    let realm = keycloak.realm("registries-conf").await?;
    let (registry, user) = guarded_by(&realm).await?;
    let image = registry.image(APP);
    let host = registry.host();
    Clients::new(&support::fixture::config_json([(host.as_str(), &user)]))?
        .push(&image, "one")
        .await?;
    let secrets = two_secrets(&registry, keycloak.url(), &user);
    let site = site(
        "registries-conf",
        &secrets,
        &delegation(&registry, keycloak.url()),
    )?;
    let agent = site.start().await?;
    let settings = "credential-helpers = [\"pullkeeper\", \"containers-auth.json\"]\n";
    let settings = site.write("registries.conf", settings)?;
    let clients = Clients::new("{}")?;
    let path = std::env::var("PATH").context("no PATH")?;
    let path = format!("{}:{path}", helper_folder(&site)?.display());
    for client in [Client::Skopeo, Client::Podman, Client::Buildah] {
        let output = clients
            .pull_with(client, &image, |program| {
                let program = program
                    .env("PATH", path.as_str())
                    .env("CONTAINERS_REGISTRIES_CONF", &settings)
                    .env("PULLKEEPER_BROKER_SOCKET", site.join("broker.sock"));
                // Of the three it alone does not know the variable.
                match client {
                    Client::Skopeo => program.arg("--registries-conf").arg(&settings),
                    _ => program,
                }
            })
            .await?;
        output.success()?;
    }
    // `login` and `logout` store and erase in every helper; tooling that calls them goes on.
    for words in [
        &[
            "login",
            "--tls-verify=false",
            "--username",
            "puller",
            "--password-stdin",
        ][..],
        &["logout"],
    ] {
        let program = clients.program(Client::Podman)?.args(words).arg(&host);
        let output = program
            .env("PATH", path.as_str())
            .env("CONTAINERS_REGISTRIES_CONF", &settings)
            .env("PULLKEEPER_BROKER_SOCKET", site.join("broker.sock"))
            .input(user.password.as_str())
            .run(patience())
            .await?;
        output.success()?;
    }
    agent.stop().await?;
    Ok(())
}
