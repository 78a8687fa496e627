//! The conversation with the API server about some Secrets: list, then watch, for ever.
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

use std::{convert::Infallible, pin::pin, time::Duration};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Resource,
    api::{ListParams, WatchEvent, WatchParams},
    core::{Request, Status},
};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use zeroize::Zeroizing;

use super::{Context, Item, SourceError, object::SecretObject};
use crate::cluster::{ClusterError, Connection, describe};

/// How much earlier than asked a watch may end without being taken for cut off.
const EARLY: Duration = Duration::from_secs(1);
/// How much later than asked a server may end a watch.
const GRACE: Duration = Duration::from_secs(5);
/// A watch that has lasted so long, or has told something, works.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);
/// After this time a list checks that the watches told everything.
const RELIST: Duration = Duration::from_secs(15 * 60);
/// Objects per page: a Secret may have 1 MiB.
const PAGE: u32 = 20;
/// Wait before the first retry and longest wait between retries, before jitter (half to whole).
/// Short, because a node that waits is a node without its new credentials; the fleet is spread by
/// the jitter, and what it sends are lists of one object.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));
/// Longest wait that a server may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Which Secrets.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) namespace: String,
    pub(super) selection: Selection,
    /// The key to read; `None` takes the one that belongs to a Secret's type.
    pub(super) key: Option<String>,
}

/// Which Secrets of the namespace.
#[derive(Clone, Debug)]
pub(super) enum Selection {
    /// By label selector.
    Labels(String),
    /// The one of that name. RBAC's `resourceNames` holds for such a list and watch.
    Name(String),
}

/// What came out of the conversation.
pub(super) enum Told {
    /// These are all there are.
    Listed(Vec<Item>),
    /// This one was created or changed.
    Applied(Item),
    /// The one of this id is gone.
    Deleted(String),
    /// Changes will be told from now on.
    Watching,
    /// They are not, for this reason, which is told once or many times.
    Trouble(SourceError),
}

/// Converses until the context is cancelled.
pub(super) async fn follow(query: Query, context: &Context, told: impl FnMut(Told)) {
    let mut resync = context.resync.subscribe();
    let mut conversation = Conversation {
        query,
        context,
        told,
        failures: 0,
        listed: false,
        connection: None,
    };
    loop {
        let end = tokio::select! {
            biased;
            () = context.cancel.cancelled() => return,
            () = resync.requested() => continue,
            end = conversation.run() => match end { Err(end) => end },
        };
        let wait = conversation.take(end).await;
        tokio::select! {
            biased;
            () = context.cancel.cancelled() => return,
            () = resync.requested() => {}
            () = sleep(wait) => {}
        }
    }
}

struct Conversation<'a, F> {
    query: Query,
    context: &'a Context,
    told: F,
    /// Failures since a watch last worked.
    failures: u32,
    /// Whether there ever was an answer.
    listed: bool,
    connection: Option<Connection>,
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
struct SecretList {
    metadata: ListMetadata,
    #[serde(default)]
    items: Option<Vec<SecretObject>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

impl<F: FnMut(Told)> Conversation<'_, F> {
    /// Runs until something ends it.
    async fn run(&mut self) -> Result<Infallible, End> {
        let connection = self
            .context
            .cluster
            .connection()
            .await
            .map_err(End::Cluster)?;
        self.connection = Some(connection.clone());
        let mut version = self.list(&connection).await?;
        let relist = Instant::now() + jitter(RELIST);
        while Instant::now() < relist {
            self.watch(&connection, &mut version).await?;
        }
        Err(End::Old)
    }

    /// Tells all Secrets and returns the version that a watch goes on from.
    async fn list(&mut self, connection: &Connection) -> Result<String, End> {
        let mut params = ListParams::default();
        (params.field_selector, params.label_selector) = self.query.selectors();
        if let Selection::Labels(_) = self.query.selection {
            params.limit = Some(PAGE);
        }
        let mut items = Vec::new();
        loop {
            let request = self.query.request().list(&params).map_err(invalid)?;
            let text = connection.client.request_text(request);
            let text = timeout(self.context.request_timeout, text)
                .await
                .map_err(|_| End::Silent("no answer to a list in time"))??;
            let text = Zeroizing::new(text);
            let page: SecretList = serde_json::from_str(&text)
                .map_err(|_| End::Malformed("the answer to a list is not a list of Secrets"))?;
            let objects = page.items.into_iter().flatten();
            items.extend(objects.map(|object| self.query.item(object)));
            params.continue_token = page.metadata.next.filter(|token| !token.is_empty());
            if params.continue_token.is_some() {
                continue;
            }
            if page.metadata.resource_version.is_empty() {
                return Err(End::Malformed(
                    "the answer to a list has no resourceVersion",
                ));
            }
            self.listed = true;
            (self.told)(Told::Listed(items));
            return Ok(page.metadata.resource_version);
        }
    }

