//! A file on the node that the agent owns, and what can be done to it.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::sys::stat::FileStat;
use nix::unistd::{getegid, geteuid};
use zeroize::Zeroizing;

use super::atomic::{self, Aborted, Basis};
use super::content::{Content, read_all};
use super::error::Failure;
use super::place::Place;
use super::{Action, Cause, Owner, Step, TargetError, temp};

pub(super) mod copy;

/// One file that is read and replaced as a whole.
///
/// It holds no descriptor: every operation finds its directory anew, so that a directory that was
/// replaced or mounted over in the meantime is seen. Within one operation the directory is opened
/// once and everything happens relative to it.
///
/// There is one writer for each target; two operations on the same one must not overlap.
#[derive(Debug, Clone)]
pub struct Target {
    path: PathBuf,
    options: Options,
}

/// How a target is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Permission bits of the file, enforced at each replacement. Others than 0o7777 are ignored.
    /// With one that lets somebody execute it, a mount that lets nobody is refused.
    pub mode: u32,
    /// Its owner, enforced at each replacement. `None`: the old file's owner is kept, and a file
    /// that did not exist belongs to the agent.
    pub owner: Option<Owner>,
    /// The directory that a symbolic link in the place of the file may not leave. `None`: the
    /// directory of the configured path.
    pub root: Option<PathBuf>,
    /// Whether a symbolic link in the place of the file is followed. `false`: it is refused.
    pub follow: bool,
    /// Makes the file's directory with these permission bits if it is missing, not the ones above
    /// it. `None`: a missing directory is an error, for it may be a mount that has not come yet.
    pub create_directory: Option<u32>,
    /// The largest content in bytes that is read or written.
    pub limit: usize,
}

impl Options {
    /// 16 MiB: a Secret holds 1 MiB at most, so nothing near this is an auth file.
    pub const DEFAULT_LIMIT: usize = 16 << 20;

    /// Those of a file on the host that is ours alone: it belongs to the agent, as does its directory, which is made. Whoever made a
    /// link did so for a reason; nothing of ours must appear where it happens to lead.
    pub(crate) fn ours(mode: u32) -> Self {
        Self {
            mode,
            owner: Some(Owner {
                uid: geteuid().as_raw(),
                gid: getegid().as_raw(),
            }),
            follow: false,
            create_directory: Some(0o755),
            ..Self::default()
        }
    }

    pub(super) fn mode(&self) -> u32 {
        self.mode & 0o7777
    }

    pub(super) fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: 0o600,
            owner: None,
            root: None,
            follow: true,
            create_directory: None,
            limit: Self::DEFAULT_LIMIT,
        }
    }
}

impl Target {
    /// A target at `path`, which must be absolute and end in a file name. The filesystem is not
    /// touched.
    pub fn new(path: impl Into<PathBuf>, options: Options) -> Result<Self, TargetError> {
        let path = path.into();
        if !path.is_absolute() || path.file_name().is_none() {
            let what = "the path is relative or names no file";
            let failure = Failure::found(Step::Open, Cause::InvalidPath, what);
            return Err(TargetError::new(Action::Check, &path, failure));
        }
        Ok(Self { path, options })
    }

    /// The path as it is configured.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether [`Target::replace`] would be refused before it writes anything: no directory, a
    /// link that leaves its root, not a regular file, a single-file bind mount.
    pub fn check(&self) -> Result<(), TargetError> {
        let missing = self.options.create_directory.is_some();
        match Place::find(&self.path, &self.options).and_then(|place| place.open(true)) {
            Ok(_) => Ok(()),
            Err(failure) if missing && failure.cause() == Cause::MissingDirectory => Ok(()),
            Err(failure) => Err(self.failed(Action::Check, failure)),
        }
    }

    /// What is there now; `None` when there is no file. A single-file bind mount can be read.
    pub fn read(&self) -> Result<Option<Current>, TargetError> {
        let missing = self.options.create_directory.is_some();
        match self.read_current() {
            Err(failure) if missing && failure.cause() == Cause::MissingDirectory => Ok(None),
            answer => answer.map_err(|failure| self.failed(Action::Read, failure)),
        }
    }

    /// Replaces the file, whatever is in it, and returns when the new one is durable and was read
    /// back.
    ///
    /// On an error for which [`TargetError::renamed`] is false the old file is as it was.
    pub fn replace(&self, bytes: &[u8]) -> Result<Installed, TargetError> {
        self.install(Basis::Any, Content::Bytes(bytes))
    }

