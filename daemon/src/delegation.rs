//! Credentials that come from somewhere else than the pull secret's own entry for a registry.
//!
//! ```text
//! query ─▶ delegation ─▶ identity (pod's token, or the node) ─▶ cache ─▶ grant ─▶ outbound ─▶ registry, token service
//! ```
//!
//! A delegation that fits answers alone: when it fails, nobody else's credential is handed out in its place.

mod cache;
mod credential;
mod discovery;
mod message;
mod namespace;
pub(crate) mod probe;
mod registry_token;
mod shelf;
mod slot;
mod steps;
mod stored;
mod subject;
mod token_endpoint;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pullkeeper_core::authfile::Credential;
use pullkeeper_core::jwt::Account;
use pullkeeper_core::query::Query;
use pullkeeper_core::wire::{Answer, Secret};
use tokio::time::Instant;

use self::cache::{Cache, Key};
use self::credential::Lookup;
use self::discovery::Discovery;
use self::namespace::ApiServer;
use self::registry_token::RegistryToken;
pub use self::shelf::Shelf;
pub use self::steps::steps;
use self::stored::Stored;
use self::subject::{Held, Holder};
use self::token_endpoint::Granted;
use crate::cluster::Cluster;
use crate::config::{DelegationSettings, Exchange, Grant, Subject, TokenFlow};
use crate::outbound::{Outbound, SetupError};
use crate::status::Board;

/// All delegations of one configuration.
#[derive(Debug, Default)]
pub struct Delegations(Vec<Delegation>);

/// What delegations make use of.
#[derive(Clone, Copy, Debug)]
pub struct Means<'m> {
    /// Where exchanges are counted.
    pub board: &'m Arc<Board>,
    /// The way to the API server, for those that read Secrets with a pod's token.
    pub cluster: &'m Cluster,
    /// Where what is obtained is kept for other processes of this user.
    pub shelf: Option<&'m Shelf>,
}

/// One delegation, and what it has obtained so far.
#[derive(Debug)]
pub struct Delegation {
    settings: DelegationSettings,
    outbound: Arc<Outbound>,
    api_server: ApiServer,
    discovery: Discovery,
    cache: Cache,
    board: Arc<Board>,
    /// What was last said about it going wrong, so that nothing is said twice while it lasts.
    told: Mutex<Option<String>>,
}

/// Why there is nothing to hand out. The words name places and what to do, and hold no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One line.
    pub message: String,
    /// How long whoever failed wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// Something to hand out.
#[derive(Clone, Debug)]
pub struct Obtained {
    /// The user name that goes with it.
    pub username: String,
    /// Password or token.
    pub secret: Secret,
    /// How long it may be handed out from now on; zero for once.
    pub life: Duration,
}

/// Whom something was obtained for. Nothing is ever handed to another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    /// Every workload of the node: the credential is the node's.
    Node,
    /// Every pod of a namespace that has credentials of its own.
    Namespace(String),
    /// One service account.
    Account(Account),
}

/// Where the credentials of token services are looked up.
pub trait Credentials: Sync {
    /// The namespace that has credentials of its own, for whose pods alone what they obtain is kept.
    fn namespace(&self) -> Option<&str>;

    /// What holds them, in an error's words.
    fn holder(&self) -> String {
        "the pull secret".to_owned()
    }

    /// The pull secret's credential for this place, if there is one.
    fn of(&self, place: &Query) -> Option<Credential>;
}

impl Delegations {
    /// Makes ready what the configuration asks for. Nothing is sent yet.
    pub fn new(settings: &[DelegationSettings], means: &Means<'_>) -> Result<Self, SetupError> {
        let delegations = settings.iter().map(|settings| {
            Ok(Delegation {
                settings: settings.clone(),
                outbound: Arc::new(Outbound::new(settings.ca_file.as_deref())?),
                api_server: ApiServer::new(means.cluster),
                discovery: Discovery::default(),
                cache: Cache::sharing(means.shelf, settings),
                board: Arc::clone(means.board),
                told: Mutex::default(),
            })
        });
        delegations.collect::<Result<_, _>>().map(Self)
    }

    /// Whether these settings would make other ones.
    pub fn differ_from(&self, settings: &[DelegationSettings]) -> bool {
        !self.0.iter().map(|one| &one.settings).eq(settings)
    }

    /// The delegation that answers a query.
    pub fn find(&self, query: &Query) -> Option<&Delegation> {
        self.0.iter().find(|one| one.settings.answers(query))
    }
}

impl Delegation {
    /// Its name, for logs and metrics.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether it looks anything up in the sources.
    pub fn needs_sources(&self) -> bool {
        self.settings.credential_file.is_none()
            && match &self.settings.grant {
                Grant::RegistryToken(_) => true,
                Grant::Exchange(exchange) => exchange.client,
                Grant::NamespaceSecrets { .. } | Grant::PassThrough { .. } => false,
            }
    }

