//! The administrative endpoint: `/metrics`, `/healthz`, `/readyz`, `/statusz`. Read-only, without secrets.
//!
//! | path | answers |
//! |---|---|
//! | `/metrics` | OpenMetrics text |
//! | `/healthz` | `ok` while the process makes progress; never depends on the API server |
//! | `/readyz` | 200 or 503, one line for each named condition |
//! | `/statusz` | JSON: sources, revisions, findings, targets |

pub mod metrics;
pub mod readiness;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::listener::Listener;
use crate::server::{self, Limits, text, typed};
use crate::status::Board;

const LIMITS: Limits = Limits {
    name: "admin",
    // Monitoring needs two or three.
    connections: 32,
    keep_alive: true,
    drain: Duration::from_secs(3),
};

/// Serves until cancelled, then lets requests under way finish.
pub async fn serve(listener: Listener, board: Arc<Board>, cancel: CancellationToken) {
    let answer = move |request: Request<Incoming>, _| {
        let response = answer(&request, &board);
        async move { response }
    };
    server::serve(listener, LIMITS, answer, cancel).await;
}

fn answer(request: &Request<Incoming>, board: &Board) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD\n".to_owned(),
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/metrics" => match board.metrics().render() {
            Ok(metrics) => typed(StatusCode::OK, OPEN_METRICS, metrics.into()),
            Err(_) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "cannot render the metrics\n".to_owned(),
            ),
        },
        "/readyz" => {
            let (ready, report) = readiness::report(&board.status());
            text(
                if ready {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                },
                report,
            )
        }
        "/statusz" => match serde_json::to_string_pretty(&board.status()) {
            Ok(status) => typed(StatusCode::OK, "application/json", (status + "\n").into()),
            Err(_) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "cannot render the status\n".to_owned(),
            ),
        },
        _ => text(
            StatusCode::NOT_FOUND,
            "try /metrics, /healthz, /readyz or /statusz\n".to_owned(),
        ),
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