    /// Tells changes until the server ends the watch as asked.
    async fn watch(&mut self, connection: &Connection, version: &mut String) -> Result<(), End> {
        let seconds = jitter(self.context.watch_timeout).as_secs().max(2);
        let mut params = WatchParams {
            timeout: Some(u32::try_from(seconds).unwrap_or(u32::MAX)),
            ..WatchParams::default()
        };
        (params.field_selector, params.label_selector) = self.query.selectors();
        let request = self
            .query
            .request()
            .watch(&params, version)
            .map_err(invalid)?;

        let events = connection.client.request_events::<SecretObject>(request);
        let events = timeout(self.context.request_timeout, events)
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
                    version.clone_from(&object.metadata.resource_version);
                    (self.told)(Told::Applied(self.query.item(object)));
                }
                WatchEvent::Deleted(object) => {
                    version.clone_from(&object.metadata.resource_version);
                    (self.told)(Told::Deleted(self.query.item(object).id));
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
            self.context.cluster.renew(&connection).await;
        }
        let first = self.failures == 1 && self.listed;
        if !first {
            (self.told)(Told::Trouble(self.query.trouble(&end)));
        } else if end.gone() || matches!(end, End::Silent(_)) {
            return Duration::ZERO;
        }
        backoff(self.failures).max(retry_after(&end))
    }
}

impl Query {
    /// The id that the item of a Secret has.
    pub(super) fn id(&self, name: &str) -> String {
        format!("secret:{}/{name}", self.namespace)
    }

    fn item(&self, object: SecretObject) -> Item {
        object.into_item(|name| self.id(name), self.key.as_deref())
    }

    fn request(&self) -> Request {
        Request::new(Secret::url_path(&(), Some(&self.namespace)))
    }

    /// Field selector and label selector.
    fn selectors(&self) -> (Option<String>, Option<String>) {
        match &self.selection {
            Selection::Labels(labels) => (None, Some(labels.clone())),
            Selection::Name(name) => (Some(format!("metadata.name={name}")), None),
        }
    }

    fn trouble(&self, end: &End) -> SourceError {
        let detail = match end {
            End::Api(status) => {
                let detail = describe(&kube::Error::Api(status.clone()));
                match status.code {
                    401 => {
                        return SourceError::Unauthorized {
                            object: self.object(),
                            detail,
                        };
                    }
                    403 => {
                        let (object, rule) = (self.object(), self.rule());
                        return SourceError::Forbidden {
                            object,
                            rule,
                            detail,
                        };
                    }
                    code @ 400..=499 if !matches!(code, 408 | 410 | 429) => {
                        return SourceError::Rejected {
                            object: self.object(),
                            code,
                            detail,
                        };
                    }
                    code => format!("it answers {code}: {detail}"),
                }
            }
            End::Cluster(error) => error.to_string(),
            End::Malformed(what) | End::Silent(what) => (*what).to_owned(),
            End::Old => "the list is old".to_owned(),
            End::Transport(detail) => detail.clone(),
        };
        SourceError::Unreachable { detail }
    }

    fn object(&self) -> String {
        let namespace = &self.namespace;
        match &self.selection {
            Selection::Labels(labels) => format!("Secrets {labels} in namespace {namespace}"),
            Selection::Name(name) => format!("Secret {namespace}/{name}"),
        }
    }

    fn rule(&self) -> String {
        let namespace = &self.namespace;
        match &self.selection {
            Selection::Labels(_) => {
                format!("to list and watch secrets in namespace {namespace}")
            }
            Selection::Name(name) => format!(
                "to list and watch secrets in namespace {namespace} (resourceNames: [{name}])"
            ),
        }
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

fn backoff(failures: u32) -> Duration {
    let doubled = BACKOFF.0.saturating_mul(1 << (failures - 1).min(10));
    let whole = doubled.min(BACKOFF.1);
    whole / 2 + fraction(whole / 2)
}

/// Nine to eleven tenths of the duration, so that a fleet which starts together spreads out.
fn jitter(duration: Duration) -> Duration {
    duration.mul_f64(0.9) + fraction(duration.mul_f64(0.2))
}

/// A random part of the duration.
fn fraction(duration: Duration) -> Duration {
    // Without entropy there is no jitter, which is no reason to stop.
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    duration.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
