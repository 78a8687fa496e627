//! Credentials that come from somewhere else than the pull secret's own entry for a registry.
//!
//! ```text
//! query ─▶ delegation ─▶ identity (pod's token, or the node) ─▶ cache ─▶ grant ─▶ outbound ─▶ registry, token service
//! ```
//!
//! A delegation that fits answers alone: when it fails, nobody else's credential is handed out in its place.

mod assertion;
mod cache;
mod discovery;
mod grant;
mod slot;
mod steps;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pullkeeper_core::authfile::Credential;
use pullkeeper_core::jwt::Account;
use pullkeeper_core::query::Query;
use pullkeeper_core::wire::{Answer, Secret};
use tokio::time::Instant;

use self::assertion::Asserted;
use self::cache::Cache;
use self::discovery::Discovery;
use self::grant::Proof;
pub use self::steps::steps;
use crate::config::{DelegationSettings, Grant, TokenEndpoint};
use crate::outbound::{Outbound, SetupError};
use crate::status::Board;

/// All delegations of one configuration.
#[derive(Debug, Default)]
pub struct Delegations(Vec<Delegation>);

/// One delegation, and what it has obtained so far.
#[derive(Debug)]
pub struct Delegation {
    settings: DelegationSettings,
    outbound: Outbound,
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

    /// The pull secret's credential for this place, if there is one.
    fn of(&self, place: &Query) -> Option<Credential>;
}

impl Delegations {
    /// Makes ready what the configuration asks for. Nothing is sent yet.
    pub fn new(settings: &[DelegationSettings], board: &Arc<Board>) -> Result<Self, SetupError> {
        let delegations = settings.iter().map(|settings| {
            Ok(Delegation {
                settings: settings.clone(),
                outbound: Outbound::new(settings.ca_file.as_deref())?,
                discovery: Discovery::default(),
                cache: Cache::default(),
                board: Arc::clone(board),
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
            Ok(obtained) => Answer::Found {
                username: obtained.username,
                secret: obtained.secret,
            },
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
        let begun = Instant::now();
        let outcome = exchange.await;
        let metrics = self.board.metrics();
        metrics.exchanged(self.name(), outcome.is_ok(), begun.elapsed());
        outcome
    }

    async fn obtain(
        &self,
        query: &Query,
        token: Option<&Secret>,
        credentials: &dyn Credentials,
    ) -> Result<Obtained, Failure> {
        let registry = query.registry();
        match &self.settings.grant {
            Grant::PassThrough { audience, username } => {
                let asserted = assertion::check(token, audience)?;
                Ok(Obtained {
                    username: username.clone(),
                    secret: asserted.token.clone(),
                    life: Duration::ZERO,
                })
            }
            Grant::ClientAssertion { endpoint, audience } => {
                let asserted = assertion::check(token, audience)?;
                let proof = Proof::Assertion(asserted.token);
                self.for_account(registry, endpoint, &asserted, proof).await
            }
            Grant::JwtBearer { endpoint, audience } => {
                let asserted = assertion::check(token, audience)?;
                let client = self.credential(endpoint.service.origin().authority(), credentials)?;
                let proof = Proof::Grant(&client, asserted.token);
                self.for_account(registry, endpoint, &asserted, proof).await
            }
            Grant::ClientCredentials { endpoint } => {
                let client = self.credential(endpoint.service.origin().authority(), credentials)?;
                let exchange = async || {
                    self.counted(self.access_token(endpoint, Proof::Client(&client)))
                        .await
                };
                let key = (registry, Identity::holding(credentials));
                self.cache
                    .get(key, std::slice::from_ref(&client), exchange)
                    .await
            }
            Grant::RegistryToken { realms, secure } => {
                let find = |place| self.credential(place, credentials);
                let token = grant::RegistryToken {
                    outbound: &self.outbound,
                    registry: &registry,
                    secure: *secure,
                    realms,
                };
                let with = realms.iter().flat_map(|realm| find(realm.authority()));
                let with: Vec<_> = with.collect();
                let exchange = async || self.counted(token.exchange(&find)).await;
                let key = (registry.clone(), Identity::holding(credentials));
                self.cache.get(key, &with, exchange).await
            }
        }
    }

    /// Obtains something for the token's account, and keeps it for that account alone.
    async fn for_account(
        &self,
        registry: String,
        endpoint: &TokenEndpoint,
        asserted: &Asserted<'_>,
        proof: Proof<'_>,
    ) -> Result<Obtained, Failure> {
        let exchange = async || {
            let mut obtained = self.counted(self.access_token(endpoint, proof)).await?;
            // Who loses the account loses the token soon after (S6).
            obtained.life = obtained.life.min(asserted.life);
            Ok(obtained)
        };
        match &asserted.account {
            // Without a complete identity nothing can be kept apart, so nothing is kept (S5).
            None => Box::pin(exchange()).await,
            Some(account) => {
                let key = (registry, Identity::Account(account.clone()));
                self.cache.get(key, proof.client(), exchange).await
            }
        }
    }

    async fn access_token(
        &self,
        endpoint: &TokenEndpoint,
        proof: Proof<'_>,
    ) -> Result<Obtained, Failure> {
        let place = self
            .discovery
            .token_endpoint(&self.outbound, &endpoint.service);
        grant::access_token(&self.outbound, endpoint, &place.await?, proof).await
    }

    /// The credential for the token service: the configured entry, or else that of its own host.
    fn credential(
        &self,
        authority: String,
        credentials: &dyn Credentials,
    ) -> Result<Credential, Failure> {
        let place = match &self.settings.credential {
            Some(place) => place.clone(),
            None => {
                Query::of_server(&authority).map_err(|error| Failure::new(error.to_string()))?
            }
        };
        let found = credentials
            .of(&place)
            .filter(|found| !found.username().is_empty());
        found.ok_or_else(|| {
            Failure::new(format!(
                "there is no entry with user name and password for the token service {} in the pull secret; add one",
                place.registry()
            ))
        })
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
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry_after: None,
        }
    }
}
