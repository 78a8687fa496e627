//! etcd, and what only etcd can do: forget history.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use crate::http::Endpoint;
use crate::part::{Part, Ready};
use crate::ports::Port;
use crate::process::Program;

/// A single member without TLS. It does not wait for the disk, which no test here asks it to
/// survive: the page cache outlives a kill of the process.
pub(super) fn part(folder: &Path, client: &Port, peer: &Port) -> Result<Part> {
    let (url, peer_url) = (
        format!("http://{}", client.address()),
        format!("http://{}", peer.address()),
    );
    let program = Program::installed("etcd")?
        .arg("--name=test")
        .arg(format!("--data-dir={}", folder.join("etcd").display()))
        .arg(format!("--listen-client-urls={url}"))
        .arg(format!("--advertise-client-urls={url}"))
        .arg(format!("--listen-peer-urls={peer_url}"))
        .arg(format!("--initial-advertise-peer-urls={peer_url}"))
        .arg(format!("--initial-cluster=test={peer_url}"))
        .args(["--unsafe-no-fsync", "--logger=zap", "--log-outputs=stderr"])
        // Alone it need not wait a second for the votes of others.
        .args(["--heartbeat-interval=10", "--election-timeout=100"]);
    let ready = Ready {
        endpoint: Endpoint::plain(client.address()),
        path: "/health",
    };
    Ok(Part::new(program, folder.to_owned(), ready))
}

/// The newest revision, which is also the newest `resourceVersion` of the cluster.
pub(super) async fn revision(etcd: &Endpoint) -> Result<u64> {
    let answer = call(
        etcd,
        "kv/range",
        &json!({ "key": BASE64_STANDARD.encode(MARK) }),
    )
    .await?;
    let revision = answer["header"]["revision"]
        .as_str()
        .context("etcd told no revision")?;
    Ok(revision.parse()?)
}

/// Drops every revision but the newest, from the disk too.
pub(super) async fn compact(etcd: &Endpoint) -> Result<u64> {
    let revision = revision(etcd).await?;
    let request = json!({ "revision": revision.to_string(), "physical": true });
    call(etcd, "kv/compaction", &request).await?;
    Ok(revision)
}

/// Makes a new revision outside of all that Kubernetes stores.
pub(super) async fn advance(etcd: &Endpoint) -> Result<()> {
    let mark = BASE64_STANDARD.encode(MARK);
    call(etcd, "kv/put", &json!({ "key": mark, "value": mark }))
        .await
        .map(drop)
}

const MARK: &str = "/pullkeeper-test/mark";

// etcd serves its gRPC API as JSON too; bytes are base64 and 64-bit numbers are strings there.
async fn call(etcd: &Endpoint, method: &str, body: &Value) -> Result<Value> {
    let request = Request::post(format!("/v3/{method}"))
        .header("host", etcd.host())
        .body(Full::from(body.to_string()))?;
    etcd.send(request)
        .await?
        .json()
        .with_context(|| format!("etcd refused {method}"))
}
