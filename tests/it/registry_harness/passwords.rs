//! docker-registry with a password file.

use anyhow::Result;
use support::clients::Client;
use support::fixture::{Credential, config_json};
use support::registry::Registry;

use super::{APP, clients, named, refused};

#[tokio::test]
async fn every_client_pulls_with_the_password_and_none_with_another() -> Result<()> {
    let user = Credential::new();
    let registry = Registry::with_passwords(&[&user]).await?;
    let image = registry.image(APP);
    let clients = clients(&registry.host(), &user)?;
    clients.push(&image, "one").await?;
    for client in Client::ALL {
        clients.pull(client, &image).await?.success()?;
    }
    clients.set_auth_file(&config_json([(
        registry.host().as_str(),
        &Credential::new(),
    )]))?;
    for client in Client::ALL {
        refused(&clients, client, &image).await?;
    }
    clients.set_auth_file("{}")?;
    for client in Client::ALL {
        refused(&clients, client, &image).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_password_is_in_force_at_once() -> Result<()> {
    let (old, new) = (Credential::new(), Credential::new());
    let registry = Registry::with_passwords(&[&old]).await?;
    let image = registry.image(APP);
    let (with_old, with_new) = (
        clients(&registry.host(), &old)?,
        clients(&registry.host(), &new)?,
    );
    with_old.push(&image, "one").await?;
    refused(&with_new, Client::Skopeo, &image).await?;

    registry.set_users(&[&new]).await?;
    refused(&with_old, Client::Skopeo, &image).await?;
    with_new.pull(Client::Skopeo, &image).await?.success()?;
    Ok(())
}

#[tokio::test]
async fn what_was_pushed_survives_an_outage() -> Result<()> {
    let user = Credential::new();
    let mut registry = Registry::with_passwords(&[&user]).await?;
    let image = registry.image(APP);
    let clients = clients(&registry.host(), &user)?;
    let digest = clients.push(&image, "one").await?;
    assert_eq!(clients.push(&image, "one").await?, digest);
    assert_ne!(clients.push(&image, "two").await?, digest);

    registry.server.kill()?;
    let output = clients.pull(Client::Skopeo, &image).await?;
    assert!(!output.status.success());
    registry.server.start().await?;
    clients.pull(Client::Skopeo, &image).await?.success()?;
    Ok(())
}

#[tokio::test]
async fn two_users_are_told_apart() -> Result<()> {
    let (first, second) = (named("first"), named("second"));
    let registry = Registry::with_passwords(&[&first, &second]).await?;
    let image = registry.image(APP);
    clients(&registry.host(), &first)?
        .push(&image, "one")
        .await?;
    clients(&registry.host(), &second)?
        .pull(Client::Crane, &image)
        .await?
        .success()?;
    let mixed = Credential {
        username: first.username,
        password: second.password,
    };
    refused(&clients(&registry.host(), &mixed)?, Client::Crane, &image).await?;
    Ok(())
}
