//! One request and its answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use anyhow::{Result, anyhow};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::{Request, Response};

use super::{Mode, Refusal, Seen, Shared, Side};
use crate::http::Method;

type Answer = Response<UnsyncBoxBody<Bytes, anyhow::Error>>;

/// Answers a request as the mode says. An error ends the connection without an answer, as when
/// the server itself had gone.
pub(super) async fn exchange(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Answer> {
    let mode = shared.arrival(&request);
    match mode {
        Mode::Refuse(refusal) => return refuse(refusal),
        Mode::Delay(time) => tokio::time::sleep(time).await,
        Mode::Pass | Mode::CutBody(_) | Mode::BlackHole => {}
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let side = shared.caught(&head.method, &head.uri.to_string(), &body);
    if side == Some(Side::Before) {
        return std::future::pending().await;
    }
    let mut server = shared.upstream.connect().await?;
    let request = Request::from_parts(head, Full::<Bytes>::from(body));
    let (head, body) = server.send_request(request).await?.into_parts();
    if side == Some(Side::After) {
        return std::future::pending().await;
    }
    let left = if let Mode::CutBody(length) = mode {
        Some(length)
    } else {
        None
    };
    let body = body.map_err(anyhow::Error::from);
    let body = match left {
        None => body.boxed_unsync(),
        Some(left) => Cut {
            body,
            left,
            flushed: false,
        }
        .boxed_unsync(),
    };
    Ok(Response::from_parts(head, body))
}

impl Shared {
    /// On which side the request is held, if the trap takes it.
    fn caught(&self, method: &Method, uri: &str, body: &[u8]) -> Option<Side> {
        let mut state = self.state();
        let trap = state.trap.take_if(|trap| trap.takes(method, uri, body))?;
        state.caught += 1;
        Some(trap.side())
    }

    /// Notes the request and says what to do with it.
    fn arrival(&self, request: &Request<Incoming>) -> Mode {
        let mut state = self.state();
        state.seen.push(Seen {
            at: Instant::now(),
            method: request.method().clone(),
            uri: request.uri().to_string(),
        });
        state.refusals.pop_front().map_or(state.mode, Mode::Refuse)
    }
}

// The words of the API server: 429 comes from its overload protection as plain text, 500 as an
// object.
fn refuse(refusal: Refusal) -> Result<Answer> {
    let (answer, body) = match refusal {
        Refusal::TooManyRequests { retry_after } => (
            Response::builder()
                .status(429)
                .header("retry-after", retry_after)
                .header("content-type", "text/plain; charset=utf-8"),
            "Too many requests, please try again later.\n".to_owned(),
        ),
        Refusal::InternalError => (
            Response::builder()
                .status(500)
                .header("content-type", "application/json"),
            serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "Internal error occurred: refused by the test's proxy",
                "reason": "InternalError", "code": 500,
            })
            .to_string(),
        ),
    };
    Ok(answer.body(
        Full::from(body)
            .map_err(|never| match never {})
            .boxed_unsync(),
    )?)
}

/// A body that breaks off after `left` bytes.
struct Cut<B> {
    body: B,
    left: usize,
    flushed: bool,
}

impl<B> Body for Cut<B>
where
    B: Body<Data = Bytes, Error = anyhow::Error> + Unpin,
{
    type Data = Bytes;
    type Error = anyhow::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        if self.left == 0 {
            // The server sends what it has when a body pauses; without this pause the error would
            // take the bytes before the cut with it.
            if !self.flushed {
                self.flushed = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(Some(Err(anyhow!("cut"))));
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let Some(Ok(frame)) = frame else {
            return Poll::Ready(frame);
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Err(trailers) => trailers,
            Ok(mut data) => {
                data.truncate(self.left);
                self.left -= data.len();
                Frame::data(data)
            }
        })))
    }
}
