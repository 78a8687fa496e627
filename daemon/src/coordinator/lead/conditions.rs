//! What people and other tools are told of drains and restarts: by Events, and by the conditions of nodes. Nothing of ours depends
//! on it, and where nothing is drained the coordinator may lack the right to write conditions.

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

/// Before a right that was missing is asked for again: somebody may have given it meanwhile.
const RIGHTLESS: Duration = Duration::from_secs(600);

/// What was written last, or was to be.
#[derive(Debug, Default)]
pub(in super::super) struct Shown(Mutex<Tried>);

#[derive(Debug, Default)]
struct Tried {
    /// By the UID of the node: types of conditions, and when.
    nodes: BTreeMap<String, (Vec<Value>, Instant)>,
    /// When the right was found to be missing. It is the same for all nodes.
    rightless: Option<Instant>,
}

impl Shown {
    /// Whether it is worth a request: it is something new, or was not tried for long, and nobody has said lately that no such
    /// request is allowed.
    fn is_due(&self, uid: &str, applied: &Value) -> bool {
        let mut tried = self.lock();
        tried.rightless = tried.rightless.filter(|at| at.elapsed() < RIGHTLESS);
        tried.nodes.retain(|_, (_, at)| at.elapsed() < PAUSE);
        let former = tried.nodes.get(uid);
        tried.rightless.is_none() && former.is_none_or(|(kinds, _)| *kinds != kinds_of(applied))
    }

    fn tries(&self, uid: &str, applied: &Value) {
        let written = (kinds_of(applied), Instant::now());
        self.lock().nodes.insert(uid.to_owned(), written);
    }

    /// Nobody has said no to it.
    fn forget(&self, uid: &str) {
        self.lock().nodes.remove(uid);
    }

    /// Stops trying for a while; false if that is known already.
    fn lacks_the_right(&self) -> bool {
        self.lock().rightless.replace(Instant::now()).is_none()
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

    /// Shows in the conditions of nodes how far their drains and restarts are, where they do not show it already.
    pub(super) async fn show_work(&self, ledger: &Ledger) {
        self.show(self.unshown(ledger)).await;
    }

    /// Takes all conditions away: there is no rollout, if the API server says so too.
    pub(super) async fn show_no_work(&self) {
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
                let Metadata {
                    name: node, uid, ..
                } = &node.metadata;
                // One of those before it may have found out that none is allowed.
                if !self.leads() || !self.shown.is_due(uid, &applied) {
                    return;
                }
                self.shown.tries(uid, &applied);
                match self.store.show(node, applied).await {
                    Ok(node) => self.saw(node),
                    // Somebody else has such a condition, or there is no such node any more.
                    Err(RequestError::Conflict(_) | RequestError::NotFound) => {}
                    // Policies say 422: this is the word of whoever gives rights.
                    Err(RequestError::Refused(status)) if status.code == 403 => {
                        if self.shown.lacks_the_right() {
                            tracing::info!(
                                reason = status.message,
                                "no right to `patch` nodes/status: drains and restarts are not shown in the conditions of nodes; \
                                 deploy/components/drain gives it"
                            );
                        }
                    }
                    Err(error) => {
                        if !matches!(error, RequestError::Refused(_)) {
                            self.shown.forget(uid);
                        }
                        tracing::warn!(node, %error, "cannot show in its conditions what is done to it");
                    }
                }
            });
        if timeout(LIMIT, writes).await.is_err() {
            tracing::warn!("not everything is shown in the conditions of nodes yet");
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

    #[tokio::test(start_paused = true)]
    async fn a_right_that_is_missing_is_missing_for_all_nodes_and_not_for_ever() {
        let shown = Shown::default();
        assert!(shown.lacks_the_right());
        assert!(!shown.is_due("u", &json!({})));
        assert!(!shown.is_due("another", &json!({})));
        assert!(!shown.lacks_the_right(), "it is told once");
        tokio::time::advance(RIGHTLESS).await;
        assert!(shown.is_due("u", &json!({})));
        assert!(shown.lacks_the_right());
    }
}
