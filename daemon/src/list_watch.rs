//! The conversation with the API server about some objects: list, then watch, for ever.
//!
//! This is not kube's `runtime::watcher`, for three reasons. The watcher resumes a broken watch
//! silently, so nobody could say when trouble is over. It sets no limit to the wait for an answer.
//! And it lists through `Client::request`, which logs the whole body, secrets included, when the
//! body cannot be read.
//!
//! Rules of the conversation (Kubernetes API concepts, "Efficient detection of changes"):
//! - A watch is bounded by our own `timeoutSeconds`, jittered, and resumed from the last
//!   resourceVersion seen. A server that has not ended it a little later is gone.
//! - Every other end is followed by a new list, never by a resumption: after a restored etcd the
//!   version that we know may lie in the future, where the server would wait for it silently.
//! - 410 Gone is no failure, the history is just shorter than our absence.
//! - A first failure is tried again in silence. API servers are restarted, load balancers cut
//!   connections; that is no trouble yet.

use std::{convert::Infallible, marker::PhantomData, pin::pin, time::Duration};

use futures_util::StreamExt;
use kube::{
    api::{ListParams, WatchEvent, WatchParams},
    core::{Request, Status},
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::cluster::{Cluster, ClusterError, Connection, describe};
use crate::config::KubernetesSettings;
use crate::jitter;
use crate::resync::Resync;

/// How much earlier than asked a watch may end without being taken for cut off.
const EARLY: Duration = Duration::from_secs(1);
/// How much later than asked a server may end a watch.
const GRACE: Duration = Duration::from_secs(5);
/// A watch that has lasted so long, or has told something, works.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);
/// After this time a list checks that the watches told everything.
const RELIST: Duration = Duration::from_secs(15 * 60);
/// Wait before the first retry and longest wait between retries, before jitter (half to whole).
/// Short, because a node that waits is a node without its new credentials; the fleet is spread by
/// the jitter, and what it sends are lists of one object.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));
/// Longest wait that a server may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// How a conversation is led.
#[derive(Clone)]
pub struct Terms {
    /// Where it is led. Not touched before it begins.
    pub cluster: Cluster,
    /// Longest duration of one watch request; also bounds how long a dead one goes unnoticed.
    pub watch_timeout: Duration,
    /// Longest wait for the answer to any other request.
    pub request_timeout: Duration,
    /// Asks for a list now.
    pub resync: Resync,
    /// Ends it.
    pub cancel: CancellationToken,
}

impl Terms {
    /// Those of the settings.
    pub fn of(
        settings: &KubernetesSettings,
        cluster: &Cluster,
        resync: &Resync,
        cancel: &CancellationToken,
    ) -> Self {
        Self {
            cluster: cluster.clone(),
            watch_timeout: settings.watch_timeout,
            request_timeout: settings.request_timeout,
            resync: resync.clone(),
            cancel: cancel.clone(),
        }
    }
}

/// An object, as far as it is of interest. All other parts are dropped while it is read.
pub(crate) trait Object: DeserializeOwned + Clone {
    /// `metadata.resourceVersion`.
    fn resource_version(&self) -> &str;
}

/// Which objects.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// The path of their collection.
    pub(crate) path: String,
    /// A field selector. RBAC's `resourceNames` holds for `metadata.name=NAME`.
    pub(crate) fields: Option<String>,
    /// A label selector.
    pub(crate) labels: Option<String>,
    /// How many to read at once.
    pub(crate) page: Option<u32>,
}

/// What came out of the conversation.
pub(crate) enum Told<O> {
    /// These are all there are.
    Listed(Vec<O>),
    /// This one was created or changed.
    Applied(O),
    /// This one is gone.
    Deleted(O),
    /// Changes will be told from now on.
    Watching,
    /// They are not, for this reason, which is told once or many times.
    Trouble(Trouble),
}

/// Why nobody can tell at present.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// The API server does not know who asks.
    #[error("the API server does not know who asks: {0}")]
    Unauthorized(String),
    /// Who asks may not.
    #[error("not permitted: {0}")]
    Forbidden(String),
    /// The API server does not take the question.
    #[error("the API server answers {0}: {1}")]
    Rejected(u16, String),
    /// There is no answer, or none that says anything.
    #[error("cannot reach the API server: {0}")]
    Unreachable(String),
}

