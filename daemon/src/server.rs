//! HTTP/1.1 on a listener: how connections are accepted, bounded and drained. What is answered is the caller's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listener::{Listener, Peer};

/// A client that has not sent its request's head by then is cut off, or it would hold up the shutdown.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);
/// After `accept` failed for want of file descriptors: they come back when connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What an endpoint is like.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For logs.
    pub name: &'static str,
    /// Clients beyond this wait in the listener's queue.
    pub connections: usize,
    /// Whether a connection may carry several requests. Otherwise each one that was accepted gets its answer, at
    /// shutdown too; one that is kept for later is closed then, and a request that was just sent on it is lost.
    pub keep_alive: bool,
    /// How long requests under way get at shutdown.
    pub drain: Duration,
}

/// Serves until cancelled, then lets requests under way finish.
pub async fn serve<A, F>(listener: Listener, limits: Limits, answer: A, cancel: CancellationToken)
where
    A: Fn(Request<Incoming>, Peer) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let connections = TaskTracker::new();
    loop {
        let permit = tokio::select! {
            () = cancel.cancelled() => break,
            permit = Arc::clone(&permits).acquire_owned() => permit,
        };
        let stream = tokio::select! {
            () = cancel.cancelled() => break,
            stream = listener.accept() => stream,
        };
        let (stream, peer) = match stream {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(endpoint = limits.name, %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let response = answer(request, peer);
            async move { Ok::<_, Infallible>(response.await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(16 * 1024)
            .keep_alive(limits.keep_alive)
            .serve_connection(TokioIo::new(stream), service);
        let watcher = limits.keep_alive.then(|| graceful.watcher());
        connections.spawn(async move {
            let _permit = permit;
            let ended = match watcher {
                Some(watcher) => watcher.watch(connection).await,
                None => connection.await,
            };
            if let Err(error) = ended {
                tracing::debug!(endpoint = limits.name, %error, "a connection ended early");
            }
        });
    }
    drop(listener);
    connections.close();
    let drained = tokio::time::timeout(limits.drain, async {
        tokio::join!(graceful.shutdown(), connections.wait());
    });
    if drained.await.is_err() {
        let endpoint = limits.name;
        tracing::warn!(endpoint, "requests were still under way at shutdown");
    }
}

/// A plain text.
pub fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body.into())
}

/// A body of this type, which nobody may keep.
pub fn typed(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
