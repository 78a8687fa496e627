//! Whether what the units serve is well.

use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Asks once; what came instead of 200.
pub(super) async fn ask(url: &Uri) -> Result<(), String> {
    // Without a proxy, and without a connection that an earlier process has answered on.
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    match tokio::time::timeout(ANSWER, client.get(url.clone())).await {
        Ok(Ok(answer)) if answer.status() == StatusCode::OK => Ok(()),
        Ok(Ok(answer)) => Err(format!("it answers {}", answer.status())),
        Ok(Err(error)) => Err(crate::exit::chain(&error)),
        Err(_) => Err("it does not answer".to_owned()),
    }
}
