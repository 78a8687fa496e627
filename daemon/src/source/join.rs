//! All sources side by side.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::{Observation, file, secret, selector, volume};
use crate::{
    config::{Origin, SourceSettings},
    list_watch::Terms,
};

/// What the sources share.
#[derive(Clone)]
pub struct Context {
    /// How Secrets are read. Not touched unless a source needs it.
    pub terms: Terms,
    /// How often files are read without being told that they changed.
    pub resync_interval: Duration,
    /// Holds the tasks of the sources.
    pub tasks: TaskTracker,
}

/// Starts following the sources and returns their observations in the order of the settings, which
/// is the order of precedence.
///
/// Returns at once, with a view in which nothing has answered yet; no source waits for another
/// one. The receiver is woken only by observations that differ from the former ones. It sees the
/// end of the channel when the sources have ended. Do not hold its borrow: sources wait for it.
pub fn spawn(settings: &[SourceSettings], context: &Context) -> watch::Receiver<Vec<Observation>> {
    let none_yet = settings
        .iter()
        .map(|source| Observation::none_yet(&source.name, source.pods_of()))
        .collect();
    let (all, joined) = watch::channel(none_yet);
    let all = Arc::new(all);
    for (index, source) in settings.iter().enumerate() {
        let slot = Slot {
            index,
            all: Arc::clone(&all),
        };
        let follow = follow(slot, source.origin.clone(), context.clone());
        let end_all = context.terms.cancel.clone().drop_guard();
        context.tasks.spawn(async move {
            follow.await;
            drop(end_all);
        });
    }
    joined
}

fn follow(
    slot: Slot,
    origin: Origin,
    context: Context,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    match origin {
        Origin::File { path, shape } => Box::pin(file::follow(slot, path, shape, context)),
        Origin::Volume { directory, key } => {
            Box::pin(volume::follow(slot, directory, key, context))
        }
        Origin::Secret {
            namespace,
            name,
            key,
        } => Box::pin(secret::follow(slot, namespace, name, key, context)),
        Origin::Selector { namespace, labels } => {
            Box::pin(selector::follow(slot, namespace, labels, context))
        }
    }
}

/// One source's place among the observations.
pub(super) struct Slot {
    index: usize,
    all: Arc<watch::Sender<Vec<Observation>>>,
}

impl Slot {
    /// The only one of a channel.
    #[cfg(test)]
    pub(super) fn of(all: watch::Sender<Vec<Observation>>) -> Self {
        Self {
            index: 0,
            all: Arc::new(all),
        }
    }

    /// What the slot says now.
    pub(super) fn observation(&self) -> Observation {
        self.all.borrow()[self.index].clone()
    }

    /// Replaces the observation, unless the former one says the same.
    pub(super) fn publish(&self, observation: &Observation) {
        self.all
            .send_if_modified(|all| match all.get_mut(self.index) {
                Some(former) if former != observation => {
                    former.clone_from(observation);
                    true
                }
                _ => false,
            });
    }
}

#[cfg(test)]
mod tests;