    /// [`Target::replace`], but only if the file is still the one that `seen` was read from, or
    /// there still is none: else [`Cause::Changed`]. It is looked at again right before the
    /// rename, so another writer's update is lost only if it falls between two system calls.
    pub fn replace_if(
        &self,
        seen: Option<&Identity>,
        bytes: &[u8],
    ) -> Result<Installed, TargetError> {
        self.install(Basis::Seen(seen), Content::Bytes(bytes))
    }

    /// Removes the file, and returns when that is durable. Where there is none, nothing happens.
    pub fn remove(&self) -> Result<(), TargetError> {
        let missing = self.options.create_directory.is_some();
        match atomic::remove(&self.path, &self.options) {
            Err(failure) if missing && failure.cause() == Cause::MissingDirectory => Ok(()),
            answer => answer.map_err(|failure| self.failed(Action::Remove, failure)),
        }
    }

    /// Removes the temporary files that a killed agent left beside the file, and says how many.
    ///
    /// Only regular files are taken that have a name made by this module and belong to the agent,
    /// to the configured owner or to the owner of the target. To be called at start, and after an
    /// error with a [`TargetError::leftover`].
    pub fn sweep(&self) -> Result<usize, TargetError> {
        self.sweep_place()
            .map_err(|failure| self.failed(Action::Sweep, failure))
    }

    /// Whether the file has the mode and the owner that are configured. If not, a replacement by
    /// the same bytes repairs it.
    pub fn conforms(&self, current: &Current) -> bool {
        self.is_as_configured(current.mode, current.owner)
    }

    fn is_as_configured(&self, mode: u32, owner: Owner) -> bool {
        let wanted = self.options.owner;
        mode == self.options.mode() && wanted.is_none_or(|wanted| wanted == owner)
    }

    fn install(&self, basis: Basis<'_>, content: Content<'_>) -> Result<Installed, TargetError> {
        atomic::replace(&self.path, &self.options, basis, content).map_err(
            |Aborted { failure, leftover }| {
                self.failed(Action::Replace, failure)
                    .with_leftover(leftover)
            },
        )
    }

    fn read_current(&self) -> Result<Option<Current>, Failure> {
        let place = Place::find(&self.path, &self.options)?;
        let Some((file, stat)) = place.open(false)? else {
            return Ok(None);
        };
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        let bytes = read_all(&file, size, self.options.limit)?;
        Ok(Some(Current {
            bytes,
            mode: stat.st_mode & 0o7777,
            owner: owner_of(&stat),
            links: stat.st_nlink,
            identity: Identity::of(&stat),
        }))
    }

    fn sweep_place(&self) -> Result<usize, Failure> {
        let place = match Place::find(&self.path, &self.options) {
            Err(failure) if failure.cause() == Cause::MissingDirectory => return Ok(0),
            found => found?,
        };
        let stat = place
            .stat()
            .map_err(|errno| Failure::call(Step::Sweep, errno))?;
        let mut owners = vec![geteuid().as_raw()];
        owners.extend(self.options.owner.map(|owner| owner.uid));
        owners.extend(stat.map(|stat| stat.st_uid));
        temp::sweep(&place.directory, &owners)
    }

    fn failed(&self, action: Action, failure: Failure) -> TargetError {
        TargetError::new(action, &self.path, failure)
    }
}

fn owner_of(stat: &FileStat) -> Owner {
    Owner {
        uid: stat.st_uid,
        gid: stat.st_gid,
    }
}

/// A file as it was read. Its bytes are wiped when it is dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Current {
    /// The content.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: Owner,
    /// Names of the inode; with more than one, the others keep the old content at a replacement.
    pub links: u64,
    /// Tells this state of the file from every other.
    pub identity: Identity,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("length", &self.bytes.len())
            .field("mode", &format_args!("{:04o}", self.mode))
            .field("owner", &self.owner)
            .field("links", &self.links)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Tells one state of a file from another without a look at its content: the inode, its size and
/// the times of its last change of content and of metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    pub(super) fn of(stat: &FileStat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// A replacement that was made durable and read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The new file.
    pub identity: Identity,
    /// There was no file before.
    pub created: bool,
    /// Other names of the old file: hard links, which keep the old content and should be told to
    /// the operator, for they are no longer kept up to date.
    pub other_links: u64,
}

#[cfg(test)]
mod tests;
