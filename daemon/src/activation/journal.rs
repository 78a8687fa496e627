//! What a restart has to undo, kept in the state directory until the services are back.
//!
//! The agent may end at any moment: services that are restarted may take it with them. Whoever comes next reads here how far it
//! came, and whether there was a file. What was in it is known to one process alone, and is never in this file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::gate::Restart;
use crate::install::{Options, Target, TargetError};

/// The journal of one node.
pub(crate) struct Journal {
    path: PathBuf,
    state: Mutex<Option<Entry>>,
    /// The highest serial number of a permit for which nothing is to be done any more.
    ended: Mutex<u64>,
    rejected: watch::Sender<Option<Rejected>>,
}

/// A permit whose versions are not to be tried again, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) serial: u64,
    pub(crate) why: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    serial: u64,
    phase: Phase,
    /// By path.
    #[serde(default)]
    targets: BTreeMap<PathBuf, Former>,
    /// Units that were to be restarted, and which start of them it was before.
    #[serde(default)]
    before: BTreeMap<String, Vec<u8>>,
    /// Those whose restart this process has counted.
    #[serde(skip)]
    counted: BTreeSet<String>,
    /// When one was restarted last.
    #[serde(default)]
    restarted: Option<Time>,
}

impl Entry {
    /// What is restarted from now on is restarted anew.
    fn forget_units(&mut self) {
        self.before.clear();
        self.counted.clear();
    }
}

/// Bytes that are wiped.
type Bytes = Zeroizing<Vec<u8>>;

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Files are being replaced.
    Replacing,
    /// Units are being restarted.
    Restarting,
    /// They did not come back: the former files come back, and then the units once more.
    RollingBack(String),
    /// It came to nothing, and is not tried again.
    Rejected(String),
}

/// A file as it was.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Former {
    /// What was in it, as long as this process lasts: there is no second copy of a credential on disk.
    #[serde(skip)]
    content: Option<Bytes>,
    /// Whether there was a file.
    existed: bool,
    /// The record of managed entries that belonged to it. It has keyed hashes alone.
    record: String,
    /// Whether services may keep in memory what was in it and is not any more.
    useful: bool,
}

impl Former {
    /// A file as it is before it is replaced.
    pub(crate) fn new(content: Option<&[u8]>, record: &[u8], useful: bool) -> Self {
        Self {
            content: content.map(|bytes| Zeroizing::new(bytes.to_vec())),
            existed: content.is_some(),
            record: String::from_utf8_lossy(record).into_owned(),
            useful,
        }
    }

    /// Whether only a process knew what was there that is no more.
    pub(crate) fn is_lost(&self) -> bool {
        self.existed && self.content.is_none()
    }

    /// Its bytes, where there was a file, and those of the record of managed entries.
    pub(crate) fn parts(&self) -> (Option<&[u8]>, &[u8]) {
        let content = self.content.as_ref().map(|bytes| bytes.as_slice());
        (content, self.record.as_bytes())
    }
}

impl std::fmt::Debug for Former {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Former").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Reads the journal of the agent with this state directory. One that cannot be read is reported and forgotten: what it
    /// was about cannot be undone any more.
    pub(crate) fn open(state_dir: &Path) -> Self {
        let path = state_dir.join("activation.json");
        let read = target(&path).and_then(|file| file.read());
        let state = match read {
            Ok(current) => current.and_then(|current| {
                let entry = serde_json::from_slice(&current.bytes);
                // Not the parser's words: they may quote.
                if entry.is_err() {
                    tracing::error!(path = %path.display(), "the journal of a restart is damaged; nothing is undone");
                }
                entry.ok()
            }),
            Err(error) => {
                let error = crate::exit::chain(&error);
                tracing::error!(error, "cannot read the journal of a restart; nothing is undone");
                None
            }
        };
        let journal = Self {
            path,
            state: Mutex::new(state),
            ended: Mutex::new(0),
            rejected: watch::channel(None).0,
        };
        journal.publish();
        journal
    }

    /// How far it is with which permit.
    pub(crate) fn stands(&self) -> Option<(u64, Phase)> {
        let state = self.lock();
        state
            .as_ref()
            .map(|entry| (entry.serial, entry.phase.clone()))
    }

