//! Connections that go through a proxy where the environment names one.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use pullkeeper_core::origin::Url;
use tokio::net::TcpStream;
use tower_service::Service;

/// Opens TCP connections, or tunnels through a proxy.
#[derive(Clone)]
pub(super) struct Proxied {
    direct: HttpConnector,
    matcher: Arc<Matcher>,
    limit: Duration,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Proxied {
    /// Goes by `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in capitals or not.
    pub(super) fn from_env(limit: Duration) -> Self {
        let mut direct = HttpConnector::new();
        // TLS comes on top of it.
        direct.enforce_http(false);
        direct.set_connect_timeout(Some(limit));
        Self {
            direct,
            matcher: Arc::new(Matcher::from_env()),
            limit,
        }
    }
}

impl Service<Uri> for Proxied {
    type Response = TokioIo<TcpStream>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.direct.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // This machine is not behind a proxy of its own.
        let local = Url::parse(&uri.to_string()).is_ok_and(|url| url.origin().is_loopback());
        let intercept = self.matcher.intercept(&uri).filter(|_| !local);
        let limit = self.limit;
        let mut direct = self.direct.clone();
        Box::pin(async move {
            let connecting = async move {
                match intercept {
                    None => Ok(direct.call(uri).await?),
                    Some(proxy) => {
                        let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
                        if let Some(auth) = proxy.basic_auth() {
                            tunnel = tunnel.with_auth(auth.clone());
                        }
                        Ok(tunnel.call(uri).await?)
                    }
                }
            };
            let connected = tokio::time::timeout(limit, connecting);
            connected
                .await
                .unwrap_or_else(|_| Err(format!("no connection within {limit:?}").into()))
        })
    }
}

impl fmt::Debug for Proxied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's URL may hold a password.
        f.debug_struct("Proxied").finish_non_exhaustive()
    }
}