    /// Obtains what the client is to present, or says why not. `token` is the pod's, where kubelet sent one.
    pub async fn answer(
        &self,
        query: &Query,
        token: Option<&Secret>,
        credentials: &dyn Credentials,
    ) -> Answer {
        let outcome = self.obtain(query, token, credentials).await;
        self.tell(outcome.as_ref().err());
        match outcome {
            Ok(obtained) => obtained.into(),
            Err(failure) => Answer::Unavailable {
                message: format!("delegation {}: {}", self.name(), failure.message),
            },
        }
    }

    /// Logs what is new: that it fails, in which way, and that it works again.
    fn tell(&self, failure: Option<&Failure>) {
        let delegation = self.name();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = failure.map(|failure| failure.message.clone());
        match (&now, &*told) {
            (Some(error), former) if former.as_ref() != Some(error) => {
                tracing::warn!(
                    delegation,
                    error,
                    "a delegation has no credential to hand out"
                );
            }
            (None, Some(_)) => tracing::info!(delegation, "the delegation works again"),
            _ => {}
        }
        *told = now;
    }

    /// Runs an exchange, and counts it.
    async fn counted(
        &self,
        exchange: impl Future<Output = Result<Obtained, Failure>>,
    ) -> Result<Obtained, Failure> {
        let metrics = self.board.metrics();
        let _in_flight = metrics.exchange_begins(self.name());
        let begun = Instant::now();
        let outcome = exchange.await;
        metrics.exchanged(self.name(), outcome.is_ok(), begun.elapsed());
        outcome
    }

    /// What is kept for somebody, or what `exchange` obtains; counted when it is kept.
    async fn kept(
        &self,
        key: Key,
        with: &[Credential],
        exchange: impl AsyncFnOnce() -> Result<Obtained, Failure>,
    ) -> Result<Obtained, Failure> {
        let (obtained, age) = self.cache.get(key, with, exchange).await?;
        if let Some(age) = age {
            self.board.metrics().exchange_spared(self.name(), age);
        }
        Ok(obtained)
    }

    async fn obtain(
        &self,
        query: &Query,
        token: Option<&Secret>,
        credentials: &dyn Credentials,
    ) -> Result<Obtained, Failure> {
        let registry = query.registry();
        match &self.settings.grant {
            Grant::PassThrough { subject, username } => {
                let held = hold(subject, token).await?;
                Ok(Obtained {
                    username: username.clone(),
                    secret: held.token,
                    life: Duration::ZERO,
                })
            }
            Grant::Exchange(exchange) => {
                Box::pin(self.exchange(registry, exchange, token, credentials)).await
            }
            Grant::NamespaceSecrets { subject, flow } => {
                let held = hold(subject, token).await?;
                let Holder::Account(account) = held.holder else {
                    return Err(Failure::new(
                        "the service-account token does not say completely whose it is",
                    ));
                };
                let secrets = self.api_server.pull_secrets(&account, &held.token);
                let secrets = secrets.await?;
                match flow {
                    None => {
                        let obtained = Obtained::entry(&secrets.entry(query)?);
                        obtained.ok_or_else(|| Failure::new("the entry is not UTF-8"))
                    }
                    Some(flow) => {
                        let identity = Identity::Account(account);
                        Box::pin(self.registry_token(&registry, flow, identity, &secrets)).await
                    }
                }
            }
            Grant::RegistryToken(flow) => {
                let identity = Identity::holding(credentials);
                Box::pin(self.registry_token(&registry, flow, identity, credentials)).await
            }
        }
    }

    /// Tries the credential of the registry's token service.
    async fn registry_token(
        &self,
        registry: &str,
        flow: &TokenFlow,
        identity: Identity,
        credentials: &dyn Credentials,
    ) -> Result<Obtained, Failure> {
        let lookup = Lookup::new(&self.settings, credentials).await?;
        let find = |place: String| lookup.find(&place);
        let token = RegistryToken {
            outbound: &self.outbound,
            registry,
            flow,
        };
        let with = flow.realms.iter();
        let with: Vec<_> = with.flat_map(|realm| find(realm.authority())).collect();
        let exchange = async || self.counted(token.exchange(&find)).await;
        let key = (registry.to_owned(), identity);
        self.kept(key, &with, exchange).await
    }

