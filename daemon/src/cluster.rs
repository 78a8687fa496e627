//! The way to the API server.

use std::{fmt, fmt::Write as _, path::PathBuf, sync::Arc, time::Duration};

use hyper::header::{HeaderValue, USER_AGENT};
use kube::{
    Client, Config,
    client::{AuthError, ClientBuilder},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError, LoadDataError},
};
use thiserror::Error;
use tokio::{
    runtime::Handle,
    sync::Mutex,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use crate::config::KubernetesSettings;

mod count;
mod request;

use self::count::Count;
pub(crate) use self::count::Requests;
pub(crate) use self::request::RequestError;

/// What logging must keep out, whatever level is asked for: kube logs every failed attempt as an
/// error of its own, and the whole body of an answer, secrets included, when it cannot read it.
pub const UNLOGGED_TARGET: &str = "kube_client";

/// Longest wait for a TCP and TLS connection, if the request timeout is not shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest text of another party that is passed on in an error.
const DETAIL_LIMIT: usize = 300;

/// A client of the API server that is made when it is first needed, shared, and made anew when its
/// credentials or the server's address may have changed.
///
/// kube re-reads token files and the service account's CA by itself, within a minute. Everything
/// else in a kubeconfig (client certificate, as the kubelet's rotates, CA, address) it reads once:
/// whoever sees a request fail for a reason that a fresh client might mend calls
/// [`renew`](Self::renew) before trying again.
///
/// Clients do not retry by themselves and have no time limit for answers; the caller sets both.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

/// A client, and the number that tells it from its predecessors.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: Client,
    generation: u64,
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The making of the client was aborted.
    #[error("cannot set up a client for the API server: {detail}")]
    Aborted {
        /// What happened.
        detail: String,
    },
    /// The pod's service account is not usable.
    #[error(
        "cannot use the pod's service account: {detail}; mount its token \
         (automountServiceAccountToken), or set `kubeconfig`"
    )]
    InCluster {
        /// What is wrong.
        detail: String,
    },
    /// The kubeconfig is not there (yet) or not usable.
    #[error("cannot use the kubeconfig {}: {detail}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Neither a kubeconfig nor a pod's service account.
    #[error(
        "cannot find an API server: set `kubeconfig` under [kubernetes], or run in a pod that has \
         a service account"
    )]
    NotConfigured,
    /// Something that runs for the client (a credential plugin of the kubeconfig) does not end.
    #[error("cannot set up a client for the API server within {limit:?}")]
    Slow {
        /// The limit.
        limit: Duration,
    },
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Remembers the settings; nothing is read yet, so nothing can fail.
    pub fn new(settings: &KubernetesSettings) -> Self {
        Self::counted(settings, Requests::default())
    }

    /// The same, with its requests counted.
    pub(crate) fn counted(settings: &KubernetesSettings, requests: Requests) -> Self {
        Self::with(
            Way::Settings(settings.kubeconfig.clone()),
            settings.request_timeout,
            requests,
        )
    }

    /// The same API server for somebody else: clients that show no credential of their own.
    pub fn anonymous(&self) -> Self {
        let way = match &self.0.way {
            Way::Settings(kubeconfig) | Way::Anonymous(kubeconfig) => {
                Way::Anonymous(kubeconfig.clone())
            }
            #[cfg(test)]
            Way::Given(client) => Way::Given(client.clone()),
        };
        Self::with(way, self.0.request_timeout, Requests::default())
    }

    /// The current client. Makes one if there is none, from what the files say at that time.
    pub async fn connection(&self) -> Result<Connection, ClusterError> {
        let Inner {
            way,
            request_timeout,
            current,
            requests,
        } = &*self.0;
        let mut current = current.lock().await;
        if let Some(client) = &current.client {
            return Ok(Connection {
                client: client.clone(),
                generation: current.generation,
            });
        }
        let client = match way {
            Way::Settings(kubeconfig) => {
                let made = current.made(kubeconfig, false, *request_timeout, requests);
                made.await?
            }
            Way::Anonymous(kubeconfig) => {
                let made = current.made(kubeconfig, true, *request_timeout, requests);
                made.await?
            }
            #[cfg(test)]
            Way::Given(client) => client.clone(),
        };
        current.generation += 1;
        current.client = Some(client.clone());
        Ok(Connection {
            client,
            generation: current.generation,
        })
    }

    /// Lets the next caller of [`connection`](Self::connection) have a fresh client, unless there
    /// is a younger one than `failed` already. Others may go on using theirs.
    pub async fn renew(&self, failed: &Connection) {
        let mut current = self.0.current.lock().await;
        if current.generation == failed.generation {
            current.client = None;
        }
    }

    fn with(way: Way, request_timeout: Duration, requests: Requests) -> Self {
        Self(Arc::new(Inner {
            way,
            request_timeout,
            requests,
            current: Mutex::default(),
        }))
    }

    /// A cluster whose answers a test makes up.
    #[cfg(test)]
    pub(crate) fn of_client(client: Client) -> Self {
        let limit = Duration::from_secs(10);
        Self::with(Way::Given(client), limit, Requests::default())
    }
}

