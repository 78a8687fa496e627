//! Folders that tests work in.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

use anyhow::{Context, Result};

/// A folder of its own below `target/tmp/it`: on the disk of the build and never in a memory
/// filesystem, because the data of a control plane goes there.
///
/// It is removed when dropped, unless a test is panicking or `PULLKEEPER_TEST_KEEP` is set. What
/// stays (also the folders of processes that were killed) goes at the start of the next run.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// A new, empty folder whose name begins with `name`. Keep names short: Unix sockets may go
    /// there, and their paths are limited to 107 bytes.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let base = base()?;
        fs::create_dir_all(&base).with_context(|| format!("cannot create {}", base.display()))?;
        static SWEEP: Once = Once::new();
        SWEEP.call_once(|| sweep(&base));
        let path = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(&base)
            .with_context(|| format!("cannot create a folder in {}", base.display()))?
            .keep();
        let lock = File::create(path.join(LOCK))?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file in it, readable by its owner only, and returns the path.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.join(name);
        let write = || -> std::io::Result<()> {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&path)?.write_all(content.as_ref())
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() && std::env::var_os("PULLKEEPER_TEST_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The folder with the binaries of this build, `target/<profile>`.
///
/// # Errors
/// When the running program is not one that cargo built.
pub fn profile_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("cannot tell the path of the running test")?;
    let folder = exe.parent().context("a program without a folder")?;
    // Tests lie in `deps`, programs beside it.
    let profile = match folder.file_name() {
        Some(name) if name == "deps" => folder.parent(),
        _ => Some(folder),
    };
    profile
        .map(Path::to_owned)
        .with_context(|| format!("{} does not lie in target/<profile>", exe.display()))
}

const LOCK: &str = ".in-use";

fn base() -> Result<PathBuf> {
    let profile = profile_dir()?;
    let target = profile.parent().context("target/<profile> has no parent")?;
    Ok(target.join("tmp/it"))
}

// A folder belongs to a living process as long as somebody holds its lock. Young folders are
// passed over: their owner may be between creating and locking.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let age = fs::metadata(&path)
            .and_then(|meta| meta.modified())
            .map(|at| at.elapsed());
        let young = matches!(age, Ok(Ok(age)) if age.as_secs() < 2);
        let in_use = File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_err());
        if !young && !in_use {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_in_use_survive_a_sweep_and_abandoned_ones_do_not() {
        let ours = Scratch::new("unit").unwrap();
        let base = tempfile::tempdir_in(ours.path()).unwrap();
        let dir = |name: &str| {
            let path = base.path().join(name);
            fs::create_dir(&path).unwrap();
            let lock = File::create(path.join(LOCK)).unwrap();
            File::open(&path)
                .unwrap()
                .set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
            (path, lock)
        };
        let (used, lock) = dir("used");
        lock.lock().unwrap();
        let (abandoned, _) = dir("abandoned");
        sweep(base.path());
        assert!(used.exists());
        assert!(!abandoned.exists());
    }

    #[test]
    fn files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new("unit").unwrap();
        let path = scratch.write("a/b", "text").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read(path).unwrap(), b"text");
    }
}
