//! One request for a token and its answer.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde_json::json;

use super::{Mode, Seen, State, lock};
use crate::http::{Method, StatusCode};
use crate::token_request::{TokenRequest, refuse, reply};

/// Notes the request and answers it as the mode says.
pub(super) async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>> {
    let request = TokenRequest::read(request).await?;
    let mode = {
        let mut state = lock(&state);
        state.seen.push(Seen {
            at: Instant::now(),
            method: request.method.clone(),
            uri: request.uri.clone(),
            username: request.username().map(str::to_owned),
        });
        state.mode
    };
    let life = match mode {
        Mode::Silent => std::future::pending().await,
        Mode::Refuse(status) => return refuse(status, "refused to everybody"),
        Mode::GetOnly if request.method != Method::GET => {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET");
        }
        Mode::Return | Mode::GetOnly => None,
        Mode::ReturnFor(seconds) => Some(seconds),
    };
    let Some(shown) = request.shown else {
        return refuse(StatusCode::UNAUTHORIZED, "no credential");
    };
    let mut answer = json!({ "token": shown.password, "access_token": shown.password });
    if request.offline {
        // As good as the password, and a client sends it back by POST.
        answer["refresh_token"] = shown.password.into();
    }
    if let Some(life) = life {
        answer["expires_in"] = life.into();
    }
    reply(StatusCode::OK, &answer)
}
