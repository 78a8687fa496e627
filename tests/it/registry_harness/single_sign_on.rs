//! Keycloak as the token service of docker-registry.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Request;
use serde_json::{Value, json};
use support::clients::Client;
use support::fixture::Credential;
use support::http::{Method, StatusCode};
use support::issuer::Issuer;
use support::keycloak::{Keycloak, Login, Realm};
use support::registry::{Registry, TokenAuth};

use super::{APP, clients, named, refused};

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
    let (registry, user) = guarded_by(&realm).await?;
    let image = registry.image(APP);
    let clients = clients(&registry.host(), &user)?;
    clients.push(&image, "one").await?;
    let late = named("late");
    realm.client(&Login::Secret(&late), &[]).await?;

    keycloak.server.kill()?;
    let output = clients.pull(Client::Skopeo, &image).await?;
    assert!(!output.status.success());

    keycloak.server.start().await?;
    clients.pull(Client::Skopeo, &image).await?.success()?;
    realm.token(&late).await?;
    realm.set_enabled(&user.username, false).await?;
    refused(&clients, Client::Skopeo, &image).await?;
    Ok(())
}

#[tokio::test]
async fn registry_tokens_are_given_to_get_with_a_password_alone() -> Result<()> {
    let keycloak = Keycloak::shared().await?;
    let realm = keycloak.realm("endpoint").await?;
    realm.docker_client("the-registry").await?;
    let user = Credential::new();
    realm.user(&user).await?;
    let ask = async |method: Method, credential: Option<&Credential>| {
        let uri = format!(
            "/realms/{}/protocol/docker-v2/auth?service=the-registry\
             &scope=repository:team/app:pull&scope=repository:team/other:pull",
            realm.name()
        );
        let mut request = Request::builder().method(method).uri(uri);
        request = request.header("host", keycloak.endpoint().host());
        if let Some(credential) = credential {
            request = request.header("authorization", format!("Basic {}", credential.auth()));
        }
        keycloak
            .endpoint()
            .send(request.body(Default::default())?)
            .await
    };
    let answer = ask(Method::GET, Some(&user)).await?.json()?;
    assert_eq!(answer["expires_in"], 300);
    let claims = answer["token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    assert_eq!(claims["iss"], realm.issuer());
    let first = json!([{ "type": "repository", "name": "team/app", "actions": ["pull"] }]);
    assert_eq!(claims["access"], first);

    for (method, credential, status) in [
        (Method::POST, Some(&user), StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, None, StatusCode::BAD_REQUEST),
        (
            Method::GET,
            Some(&Credential::new()),
            StatusCode::UNAUTHORIZED,
        ),
    ] {
        let answer = ask(method.clone(), credential).await?;
        assert_eq!(answer.status, status, "{method}: {}", answer.text());
    }
    Ok(())
}

/// A registry that takes the realm's tokens, and a user of the realm.
pub(crate) async fn guarded_by(realm: &Realm) -> Result<(Registry, Credential)> {
    guarded_over(None, realm).await
}

/// As [`guarded_by`], the registry over https with a certificate of the issuer where there is one.
pub(crate) async fn guarded_over(
    tls: Option<&Issuer>,
    realm: &Realm,
) -> Result<(Registry, Credential)> {
    let service = "the-registry";
    realm.docker_client(service).await?;
    let user = Credential::new();
    realm.user(&user).await?;
    let tokens = TokenAuth {
        realm: realm.docker_endpoint(),
        service: service.to_owned(),
        issuer: realm.issuer(),
    };
    let certificate = realm.certificate().await?;
    let registry = Registry::with_certificate(tls, &tokens, &certificate).await?;
    Ok((registry, user))
}