/// Converses until it is cancelled.
pub(crate) async fn follow<O: Object>(query: Query, terms: &Terms, told: impl FnMut(Told<O>)) {
    let mut resync = terms.resync.subscribe();
    let mut conversation = Conversation {
        query,
        terms,
        told,
        failures: 0,
        listed: false,
        connection: None,
        objects: PhantomData,
    };
    loop {
        let end = tokio::select! {
            biased;
            () = terms.cancel.cancelled() => return,
            () = resync.requested() => continue,
            end = conversation.run() => match end { Err(end) => end },
        };
        let wait = conversation.take(end).await;
        tokio::select! {
            biased;
            () = terms.cancel.cancelled() => return,
            () = resync.requested() => {}
            () = sleep(wait) => {}
        }
    }
}

struct Conversation<'a, O, F> {
    query: Query,
    terms: &'a Terms,
    told: F,
    /// Failures since a watch last worked.
    failures: u32,
    /// Whether there ever was an answer.
    listed: bool,
    connection: Option<Connection>,
    objects: PhantomData<fn() -> O>,
}

/// Why list and watch ended.
enum End {
    Api(Box<Status>),
    Cluster(ClusterError),
    /// The answer makes no sense.
    Malformed(&'static str),
    /// The list is old.
    Old,
    /// No answer in time.
    Silent(&'static str),
    Transport(String),
}

impl End {
    fn gone(&self) -> bool {
        matches!(self, Self::Api(status) if status.code == 410)
    }
}

impl From<kube::Error> for End {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Api(status),
            other => Self::Transport(describe(&other)),
        }
    }
}

#[derive(Deserialize)]
struct List<O> {
    metadata: ListMetadata,
    #[serde(default = "none")]
    items: Option<Vec<O>>,
}

/// `#[serde(default)]` alone would ask for a default of the objects.
fn none<O>() -> Option<Vec<O>> {
    None
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

impl<O: Object, F: FnMut(Told<O>)> Conversation<'_, O, F> {
    /// Runs until something ends it.
    async fn run(&mut self) -> Result<Infallible, End> {
        let connection = self
            .terms
            .cluster
            .connection()
            .await
            .map_err(End::Cluster)?;
        self.connection = Some(connection.clone());
        let mut version = self.list(&connection).await?;
        let relist = Instant::now() + jitter::about(RELIST);
        while Instant::now() < relist {
            self.watch(&connection, &mut version).await?;
        }
        Err(End::Old)
    }

    /// Tells all objects and returns the version that a watch goes on from.
    async fn list(&mut self, connection: &Connection) -> Result<String, End> {
        let limit = self.terms.request_timeout;
        let (items, version) = pages(&self.query, connection, limit).await?;
        self.listed = true;
        (self.told)(Told::Listed(items));
        Ok(version)
    }

    /// Tells changes until the server ends the watch as asked.
    async fn watch(&mut self, connection: &Connection, version: &mut String) -> Result<(), End> {
        let seconds = jitter::about(self.terms.watch_timeout).as_secs().max(2);
        let params = WatchParams {
            field_selector: self.query.fields.clone(),
            label_selector: self.query.labels.clone(),
            timeout: Some(u32::try_from(seconds).unwrap_or(u32::MAX)),
            ..WatchParams::default()
        };
        let request = self
            .query
            .request()
            .watch(&params, version)
            .map_err(invalid)?;

        let events = connection.client.request_events::<O>(request);
        let events = timeout(self.terms.request_timeout, events)
            .await
            .map_err(|_| End::Silent("no answer to a watch in time"))??;
        let mut events = pin!(events);

        let started = Instant::now();
        let proven = started + SHORTEST_WATCH;
        let end = started + Duration::from_secs(seconds);
        let mut watching = false;
        loop {
            let deadline = if watching { end + GRACE } else { proven };
            let event = match timeout_at(deadline, events.next()).await {
                Ok(event) => event,
                Err(_) if watching => return Err(End::Silent("the watch went silent")),
                Err(_) => {
                    watching = true;
                    self.watching();
                    continue;
                }
            };
            let Some(event) = event else {
                return if Instant::now() + EARLY >= end {
                    Ok(())
                } else {
                    Err(End::Transport("a watch was cut off".to_owned()))
                };
            };
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    version.replace_range(.., object.resource_version());
                    (self.told)(Told::Applied(object));
                }
                WatchEvent::Deleted(object) => {
                    version.replace_range(.., object.resource_version());
                    (self.told)(Told::Deleted(object));
                }
                WatchEvent::Bookmark(bookmark) => *version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => return Err(End::Api(status)),
            }
            if version.is_empty() {
                return Err(End::Malformed("a watch event has no resourceVersion"));
            }
            if !watching {
                watching = true;
                self.watching();
            }
        }
    }

    fn watching(&mut self) {
        self.failures = 0;
        (self.told)(Told::Watching);
    }

    /// Judges the end of list and watch and returns how long to wait before the next attempt.
    async fn take(&mut self, end: End) -> Duration {
        if matches!(end, End::Old) {
            return Duration::ZERO;
        }
        self.failures = self.failures.saturating_add(1);
        // Whatever is not an opinion of the API server about the query may be mended by fresh
        // credentials, another address or another connection.
        let opinion = matches!(&end, End::Api(status) if status.code != 401);
        if !opinion && let Some(connection) = self.connection.take() {
            self.terms.cluster.renew(&connection).await;
        }
        let first = self.failures == 1 && self.listed;
        if !first {
            (self.told)(Told::Trouble(end.trouble()));
        } else if end.gone() || matches!(end, End::Silent(_)) {
            return Duration::ZERO;
        }
        jitter::backoff(BACKOFF, self.failures).max(retry_after(&end))
    }
}

