//! Being told about changes in directories, through inotify.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    ops::BitOr,
    os::unix::fs::MetadataExt,
    path::{self, Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use nix::errno::Errno;
use notify::{
    Config, ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tokio::sync::Notify;

/// What happened, as far as the reaction to it differs. A set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring(u8);

impl Ring {
    const NONE: Self = Self(0);
    /// A change may be under way.
    pub(crate) const SOON: Self = Self(1);
    /// A change is finished, or nobody knows.
    pub(crate) const NOW: Self = Self(2);
    /// A watched directory is gone, or is somewhere else.
    pub(crate) const LOST: Self = Self(4);

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Ring {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Carries rings from notify's thread to a task: any number of rings between two waits is one.
#[derive(Default)]
pub(crate) struct Bell {
    rung: AtomicU8,
    /// Kept until the next [`Notice::attend`], which alone can mend it.
    lost: AtomicBool,
    notify: Notify,
}

impl Bell {
    pub(crate) async fn wait(&self) -> Ring {
        loop {
            match Ring(self.rung.swap(0, Ordering::AcqRel)) {
                Ring::NONE => self.notify.notified().await,
                ring => return ring,
            }
        }
    }

    fn ring(&self, ring: Ring) {
        if ring.contains(Ring::LOST) {
            self.lost.store(true, Ordering::Release);
        }
        self.rung.fetch_or(ring.0, Ordering::AcqRel);
        self.notify.notify_one();
    }
}

/// The directories being watched. Its calls block, for a moment.
pub(crate) struct Notice {
    bell: Arc<Bell>,
    open: Open,
    watcher: Option<Box<dyn Watcher + Send>>,
    /// Every watched directory by its canonical path, and which directory that was.
    watched: BTreeMap<PathBuf, Identity>,
    interest: Arc<Mutex<Interest>>,
}

type Open = fn(Hear) -> notify::Result<Box<dyn Watcher + Send>>;
type Identity = (u64, u64);

impl Notice {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self::with(bell, |hear| {
            Ok(Box::new(RecommendedWatcher::new(hear, Config::default())?))
        })
    }

    fn with(bell: Arc<Bell>, open: Open) -> Self {
        let interest = Arc::default();
        Self {
            bell,
            open,
            watcher: None,
            watched: BTreeMap::new(),
            interest,
        }
    }

    /// One that finds the node's inotify instances used up.
    #[cfg(test)]
    pub(crate) fn exhausted(bell: Arc<Bell>) -> Self {
        Self::with(bell, |_| Err(notify::Error::io(Errno::EMFILE.into())))
    }

    /// Makes the watched directories those of the places. Tells whether all of them exist and are
    /// watched, and otherwise what keeps one that exists from being watched.
    pub(crate) fn attend(&mut self, places: &[PathBuf]) -> (bool, Option<NoticeError>) {
        if self.bell.lost.swap(false, Ordering::AcqRel) {
            // Rare enough to start over, rather than to find out which watch still is what it was.
            self.watcher = None;
            self.watched.clear();
        }
        let (interest, all_exist) = Interest::in_places(places);
        let wanted: BTreeSet<_> = interest.directories.iter().cloned().collect();
        // Before the watches are there, or the first events would be lost.
        *self.interest.lock().unwrap_or_else(PoisonError::into_inner) = interest;

        match self.watch(&wanted) {
            Ok(all_watched) => (all_exist && all_watched, None),
            Err(error) => (true, Some(explain(&error, places))),
        }
    }

    fn watch(&mut self, wanted: &BTreeSet<PathBuf>) -> notify::Result<bool> {
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            none => none.insert((self.open)(Hear {
                bell: Arc::clone(&self.bell),
                interest: Arc::clone(&self.interest),
            })?),
        };
        self.watched.retain(|directory, watched| {
            let keep = wanted.contains(directory) && identity(directory) == Some(*watched);
            if !keep {
                // Fails for a directory that is gone, which is as good.
                let _ = watcher.unwatch(directory);
            }
            keep
        });
        let mut all = true;
        for directory in wanted {
            if self.watched.contains_key(directory) {
                continue;
            }
            let Some(identity) = identity(directory) else {
                all = false;
                continue;
            };
            match watcher.watch(directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(directory.clone(), identity);
                }
                Err(notify::Error {
                    kind: ErrorKind::PathNotFound,
                    ..
                }) => all = false,
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

/// Why a directory that exists is not watched; `path` is a place in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoticeError {
    /// The node has no inotify instances or watches left.
    Limit { path: PathBuf },
    /// Anything else.
    Failed { path: PathBuf, detail: String },
}

/// Which events matter.
#[derive(Default)]
struct Interest {
    directories: BTreeSet<PathBuf>,
    entries: BTreeSet<PathBuf>,
}

impl Interest {
    /// The second value tells whether the directories of all places exist.
    fn in_places(places: &[PathBuf]) -> (Self, bool) {
        let mut interest = Self::default();
        let mut all_exist = true;
        for place in places {
            let place = path::absolute(place).unwrap_or_else(|_| place.clone());
            // Where the directory does not exist, the nearest one above it tells of its coming.
            for place in place.ancestors() {
                let (Some(directory), Some(name)) = (place.parent(), place.file_name()) else {
                    break;
                };
                // inotify follows links when the watch is made; canonical paths tell which
                // directory that was, and make two names of one directory the same.
                if let Ok(directory) = fs::canonicalize(directory) {
                    interest.entries.insert(directory.join(name));
                    interest.directories.insert(directory);
                    break;
                }
                all_exist = false;
            }
        }
        (interest, all_exist)
    }
}

/// Notify's side of the bell, on a thread of its own.
struct Hear {
    bell: Arc<Bell>,
    interest: Arc<Mutex<Interest>>,
}

impl notify::EventHandler for Hear {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        let ring = match event {
            Ok(event) => classify(
                &event,
                &self.interest.lock().unwrap_or_else(PoisonError::into_inner),
            ),
            // Something was missed.
            Err(_) => Ring::NOW | Ring::LOST,
        };
        if ring != Ring::NONE {
            self.bell.ring(ring);
        }
    }
}

fn classify(event: &Event, interest: &Interest) -> Ring {
    if event.need_rescan() {
        return Ring::NOW;
    }
    if event
        .paths
        .iter()
        .any(|path| interest.directories.contains(path))
    {
        return match event.kind {
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                Ring::SOON | Ring::LOST
            }
            EventKind::Modify(_) => Ring::SOON,
            _ => Ring::NONE,
        };
    }
    if !event
        .paths
        .iter()
        .any(|path| interest.entries.contains(path))
    {
        return Ring::NONE;
    }
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => Ring::NOW,
        // The agent's own reading is among these.
        EventKind::Access(_) => Ring::NONE,
        _ => Ring::SOON,
    }
}

fn explain(error: &notify::Error, places: &[PathBuf]) -> NoticeError {
    let path = places.first().cloned().unwrap_or_default();
    match &error.kind {
        ErrorKind::MaxFilesWatch => NoticeError::Limit { path },
        ErrorKind::Io(e) if is_limit(e) => NoticeError::Limit { path },
        _ => NoticeError::Failed {
            path,
            detail: error.to_string(),
        },
    }
}

/// inotify_init1(2): EMFILE is the limit of instances (or of descriptors), ENFILE that of files.
fn is_limit(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOSPC | Errno::ENOMEM)
    )
}

