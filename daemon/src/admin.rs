//! The administrative endpoint: `/metrics`, `/healthz`, `/readyz`, `/statusz`. Read-only, without secrets.
//!
//! | path | answers |
//! |---|---|
//! | `/metrics` | OpenMetrics text |
//! | `/healthz` | `ok` while the process makes progress; never depends on the API server |
//! | `/readyz` | 200 or 503, one line for each named condition |
//! | `/statusz` | JSON: sources, revisions, findings, targets, the credential helper on the host |

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

/// Whose state is shown.
pub trait Shown: Send + Sync + 'static {
    /// The OpenMetrics text.
    ///
    /// # Errors
    /// When it cannot be formatted.
    fn metrics(&self) -> Result<String, std::fmt::Error>;
    /// Whether it is ready, and one line for each named condition.
    fn readiness(&self) -> (bool, String);
    /// JSON.
    ///
    /// # Errors
    /// When it cannot be formatted.
    fn status(&self) -> serde_json::Result<String>;
}

impl Shown for Board {
    fn metrics(&self) -> Result<String, std::fmt::Error> {
        Board::metrics(self).render()
    }

    fn readiness(&self) -> (bool, String) {
        readiness::report(&Board::status(self))
    }

    fn status(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&Board::status(self))
    }
}

const LIMITS: Limits = Limits {
    name: "admin",
    // Monitoring needs two or three.
    connections: 32,
    keep_alive: true,
    drain: Duration::from_secs(3),
};

/// Serves until cancelled, then lets requests under way finish.
pub async fn serve(listener: Listener, shown: Arc<impl Shown>, cancel: CancellationToken) {
    let answer = move |request: Request<Incoming>, _| {
        let response = answer(&request, &*shown);
        async move { response }
    };
    server::serve(listener, LIMITS, answer, cancel).await;
}

fn answer(request: &Request<Incoming>, shown: &impl Shown) -> Response<Full<Bytes>> {
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
        "/metrics" => match shown.metrics() {
            Ok(metrics) => typed(StatusCode::OK, OPEN_METRICS, metrics.into()),
            Err(_) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "cannot render the metrics\n".to_owned(),
            ),
        },
        "/readyz" => {
            let (ready, report) = shown.readiness();
            text(
                if ready {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                },
                report,
            )
        }
        "/statusz" => match shown.status() {
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
