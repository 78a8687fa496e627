//! What one `pullkeeper exchange` obtained, kept for the next one: in files that are memory (tmpfs), so that nothing
//! outlives the machine's run and nothing reaches a disk.
//!
//! Where there is no agent every question is a process of its own. Each file is locked while it is read and while its
//! content is obtained, so a crowd of processes makes one exchange, as a crowd of requests to the agent does.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::geteuid;
use pullkeeper_core::authfile::Credential;
use pullkeeper_core::wire::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::cache::Key;
use super::slot::usable;
use super::{Failure, Obtained, blocking};

/// A directory that nobody else can read, on a file system that is memory.
#[derive(Clone, Debug)]
pub struct Shelf(PathBuf);

/// One file, held against all other processes.
struct Place {
    file: File,
}

#[derive(Serialize, Deserialize)]
struct Content {
    /// What it was obtained by: the delegation and the credentials, with salt.
    salt: [u8; 16],
    origin: [u8; 32],
    /// By the clock that starts with the machine and never jumps, in milliseconds.
    until: u64,
    outcome: Outcome,
}

#[derive(Serialize, Deserialize)]
enum Outcome {
    Obtained { username: String, secret: Secret },
    Failed { message: String },
}

/// How long others are told of a failure without a new attempt.
const PAUSE: Duration = Duration::from_secs(1);
/// More than any token that fits into a request's header.
const LONGEST: usize = 128 << 10;

impl Shelf {
    /// The directory, made where it is missing; `None` where it could be read by others, is on a disk, or is not this
    /// user's. There is no harm in that but more exchanges.
    pub fn open(directory: &Path) -> Option<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory).ok()?;
        let metadata = directory.symlink_metadata().ok()?;
        let own = metadata.is_dir() && metadata.uid() == geteuid().as_raw();
        let memory = statfs(directory).ok()?.filesystem_type() == TMPFS_MAGIC;
        (own && memory && metadata.mode() & 0o077 == 0).then(|| {
            let shelf = Self(directory.to_owned());
            shelf.clear();
            shelf
        })
    }

    /// What is kept for the key, or what `exchange` obtains. `origin` is everything that it depends on.
    pub(super) async fn get(
        &self,
        key: &Key,
        origin: &str,
        with: &[Credential],
        exchange: impl AsyncFnOnce() -> Result<Obtained, Failure>,
    ) -> Result<Obtained, Failure> {
        let path = self.path(key);
        let place = blocking(move || Ok(Place::lock(&path))).await?;
        // A directory that cannot be written is no reason to do without a credential.
        let Some(mut place) = place else {
            return exchange().await;
        };
        let content = place.read();
        if let Some(kept) = content.and_then(|content| content.good(origin, with)) {
            return kept;
        }
        let outcome = exchange().await;
        if let Some(content) = Content::new(&outcome, origin, with) {
            // The same holds for a full one.
            let _ = place.write(&content);
        }
        outcome
    }

    fn path(&self, (registry, identity): &Key) -> PathBuf {
        let name = Sha256::digest(format!("{registry}\0{identity:?}"));
        self.0.join(hex(&name))
    }

    /// Removes what has ended. Who is about to lock a file that is removed makes an exchange more, and nothing else.
    fn clear(&self) {
        let Ok(entries) = std::fs::read_dir(&self.0) else {
            return;
        };
        for entry in entries.flatten() {
            let place = Place::open(&entry.path()).filter(|place| place.file.try_lock().is_ok());
            let content = place.map(|mut place| place.read());
            if content.is_some_and(|content| content.is_none_or(|content| content.left().is_none()))
            {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

impl Place {
    fn open(path: &Path) -> Option<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).open(path).ok()?;
        Some(Self { file })
    }

    /// Opened, after whoever has it let it go.
    fn lock(path: &Path) -> Option<Self> {
        let place = Self::open(path)?;
        place.file.lock().ok().map(|()| place)
    }

    /// What is in it. Half a file is what a killed process leaves, and nothing.
    fn read(&mut self) -> Option<Content> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST));
        (&self.file)
            .take(LONGEST as u64)
            .read_to_end(&mut bytes)
            .ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn write(&mut self, content: &Content) -> std::io::Result<()> {
        let bytes = Zeroizing::new(serde_json::to_vec(content)?);
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&bytes)
    }
}

