//! What people and other tools are told of drains: by Events, and by the conditions of nodes. Nothing of ours depends on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use pullkeeper_core::rollout::Ledger;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::super::condition;
use super::super::objects::{Metadata, NodeObject};
use super::super::publish::{drained, timestamp};
use super::records::PARALLEL;
use super::{Lead, now};
use crate::cluster::RequestError;

/// Before the same is written to the same node again: who refuses it, or takes it away, is not asked all the time.
const PAUSE: Duration = Duration::from_secs(60);
/// How long writing may take altogether: the rollout does not wait for it.
const LIMIT: Duration = Duration::from_secs(5);

/// What was written last, or was to be, by the UID of the node.
#[derive(Debug, Default)]
pub(in super::super) struct Shown(Mutex<Tried>);

/// Types of conditions, and when.
type Tried = BTreeMap<String, (Vec<Value>, Instant)>;

impl Shown {
    /// Whether it is worth a request: it is something new, or was not tried for long.
    fn is_due(&self, uid: &str, applied: &Value) -> bool {
        let mut tried = self.lock();
        tried.retain(|_, (_, at)| at.elapsed() < PAUSE);
        tried
            .get(uid)
            .is_none_or(|(kinds, _)| *kinds != kinds_of(applied))
    }

    fn tries(&self, uid: &str, applied: &Value) {
        let written = (kinds_of(applied), Instant::now());
        self.lock().insert(uid.to_owned(), written);
    }

    /// Nobody has said no to it.
    fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, Tried> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// Counts nodes that the ledger that was just written has as drained, and that the former had not, and says so.
    pub(super) fn tell_of_drains(&self, former: &Ledger, written: &Ledger) {
        for (node, permit) in drained(former, written) {
            self.desk.drained();
            let generation = permit.generation;
            tracing::info!(node, generation, "a node was drained");
            let note = format!("it was drained for generation {generation}");
            self.events.tell_of(node, "NodeDrained", &note);
        }
    }

    /// Shows in the conditions of nodes how far their drains are, where they do not show it already.
    pub(super) async fn show_drains(&self, ledger: &Ledger) {
        self.show(self.unshown(ledger)).await;
    }

    /// Takes all conditions away: there is no rollout, if the API server says so too.
    pub(super) async fn show_no_drains(&self) {
        let unshown = self.unshown(&Ledger::default());
        if !unshown.is_empty() && matches!(self.store.rollout().await, Err(RequestError::NotFound))
        {
            self.show(unshown).await;
        }
    }

    /// Nodes that do not show what they should, and what they should. They are those that are known now: some may have just
    /// been uncordoned.
    fn unshown(&self, ledger: &Ledger) -> Vec<(Arc<NodeObject>, Value)> {
        let known = self.view.known();
        let now = json!(timestamp(now()));
        let nodes = known.nodes.all().into_iter().flatten();
        let unshown = nodes.filter_map(|(name, node)| {
            let applied = condition::set(node, ledger.reservations.get(name), &now)?;
            let due = self.shown.is_due(&node.metadata.uid, &applied);
            due.then(|| (Arc::clone(node), applied))
        });
        unshown.collect()
    }

    async fn show(&self, unshown: Vec<(Arc<NodeObject>, Value)>) {
        let writes =
            stream::iter(unshown).for_each_concurrent(PARALLEL, async |(node, applied)| {
                if !self.leads() {
                    return;
                }
                let Metadata {
                    name: node, uid, ..
                } = &node.metadata;
                self.shown.tries(uid, &applied);
                match self.store.show(node, applied).await {
                    Ok(node) => self.saw(node),
                    // Somebody else has such a condition, or there is no such node any more.
                    Err(RequestError::Conflict(_) | RequestError::NotFound) => {}
                    Err(error) => {
                        if !matches!(error, RequestError::Refused(_)) {
                            self.shown.forget(uid);
                        }
                        tracing::warn!(node, %error, "cannot show its drain in its conditions");
                    }
                }
            });
        if timeout(LIMIT, writes).await.is_err() {
            tracing::warn!("not every drain is shown in the conditions of its node yet");
        }
    }
}

fn kinds_of(applied: &Value) -> Vec<Value> {
    let conditions = applied["status"]["conditions"].as_array();
    let kinds = conditions.into_iter().flatten();
    kinds.map(|condition| condition["type"].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_is_not_tried_all_the_time() {
        let applied = |kind: &str| json!({"status": {"conditions": [{"type": kind}]}});
        let shown = Shown::default();
        assert!(shown.is_due("u", &applied("Drained")));
        shown.tries("u", &applied("Drained"));
        assert!(!shown.is_due("u", &applied("Drained")));
        assert!(shown.is_due("another", &applied("Drained")));
        assert!(shown.is_due("u", &json!({})));
        shown.tries("u", &json!({}));
        assert!(!shown.is_due("u", &json!({})));
        shown.forget("u");
        assert!(shown.is_due("u", &json!({})));
        shown.tries("u", &json!({}));
        tokio::time::advance(PAUSE).await;
        assert!(shown.is_due("u", &json!({})));
    }
}