    /// Obtains a token, and keeps it for whom it was obtained.
    async fn exchange(
        &self,
        registry: String,
        exchange: &Exchange,
        token: Option<&Secret>,
        credentials: &dyn Credentials,
    ) -> Result<Obtained, Failure> {
        let held = match &exchange.subject {
            None | Some(Subject::Stored { .. }) => None,
            Some(subject) => Some(hold(subject, token).await?),
        };
        let authority = exchange.service.origin().authority();
        let client = match exchange.client {
            true => Some(
                Lookup::new(&self.settings, credentials)
                    .await?
                    .find(&authority)?,
            ),
            false => None,
        };
        let mut with: Vec<_> = client.iter().cloned().collect();
        let identity = match held.as_ref().map(|held| &held.holder) {
            None => Some(Identity::holding(credentials)),
            Some(Holder::Node) => {
                // Another token in the file may be another identity.
                with.extend(
                    held.iter()
                        .map(|held| Credential::new(b"", held.token.expose().as_bytes())),
                );
                Some(Identity::holding(credentials))
            }
            Some(Holder::Account(account)) => Some(Identity::Account(account.clone())),
            Some(Holder::Unknown) => None,
        };
        let obtain = async || {
            let held = held.as_ref();
            let asking = self.ask(exchange, held.map(|held| &held.token), client.as_ref());
            let mut obtained = self.counted(asking).await?;
            // Who loses the account loses the token soon after (S6).
            obtained.life = obtained
                .life
                .min(held.map_or(Duration::MAX, |held| held.life));
            Ok(obtained)
        };
        match identity {
            // Without a complete identity nothing can be kept apart, so nothing is kept (S5).
            None => obtain().await,
            Some(identity) => self.kept((registry, identity), &with, obtain).await,
        }
    }

    async fn ask(
        &self,
        exchange: &Exchange,
        token: Option<&Secret>,
        client: Option<&Credential>,
    ) -> Result<Obtained, Failure> {
        let outbound = &self.outbound;
        let url = self
            .discovery
            .token_endpoint(outbound, &exchange.service)
            .await?;
        let Some(Subject::Stored { path }) = &exchange.subject else {
            let granted = token_endpoint::ask(outbound, exchange, &url, token, client).await?;
            return Ok(granted.obtained);
        };
        let (outbound, exchange) = (Arc::clone(outbound), exchange.clone());
        let (path, client) = (path.clone(), client.cloned());
        // Not given up with whoever asked: once the endpoint has heard the token, its successor must be kept.
        let refreshing = tokio::spawn(async move {
            let stored = blocking(move || Stored::take(&path)).await?;
            let token = Some(stored.token());
            let Granted {
                obtained,
                successor,
            } = token_endpoint::ask(&outbound, &exchange, &url, token, client.as_ref()).await?;
            if let Some(successor) = successor {
                blocking(move || stored.replace(&successor)).await?;
            }
            Ok(obtained)
        });
        refreshing
            .await
            .unwrap_or_else(|_| Err(Failure::new(ENDING)))
    }
}

/// Takes the pod's token, or reads the node's.
async fn hold(subject: &Subject, of_pod: Option<&Secret>) -> Result<Held, Failure> {
    match subject {
        Subject::Workload(_) => Held::new(subject, of_pod),
        Subject::File { .. } | Subject::Stored { .. } => {
            let subject = subject.clone();
            blocking(move || Held::new(&subject, None)).await
        }
    }
}

/// Why work that nobody can give up was given up.
const ENDING: &str = "the agent is ending";

/// Runs what waits for the file system.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.unwrap_or_else(|_| Err(Failure::new(ENDING)))
}

impl Obtained {
    /// An entry as clients take it, good for once; `None` where it is not text, which no protocol can carry.
    pub fn entry(credential: &Credential) -> Option<Self> {
        let text = |bytes: &[u8]| Some(std::str::from_utf8(bytes).ok()?.to_owned());
        let (username, secret) = match (credential.username(), credential.password()) {
            // Clients read this name as "the secret is an identity token".
            ([], []) => ("<token>".to_owned(), text(credential.identity_token())?),
            (username, password) => (text(username)?, text(password)?),
        };
        Some(Self {
            username,
            secret: Secret::new(secret),
            life: Duration::ZERO,
        })
    }
}

impl From<Obtained> for Answer {
    fn from(obtained: Obtained) -> Self {
        Self::Found {
            username: obtained.username,
            secret: obtained.secret,
        }
    }
}

impl Identity {
    fn holding(credentials: &dyn Credentials) -> Self {
        let namespace = credentials.namespace();
        namespace.map_or(Self::Node, |namespace| {
            Self::Namespace(namespace.to_owned())
        })
    }
}

impl Failure {
    /// How long nobody tries again: as long as was asked for, within reason, and `least`.
    fn pause(&self, least: Duration) -> Duration {
        /// Longest pause that somebody else may ask for.
        const LONGEST: Duration = Duration::from_secs(300);
        least.max(self.retry_after.unwrap_or_default().min(LONGEST))
    }

    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry_after: None,
        }
    }
}
