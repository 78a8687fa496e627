//! A realm: users, clients, and the tokens they get.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::admin::Admin;
use super::login::{self, Login, Mapper};
use crate::fixture::Credential;
use crate::http::Answer;

/// A realm of a [`Keycloak`](super::Keycloak).
#[derive(Clone, Debug)]
pub struct Realm {
    admin: Arc<Admin>,
    name: String,
}

impl Realm {
    pub(super) fn new(admin: Arc<Admin>, name: String) -> Self {
        Self { admin, name }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `http://localhost:port/realms/NAME`: the `iss` of its tokens, and the audience that a token
    /// must have which a client shows instead of a secret.
    pub fn issuer(&self) -> String {
        format!("{}{}", self.admin.url(), self.path(""))
    }

    /// The token endpoint for a registry's challenge; needs a [`Realm::docker_client`].
    pub fn docker_endpoint(&self) -> String {
        format!("{}/protocol/docker-v2/auth", self.issuer())
    }

    /// The token endpoint of OpenID Connect.
    pub fn token_endpoint(&self) -> String {
        format!("{}{TOKEN}", self.issuer())
    }

    /// Sets how long access tokens and registry tokens live, in whole seconds.
    ///
    /// # Errors
    /// When Keycloak refuses.
    pub async fn set_token_life(&self, life: Duration) -> Result<()> {
        let change = json!({ "accessTokenLifespan": life.as_secs() });
        self.admin.put(&self.managed(""), &change).await
    }

    /// Creates a user who logs in with a password.
    ///
    /// # Errors
    /// When Keycloak refuses, as it does when there is one of this name.
    pub async fn user(&self, user: &Credential) -> Result<()> {
        let name = &user.username;
        let object = json!({
            "username": name, "enabled": true, "credentials": [password(&user.password)],
            // Without all of these the first login has to complete them.
            "email": format!("{name}@example.com"), "emailVerified": true,
            "firstName": name, "lastName": "Fixture",
        });
        self.admin.create(&self.managed("/users"), &object).await
    }

    /// Gives the user of this name this password from now on.
    ///
    /// # Errors
    /// When there is no such user.
    pub async fn set_password(&self, user: &Credential) -> Result<()> {
        let path = format!("{}/reset-password", self.user_path(&user.username).await?);
        self.admin.put(&path, &password(&user.password)).await
    }

    /// Locks a user out, or in again.
    ///
    /// # Errors
    /// When there is no such user.
    pub async fn set_enabled(&self, username: &str, enabled: bool) -> Result<()> {
        let path = self.user_path(username).await?;
        self.admin.put(&path, &json!({ "enabled": enabled })).await
    }

    /// Lets users get tokens for the registry that calls itself `service`.
    ///
    /// # Errors
    /// When Keycloak refuses.
    pub async fn docker_client(&self, service: &str) -> Result<()> {
        let client = json!({ "clientId": service, "protocol": "docker-v2" });
        self.admin.create(&self.managed("/clients"), &client).await
    }

    /// Creates a client that gets access tokens for itself, with these additions.
    ///
    /// # Errors
    /// When Keycloak refuses.
    pub async fn client(&self, login: &Login<'_>, mappers: &[Mapper]) -> Result<()> {
        let client = login::representation(login, mappers);
        self.admin.create(&self.managed("/clients"), &client).await
    }

    /// Takes a client out of use, or into it again.
    ///
    /// # Errors
    /// When there is no such client.
    pub async fn set_client_enabled(&self, id: &str, enabled: bool) -> Result<()> {
        let change = json!({ "clientId": id, "enabled": enabled });
        self.admin.put(&self.client_path(id).await?, &change).await
    }

    /// Trusts the service-account tokens of a Kubernetes cluster, whose discovery documents must
    /// be readable for everybody below `issuer`.
    ///
    /// # Errors
    /// When Keycloak refuses.
    pub async fn kubernetes_provider(&self, alias: &str, issuer: &str) -> Result<()> {
        let provider = json!({
            "alias": alias, "providerId": "kubernetes", "config": { "issuer": issuer },
        });
        let path = self.managed("/identity-provider/instances");
        self.admin.create(&path, &provider).await
    }

    /// Trusts the service-account tokens of a Kubernetes cluster as authorization grants (RFC 7523 section 2.1): a
    /// client that [`Realm::allow_assertions`] names gets the tokens of users that [`Realm::link`] ties to accounts.
    ///
    /// # Errors
    /// When Keycloak refuses.
    pub async fn assertion_provider(&self, alias: &str, issuer: &str) -> Result<()> {
        let provider = json!({
            "alias": alias, "providerId": "jwt-authorization-grant", "config": {
                "issuer": issuer, "useJwksUrl": "true", "jwksUrl": format!("{issuer}/openid/v1/jwks"),
                // kubelet's tokens live for an hour, and are shown again while they do.
                "jwtAuthorizationGrantMaxAllowedAssertionExpiration": "7200",
                "jwtAuthorizationGrantAssertionReuseAllowed": "true",
            },
        });
        let path = self.managed("/identity-provider/instances");
        self.admin.create(&path, &provider).await
    }

    /// Lets a client present assertions of a [`Realm::assertion_provider`].
    ///
    /// # Errors
    /// When there is no such client.
    pub async fn allow_assertions(&self, client: &str, provider: &str) -> Result<()> {
        let change = json!({ "clientId": client, "attributes": {
            "oauth2.jwt.authorization.grant.enabled": "true",
            "oauth2.jwt.authorization.grant.idp": provider,
        }});
        let path = self.client_path(client).await?;
        self.admin.put(&path, &change).await
    }

    /// Lets a client exchange access tokens that name it as audience for its own (RFC 8693).
    ///
    /// # Errors
    /// When there is no such client.
    pub async fn allow_exchange(&self, client: &str) -> Result<()> {
        let change = json!({ "clientId": client, "attributes": {
            "standard.token.exchange.enabled": "true",
        }});
        self.admin
            .put(&self.client_path(client).await?, &change)
            .await
    }

    /// Lets a client log users in by their passwords, and makes every refresh token of the realm good for once.
    ///
    /// # Errors
    /// When there is no such client.
    pub async fn allow_refresh_once(&self, client: &str) -> Result<()> {
        let change = json!({ "clientId": client, "directAccessGrantsEnabled": true });
        self.admin
            .put(&self.client_path(client).await?, &change)
            .await?;
        let change = json!({ "revokeRefreshToken": true, "refreshTokenMaxReuse": 0 });
        self.admin.put(&self.managed(""), &change).await
    }

    /// The refresh token of a user who logs in through a client that [`Realm::allow_refresh_once`] names.
    ///
    /// # Errors
    /// When Keycloak refuses.
    pub async fn refresh_token(&self, client: &Credential, user: &Credential) -> Result<String> {
        let form = [
            ("grant_type", "password"),
            ("client_id", &client.username),
            ("client_secret", &client.password),
            ("username", &user.username),
            ("password", &user.password),
        ];
        token(&self.ask(&form).await?, "refresh_token")
    }

    /// Ties a user to an account: `subject` at that identity provider.
    ///
    /// # Errors
    /// When there is no such user.
    pub async fn link(&self, username: &str, provider: &str, subject: &str) -> Result<()> {
        let user = self.user_path(username).await?;
        let path = format!("{user}/federated-identity/{provider}");
        let link = json!({ "identityProvider": provider, "userId": subject, "userName": subject });
        self.admin.create(&path, &link).await
    }

    /// Asks the token endpoint with this form. The status is not judged.
    ///
    /// # Errors
    /// When there is no complete answer.
    pub async fn ask(&self, form: &[(&str, &str)]) -> Result<Answer> {
        self.admin.post_form(&self.path(TOKEN), form).await
    }

    /// The access token of a client with a secret.
    ///
    /// # Errors
    /// When Keycloak refuses.
    pub async fn token(&self, client: &Credential) -> Result<String> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &client.username),
            ("client_secret", &client.password),
        ];
        token(&self.ask(&form).await?, "access_token")
    }

    /// The access token of a client that shows a token of an identity provider instead of a secret.
    ///
    /// # Errors
    /// When Keycloak refuses.
    pub async fn token_for_assertion(&self, assertion: &str) -> Result<String> {
        let form = [
            ("grant_type", "client_credentials"),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion),
        ];
        token(&self.ask(&form).await?, "access_token")
    }

    /// The document with the realm's public keys (JWKS).
    ///
    /// # Errors
    /// When there is no such realm any more.
    pub async fn keys(&self) -> Result<Value> {
        let path = self.path("/protocol/openid-connect/certs");
        self.admin.public(&path).await?.json()
    }

    /// The certificate of the key that signs the realm's tokens, PEM.
    ///
    /// # Errors
    /// When no RS256 key has one.
    pub async fn certificate(&self) -> Result<String> {
        let keys = self.keys().await?;
        let mut keys = keys["keys"].as_array().into_iter().flatten();
        let signing = keys.find(|key| key["alg"] == "RS256");
        let certificate = signing.and_then(|key| key["x5c"][0].as_str());
        let base64 = certificate.context("no certificate of an RS256 key")?;
        let lines: Vec<_> = base64
            .as_bytes()
            .chunks(64)
            .map(String::from_utf8_lossy)
            .collect();
        Ok(format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        ))
    }

    /// Removes the realm, as far as clients notice.
    ///
    /// # Errors
    /// When Keycloak refuses.
    pub async fn delete(&self) -> Result<()> {
        self.admin.delete(&self.managed("")).await
    }

    fn path(&self, below: &str) -> String {
        format!("/realms/{}{below}", self.name)
    }

    fn managed(&self, below: &str) -> String {
        format!("/admin/realms/{}{below}", self.name)
    }

    async fn client_path(&self, id: &str) -> Result<String> {
        let clients = self.managed(&format!("/clients?clientId={id}"));
        let clients = self.admin.get(&clients).await?;
        let internal = clients[0]["id"].as_str();
        let internal = internal.with_context(|| format!("{} has no client {id}", self.name))?;
        Ok(self.managed(&format!("/clients/{internal}")))
    }

    async fn user_path(&self, username: &str) -> Result<String> {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("username", username)
            .append_pair("exact", "true")
            .finish();
        let users = self
            .admin
            .get(&self.managed(&format!("/users?{query}")))
            .await?;
        let id = users[0]["id"].as_str();
        let id = id.with_context(|| format!("{} has no user {username}", self.name))?;
        Ok(self.managed(&format!("/users/{id}")))
    }
}

const TOKEN: &str = "/protocol/openid-connect/token";

fn password(value: &str) -> Value {
    json!({ "type": "password", "value": value, "temporary": false })
}

fn token(answer: &Answer, field: &str) -> Result<String> {
    let answer = answer.json().context("no token")?;
    let token = answer[field].as_str();
    Ok(token.with_context(|| format!("no {field}"))?.to_owned())
}
