//! What a coordinator sees of the cluster. All of it may be old.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::objects::{Listed, NodeObject, RecordObject, RolloutObject};
use super::pools::PoolObject;
use crate::list_watch::{self, Terms, Told, Trouble};

/// Until it is seen again whether pools may be followed.
const FORBIDDEN: Duration = Duration::from_secs(60);
/// Until it is seen again whether there are pools.
const NO_POOLS: Duration = Duration::from_secs(10 * 60);

/// The present view, and who waits for changes of it.
#[derive(Debug, Default)]
pub(super) struct View {
    known: Mutex<Known>,
    changed: Notify,
}

/// Everything that is followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) rollouts: Collection<RolloutObject>,
    pub(super) nodes: Collection<NodeObject>,
    pub(super) records: Collection<RecordObject>,
    /// Empty where there is no such kind of object.
    pub(super) pools: Collection<PoolObject>,
}

/// All objects of one kind, by name.
#[derive(Clone, Debug)]
pub(super) struct Collection<O> {
    /// `None` before the first list.
    objects: Option<BTreeMap<String, Arc<O>>>,
    /// Why it may be older than it should be.
    pub(super) trouble: Option<Trouble>,
}

impl<O> Default for Collection<O> {
    fn default() -> Self {
        Self {
            objects: None,
            trouble: None,
        }
    }
}

impl<O: Listed> Collection<O> {
    /// Those that there are, once they were listed.
    pub(super) fn all(&self) -> Option<&BTreeMap<String, Arc<O>>> {
        self.objects.as_ref()
    }

    /// Takes in what is told; whether something is different now.
    fn hear(&mut self, told: Told<O>) -> bool {
        match told {
            Told::Listed(objects) => {
                let named = objects.into_iter().map(|object| {
                    let name = object.metadata().name.clone();
                    (name, Arc::new(object))
                });
                self.objects = Some(named.collect());
                self.trouble = None;
            }
            Told::Applied(object) => return self.apply(object),
            Told::Deleted(object) => {
                let Some(objects) = &mut self.objects else {
                    return false;
                };
                let gone = object.metadata();
                let same = |known: &Arc<O>| known.metadata().uid == gone.uid;
                if !objects.get(&gone.name).is_some_and(same) {
                    return false;
                }
                objects.remove(&gone.name);
            }
            Told::Watching => return self.trouble.take().is_some(),
            Told::Trouble(trouble) => self.trouble = Some(trouble),
        }
        true
    }

    /// Takes in an object, unless it is older than what is known.
    fn apply(&mut self, object: O) -> bool {
        let Some(objects) = &mut self.objects else {
            return false;
        };
        let name = &object.metadata().name;
        if objects
            .get(name)
            .is_some_and(|known| is_older(&object, known))
        {
            return false;
        }
        objects.insert(name.clone(), Arc::new(object));
        true
    }
}

/// Whether it is an older version of the same object. Versions of one kind are ordered numbers (Kubernetes API concepts,
/// "Resource versions"); a list replaces everything, whatever its numbers are.
fn is_older<O: Listed>(object: &O, known: &O) -> bool {
    let number = |object: &O| object.metadata().resource_version.parse::<u64>().ok();
    object.metadata().uid == known.metadata().uid && number(object) < number(known)
}

impl View {
    /// Follows everything until cancelled.
    pub(super) async fn keep(&self, terms: &Terms) {
        tokio::join!(
            self.follow(terms, |known| &mut known.rollouts),
            self.follow(terms, |known| &mut known.nodes),
            self.follow(terms, |known| &mut known.records),
            self.follow_pools(terms),
        );
    }