/// All objects as they are at this moment.
///
/// # Errors
/// Why nobody can tell.
pub(crate) async fn list<O: Object>(
    query: &Query,
    connection: &Connection,
    request_timeout: Duration,
) -> Result<Vec<O>, Trouble> {
    let pages = pages(query, connection, request_timeout).await;
    pages
        .map(|(objects, _)| objects)
        .map_err(|end| end.trouble())
}

/// All objects, and the version of the list.
async fn pages<O: Object>(
    query: &Query,
    connection: &Connection,
    request_timeout: Duration,
) -> Result<(Vec<O>, String), End> {
    let mut params = ListParams {
        field_selector: query.fields.clone(),
        label_selector: query.labels.clone(),
        limit: query.page,
        ..ListParams::default()
    };
    let mut items = Vec::new();
    loop {
        let request = query.request().list(&params).map_err(invalid)?;
        let text = connection.client.request_text(request);
        let text = timeout(request_timeout, text)
            .await
            .map_err(|_| End::Silent("no answer to a list in time"))??;
        let text = Zeroizing::new(text);
        let page: List<O> = serde_json::from_str(&text)
            .map_err(|_| End::Malformed("the answer to a list is not a list of such objects"))?;
        items.extend(page.items.into_iter().flatten());
        params.continue_token = page.metadata.next.filter(|token| !token.is_empty());
        if params.continue_token.is_some() {
            continue;
        }
        if page.metadata.resource_version.is_empty() {
            return Err(End::Malformed(
                "the answer to a list has no resourceVersion",
            ));
        }
        return Ok((items, page.metadata.resource_version));
    }
}

impl Query {
    fn request(&self) -> Request {
        Request::new(self.path.clone())
    }
}

impl End {
    fn trouble(&self) -> Trouble {
        let detail = match self {
            Self::Api(status) => {
                let detail = describe(&kube::Error::Api(status.clone()));
                match status.code {
                    401 => return Trouble::Unauthorized(detail),
                    403 => return Trouble::Forbidden(detail),
                    code @ 400..=499 if !matches!(code, 408 | 410 | 429) => {
                        return Trouble::Rejected(code, detail);
                    }
                    code => format!("it answers {code}: {detail}"),
                }
            }
            Self::Cluster(error) => error.to_string(),
            Self::Malformed(what) | Self::Silent(what) => (*what).to_owned(),
            Self::Old => "the list is old".to_owned(),
            Self::Transport(detail) => detail.clone(),
        };
        Trouble::Unreachable(detail)
    }
}

fn invalid(error: kube::core::request::Error) -> End {
    End::Transport(error.to_string())
}

fn retry_after(end: &End) -> Duration {
    let End::Api(status) = end else {
        return Duration::ZERO;
    };
    let seconds = status
        .details
        .as_ref()
        .map_or(0, |details| details.retry_after_seconds);
    Duration::from_secs(seconds.into()).min(LONGEST_RETRY_AFTER)
}

#[cfg(test)]
mod tests;
