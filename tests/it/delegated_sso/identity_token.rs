//! Clients get an identity token in place of the password, where the token service takes POST.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::clients::{Client, Clients, by_name};
use support::fixture::{Credential, config_json};
use support::http::Method;
use support::keycloak::Keycloak;
use support::registry::Registry;
use support::token_service::{Mode, TokenService};

use super::workloads::{client, publish};
use super::{APP, pull};
use crate::helper_protocols::{docker, site};

#[tokio::test]
async fn every_client_pulls_without_the_password() -> Result<()> {
    let realm = Keycloak::shared().await?.realm("identity").await?;
    let service = TokenService::start()?;
    let registry = Registry::trusting(&realm, &service).await?;
    publish(&realm, &registry, "team/app").await?;
    let puller = client(&realm, "puller", "team/app", &["pull"]).await?;
    // What the service gives back is what the registry takes.
    let account = Credential {
        username: "account".to_owned(),
        password: realm.token(&puller).await?,
    };
    let origin = service.realm().trim_end_matches("/token").to_owned();
    let (host, name) = (registry.host(), by_name(&registry.host()));
    let site = site(
        "identity",
        &config_json([(origin.trim_start_matches("http://"), &account)]),
        &format!(
            "[[delegation]]\nname = \"sso\"\nregistries = [\"{host}\", \"{name}\"]\nrealms = [\"{origin}\"]\n\
             registry_scheme = \"http\"\nhand_out = \"identity-token\"\n"
        ),
    )?;
    let agent = site.start().await?;
    let found: Value = serde_json::from_str(&docker(&site, "get", host.as_str()).await?.stdout)?;
    ensure!(found["Username"] == "<token>", "user {}", found["Username"]);
    ensure!(found["Secret"] == account.password, "another secret");

    let helpers =
        json!({ "credHelpers": { (host.as_str()): "pullkeeper", (name.as_str()): "pullkeeper" } });
    let clients = Clients::new(&helpers.to_string())?;
    let image = registry.image(APP);
    for client in Client::ALL {
        let before = service.seen().len();
        pull(&site, &clients, client, &image).await?.success()?;
        let seen = service.seen();
        ensure!(
            seen[before..]
                .iter()
                .any(|seen| seen.method == Method::POST),
            "{client:?} did not use it"
        );
    }

    // Where POST is refused clients could do nothing with such a token, so none is handed out.
    agent.stop().await?;
    let agent = site.start().await?;
    service.set(Mode::GetOnly);
    let output = support::eventually("the refusal", async || {
        let output = docker(&site, "get", host.as_str()).await?;
        ensure!(
            output.stdout.contains("gives no identity token"),
            "{}",
            output.stdout
        );
        Ok(output)
    })
    .await?;
    ensure!(
        output.stdout.contains("remove `hand_out`"),
        "{}",
        output.stdout
    );
    ensure!(!output.status.success(), "something was handed out");
    agent.stop().await?;
    Ok(())
}
