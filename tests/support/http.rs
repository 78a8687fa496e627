//! A plain HTTP/1.1 client for loopback: one connection per request, nothing retried, nothing
//! kept, so that what a suite sees is what the server said.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::patience;

pub use hyper::{HeaderMap, Method, StatusCode};

/// Where a server listens and how to speak to it.
#[derive(Clone)]
pub struct Endpoint {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Endpoint {
    /// A server without TLS.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    /// A server whose certificate names its IP address.
    pub fn tls(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        Self {
            address,
            tls: Some(config),
        }
    }

    /// `http://…` or `https://…`, without a path.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Opens a connection and speaks to the server through it.
    ///
    /// # Errors
    /// When the server does not accept or the handshake fails.
    pub async fn connect<B>(&self) -> Result<SendRequest<B>>
    where
        B: hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        let tcp = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("cannot connect to {}", self.address))?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            None => drive(tcp).await,
            Some(config) => {
                let name = ServerName::from(self.address.ip());
                let tls = TlsConnector::from(Arc::clone(config))
                    .connect(name, tcp)
                    .await;
                drive(tls.with_context(|| format!("no TLS with {}", self.address))?).await
            }
        }
    }

    /// Sends a request and returns the answer as soon as its head is there.
    ///
    /// # Errors
    /// When there is no answer within [`patience`]. The status is not judged.
    pub async fn open(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        let what = format!("{} {}{}", request.method(), self.url(), request.uri());
        let exchange = async { anyhow::Ok(self.connect().await?.send_request(request).await?) };
        tokio::time::timeout(patience(), exchange)
            .await
            .map_err(Into::into)
            .flatten()
            .with_context(|| format!("no answer to {what}"))
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When there is no whole answer within [`patience`]. The status is not judged.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let (head, body) = self.open(request).await?.into_parts();
        let body = tokio::time::timeout(patience(), body.collect())
            .await??
            .to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// GET of a path.
    ///
    /// # Errors
    /// As [`Endpoint::send`].
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(
            Request::get(path)
                .header("host", self.host())
                .body(Full::default())?,
        )
        .await
    }

    /// What belongs into the `Host` header.
    pub fn host(&self) -> String {
        self.address.to_string()
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(&self.url()).finish()
    }
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status, of whatever class.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text, invalid UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, if the status is 2xx.
    ///
    /// # Errors
    /// For any other status, with the start of the body; for a body that is no JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        let start = || self.text().chars().take(500).collect::<String>();
        anyhow::ensure!(self.status.is_success(), "{}: {}", self.status, start());
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", start()))
    }
}

async fn drive<B>(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<B>>
where
    B: hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    // Its errors reach the caller through the answer or its body.
    tokio::spawn(connection);
    Ok(sender)
}
