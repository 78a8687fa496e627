//! The requests of each grant, and what becomes of the answers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, StatusCode};
use pullkeeper_core::authfile::Credential;
use pullkeeper_core::challenge;
use pullkeeper_core::origin::{Origin, Url, push_encoded};
use pullkeeper_core::wire::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{Failure, Obtained};
use crate::config::TokenEndpoint;
use crate::outbound::{Outbound, Reply};

/// The specification's default for tokens of registries; clients raise shorter ones to it.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// How long a credential that was found good is handed out without a new look at realm and token service.
const TRUST: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));
/// A token that claims to live longer is obtained anew all the same.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// The registry's own token flow.
pub(super) struct RegistryToken<'a> {
    pub(super) outbound: &'a Outbound,
    /// `host[:port]`.
    pub(super) registry: &'a str,
    pub(super) secure: bool,
    pub(super) realms: &'a [Origin],
}

impl RegistryToken<'_> {
    /// Asks the registry where it sends clients, and that token service whether it takes the credential.
    ///
    /// What is handed out is the credential itself: the client repeats both steps, with the scope that it needs, and
    /// no client takes a token of this flow.
    pub(super) async fn exchange(
        &self,
        credential: &impl Fn(String) -> Result<Credential, Failure>,
    ) -> Result<Obtained, Failure> {
        let challenge = self.challenge().await?;
        let realm = challenge::realm(&challenge, self.realms)
            .map_err(|error| Failure::new(error.to_string()))?;
        let with = credential(realm.origin().authority())?;
        let (username, secret) = text_of(&with)?;
        let service = challenge.service.as_deref().unwrap_or_default();
        let url = realm.with_query(&[("service", service), ("account", &username)]);
        let mut request = get(&url)?;
        request.headers_mut().insert(AUTHORIZATION, basic(&with)?);
        let reply = send(self.outbound, &url, request).await?;
        let token = token_of(url.origin(), &reply)?;
        let life = token.life().unwrap_or(DEFAULT_LIFE);
        Ok(Obtained {
            username,
            secret,
            life: life.clamp(TRUST.0, TRUST.1),
        })
    }

    async fn challenge(&self) -> Result<challenge::Bearer, Failure> {
        let registry = Origin::of_authority(self.secure, self.registry)
            .and_then(|origin| Url::parse(&format!("{origin}/v2/")))
            .map_err(|error| Failure::new(format!("the registry cannot be asked: {error}")))?;
        let reply = send(self.outbound, &registry, get(&registry)?).await?;
        let headers = reply.headers.get_all(WWW_AUTHENTICATE).iter();
        let found = challenge::bearer(headers.filter_map(|value| value.to_str().ok()));
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

/// By what a token endpoint is to know who asks, and for whom.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    /// Client credentials with a JWT as proof of who the client is (RFC 7523 section 2.2).
    Assertion(&'a Secret),
    /// Client credentials (RFC 6749 section 4.4) with the client's secret.
    Client(&'a Credential),
    /// A JWT as authorization grant (RFC 7523 section 2.1), presented by a client with a secret.
    Grant(&'a Credential, &'a Secret),
}

impl<'a> Proof<'a> {
    /// What of it is stored, and may be replaced.
    pub(super) fn client(self) -> &'a [Credential] {
        match self {
            Self::Assertion(_) => &[],
            Self::Client(client) | Self::Grant(client, _) => std::slice::from_ref(client),
        }
    }
}

/// Asks a token endpoint for an access token.
pub(super) async fn access_token(
    outbound: &Outbound,
    endpoint: &TokenEndpoint,
    url: &Url,
    proof: Proof<'_>,
) -> Result<Obtained, Failure> {
    let scope = ("scope", endpoint.scope.as_deref().unwrap_or_default());
    let form = match proof {
        Proof::Assertion(assertion) => form(&[
            ("grant_type", "client_credentials"),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion.expose()),
            scope,
        ]),
        Proof::Client(_) => form(&[("grant_type", "client_credentials"), scope]),
        Proof::Grant(_, assertion) => form(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.expose()),
            scope,
        ]),
    };
    let mut request = post(url, &form)?;
    for client in proof.client() {
        request
            .headers_mut()
            .insert(AUTHORIZATION, client_basic(client)?);
    }
    let reply = send(outbound, url, request).await?;
    let token = token_of(url.origin(), &reply)?;
    let life = token.life().unwrap_or_default();
    Ok(Obtained {
        username: endpoint.username.clone(),
        secret: token.secret,
        life: life.min(LONGEST_LIFE),
    })
}

/// What a token service hands out; both specifications in one.
struct Token {
    secret: Secret,
    expires_in: Option<u64>,
}

impl Token {
    /// Counted from the receipt: `issued_at` is the token's own age at some services, and the clock's error at others.
    fn life(&self) -> Option<Duration> {
        self.expires_in.map(Duration::from_secs)
    }
}

