//! One request for a token and its answer.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde_json::json;

use super::{Mode, Seen, State, lock};
use crate::http::{HeaderMap, Method, StatusCode};

/// Notes the request and answers it as the mode says.
pub(super) async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let shown = if head.method == Method::POST {
        from_form(&body)
    } else {
        from_header(&head.headers)
    };
    let mode = {
        let mut state = lock(&state);
        state.seen.push(Seen {
            at: Instant::now(),
            method: head.method.clone(),
            uri: head.uri.to_string(),
            username: shown.as_ref().and_then(|shown| shown.username.clone()),
        });
        state.mode
    };
    let life = match mode {
        Mode::Silent => std::future::pending().await,
        Mode::Refuse(status) => return refuse(status),
        Mode::GetOnly if head.method != Method::GET => {
            return refuse(StatusCode::METHOD_NOT_ALLOWED);
        }
        Mode::Return | Mode::GetOnly => None,
        Mode::ReturnFor(seconds) => Some(seconds),
    };
    let Some(shown) = shown else {
        return refuse(StatusCode::UNAUTHORIZED);
    };
    let mut answer = json!({ "token": shown.token, "access_token": shown.token });
    if let Some(life) = life {
        answer["expires_in"] = life.into();
    }
    reply(StatusCode::OK, &answer)
}

/// What a client shows to get a token.
struct Shown {
    username: Option<String>,
    token: String,
}

fn from_header(headers: &HeaderMap) -> Option<Shown> {
    let value = headers.get("authorization")?.to_str().ok()?;
    let decoded = BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Shown {
        username: Some(username.to_owned()),
        token: password.to_owned(),
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
        token: field("password").or_else(|| field("refresh_token"))?,
    })
}

fn refuse(status: StatusCode) -> Result<Response<Full<Bytes>>> {
    let reason = status.canonical_reason().unwrap_or("refused");
    let error = json!({ "code": reason.to_uppercase().replace(' ', "_"), "message": reason });
    reply(status, &json!({ "errors": [error] }))
}

fn reply(status: StatusCode, body: &serde_json::Value) -> Result<Response<Full<Bytes>>> {
    Ok(Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))?)
}
