//! Objects that are followed for as long as somebody holds on to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::list_watch::{self, Object, Query, Terms, Told, Trouble};
use crate::resync::Resync;

/// An object that is told from others by its UID.
pub(super) trait Rolled: Object + Send + Sync + 'static {
    fn uid(&self) -> &str;
}

/// What is known of the objects.
#[derive(Debug)]
pub(super) struct Roll<O> {
    /// By UID; `None` before the first list.
    pub(super) objects: Option<BTreeMap<String, Arc<O>>>,
    /// What the last list had.
    pub(super) list: Vec<Arc<O>>,
    /// When the last list was begun, or earlier.
    pub(super) listed: Instant,
    /// Why it may be older than it should be.
    pub(super) trouble: Option<Trouble>,
    /// Counts changes.
    pub(super) news: u64,
    /// A list that is told from now on was not begun before: one thing is told after the other.
    since: Instant,
}

/// A roll that is kept by a task of its own, until this is dropped.
#[derive(Debug)]
pub(super) struct Followed<O> {
    pub(super) roll: Arc<Mutex<Roll<O>>>,
    resync: Resync,
    _end: DropGuard,
}

impl<O: Rolled> Roll<O> {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            objects: None,
            list: Vec::new(),
            listed: now,
            trouble: None,
            news: 0,
            since: now,
        }
    }

    /// Whether it can be relied on.
    pub(super) fn is_followed(&self) -> bool {
        self.objects.is_some() && self.trouble.is_none()
    }

    /// Takes in what is told.
    pub(super) fn hear(&mut self, told: Told<O>, now: Instant) {
        self.news += 1;
        match told {
            Told::Listed(objects) => {
                self.list = objects.into_iter().map(Arc::new).collect();
                let named = self.list.iter().cloned();
                let named = named.map(|object| (object.uid().to_owned(), object));
                self.objects = Some(named.collect());
                self.listed = self.since;
                self.trouble = None;
            }
            Told::Applied(object) => {
                if let Some(objects) = &mut self.objects {
                    let known = objects.get(object.uid());
                    if known.is_none_or(|known| !is_older(&object, known)) {
                        objects.insert(object.uid().to_owned(), Arc::new(object));
                    }
                }
            }
            Told::Deleted(object) => {
                if let Some(objects) = &mut self.objects {
                    objects.remove(object.uid());
                }
            }
            Told::Watching => self.trouble = None,
            Told::Trouble(trouble) => self.trouble = Some(trouble),
        }
        self.since = now;
    }
}

/// Versions of one kind are ordered numbers (Kubernetes API concepts, "Resource versions").
fn is_older<O: Object>(object: &O, known: &O) -> bool {
    let number = |object: &O| object.resource_version().parse::<u64>().ok();
    number(object) < number(known)
}

impl<O: Rolled> Followed<O> {
    /// Begins to follow. Whenever something is told, `wake` is notified.
    pub(super) fn begin(query: Query, terms: &Terms, wake: &Arc<Notify>) -> Self {
        let end = CancellationToken::new();
        let resync = Resync::default();
        let terms = Terms {
            resync: resync.clone(),
            cancel: end.clone(),
            ..terms.clone()
        };
        let roll = Arc::new(Mutex::new(Roll::new(Instant::now())));
        let (heard, wake) = (Arc::clone(&roll), Arc::clone(wake));
        tokio::spawn(async move {
            let follow = list_watch::follow(query, &terms, |told| {
                lock(&heard).hear(told, Instant::now());
                wake.notify_one();
            });
            follow.await;
        });
        Self {
            roll,
            resync,
            _end: end.drop_guard(),
        }
    }

    /// Asks for a list now. One that is under way is given up before anything more is told: both happen on one thread.
    pub(super) fn list(&self) {
        lock(&self.roll).since = Instant::now();
        self.resync.request();
    }

    pub(super) fn look(&self) -> MutexGuard<'_, Roll<O>> {
        lock(&self.roll)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::objects::PodObject;
    use super::*;

    fn pod(uid: &str, version: &str) -> PodObject {
        let metadata = json!({"uid": uid, "resourceVersion": version});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn a_list_was_begun_after_whatever_was_told_before() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut roll = Roll::new(start);
        assert!(!roll.is_followed());
        roll.hear(Told::Listed(vec![pod("a", "1"), pod("b", "2")]), at(5));
        assert!(roll.is_followed() && roll.listed == start);
        roll.hear(Told::Applied(pod("c", "10")), at(6));
        roll.hear(Told::Applied(pod("c", "9")), at(7));
        let objects = roll.objects.as_ref().unwrap();
        assert_eq!(objects["c"].resource_version(), "10");
        roll.hear(Told::Deleted(pod("a", "11")), at(8));
        assert_eq!(roll.objects.as_ref().unwrap().len(), 2);
        assert_eq!((roll.list.len(), roll.listed), (2, start));
        roll.hear(Told::Trouble(Trouble::Unreachable("x".to_owned())), at(9));
        assert!(!roll.is_followed());
        roll.hear(Told::Listed(Vec::new()), at(20));
        assert!(roll.is_followed() && roll.listed == at(9));
    }
}