fn identity(directory: &Path) -> Option<Identity> {
    let metadata = fs::metadata(directory).ok()?;
    metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, RemoveKind};

    use super::*;

    fn ring(kind: EventKind, path: &str) -> Ring {
        let interest = Interest {
            directories: ["/dir".into()].into(),
            entries: ["/dir/file".into(), "/dir/..data".into()].into(),
        };
        classify(&Event::new(kind).add_path(path.into()), &interest)
    }

    #[test]
    fn reactions() {
        let close_write = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let close_read = EventKind::Access(AccessKind::Close(AccessMode::Read));
        let open = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let renamed_to = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let renamed_from = EventKind::Modify(ModifyKind::Name(RenameMode::From));
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let created = EventKind::Create(CreateKind::File);
        let removed = EventKind::Remove(RemoveKind::File);

        for (kind, path, reaction) in [
            (close_write, "/dir/file", Ring::NOW),
            (renamed_to, "/dir/file", Ring::NOW),
            (renamed_to, "/dir/..data", Ring::NOW),
            (renamed_from, "/dir/file", Ring::SOON),
            (written, "/dir/file", Ring::SOON),
            (created, "/dir/file", Ring::SOON),
            (removed, "/dir/file", Ring::SOON),
            (close_read, "/dir/file", Ring::NONE),
            (open, "/dir/file", Ring::NONE),
            (close_write, "/dir/other", Ring::NONE),
            (renamed_to, "/dir/..data_tmp", Ring::NONE),
            (open, "/dir", Ring::NONE),
            (removed, "/dir", Ring::SOON | Ring::LOST),
            (renamed_from, "/dir", Ring::SOON | Ring::LOST),
        ] {
            assert_eq!(ring(kind, path), reaction, "{kind:?} {path}");
        }
    }

    #[test]
    fn places_may_be_relative_and_their_directories_absent() {
        let here = std::env::current_dir().unwrap();
        let (interest, all_exist) = Interest::in_places(&["file".into()]);
        assert!(all_exist && interest.directories.contains(&here));
        assert!(interest.entries.contains(&here.join("file")));

        let (interest, all_exist) = Interest::in_places(&["absent/too/file".into()]);
        assert!(!all_exist && interest.directories.contains(&here));
        assert!(interest.entries.contains(&here.join("absent")));
    }

    #[test]
    fn an_overflow_means_look_now() {
        let event = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(classify(&event, &Interest::default()), Ring::NOW);
    }

    #[test]
    fn another_directory_of_the_same_name_is_noticed_without_an_event() {
        // As when something is mounted on it: inotify says nothing then.
        let parent = tempfile::tempdir().unwrap();
        let directory = fs::canonicalize(parent.path()).unwrap().join("d");
        let bell = Arc::new(Bell::default());
        let mut notice = Notice::new(Arc::clone(&bell));
        let places = [directory.join("file")];
        fs::create_dir(&directory).unwrap();
        assert_eq!(notice.attend(&places), (true, None));
        let before = notice.watched.clone();

        #[expect(clippy::disallowed_methods, reason = "plays the part of somebody else")]
        fs::rename(&directory, parent.path().join("e")).unwrap();
        fs::create_dir(&directory).unwrap();
        *notice.interest.lock().unwrap() = Interest::default();
        bell.lost.store(false, Ordering::Release);
        assert_eq!(notice.attend(&places), (true, None));
        assert_eq!(
            notice.watched.get(&directory).copied(),
            identity(&directory)
        );
        assert_ne!(notice.watched, before);
    }

    #[test]
    fn exhausted_limits_are_trouble_with_a_remedy_and_nothing_worse() {
        let bell = Arc::new(Bell::default());
        let places = [std::env::temp_dir().join("file")];
        for errno in [Errno::EMFILE, Errno::ENOSPC] {
            let open: Open = match errno {
                Errno::EMFILE => |_| Err(notify::Error::io(Errno::EMFILE.into())),
                _ => |_| Err(notify::Error::new(ErrorKind::MaxFilesWatch)),
            };
            let (complete, trouble) = Notice::with(Arc::clone(&bell), open).attend(&places);
            assert!(
                complete,
                "the limit is tried again with the next poll, not in haste"
            );
            assert!(
                matches!(trouble, Some(NoticeError::Limit { .. })),
                "{trouble:?}"
            );
        }
    }
}
