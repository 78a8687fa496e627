//! The one HTTPS client for registries and token services.
//!
//! What it never does: follow a redirect, retry, go on longer than its limits, read a body without a bound, or put
//! anything of a body into an error.

mod proxy;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pullkeeper_core::origin::Origin;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use zeroize::Zeroizing;

use self::proxy::Proxied;
use crate::exit::chain;

/// Name look-up, TCP and TLS.
const CONNECT: Duration = Duration::from_secs(5);
/// From the first byte sent to the last one received. Three requests fit into the helper's deadline.
const TOTAL: Duration = Duration::from_secs(7);
/// Token services answer with a few kilobytes; clients accept 64 KiB to 1 MiB.
const LONGEST_BODY: usize = 64 << 10;

/// A client with its own set of trusted certificates. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: Client<HttpsConnector<Proxied>, Full<Bytes>>,
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
    #[error("cannot read certificates from {path}: {detail}; the file must hold them in PEM form")]
    CaFile {
        /// Its path.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
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
    /// A client that trusts the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) and those in
    /// the file, and goes through the proxy that `HTTPS_PROXY` and `NO_PROXY` name.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, SetupError> {
        let mut roots = RootCertStore::empty();
        // One that cannot be read is no reason to do without the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca_file {
            let failed = |detail| SetupError::CaFile {
                path: path.display().to_string(),
                detail,
            };
            let further = CertificateDer::pem_file_iter(path).map_err(|e| failed(e.to_string()))?;
            let mut found = false;
            for certificate in further {
                let certificate = certificate.map_err(|error| failed(error.to_string()))?;
                roots
                    .add(certificate)
                    .map_err(|error| failed(error.to_string()))?;
                found = true;
            }
            if !found {
                return Err(failed("it holds none".to_owned()));
            }
        }
        let tls = ClientConfig::builder()
            .with_root_certificates(Arc::new(roots))
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            // Which URLs may be http is the configuration's to say, and said there.
            .https_or_http()
            .enable_http1()
            .wrap_connector(Proxied::from_env(CONNECT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(2)
            .retry_canceled_requests(true)
            .build(connector);
        Ok(Self { client })
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
        let response = self.client.request(request).await;
        let response = response.map_err(|error| unreachable(chain(&error)))?;
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
}
