//! What clients ask the token endpoint of a registry, and the form of its answers.

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde_json::{Value, json};

use crate::http::{HeaderMap, Method, StatusCode};

/// One request. There is no `Debug`: it holds what must not be printed.
pub(crate) struct TokenRequest {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) uri: String,
    /// `None` from whoever asks without a credential.
    pub(crate) shown: Option<Shown>,
    /// What the token is to permit, each as `repository:NAME:ACTION,…`.
    pub(crate) scopes: Vec<String>,
    /// Whether it asks for a token that takes the password's place.
    pub(crate) offline: bool,
}

/// The credential of a client.
pub(crate) struct Shown {
    pub(crate) username: Option<String>,
    pub(crate) password: String,
}

impl TokenRequest {
    /// Reads the whole request, of whichever of the two protocols.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) async fn read(request: Request<Incoming>) -> Result<Self> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let (shown, asked) = if head.method == Method::POST {
            (from_form(&body), &body[..])
        } else {
            let query = head.uri.query().unwrap_or_default();
            (from_header(&head.headers), query.as_bytes())
        };
        // Repeated, or separated by spaces: clients do either.
        let scopes = form_urlencoded::parse(asked)
            .filter(|(key, _)| key == "scope")
            .flat_map(|(_, value)| value.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .collect();
        Ok(Self {
            method: head.method,
            uri: head.uri.to_string(),
            shown,
            scopes,
            offline: form_urlencoded::parse(asked)
                .any(|(key, value)| key == "access_type" && value == "offline"),
        })
    }

    /// The user that it names.
    pub(crate) fn username(&self) -> Option<&str> {
        self.shown.as_ref()?.username.as_deref()
    }
}

fn from_header(headers: &HeaderMap) -> Option<Shown> {
    let value = headers.get("authorization")?.to_str().ok()?;
    let decoded = BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Shown {
        username: Some(username.to_owned()),
        password: password.to_owned(),
    })
}

// OAuth 2, for clients that ask by POST: a password, or the identity token of an auth file.
fn from_form(body: &[u8]) -> Option<Shown> {
    let field = |name| {
        form_urlencoded::parse(body)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    Some(Shown {
        username: field("username"),
        password: field("password").or_else(|| field("refresh_token"))?,
    })
}

/// A refusal in the form of the registries' protocol.
pub(crate) fn refuse(status: StatusCode, why: &str) -> Result<Response<Full<Bytes>>> {
    let code = status.canonical_reason().unwrap_or("refused");
    let error = json!({ "code": code.to_uppercase().replace(' ', "_"), "message": why });
    reply(status, &json!({ "errors": [error] }))
}

/// An answer in JSON.
pub(crate) fn reply(status: StatusCode, body: &Value) -> Result<Response<Full<Bytes>>> {
    Ok(Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))?)
}