    /// Writes it on a thread that may wait for a disk.
    pub(crate) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        write: impl FnOnce(&Self) -> Result<T, TargetError> + Send + 'static,
    ) -> Result<T, TargetError> {
        let journal = Arc::clone(self);
        match tokio::task::spawn_blocking(move || write(&journal)).await {
            Ok(written) => written,
            Err(broken) => std::panic::resume_unwind(broken.into_panic()),
        }
    }

    /// What is not to be tried again, and changes of that.
    pub(crate) fn rejections(&self) -> watch::Receiver<Option<Rejected>> {
        self.rejected.subscribe()
    }

    /// Keeps a file as it was, before it is replaced. False while former files come back: then none is to be replaced.
    pub(crate) fn begin(
        &self,
        restart: Restart,
        path: &Path,
        former: Former,
    ) -> Result<bool, TargetError> {
        if restart.answered || *self.ended() >= restart.serial {
            return Ok(true);
        }
        let mut state = self.lock();
        let mut next = match state.clone() {
            Some(entry) if matches!(entry.phase, Phase::RollingBack(_)) => return Ok(false),
            // What was there before the first of several is what comes back.
            Some(entry) if !matches!(entry.phase, Phase::Rejected(_)) => entry,
            _ => Entry {
                serial: restart.serial,
                phase: Phase::Replacing,
                targets: BTreeMap::new(),
                before: BTreeMap::new(),
                counted: BTreeSet::new(),
                restarted: None,
            },
        };
        if next.serial != restart.serial {
            next.forget_units();
        }
        next.serial = restart.serial;
        next.phase = Phase::Replacing;
        let useful = former.useful;
        let kept = next.targets.entry(path.to_owned()).or_insert(former);
        kept.useful |= useful;
        self.keep(&mut state, Some(next))?;
        Ok(true)
    }

    /// Whether an entry that was there has changed or gone.
    pub(crate) fn is_useful(&self) -> bool {
        let state = self.lock();
        let mut targets = state.iter().flat_map(|entry| entry.targets.values());
        targets.any(|former| former.useful)
    }

    /// Goes on to the next phase with this permit; false if another one came meanwhile. Units are restarted anew.
    pub(crate) fn advance(&self, serial: u64, phase: Phase) -> Result<bool, TargetError> {
        let mut state = self.lock();
        let Some(mut next) = state.clone().filter(|entry| entry.serial == serial) else {
            return Ok(false);
        };
        if next.phase != phase {
            next.forget_units();
        }
        if matches!(phase, Phase::Rejected(_)) {
            next.targets.clear();
        }
        next.phase = phase;
        self.keep(&mut state, Some(next))?;
        Ok(true)
    }

    /// Forgets what belongs to this permit, and ends it; false if another one came meanwhile.
    pub(crate) fn end(&self, serial: u64) -> Result<bool, TargetError> {
        let mut state = self.lock();
        // One that was rejected is over.
        let another =
            |entry: &Entry| entry.serial != serial && !matches!(entry.phase, Phase::Rejected(_));
        if state.as_ref().is_some_and(another) {
            return Ok(false);
        }
        let mut ended = self.ended();
        *ended = ended.max(serial);
        drop(ended);
        if state.is_some() {
            self.keep(&mut state, None)?;
        }
        Ok(true)
    }

    /// The files as they were.
    pub(crate) fn formers(&self) -> Vec<(PathBuf, Former)> {
        let state = self.lock();
        let targets = state.iter().flat_map(|entry| &entry.targets);
        targets
            .map(|(path, former)| (path.clone(), former.clone()))
            .collect()
    }

    /// Notes which start of a unit there was before it is restarted. False when it was noted, and is another one by now: then
    /// it has been restarted.
    pub(crate) fn restarts(&self, unit: &str, invocation: &[u8]) -> Result<bool, TargetError> {
        let mut state = self.lock();
        let Some(mut next) = state.clone() else {
            return Ok(true);
        };
        if let Some(noted) = next.before.get(unit) {
            return Ok(noted == invocation);
        }
        next.before.insert(unit.to_owned(), invocation.to_vec());
        self.keep(&mut state, Some(next))?;
        Ok(true)
    }

    /// Whether what came of a unit's restart is still to be counted; from now on it is not.
    pub(crate) fn counts(&self, unit: &str) -> bool {
        let mut state = self.lock();
        state
            .as_mut()
            .is_none_or(|entry| entry.counted.insert(unit.to_owned()))
    }

    /// Notes that a unit was restarted at this time, in seconds since 1970. Whole ones, as the node tells when it is ready: what it
    /// says within the same one may be older.
    pub(crate) fn restarted(&self, second: u64) -> Result<(), TargetError> {
        let mut state = self.lock();
        let Some(mut next) = state.clone() else {
            return Ok(());
        };
        let second = i64::try_from(second).unwrap_or(i64::MAX);
        let at = Time(Timestamp::from_second(second).unwrap_or(Timestamp::MAX));
        // Another unit may have been restarted later.
        next.restarted = next.restarted.max(Some(at));
        self.keep(&mut state, Some(next))
    }

    /// When a unit was restarted last.
    pub(crate) fn last_restart(&self) -> Option<Time> {
        self.lock().as_ref()?.restarted.clone()
    }

    /// Tells what is rejected.
    pub(crate) fn publish(&self) {
        let rejected = self.lock().as_ref().and_then(|entry| match &entry.phase {
            Phase::RollingBack(why) | Phase::Rejected(why) => Some(Rejected {
                serial: entry.serial,
                why: why.clone(),
            }),
            Phase::Replacing | Phase::Restarting => None,
        });
        self.rejected.send_if_modified(|told| {
            let differs = *told != rejected;
            *told = rejected;
            differs
        });
    }

    fn keep(
        &self,
        state: &mut MutexGuard<'_, Option<Entry>>,
        next: Option<Entry>,
    ) -> Result<(), TargetError> {
        let file = target(&self.path)?;
        match &next {
            Some(entry) => {
                // A map of strings and numbers is always JSON.
                let bytes = Zeroizing::new(serde_json::to_vec(entry).unwrap_or_default());
                file.replace(&bytes)?;
            }
            None => file.remove()?,
        }
        **state = next;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Entry>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> MutexGuard<'_, u64> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn target(path: &Path) -> Result<Target, TargetError> {
    let options = Options {
        create_directory: Some(0o700),
        ..Options::default()
    };
    Target::new(path, options)
}
