//! The broker's side of the socket.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use pullkeeper_core::wire::{self, Answer, LONGEST_BODY, StoreAnswer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::Broker;
use crate::listener::{Listener, Peer};
use crate::server::{self, Limits, text, typed};

const LIMITS: Limits = Limits {
    name: "broker",
    // Every pull under way has one or two, and a burst waits in the queue rather than in memory.
    connections: 256,
    // A helper asks once.
    keep_alive: false,
    // Longer than an exchange takes: who asked before the restart is answered.
    drain: Duration::from_secs(15),
};

/// A body that has not arrived by then does not come.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until cancelled, then lets requests under way finish.
pub async fn serve(listener: Listener, broker: Arc<Broker>, cancel: CancellationToken) {
    let answer = move |request, peer| {
        let broker = Arc::clone(&broker);
        async move { respond(&broker, request, peer).await }
    };
    server::serve(listener, LIMITS, answer, cancel).await;
}

async fn respond(broker: &Broker, request: Request<Incoming>, peer: Peer) -> Response<Full<Bytes>> {
    if !broker.admits(peer) {
        return denied(peer);
    }
    let route = (request.method().clone(), request.uri().path().to_owned());
    match (route.0, route.1.as_str()) {
        (Method::POST, wire::CREDENTIAL) => match body(request).await {
            Ok(request) => answered(&broker.answer(&request, peer.into()).await),
            Err(refused) => refused,
        },
        (Method::POST, wire::STORE) => match body(request).await {
            Ok(request) => stored(&broker.store(&request)),
            Err(refused) => refused,
        },
        (Method::GET, wire::REGISTRIES) => json(StatusCode::OK, &broker.registries()),
        (_, wire::CREDENTIAL | wire::STORE | wire::REGISTRIES) => text(
            StatusCode::METHOD_NOT_ALLOWED,
            "POST credential and store, GET registries\n".to_owned(),
        ),
        _ => text(
            StatusCode::NOT_FOUND,
            format!(
                "try {}, {} or {}\n",
                wire::CREDENTIAL,
                wire::STORE,
                wire::REGISTRIES
            ),
        ),
    }
}

fn answered(answer: &Answer) -> Response<Full<Bytes>> {
    let status = match answer {
        Answer::Found { .. } => StatusCode::OK,
        Answer::NotOurs => StatusCode::NOT_FOUND,
        Answer::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(status, answer)
}

fn stored(answer: &StoreAnswer) -> Response<Full<Bytes>> {
    let status = match answer {
        StoreAnswer::Ignored => StatusCode::OK,
        StoreAnswer::Refused { .. } => StatusCode::FORBIDDEN,
    };
    json(status, answer)
}

/// In the form of an answer, so that the helper passes the words on.
fn denied(peer: Peer) -> Response<Full<Bytes>> {
    let who = match peer {
        Peer(Some(peer)) => format!("user {} of group {}", peer.uid, peer.gid),
        Peer(None) => "a peer that the kernel does not name".to_owned(),
    };
    tracing::warn!(who, "a peer asked for credentials that may not");
    let answer = Answer::Unavailable {
        message: format!(
            "{who} may not ask for credentials; `broker.allowed_users` and `broker.allowed_groups` say who may"
        ),
    };
    json(StatusCode::FORBIDDEN, &answer)
}

/// The JSON of a body of bounded length and time.
async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Response<Full<Bytes>>> {
    let refuse = |status, words: &str| text(status, format!("{words}\n"));
    let collected = Limited::new(request.into_body(), LONGEST_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, collected).await {
        Err(_) => Err(refuse(StatusCode::REQUEST_TIMEOUT, "no body came")),
        Ok(Err(_)) => Err(refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            "no body of at most 1 MiB came",
        )),
        Ok(Ok(body)) => serde_json::from_slice(&body.to_bytes())
            .map_err(|_| refuse(StatusCode::BAD_REQUEST, "the body is no request")),
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(body) => typed(status, "application/json", body.into()),
        Err(_) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "cannot render the answer\n".to_owned(),
        ),
    }
}