/// The error in words that may be shown: the chain of causes for the network, fixed words for
/// everything that may quote an answer, a kubeconfig or a plugin's output.
pub(crate) fn describe(error: &kube::Error) -> String {
    use kube::Error;
    match error {
        Error::Api(status) => clip(&status.message),
        Error::Auth(AuthError::ReadTokenFile(e, path)) => {
            format!("cannot read the token file {}: {e}", path.display())
        }
        Error::Auth(AuthError::AuthExecStart(e)) => {
            format!("cannot run the credential plugin of the kubeconfig: {e}")
        }
        Error::Auth(_) => "the credentials of the kubeconfig are not usable".to_owned(),
        Error::FromUtf8(_) | Error::SerdeError(_) => {
            "the answer is not what the API server would send".to_owned()
        }
        Error::RustlsTls(_) => {
            "the certificates or the key of the kubeconfig are not usable".to_owned()
        }
        Error::InferKubeconfig(e) => describe_kubeconfig(e),
        Error::HyperError(e) => chain(e),
        Error::Service(e) => chain(e.as_ref()),
        Error::ReadEvents(e) => chain(e),
        other => clip(&other.to_string()),
    }
}

struct Inner {
    way: Way,
    request_timeout: Duration,
    current: Mutex<Current>,
    requests: Requests,
}

#[derive(Default)]
struct Current {
    client: Option<Client>,
    generation: u64,
    /// Kept when nobody waits for it any more, so that what hangs does not pile up.
    making: Option<JoinHandle<Result<Client, ClusterError>>>,
}

/// Where clients come from.
enum Way {
    Settings(Option<PathBuf>),
    /// The same without the credentials.
    Anonymous(Option<PathBuf>),
    #[cfg(test)]
    Given(Client),
}

impl Current {
    /// A client as the files want it. Reads them and may run a credential plugin, all of it
    /// blocking, so it happens on the blocking pool.
    async fn made(
        &mut self,
        kubeconfig: &Option<PathBuf>,
        anonymous: bool,
        limit: Duration,
        requests: &Requests,
    ) -> Result<Client, ClusterError> {
        let making = self.making.get_or_insert_with(|| {
            let (kubeconfig, runtime) = (kubeconfig.clone(), Handle::current());
            let count = Count(requests.clone());
            spawn_blocking(move || {
                let _runtime = runtime.enter();
                make(kubeconfig, anonymous, limit, &count, &runtime)
            })
        });
        let made = timeout(limit, making)
            .await
            .map_err(|_| ClusterError::Slow { limit })?;
        self.making = None;
        made.unwrap_or_else(|e| {
            Err(ClusterError::Aborted {
                detail: e.to_string(),
            })
        })
    }
}

fn make(
    kubeconfig: Option<PathBuf>,
    anonymous: bool,
    request_timeout: Duration,
    count: &Count,
    runtime: &Handle,
) -> Result<Client, ClusterError> {
    let unusable = |detail| match &kubeconfig {
        Some(path) => ClusterError::Kubeconfig {
            path: path.clone(),
            detail,
        },
        None => ClusterError::InCluster { detail },
    };
    let mut config = match &kubeconfig {
        Some(path) => Kubeconfig::read_from(path)
            .and_then(|kubeconfig| {
                let options = KubeConfigOptions::default();
                runtime.block_on(Config::from_custom_kubeconfig(kubeconfig, &options))
            })
            .map_err(|e| unusable(describe_kubeconfig(&e)))?,
        None if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() => {
            return Err(ClusterError::NotConfigured);
        }
        None => Config::incluster_env().map_err(|e| unusable(e.to_string()))?,
    };
    if anonymous {
        config.auth_info = AuthInfo::default();
    }
    // Retries of kube's own would hide for minutes that the API server refuses (429, 503).
    config.default_retry = false;
    config.connect_timeout = Some(request_timeout.min(CONNECT_TIMEOUT));
    // A silent watch is legitimate; the watcher knows for how long.
    config.read_timeout = None;
    config.headers.push((
        USER_AGENT,
        HeaderValue::from_static(concat!("pullkeeper/", env!("CARGO_PKG_VERSION"))),
    ));
    let builder = ClientBuilder::try_from(config).map_err(|e| unusable(describe(&e)))?;
    Ok(builder.with_layer(count).build())
}

fn describe_kubeconfig(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(e, _) => e.to_string(),
        KubeconfigError::Parse(_) => "it is not the YAML of a kubeconfig".to_owned(),
        KubeconfigError::LoadClientCertificate(LoadDataError::DecodeBase64(_))
        | KubeconfigError::LoadClientKey(LoadDataError::DecodeBase64(_)) => {
            "its client certificate or key is not base64".to_owned()
        }
        other => clip(&other.to_string()),
    }
}

/// All causes in one line, outermost first, without those that only repeat the one before.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            let _ = write!(text, ": {words}");
        }
        cause = error.source();
    }
    clip(&text)
}

/// One line of bounded length.
fn clip(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(DETAIL_LIMIT + 1)
        .collect();
    if line.chars().count() > DETAIL_LIMIT {
        line.pop();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests;