impl Content {
    fn new(outcome: &Result<Obtained, Failure>, origin: &str, with: &[Credential]) -> Option<Self> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).ok()?;
        let (life, outcome) = match outcome {
            Ok(obtained) => {
                let Obtained {
                    username,
                    secret,
                    life,
                } = obtained.clone();
                (usable(life), Outcome::Obtained { username, secret })
            }
            Err(failure) => {
                let message = failure.message.clone();
                (failure.pause(PAUSE), Outcome::Failed { message })
            }
        };
        // What is good for once is not kept at all.
        let life = u64::try_from(life.as_millis())
            .ok()
            .filter(|life| *life > 0)?;
        let until = now()? + life;
        Some(Self {
            origin: digest(&salt, origin, with),
            salt,
            until,
            outcome,
        })
    }

    /// What it says, if that still holds for this origin.
    fn good(self, origin: &str, with: &[Credential]) -> Option<Result<Obtained, Failure>> {
        let life = self.left()?;
        if digest(&self.salt, origin, with) != self.origin {
            return None;
        }
        Some(match self.outcome {
            Outcome::Obtained { username, secret } => Ok(Obtained {
                username,
                secret,
                life,
            }),
            Outcome::Failed { message } => Err(Failure::new(message)),
        })
    }
}

impl Content {
    fn left(&self) -> Option<Duration> {
        let left = self.until.checked_sub(now()?)?;
        (left > 0).then(|| Duration::from_millis(left))
    }
}

fn digest(salt: &[u8; 16], origin: &str, with: &[Credential]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut put = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    put(salt);
    put(origin.as_bytes());
    for credential in with {
        put(credential.username());
        put(credential.password());
    }
    hash.finalize().into()
}

fn now() -> Option<u64> {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
    u64::try_from(now.as_millis()).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Identity;
    use super::*;

    fn shelf() -> (tempfile::TempDir, Shelf) {
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let shelf = Shelf::open(&memory.path().join("exchange")).unwrap();
        (memory, shelf)
    }

    fn obtained(life: Duration) -> Obtained {
        Obtained {
            username: "u".to_owned(),
            secret: Secret::new("fixture-secret".to_owned()),
            life,
        }
    }

    /// Asks, and tells how long what came is good, or `None` where it was obtained now.
    async fn ask(shelf: &Shelf, registry: &str, life: Duration) -> Option<Duration> {
        let key = (registry.to_owned(), Identity::Node);
        let mut asked = false;
        let got = shelf.get(&key, "settings", &[], async || {
            asked = true;
            Ok(obtained(life))
        });
        let got = got.await.unwrap();
        (!asked).then_some(got.life)
    }

    #[tokio::test]
    async fn what_is_kept_is_never_good_for_longer_than_it_was() {
        let (_memory, shelf) = shelf();
        let life = Duration::from_secs(100);
        assert_eq!(ask(&shelf, "r.example", life).await, None);
        let left = ask(&shelf, "r.example", life).await.unwrap();
        assert!(left <= usable(life) && left > life / 2, "{left:?}");
        assert_eq!(ask(&shelf, "s.example", life).await, None);
    }

    #[tokio::test]
    async fn what_is_good_for_once_is_not_kept_and_what_has_ended_is_removed() {
        let (_memory, shelf) = shelf();
        let files = || {
            let entries = std::fs::read_dir(&shelf.0).unwrap();
            let size = |entry: std::fs::DirEntry| entry.metadata().unwrap().len();
            entries
                .map(|entry| size(entry.unwrap()))
                .collect::<Vec<_>>()
        };
        for _ in 0..2 {
            assert_eq!(ask(&shelf, "r.example", Duration::ZERO).await, None);
        }
        assert_eq!(files(), [0]);
        assert_eq!(
            ask(&shelf, "s.example", Duration::from_secs(100)).await,
            None
        );
        assert_eq!(
            ask(&shelf, "t.example", Duration::from_millis(2)).await,
            None
        );
        let content = |path: PathBuf| Place::open(&path).unwrap().read();
        let path = shelf.path(&("t.example".to_owned(), Identity::Node));
        while content(path.clone()).is_some_and(|content| content.left().is_some()) {
            tokio::task::yield_now().await;
        }
        Shelf::open(&shelf.0).unwrap();
        assert_eq!(files().len(), 1);
    }

    #[test]
    fn a_directory_on_a_disk_is_not_used() {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let memory = statfs(directory.path()).unwrap().filesystem_type() == TMPFS_MAGIC;
        assert_eq!(Shelf::open(directory.path()).is_some(), memory);
        assert!(Shelf::open(Path::new("/proc/self/none")).is_none());
    }

    #[test]
    fn a_directory_that_others_can_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_memory, shelf) = shelf();
        for (mode, used) in [(0o755, false), (0o710, false), (0o700, true)] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&shelf.0, permissions).unwrap();
            assert_eq!(Shelf::open(&shelf.0).is_some(), used, "{mode:o}");
        }
    }
}