    /// Follows pools where there are any. Elsewhere it is seen from time to time whether there are now.
    async fn follow_pools(&self, terms: &Terms) {
        let cancel = &terms.cancel;
        while !cancel.is_cancelled() {
            let end = cancel.child_token();
            let terms = Terms {
                cancel: end.clone(),
                ..terms.clone()
            };
            let mut pause = FORBIDDEN;
            let told = |told| match told {
                Told::Trouble(Trouble::Rejected(404, _)) => {
                    pause = NO_POOLS;
                    self.hear_of_pools(Told::Listed(Vec::new()));
                    end.cancel();
                }
                // Only who drains nodes has to know.
                Told::Trouble(Trouble::Forbidden(_)) => {
                    self.hear_of_pools(told);
                    end.cancel();
                }
                told => self.hear_of_pools(told),
            };
            list_watch::follow(PoolObject::all(), &terms, told).await;
            let pause = tokio::time::sleep(pause);
            let _over = cancel.run_until_cancelled(pause).await;
        }
    }

    fn hear_of_pools(&self, told: Told<PoolObject>) {
        if self.lock().pools.hear(told) {
            self.changed.notify_one();
        }
    }

    async fn follow<O: Listed>(
        &self,
        terms: &Terms,
        collection: impl Fn(&mut Known) -> &mut Collection<O>,
    ) {
        list_watch::follow(O::all(), terms, |told| {
            if collection(&mut self.lock()).hear(told) {
                self.changed.notify_one();
            }
        })
        .await;
    }

    /// What is known now.
    pub(super) fn known(&self) -> Known {
        self.lock().clone()
    }

    /// A node, unless what is known of it may be older than it should be.
    pub(super) fn node(&self, name: &str) -> Option<Arc<NodeObject>> {
        let known = self.lock();
        let nodes = known.nodes.all().filter(|_| known.nodes.trouble.is_none());
        nodes?.get(name).cloned()
    }

    /// Takes in the answer to a write of one's own, so that it is known before it is told.
    pub(super) fn wrote_rollout(&self, object: RolloutObject) {
        self.lock().rollouts.apply(object);
    }

    /// The same for a node, which may have been read as well.
    pub(super) fn saw_node(&self, object: NodeObject) {
        self.lock().nodes.apply(object);
    }

    /// The same for a record.
    pub(super) fn wrote_record(&self, object: RecordObject) {
        self.lock().records.apply(object);
    }

    /// Something is different that is not followed here.
    pub(super) fn nudge(&self) {
        self.changed.notify_one();
    }

    /// Waits until something is different.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What a test tells of nodes.
    #[cfg(test)]
    pub(super) fn hear_of_nodes(&self, told: Told<NodeObject>) {
        self.lock().nodes.hear(told);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(uid: &str, version: &str) -> RecordObject {
        let metadata = json!({"name": "a", "uid": uid, "resourceVersion": version});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    fn version(records: &Collection<RecordObject>) -> Option<String> {
        let record = records.all()?.get("a")?;
        Some(record.metadata.resource_version.clone())
    }

    #[test]
    fn what_was_written_is_not_forgotten_for_what_is_told_late() {
        let mut records = Collection::default();
        assert!(!records.hear(Told::Applied(record("u", "5"))), "not listed");
        records.hear(Told::Listed(vec![record("u", "5")]));
        assert!(records.apply(record("u", "10")));
        assert!(!records.hear(Told::Applied(record("u", "9"))));
        assert_eq!(version(&records).as_deref(), Some("10"));
        // One that was made anew is not older, and a list knows best.
        assert!(records.hear(Told::Applied(record("another", "3"))));
        assert!(!records.hear(Told::Deleted(record("u", "11"))));
        assert!(records.hear(Told::Deleted(record("another", "12"))));
        assert_eq!(version(&records), None);
        records.apply(record("u", "20"));
        records.hear(Told::Listed(vec![record("u", "1")]));
        assert_eq!(version(&records).as_deref(), Some("1"));
    }

    #[test]
    fn trouble_lasts_until_something_is_told_again() {
        let mut records = Collection::<RecordObject>::default();
        assert!(records.hear(Told::Trouble(Trouble::Unreachable("x".to_owned()))));
        assert!(records.hear(Told::Watching));
        assert!(!records.hear(Told::Watching));
        assert_eq!(records.trouble, None);
    }
}
