//! Answers the helper: which credential, for whom, and in which of three ways there is none.
//!
//! ```text
//! helper ─▶ Unix socket ─▶ peer allowed? ─▶ query ─┬▶ delegation ────────────────┬▶ found │ not ours │ unavailable
//!                                                 └▶ directory of good entries ┘
//!                                                           ▲
//!                                        gate ─▶ wish ──────┘  new at once, so that a rotation counts at the next pull
//! ```

mod directory;
mod endpoint;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pullkeeper_core::jwt::Claims;
use pullkeeper_core::query::Query;
use pullkeeper_core::wire::{Answer, Request, Secret, StoreAnswer, StoreRequest};
use tokio::sync::watch;
use tokio::time::Instant;

use self::directory::{Found, Known};
pub use self::endpoint::serve;
use crate::config::{BrokerSettings, StorePolicy};
use crate::delegation::Delegations;
use crate::gate::Wish;
use crate::listener::Peer;
use crate::status::Board;

/// What there is to answer with. It outlives configurations: a reload changes what it knows and whom it answers.
#[derive(Debug)]
pub struct Broker {
    board: Arc<Board>,
    settings: Mutex<BrokerSettings>,
    delegations: Mutex<Arc<Delegations>>,
    known: watch::Sender<Arc<Known>>,
    /// Until then a source that has not been read yet is waited for.
    patience: Instant,
}

/// Whether whoever asks is believed about the pod that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Root, as kubelet is: the service-account tokens that it shows are from the API server.
    Root,
    /// Somebody else, who could make up any token to get what is a namespace's own.
    Other,
}

impl Asker {
    /// The namespace of the pod whose token this is.
    fn namespace(self, token: &Secret) -> Option<String> {
        let claims = Claims::of(token.expose())
            .ok()
            .filter(|_| self == Self::Root);
        claims?.account().map(|account| account.namespace)
    }
}

impl From<Peer> for Asker {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer(Some(peer)) if peer.uid == 0 => Self::Root,
            _ => Self::Other,
        }
    }
}

/// How long after its start the agent waits for its sources before it says that it knows nothing. Requests that came
/// in during a restart are answered as if there had been none; later an outage must not slow every pull down.
const WARM_UP: Duration = Duration::from_secs(10);

impl Broker {
    /// A broker that knows nothing yet, and says so.
    pub fn new(settings: BrokerSettings, delegations: Delegations, board: Arc<Board>) -> Self {
        Self {
            board,
            settings: Mutex::new(settings),
            delegations: Mutex::new(Arc::new(delegations)),
            known: watch::Sender::default(),
            patience: Instant::now() + WARM_UP,
        }
    }

    /// Answers by other rules from now on. Without new delegations the former stay, with what they have obtained.
    pub fn configure(&self, settings: BrokerSettings, delegations: Option<Delegations>) {
        *lock(&self.settings) = settings;
        if let Some(delegations) = delegations {
            *lock(&self.delegations) = Arc::new(delegations);
        }
    }

    /// The delegations in force.
    pub fn delegations(&self) -> Arc<Delegations> {
        Arc::clone(&lock(&self.delegations))
    }

    /// Answers from these entries from now on.
    pub fn learn(&self, wish: &Wish) {
        self.known.send_replace(Arc::new(Known::new(wish)));
    }

    /// The credential for a request, or why there is none.
    pub async fn answer(&self, request: &Request, asker: Asker) -> Answer {
        let answer = self.look_up(request, asker).await;
        let (client, outcome) = (client(request), outcome(&answer));
        self.board.metrics().broker_answered(client, outcome);
        answer
    }

    /// Every registry with an entry of its own, and its user name.
    pub fn registries(&self) -> std::collections::BTreeMap<String, String> {
        let known = Arc::clone(&self.known.borrow());
        let registries = known.directory().registries();
        registries
            .into_iter()
            .map(|(registry, user)| (registry.to_owned(), user))
            .collect()
    }

    /// What a login tool is told.
    pub fn store(&self, request: &StoreRequest) -> StoreAnswer {
        match lock(&self.settings).store {
            StorePolicy::Ignore => StoreAnswer::Ignored,
            StorePolicy::Refuse => {
                let registry = Query::of_server(&request.server).map(|query| query.registry());
                let registry = registry.unwrap_or_else(|_| "this registry".to_owned());
                StoreAnswer::Refused {
                    message: format!(
                        "the credentials of this node are Pullkeeper's to keep; put the one for {registry} \
                         into the pull secret instead"
                    ),
                }
            }
        }
    }

    /// Whether the peer may ask.
    fn admits(&self, peer: Peer) -> bool {
        let settings = lock(&self.settings);
        let Peer(Some(peer)) = peer else {
            return false;
        };
        settings.allowed_users.contains(&peer.uid) || settings.allowed_groups.contains(&peer.gid)
    }

    async fn look_up(&self, request: &Request, asker: Asker) -> Answer {
        let query = match request.query() {
            Ok(query) => query,
            Err(error) => {
                return Answer::Unavailable {
                    message: error.to_string(),
                };
            }
        };
        let token = match request {
            Request::Docker { .. } => None,
            Request::Kubelet {
                service_account_token,
                ..
            } => service_account_token.as_ref(),
        };
        let namespace = token.and_then(|token| asker.namespace(token));
        let namespace = namespace.as_deref();
        let delegations = self.delegations();
        if let Some(delegation) = delegations.find(&query) {
            let known = if delegation.needs_sources() {
                self.complete(namespace).await
            } else {
                Arc::clone(&self.known.borrow())
            };
            return delegation
                .answer(&query, token, &known.offer(namespace))
                .await;
        }
        let mut known = self.known.subscribe();
        loop {
            let now = Arc::clone(&known.borrow_and_update());
            match now.offer(namespace).answer(&query) {
                Found::Final(answer) => return answer,
                Found::SoFar(answer) => {
                    let changed = tokio::time::timeout_at(self.patience, known.changed());
                    if !matches!(changed.await, Ok(Ok(()))) {
                        return answer;
                    }
                }
            }
        }
    }

    /// What is known once every source has said something, or as much as there is when the patience ends.
    async fn complete(&self, namespace: Option<&str>) -> Arc<Known> {
        let mut known = self.known.subscribe();
        let complete = known.wait_for(|known| known.offer(namespace).is_complete());
        drop(tokio::time::timeout_at(self.patience, complete).await);
        Arc::clone(&self.known.borrow())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was held leaves plain data behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The words of the metric's labels.
fn client(request: &Request) -> &'static str {
    match request {
        Request::Docker { .. } => "docker",
        Request::Kubelet { .. } => "kubelet",
    }
}

fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Found { .. } => "found",
        Answer::NotOurs => "not-ours",
        Answer::Unavailable { .. } => "unavailable",
    }
}

#[cfg(test)]
mod tests;
