//! The registry's own token flow: challenge, realm, token (distribution's token specification).

use std::time::Duration;

use hyper::StatusCode;
use pullkeeper_core::authfile::Credential;
use pullkeeper_core::challenge;
use pullkeeper_core::origin::{Origin, Url};
use pullkeeper_core::wire::Secret;
use serde::Deserialize;

use super::message::{
    challenges, get, no_token, object, post_form, refused, send, show, text_of, unexpected,
};
use super::{Failure, Obtained};
use crate::config::{HandOut, TokenFlow};
use crate::outbound::{Outbound, Reply};

/// The specification's default for tokens of registries; clients raise shorter ones to it.
const DEFAULT_LIFE: u64 = 60;
/// How long a credential that was found good is handed out without a new look at realm and token service.
const TRUST: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));
/// Token services want to know which program asks.
const CLIENT_ID: &str = "pullkeeper";
/// Clients take what goes with this user name for an identity token.
const IDENTITY_TOKEN_USER: &str = "<token>";

pub(super) struct RegistryToken<'a> {
    pub(super) outbound: &'a Outbound,
    /// `host[:port]`.
    pub(super) registry: &'a str,
    pub(super) flow: &'a TokenFlow,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Secret,
    #[serde(default)]
    access_token: Secret,
    #[serde(default)]
    refresh_token: Secret,
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl RegistryToken<'_> {
    /// Asks the registry where it sends clients, and that token service whether it takes the credential.
    ///
    /// No client takes a token of this flow. What is handed out is the credential itself, or a token that takes its
    /// place: the client repeats both steps, with the scope that it needs.
    pub(super) async fn exchange(
        &self,
        credential: &impl Fn(String) -> Result<Credential, Failure>,
    ) -> Result<Obtained, Failure> {
        let challenge = self.challenge().await?;
        let realm = challenge::realm(&challenge, &self.flow.realms)
            .map_err(|error| Failure::new(error.to_string()))?;
        let with = credential(realm.origin().authority())?;
        let (username, password) = text_of(&with)?;
        let service = challenge.service.as_deref().unwrap_or_default();
        let (reply, identity) = match self.flow.hand_out {
            HandOut::Credential => {
                let url = realm.with_query(&[("service", service), ("account", &username)]);
                (show(self.outbound, &url, &with).await?, false)
            }
            HandOut::IdentityToken => {
                let fields = [
                    ("grant_type", "password"),
                    ("service", service),
                    ("client_id", CLIENT_ID),
                    ("access_type", "offline"),
                    ("username", &username),
                    ("password", password.expose()),
                ];
                let request = post_form(&realm, &fields)?;
                (send(self.outbound, &realm, request).await?, true)
            }
        };
        let from = realm.origin();
        match reply.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED if identity => {
                return Err(no_identity_token(from, &reply));
            }
            _ => return Err(refused(from, &reply)),
        }
        let answer = object::<Answer>(&reply);
        let tokens = |answer: &Answer| [&answer.token, &answer.access_token].map(is_there);
        let answer = answer.filter(|answer| tokens(answer).contains(&true));
        let answer = answer.ok_or_else(|| no_token(from, &reply))?;
        let life = Duration::from_secs(answer.expires_in.as_u64().unwrap_or(DEFAULT_LIFE));
        let (username, secret) = match identity {
            false => (username, password),
            true if is_there(&answer.refresh_token) => {
                (IDENTITY_TOKEN_USER.to_owned(), answer.refresh_token)
            }
            true => return Err(no_identity_token(from, &reply)),
        };
        Ok(Obtained {
            username,
            secret,
            life: life.clamp(TRUST.0, TRUST.1),
        })
    }

    async fn challenge(&self) -> Result<challenge::Bearer, Failure> {
        let registry = Origin::of_authority(self.flow.secure, self.registry)
            .and_then(|origin| Url::parse(&format!("{origin}/v2/")))
            .map_err(|error| Failure::new(format!("the registry cannot be asked: {error}")))?;
        let reply = send(self.outbound, &registry, get(&registry)?).await?;
        let found = challenge::bearer(challenges(&reply));
        match (reply.status, found) {
            (StatusCode::UNAUTHORIZED, Some(challenge)) => Ok(challenge),
            (StatusCode::UNAUTHORIZED, None) => Err(Failure::new(format!(
                "{} does not delegate: it asks for no bearer token; give it an entry of its own in the pull secret",
                registry.origin()
            ))),
            (status, _) => Err(unexpected(registry.origin(), status, &reply)),
        }
    }
}

fn is_there(token: &Secret) -> bool {
    !token.expose().is_empty()
}

fn no_identity_token(from: &Origin, reply: &Reply) -> Failure {
    Failure::new(format!(
        "{from} gives no identity token (status {}), and clients could not use one; remove `hand_out` from the delegation",
        reply.status.as_u16()
    ))
}
