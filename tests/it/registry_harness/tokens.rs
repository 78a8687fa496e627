//! Access tokens of a realm as passwords: Keycloak signs, the token service hands back, and
//! distribution checks.

use std::time::Duration;

use anyhow::Result;
use support::clients::{Client, Clients};
use support::fixture::Credential;
use support::http::{Method, StatusCode};
use support::keycloak::{Keycloak, Login, Mapper, Realm};
use support::registry::Registry;
use support::token_service::{Mode, TokenService};

use super::{APP, clients, named, refused};

#[tokio::test]
async fn an_access_token_opens_what_it_names_and_nothing_else() -> Result<()> {
    let realm = Keycloak::shared().await?.realm("tokens").await?;
    let service = TokenService::start()?;
    let registry = Registry::trusting(&realm, &service).await?;
    let image = registry.image(APP);
    let publisher = workload(&realm, "publisher", &registry, &["pull", "push"]).await?;
    publisher.push(&image, "one").await?;

    let puller = workload(&realm, "puller", &registry, &["pull"]).await?;
    for client in Client::ALL {
        puller.pull(client, &image).await?.success()?;
    }
    let error = puller.push(&image, "two").await.unwrap_err().to_string();
    assert!(error.contains("UNAUTHORIZED"), "{error}");
    let elsewhere = registry.image("team/other:1");
    refused(&puller, Client::Skopeo, &elsewhere).await?;

    let forged = clients(&registry.host(), &Credential::new())?;
    refused(&forged, Client::Skopeo, &image).await?;
    Ok(())
}

#[tokio::test]
async fn the_token_service_tells_who_asked_and_refuses_as_told() -> Result<()> {
    let realm = Keycloak::shared().await?.realm("service").await?;
    let service = TokenService::start()?;
    let registry = Registry::trusting(&realm, &service).await?;
    let image = registry.image(APP);
    let workload = workload(&realm, "workload", &registry, &["pull", "push"]).await?;
    workload.push(&image, "one").await?;

    let before = service.seen().len();
    workload.pull(Client::Skopeo, &image).await?.success()?;
    let seen = service.seen();
    assert!(seen.len() > before);
    for request in &seen[before..] {
        assert_eq!(request.method, Method::GET);
        assert_eq!(request.username.as_deref(), Some("jwt"));
        assert!(
            request.uri.contains("scope=repository%3Ateam%2Fapp%3Apull"),
            "{request:?}"
        );
    }
    service.set(Mode::Refuse(StatusCode::UNAUTHORIZED));
    refused(&workload, Client::Skopeo, &image).await?;
    service.set(Mode::Refuse(StatusCode::SERVICE_UNAVAILABLE));
    let output = workload.pull(Client::Skopeo, &image).await?;
    assert!(!output.status.success());
    service.set(Mode::ReturnFor(300));
    workload.pull(Client::Skopeo, &image).await?.success()?;
    Ok(())
}

#[tokio::test]
async fn tokens_live_as_long_as_the_realm_says() -> Result<()> {
    let realm = Keycloak::shared().await?.realm("life").await?;
    let client = named("short-lived");
    realm.client(&Login::Secret(&client), &[]).await?;
    for seconds in [60_u64, 600] {
        realm.set_token_life(Duration::from_secs(seconds)).await?;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client.username.as_str()),
            ("client_secret", client.password.as_str()),
        ];
        let answer = realm.ask(&form).await?.json()?;
        // The session began a moment before the token.
        let life = answer["expires_in"].as_u64().unwrap();
        assert!((seconds - 30..=seconds).contains(&life), "{life}");
    }
    let wrong = Credential {
        username: client.username,
        ..Credential::new()
    };
    let error = format!("{:#}", realm.token(&wrong).await.unwrap_err());
    assert!(error.contains("401"), "{error}");
    Ok(())
}

/// Clients whose password is an access token for [`APP`].
async fn workload(
    realm: &Realm,
    name: &str,
    registry: &Registry,
    actions: &[&str],
) -> Result<Clients> {
    let client = named(name);
    let mappers = Mapper::registry("team/app", actions);
    realm.client(&Login::Secret(&client), &mappers).await?;
    let credential = Credential {
        username: "jwt".to_owned(),
        password: realm.token(&client).await?,
    };
    clients(&registry.host(), &credential)
}
