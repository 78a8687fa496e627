//! Following content that lives in directories: files and mounted volumes alike.
//!
//! The *directory* is watched, because a watch on the file goes deaf with the first replacement
//! (and a Secret volume is only ever replaced). Notification is a hint to look; what counts are
//! the bytes that are found then. A slow poll backs it up, since network and user-space file
//! systems notify nobody.
//!
//! Complete content is reported as soon as it is found. Absent, refused or incomplete content must
//! stand for a moment first: editors truncate and refill, or remove and recreate, and nobody is to
//! be told about the half-way state.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::Instant};

use super::{Context, Item, Observation, Payload, Revision, SourceError, join::Slot, shape};
use crate::notice::{Bell, Notice, Ring};
use pacing::Pacing;

mod pacing;

/// How long bad news must stand before they are reported.
const SETTLE: Duration = Duration::from_millis(250);
/// Bad news that keep changing are reported after this time.
const LONGEST_SETTLE: Duration = Duration::from_secs(1);
/// A read that takes longer is reported as trouble. It cannot be aborted, only waited for.
const SLOW_READ: Duration = Duration::from_secs(10);

/// How a source finds its content in the file system. Runs on the blocking pool.
pub(super) trait Reader: Send + Sync + 'static {
    /// The paths whose appearance, change or removal may change what [`read`](Self::read) finds.
    /// Their directories are watched.
    fn places(&self) -> Vec<PathBuf>;

    /// What is there now.
    fn read(&self) -> Reading;
}

/// What a [`Reader`] found.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) revision: Option<Revision>,
    pub(super) content: Result<Payload, SourceError>,
}

impl Reading {
    pub(super) fn failed(error: SourceError) -> Self {
        Self {
            revision: None,
            content: Err(error),
        }
    }
}

/// Keeps the slot's observation true until the context is cancelled.
pub(super) async fn follow(slot: Slot, id: String, reader: impl Reader, context: Context) {
    let bell = Arc::new(Bell::default());
    Follower {
        observation: slot.observation(),
        slot,
        id,
        reader: Arc::new(reader),
        pacing: Pacing::new(Instant::now(), context.resync_interval),
        notice: Some(Notice::new(Arc::clone(&bell))),
        bell,
        doubt: None,
    }
    .run(&context)
    .await;
}

struct Follower<R> {
    slot: Slot,
    id: String,
    reader: Arc<R>,
    observation: Observation,
    pacing: Pacing,
    bell: Arc<Bell>,
    /// Absent only while a look is under way.
    notice: Option<Notice>,
    doubt: Option<Doubt>,
}

/// Bad news under observation.
struct Doubt {
    reading: Reading,
    since: Instant,
    /// When the news were not this bad yet.
    began: Instant,
}

impl<R: Reader> Follower<R> {
    async fn run(mut self, context: &Context) {
        let mut resync = context.terms.resync.subscribe();
        loop {
            let started = Instant::now();
            let look = tokio::select! {
                biased;
                () = context.terms.cancel.cancelled() => return,
                look = self.look() => look,
            };
            let Some((reading, complete, trouble)) = look else {
                return;
            };
            self.pacing.looked(started, complete);
            self.learn(reading, started);
            self.observation.trouble = trouble;
            self.slot.publish(&self.observation);

            loop {
                tokio::select! {
                    biased;
                    () = context.terms.cancel.cancelled() => return,
                    () = tokio::time::sleep_until(self.pacing.next()) => break,
                    ring = self.bell.wait() => self.pacing.rung(Instant::now(), ring),
                    () = resync.requested() => self.pacing.rung(Instant::now(), Ring::NOW),
                }
            }
        }
    }

    /// Watches the places and reads, in this order, so that no change falls in between. `None`
    /// when the runtime goes down.
    async fn look(&mut self) -> Option<(Reading, bool, Option<SourceError>)> {
        let mut notice = self.notice.take()?;
        let reader = Arc::clone(&self.reader);
        let mut work = spawn_blocking(move || {
            let places = reader.places();
            let (complete, trouble) = notice.attend(&places);
            (
                notice,
                reader.read(),
                complete,
                trouble.map(SourceError::from),
            )
        });
        let done = match tokio::time::timeout(SLOW_READ, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                self.observation.trouble = Some(SourceError::Unreadable {
                    path: self.path(),
                    source: nix::errno::Errno::ETIMEDOUT,
                });
                self.slot.publish(&self.observation);
                work.await
            }
        };
        let (notice, reading, complete, trouble) = done.ok()?;
        self.notice = Some(notice);
        Some((reading, complete, trouble))
    }

    /// Takes the reading into the observation, at once or after it has stood for a while.
    fn learn(&mut self, reading: Reading, now: Instant) {
        let known = self
            .observation
            .items
            .as_deref()
            .and_then(|items| items.first());
        if known.is_some_and(|item| item.content == reading.content) {
            // Touched or rewritten with the same bytes is not news.
            self.doubt = None;
            return;
        }
        let good = match &reading.content {
            Ok(payload) => shape::is_complete(&payload.bytes),
            Err(_) => false,
        };
        if !good && known.is_some() {
            let doubt = match self.doubt.take() {
                Some(doubt) if doubt.reading.content == reading.content => doubt,
                Some(Doubt { began, .. }) => Doubt {
                    reading,
                    since: now,
                    began,
                },
                None => Doubt {
                    reading,
                    since: now,
                    began: now,
                },
            };
            let until = (doubt.since + SETTLE).min(doubt.began + LONGEST_SETTLE);
            if now < until {
                self.pacing.again(until);
                self.doubt = Some(doubt);
                return;
            }
            return self.report(doubt.reading, now);
        }
        self.report(reading, now);
    }

    fn report(&mut self, Reading { revision, content }: Reading, seen: Instant) {
        self.doubt = None;
        let item = Item {
            id: self.id.clone(),
            revision,
            content,
            seen,
        };
        self.observation.items = Some(vec![item]);
    }

    fn path(&self) -> PathBuf {
        self.id
            .split_once(':')
            .map_or(self.id.as_str(), |(_, path)| path)
            .into()
    }
}

#[cfg(test)]
mod tests;
