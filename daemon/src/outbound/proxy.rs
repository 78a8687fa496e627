//! Connections that go through a proxy where the environment names one.

use std::env;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use pullkeeper_core::origin::Url;
use thiserror::Error;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::exit::chain;

/// Opens TCP connections, or tunnels through a proxy.
#[derive(Clone)]
pub(super) struct Proxied {
    direct: HttpConnector,
    matcher: Arc<Matcher>,
    limit: Duration,
}

/// Why there is no way through the proxy. Of its URL host and port are told: the rest may be a password.
#[derive(Debug, Error)]
pub(super) enum ProxyError {
    #[error("the proxy {0} cannot be reached: {1}; check HTTPS_PROXY in the environment")]
    Unreachable(String, String),
    #[error("the proxy {0} did not answer within {1:?}")]
    Slow(String, Duration),
    #[error(
        "the proxy {0} wants user name and password, or other ones (status 407); give them in HTTPS_PROXY in the \
         environment, as http://USER:PASSWORD@HOST:PORT"
    )]
    Unknown(String),
    #[error(
        "the proxy {0} makes no connection to {1}; allow that there, or name the host in NO_PROXY"
    )]
    Refused(String, String),
    #[error(
        "the proxy {0} is no http proxy, and others are not supported; give HTTPS_PROXY as http://HOST:PORT"
    )]
    Unsupported(String),
    #[error(
        "HTTPS_PROXY or ALL_PROXY in the environment is no URL; give it as http://USER:PASSWORD@HOST:PORT, with \
         percent-encoding in user name and password"
    )]
    NoUrl,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type TunnelError = <Tunnel<HttpConnector> as Service<Uri>>::Error;

/// Stands for a proxy whose URL cannot be read: going without one would be a surprise. No host has such a name.
const NO_URL: &str = "http://proxy.invalid:9";

impl Proxied {
    /// Goes by `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in capitals or not. What goes by http stays on this machine.
    pub(super) fn from_env(limit: Duration) -> Self {
        let variable = |names: [&str; 2]| names.iter().find_map(|name| env::var(name).ok());
        let proxy = variable(["HTTPS_PROXY", "https_proxy"]).filter(|proxy| !proxy.is_empty());
        let proxy = proxy.or_else(|| variable(["ALL_PROXY", "all_proxy"]));
        let no = variable(["NO_PROXY", "no_proxy"]);
        Self::new(&proxy.unwrap_or_default(), &no.unwrap_or_default(), limit)
    }

    fn new(proxy: &str, no: &str, limit: Duration) -> Self {
        // Go's programs, for which the node's variable is written, take `*.example` for what curl calls `.example`.
        let no = no.split(',').map(str::trim);
        let no: Vec<_> = no
            .map(|host| {
                host.strip_prefix('*')
                    .filter(|rest| !rest.is_empty())
                    .unwrap_or(host)
            })
            .collect();
        let no = no.join(",");
        let mut direct = HttpConnector::new();
        // TLS comes on top of it.
        direct.enforce_http(false);
        direct.set_connect_timeout(Some(limit));
        let matcher = |proxy: &str| {
            Matcher::builder()
                .https(proxy.to_owned())
                .no(no.clone())
                .build()
        };
        let readable = || {
            let alone = Matcher::builder().https(proxy.to_owned()).build();
            let proxy = alone.intercept(&Uri::from_static("https://any.invalid"));
            // With two of that sign the password ends too early, and its rest is taken for a user's name.
            proxy.is_some_and(|proxy| !proxy.uri().to_string().contains('@'))
        };
        let matcher = match proxy {
            "" => matcher(""),
            proxy if readable() => matcher(proxy),
            _ => matcher(NO_URL),
        };
        Self {
            direct,
            matcher: Arc::new(matcher),
            limit,
        }
    }

    fn intercept(&self, uri: &Uri) -> Option<Intercept> {
        // This machine is not behind a proxy of its own.
        let local = Url::parse(&uri.to_string()).is_ok_and(|url| url.origin().is_loopback());
        self.matcher.intercept(uri).filter(|_| !local)
    }
}

/// Asks a proxy for a connection.
async fn tunnel(
    proxy: &Intercept,
    direct: HttpConnector,
    to: Uri,
) -> Result<TokioIo<TcpStream>, ProxyError> {
    let name = name(proxy.uri());
    if *proxy.uri() == *NO_URL {
        return Err(ProxyError::NoUrl);
    }
    if proxy.uri().scheme_str() != Some("http") {
        return Err(ProxyError::Unsupported(name));
    }
    let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
    if let Some(auth) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(auth.clone());
    }
    let host = to.host().unwrap_or_default().to_owned();
    tunnel.call(to).await.map_err(|error| match error {
        TunnelError::ConnectFailed(error) => ProxyError::Unreachable(name, chain(&*error)),
        TunnelError::Io(error) => ProxyError::Unreachable(name, error.to_string()),
        TunnelError::ProxyAuthRequired => ProxyError::Unknown(name),
        _ => ProxyError::Refused(name, host),
    })
}

/// `HOST:PORT`.
fn name(proxy: &Uri) -> String {
    let host = proxy.host().unwrap_or_default();
    format!("{host}:{}", proxy.port_u16().unwrap_or(80))
}

impl Service<Uri> for Proxied {
    type Response = TokioIo<TcpStream>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.direct.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let intercept = self.intercept(&uri);
        let limit = self.limit;
        let mut direct = self.direct.clone();
        Box::pin(async move {
            match intercept {
                None => tokio::time::timeout(limit, direct.call(uri))
                    .await
                    .map_err(|_| format!("no connection within {limit:?}"))?
                    .map_err(Into::into),
                Some(proxy) => tokio::time::timeout(limit, tunnel(&proxy, direct, uri))
                    .await
                    .map_err(|_| ProxyError::Slow(name(proxy.uri()), limit))?
                    .map_err(Into::into),
            }
        })
    }
}

impl fmt::Debug for Proxied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's URL may hold a password.
        f.debug_struct("Proxied").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
