//! The administrative endpoint: `/metrics`, `/healthz`, `/readyz`, `/statusz`. Read-only, without secrets.
//!
//! | path | answers |
//! |---|---|
//! | `/metrics` | OpenMetrics text |
//! | `/healthz` | `ok` while the process makes progress; never depends on the API server |
//! | `/readyz` | 200 or 503, one line for each named condition |
//! | `/statusz` | JSON: sources, revisions, findings, targets |

pub mod listener;
pub mod metrics;
pub mod readiness;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::listener::Listener;
use crate::status::Board;

/// Clients beyond this wait in the listener's queue; monitoring needs two or three.
const CONNECTIONS: usize = 32;
/// A client that has not sent its request's head by then is cut off, or it would hold up the shutdown.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long requests under way get at shutdown.
const DRAIN: Duration = Duration::from_secs(3);
/// After `accept` failed for want of file descriptors: they come back when connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until cancelled, then lets requests under way finish.
pub async fn serve(listener: Listener, board: Arc<Board>, cancel: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let permit = tokio::select! {
            () = cancel.cancelled() => break,
            permit = Arc::clone(&permits).acquire_owned() => permit,
        };
        let stream = tokio::select! {
            () = cancel.cancelled() => break,
            stream = listener.accept() => stream,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an admin connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let board = Arc::clone(&board);
        let service = service_fn(move |request| {
            let response = answer(&request, &board);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an admin connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("admin requests were still under way at shutdown");
    }
}

fn answer(request: &Request<Incoming>, board: &Board) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD\n".to_owned(),
        );
        response
            .headers_mut()
            .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/metrics" => match board.metrics().render() {
            Ok(metrics) => typed(StatusCode::OK, OPEN_METRICS, metrics),
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
            Ok(status) => typed(StatusCode::OK, "application/json", status + "\n"),
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

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(content_type),
    );
    headers.insert(
        CACHE_CONTROL,
        hyper::header::HeaderValue::from_static("no-store"),
    );
    response
}
