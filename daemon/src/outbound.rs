//! The one HTTPS client for registries and token services.
//!
//! What it never does: follow a redirect, retry, go on longer than its limits, read a body without a bound, or put
//! anything of a body into an error.

mod listed;
mod proxy;
mod reason;
mod trust;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pullkeeper_core::origin::Origin;
use thiserror::Error;
use zeroize::Zeroizing;

use self::proxy::Proxied;
pub use self::trust::TrustError;
use self::trust::{Found, Trust};

/// Name look-up and TCP, also through a proxy.
const CONNECT: Duration = Duration::from_secs(5);
/// From the first byte sent to the last one received. Three requests fit into the helper's deadline.
const TOTAL: Duration = Duration::from_secs(7);
/// Token services answer with a few kilobytes; clients accept 64 KiB to 1 MiB.
const LONGEST_BODY: usize = 64 << 10;

type Connections = Client<HttpsConnector<Proxied>, Full<Bytes>>;

/// A client with its own set of trusted certificates.
#[derive(Debug)]
pub struct Outbound {
    trust: Arc<Trust>,
    proxied: Proxied,
    open: Mutex<Vec<Open>>,
}

/// Connections that believe the same.
#[derive(Debug)]
struct Open {
    to: Group,
    found: Arc<Found>,
    connections: Connections,
}

/// Who shares connections. There are no more groups than directories, whatever is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Group {
    /// Without TLS.
    Plain,
    /// With nothing of their own.
    Common,
    /// One with certificates of its own, by which nobody else is to be believed.
    Own(Origin),
}

/// What came back.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body. It may hold a token, and is wiped; hyper's own buffers are not.
    pub body: Zeroizing<Vec<u8>>,
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The file of further certificates.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Why there is no reply. Names where the request went, and nothing that was sent or received.
#[derive(Debug, Error)]
pub enum OutboundError {
    /// No connection, no TLS, or it broke.
    #[error("cannot reach {to}: {detail}")]
    Unreachable {
        /// Where.
        to: Origin,
        /// The chain of causes.
        detail: String,
    },
    /// It cannot be told whom to trust.
    #[error("cannot reach {to}: {reason}")]
    Untold {
        /// Where.
        to: Origin,
        /// Which file is at fault.
        reason: TrustError,
    },
    /// It took too long.
    #[error("{to} did not answer within {limit:?}")]
    Slow {
        /// Who.
        to: Origin,
        /// The limit.
        limit: Duration,
    },
    /// The body is longer than any token service's.
    #[error("{to} answered with more than 64 KiB")]
    TooLarge {
        /// Who.
        to: Origin,
    },
}

impl Outbound {
    /// A client that trusts the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured), those in
    /// the file, and for an origin those in its `certs.d` directory, and goes through the proxy that `HTTPS_PROXY` and
    /// `NO_PROXY` name. File and directory are looked at for every request, so a certificate that was replaced is used
    /// at once; the system's are read here.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, SetupError> {
        let trust = Trust::new(ca_file);
        // A file that cannot be used is better told now than at the first pull.
        trust.tls(&trust.everywhere()?)?;
        Ok(Self {
            trust: Arc::new(trust),
            proxied: Proxied::from_env(CONNECT),
            open: Mutex::default(),
        })
    }

    /// Sends a request to an origin and reads the whole reply.
    pub async fn send(
        &self,
        to: &Origin,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Reply, OutboundError> {
        let agent = HeaderValue::from_static(concat!("pullkeeper/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        let replied = tokio::time::timeout(TOTAL, self.exchange(to, request));
        replied.await.unwrap_or_else(|_| {
            Err(OutboundError::Slow {
                to: to.clone(),
                limit: TOTAL,
            })
        })
    }

    async fn exchange(
        &self,
        to: &Origin,
        request: Request<Full<Bytes>>,
    ) -> Result<Reply, OutboundError> {
        let unreachable = |detail| OutboundError::Unreachable {
            to: to.clone(),
            detail,
        };
        let found = self.found(to).await?;
        let connections = self.connections(to, &found)?;
        let response = connections.request(request).await;
        let response = response.map_err(|error| unreachable(reason::of(&error, to, &found)))?;
        let (head, body) = response.into_parts();
        let body = match Limited::new(body, LONGEST_BODY).collect().await {
            Ok(body) => Zeroizing::new(body.to_bytes().to_vec()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(OutboundError::TooLarge { to: to.clone() });
            }
            Err(_) => return Err(unreachable("the connection broke".to_owned())),
        };
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// What is trusted at this origin now. Disks may be slow, so that is asked for on another thread.
    async fn found(&self, to: &Origin) -> Result<Arc<Found>, OutboundError> {
        if !to.is_secure() {
            return Ok(Arc::default());
        }
        let (trust, origin) = (Arc::clone(&self.trust), to.clone());
        let found = tokio::task::spawn_blocking(move || trust.at(&origin)).await;
        let found = found.map_err(|error| OutboundError::Unreachable {
            to: to.clone(),
            detail: error.to_string(),
        })?;
        found.map(Arc::new).map_err(|reason| OutboundError::Untold {
            to: to.clone(),
            reason,
        })
    }

    /// Connections that believe what was found, and nothing else; open ones where it is still the same.
    fn connections(&self, to: &Origin, found: &Arc<Found>) -> Result<Connections, OutboundError> {
        let group = match &found.directory {
            _ if !to.is_secure() => Group::Plain,
            None => Group::Common,
            Some(_) => Group::Own(to.clone()),
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let at = open.iter().position(|open| open.to == group);
        if let Some(open) = at.map(|at| &open[at])
            && open.found == *found
        {
            return Ok(open.connections.clone());
        }
        let tls = self.trust.tls(found);
        let tls = tls.map_err(|reason| OutboundError::Untold {
            to: to.clone(),
            reason,
        })?;
        // Which URLs may be http is the configuration's to say, and said there.
        let connector = HttpsConnector::from((self.proxied.clone(), tls));
        let connections = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(2)
            .retry_canceled_requests(true)
            .build(connector);
        let opened = Open {
            to: group,
            found: Arc::clone(found),
            connections: Connections::clone(&connections),
        };
        match at {
            // The connections that were made by the former go with it.
            Some(at) => open[at] = opened,
            None => open.push(opened),
        }
        Ok(connections)
    }
}

#[cfg(test)]
mod tests;
