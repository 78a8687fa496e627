//! The write path in a process of its own, and a folder for it to write in.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;
use tempfile::TempDir;

pub mod kill;

/// A file that the writer looks for right before the calls of the path; it never exists.
pub const BEGIN: &str = "/install-writer-begins";
/// A file that the writer looks for right after the calls of the path; it never exists.
pub const END: &str = "/install-writer-ends";
/// Exit status of a writer whose target refused before the rename.
pub const REFUSED: u8 = 3;
/// Exit status of a writer whose target failed after the rename.
pub const REFUSED_AFTER_RENAME: u8 = 4;

/// No test of the write path takes nearly this long in one process, in seconds.
const DEADLINE: &str = "60";

/// Owner and mode of the targets: not those that a forgotten step would give.
pub const UID: u32 = 65534;
/// See [`UID`].
pub const GID: u32 = 65533;
/// See [`UID`].
pub const MODE: u32 = 0o640;

/// A folder with a target in a directory of its own, and an old and a new content beside it.
#[derive(Debug)]
pub struct Scene {
    folder: TempDir,
    program: PathBuf,
    /// What the target holds at first.
    pub old: Vec<u8>,
    /// What it is replaced by.
    pub new: Vec<u8>,
}

impl Scene {
    /// A scene below `base` with contents of these lengths, for the writer at `program`.
    ///
    /// # Errors
    /// Without root, because owners, labels and mounts cannot be tried then; or when the folder
    /// cannot be made.
    pub fn new(base: &str, program: &str, old: usize, new: usize) -> Result<Self> {
        ensure!(
            geteuid().is_root(),
            "run this suite as root: it changes owners and mounts"
        );
        let folder = tempfile::Builder::new()
            .prefix("install-")
            .tempdir_in(base)?;
        let program = program.into();
        let scene = Self {
            folder,
            program,
            old: content(b'o', old),
            new: content(b'n', new),
        };
        fs::create_dir(scene.directory())?;
        write(&scene.old_path(), &scene.old)?;
        write(&scene.new_path(), &scene.new)?;
        Ok(scene)
    }

    /// The target's directory. Nothing but the target belongs in it.
    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("node")
    }

    /// The target.
    pub fn target(&self) -> PathBuf {
        self.directory().join("config.json")
    }

    /// A file with the old content.
    pub fn old_path(&self) -> PathBuf {
        self.folder.path().join("old")
    }

    /// A file with the new content.
    pub fn new_path(&self) -> PathBuf {
        self.folder.path().join("new")
    }

    /// Any other path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the old content in the target's place, as a new file with [`UID`], [`GID`], [`MODE`].
    ///
    /// # Errors
    /// When the filesystem refuses.
    pub fn put_old(&self) -> Result<()> {
        let _ = fs::remove_file(self.target());
        write(&self.target(), &self.old)?;
        chown(self.target(), Some(UID), Some(GID))?;
        fs::set_permissions(self.target(), Permissions::from_mode(MODE))?;
        Ok(())
    }

    /// The writer's settings for [`UID`], [`GID`] and [`MODE`].
    pub fn settings() -> [String; 2] {
        [format!("mode={MODE:o}"), format!("owner={UID}:{GID}")]
    }

    /// A command that runs the writer.
    pub fn writer(&self) -> Command {
        Command::new(&self.program)
    }

    /// A command that runs `wrapper` with the writer's path as its last argument so far.
    pub fn writer_under(&self, wrapper: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", DEADLINE])
            .args(wrapper)
            .arg(&self.program);
        command
    }

    /// Runs a shell script in a mount namespace of its own. It finds the writer in `$W`, the
    /// target's directory in `$D`, the target in `$T`, the contents' files in `$OLD` and `$NEW`,
    /// and stops at the first command that fails.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn in_mount_namespace(&self, script: &str) -> Result<Output> {
        Command::new("timeout")
            .args(["--kill-after=5", DEADLINE])
            .args(["unshare", "--mount", "--propagation", "private"])
            .args(["sh", "-euc", script])
            .env("W", &self.program)
            .env("D", self.directory())
            .env("T", self.target())
            .env("OLD", self.old_path())
            .env("NEW", self.new_path())
            .output()
            .context("cannot run unshare: install util-linux")
    }

    /// The names in the target's directory other than the target.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn strangers(&self) -> Result<Vec<PathBuf>> {
        let mut strangers = Vec::new();
        for entry in fs::read_dir(self.directory())? {
            let path = entry?.path();
            if path != self.target() {
                strangers.push(path);
            }
        }
        Ok(strangers)
    }

    /// Which content the target has, or what is wrong with it.
    ///
    /// # Errors
    /// When it is neither content in full, or has another mode or owner.
    pub fn state(&self) -> Result<State> {
        let file = match File::open(self.target()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(State::Absent),
            opened => opened?,
        };
        let metadata = file.metadata()?;
        let seen = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
        ensure!(seen == (UID, GID, MODE), "owner and mode are {seen:?}");
        let mut bytes = Vec::with_capacity(self.old.len().max(self.new.len()) + 1);
        std::io::Read::read_to_end(&mut &file, &mut bytes)?;
        match bytes {
            _ if bytes == self.old => Ok(State::Old),
            _ if bytes == self.new => Ok(State::New),
            _ => anyhow::bail!("torn: {} bytes that are neither content", bytes.len()),
        }
    }
}

/// What is at the target's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No file.
    Absent,
    /// The old content with the right owner and mode.
    Old,
    /// The new content with the right owner and mode.
    New,
}

/// Random numbers that a printed seed repeats (SplitMix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Bytes in which every part tells where it is, so that a mixture of two contents or a part that
/// is missing cannot pass for either.
fn content(tag: u8, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 16);
    while bytes.len() < length {
        let line = format!("{}{:014}\n", char::from(tag), bytes.len());
        bytes.extend(line.as_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file =
        File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    file.write_all(bytes)
        .with_context(|| format!("cannot write {}", path.display()))
}