fn token_of(from: &Origin, reply: &Reply) -> Result<Token, Failure> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        token: Secret,
        #[serde(default)]
        access_token: Secret,
        #[serde(default)]
        expires_in: serde_json::Value,
    }
    if reply.status != StatusCode::OK {
        return Err(refused(from, reply));
    }
    let token = object::<Body>(reply).and_then(|body| {
        let secret = [body.token, body.access_token];
        let secret = secret
            .into_iter()
            .find(|secret| !secret.expose().is_empty())?;
        let expires_in = body.expires_in.as_u64();
        Some(Token { secret, expires_in })
    });
    token.ok_or_else(|| {
        Failure::new(format!(
            "{from} answered with status 200 and something else than a token ({} bytes)",
            reply.body.len()
        ))
    })
}

/// The words for a status other than 200. Of the body only the OAuth error code is told (RFC 6749 section 5.2).
fn refused(from: &Origin, reply: &Reply) -> Failure {
    #[derive(Deserialize)]
    struct Body {
        error: String,
    }
    let code = |code: &String| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        code.len() <= 40 && code.bytes().all(plain)
    };
    let code = object::<Body>(reply).map(|body| body.error).filter(code);
    let code = code.map_or_else(String::new, |code| format!(" ({code})"));
    let message = match reply.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => format!(
            "{from} refuses the credential with status {}{code}",
            reply.status.as_u16()
        ),
        status => return unexpected(from, status, reply),
    };
    Failure {
        message,
        retry_after: retry_after(reply),
    }
}

pub(super) fn unexpected(from: &Origin, status: StatusCode, reply: &Reply) -> Failure {
    let message = if status.is_redirection() {
        format!(
            "{from} answered with a redirect (status {}), which is never followed with a credential",
            status.as_u16()
        )
    } else {
        format!("{from} answered with status {}", status.as_u16())
    };
    Failure {
        message,
        retry_after: retry_after(reply),
    }
}

/// The body as a JSON object. Serde would read a struct from an array as well.
pub(super) fn object<T: DeserializeOwned>(reply: &Reply) -> Option<T> {
    let body = reply.body.trim_ascii_start();
    body.starts_with(b"{")
        .then(|| serde_json::from_slice(body).ok())?
}

fn retry_after(reply: &Reply) -> Option<Duration> {
    let seconds = reply
        .headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

pub(super) async fn send(
    outbound: &Outbound,
    url: &Url,
    request: Request<Full<Bytes>>,
) -> Result<Reply, Failure> {
    let replied = outbound.send(url.origin(), request).await;
    replied.map_err(|error| Failure::new(error.to_string()))
}

pub(super) fn get(url: &Url) -> Result<Request<Full<Bytes>>, Failure> {
    request(Method::GET, url, Bytes::new())
}

fn post(url: &Url, form: &Zeroizing<String>) -> Result<Request<Full<Bytes>>, Failure> {
    let mut request = request(Method::POST, url, Bytes::copy_from_slice(form.as_bytes()))?;
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, form);
    Ok(request)
}

fn request(method: Method, url: &Url, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    let json = HeaderValue::from_static("application/json");
    Request::builder()
        .method(method)
        .uri(url.to_string())
        .header(ACCEPT, json)
        .body(Full::new(body))
        .map_err(|_| Failure::new(format!("no request can be made for {}", url.origin())))
}

/// A form without the fields that are empty.
fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    // Every byte may take three; growing would leave a copy behind.
    let size = fields
        .iter()
        .map(|(name, value)| name.len() + 3 * value.len() + 2);
    let mut form = Zeroizing::new(String::with_capacity(size.sum()));
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        push_encoded(&mut form, value);
    }
    form
}

/// HTTP's own Basic (RFC 7617).
fn basic(credential: &Credential) -> Result<HeaderValue, Failure> {
    let mut pair = Zeroizing::new(credential.username().to_vec());
    pair.push(b':');
    pair.extend_from_slice(credential.password());
    authorization(&pair)
}

/// Basic of OAuth clients, whose ID and secret are form-encoded first (RFC 6749 section 2.3.1).
fn client_basic(credential: &Credential) -> Result<HeaderValue, Failure> {
    let (username, secret) = text_of(credential)?;
    let mut pair = Zeroizing::new(String::new());
    push_encoded(&mut pair, &username);
    pair.push(':');
    push_encoded(&mut pair, secret.expose());
    authorization(pair.as_bytes())
}

fn authorization(pair: &[u8]) -> Result<HeaderValue, Failure> {
    let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair)));
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| Failure::new("the credential fits into no header"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn text_of(credential: &Credential) -> Result<(String, Secret), Failure> {
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        text.map_err(|_| Failure::new("the token service's credential is not UTF-8"))
    };
    let username = text(credential.username())?;
    Ok((username, Secret::new(text(credential.password())?)))
}
