//! Keycloak as the token service of docker-registry.

use std::time::Duration;

use anyhow::Result;
use support::clients::Client;
use support::fixture::Credential;
use support::keycloak::{Keycloak, Realm};
use support::registry::{Registry, TokenAuth};

use super::{APP, clients, refused};

#[tokio::test]
async fn a_user_of_the_realm_pulls_and_nobody_else() -> Result<()> {
    let realm = Keycloak::shared().await?.realm("users").await?;
    let (registry, user) = guarded_by(&realm).await?;
    let image = registry.image(APP);
    let with_user = clients(&registry.host(), &user)?;
    with_user.push(&image, "one").await?;
    for client in Client::ALL {
        with_user.pull(client, &image).await?.success()?;
    }
    let with_other = clients(&registry.host(), &Credential::new())?;
    for client in Client::ALL {
        refused(&with_other, client, &image).await?;
    }
    Ok(())
}

#[tokio::test]
async fn passwords_change_and_users_are_locked_out() -> Result<()> {
    let realm = Keycloak::shared().await?.realm("changes").await?;
    let (registry, user) = guarded_by(&realm).await?;
    let image = registry.image(APP);
    let with_old = clients(&registry.host(), &user)?;
    with_old.push(&image, "one").await?;

    let changed = Credential::new();
    realm.set_password(&changed).await?;
    refused(&with_old, Client::Skopeo, &image).await?;
    let with_new = clients(&registry.host(), &changed)?;
    with_new.pull(Client::Skopeo, &image).await?.success()?;

    realm.set_enabled(&changed.username, false).await?;
    refused(&with_new, Client::Skopeo, &image).await?;
    realm.set_enabled(&changed.username, true).await?;
    with_new.pull(Client::Skopeo, &image).await?.success()?;
    Ok(())
}

#[tokio::test]
async fn realms_survive_an_outage_of_their_keycloak() -> Result<()> {
    let mut keycloak = Keycloak::start().await?;
    let realm = keycloak.realm("outage").await?;
    realm.set_token_life(Duration::from_secs(120)).await?;
    let (registry, user) = guarded_by(&realm).await?;
    let image = registry.image(APP);
    let clients = clients(&registry.host(), &user)?;
    clients.push(&image, "one").await?;

    keycloak.server.kill()?;
    let output = clients.pull(Client::Skopeo, &image).await?;
    assert!(!output.status.success());

    keycloak.server.start().await?;
    clients.pull(Client::Skopeo, &image).await?.success()?;
    realm.set_enabled(&user.username, false).await?;
    refused(&clients, Client::Skopeo, &image).await?;
    Ok(())
}

/// A registry that takes the realm's tokens, and a user of the realm.
async fn guarded_by(realm: &Realm) -> Result<(Registry, Credential)> {
    let service = "the-registry";
    realm.docker_client(service).await?;
    let user = Credential::new();
    realm.user(&user).await?;
    let tokens = TokenAuth {
        realm: realm.docker_endpoint(),
        service: service.to_owned(),
        issuer: realm.issuer(),
    };
    let registry = Registry::with_certificate(&tokens, &realm.certificate().await?).await?;
    Ok((registry, user))
}
