//! Why a target could not be read or replaced, in words that an operator can act on.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::Cause;

/// What failed, where, why, and what to do about it.
///
/// `Display` is one complete line, "cannot replace PATH: STEP failed: CAUSE; REMEDY", with the
/// kernel's text in it; `source` is therefore empty, or a printed chain would say it twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetError {
    action: Action,
    path: PathBuf,
    failure: Failure,
    leftover: Option<OsString>,
}

impl TargetError {
    pub(super) fn new(action: Action, path: &Path, failure: Failure) -> Self {
        Self {
            action,
            path: path.to_owned(),
            failure,
            leftover: None,
        }
    }

    pub(super) fn with_leftover(mut self, name: Option<OsString>) -> Self {
        self.leftover = name;
        self
    }

    /// The target as it is configured.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was being done to the target.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The step that failed.
    pub fn step(&self) -> Step {
        self.failure.step
    }

    /// Why it failed.
    pub fn cause(&self) -> Cause {
        self.failure.cause
    }

    /// The kernel's error number, where a system call failed.
    pub fn errno(&self) -> Option<Errno> {
        match self.failure.why {
            Why::Errno(errno) => Some(errno),
            Why::Found(_) => None,
        }
    }

    /// The cause as a stable label for metrics; see [`Cause::as_str`].
    pub fn kind(&self) -> &'static str {
        self.failure.cause.as_str()
    }

    /// What an operator can do about it.
    pub fn remedy(&self) -> &'static str {
        self.failure.cause.remedy()
    }

    /// Whether the new file had already taken the target's name when this failed.
    ///
    /// `false` means that the old file is untouched. `true` means that the new one was complete
    /// in place, but it is not certain that it outlives a power failure ([`Cause::NotDurable`]) or
    /// that it is still there ([`Cause::Verify`]).
    pub fn renamed(&self) -> bool {
        self.failure.renamed()
    }

    /// The temporary file that could not be removed from the target's directory, if there is one.
    /// It may hold credentials: call [`super::Target::sweep`] until that succeeds.
    pub fn leftover(&self) -> Option<&OsStr> {
        self.leftover.as_deref()
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { step, cause, why } = self.failure;
        let why = match why {
            Why::Errno(errno) => errno.desc(),
            Why::Found(what) => what,
        };
        write!(
            f,
            "cannot {} {}: {} failed: {why}; {}",
            self.action.as_str(),
            self.path.display(),
            step.as_str(),
            cause.remedy(),
        )?;
        match &self.leftover {
            Some(name) => write!(f, "; remove {} beside it", name.display()),
            None => Ok(()),
        }
    }
}

impl Error for TargetError {}

/// A failed step before it is known whose target it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    step: Step,
    cause: Cause,
    why: Why,
}

impl Failure {
    /// A failed system call, its cause read from the error number.
    pub(super) fn call(step: Step, errno: Errno) -> Self {
        Self {
            step,
            cause: Cause::of(step, errno),
            why: Why::Errno(errno),
        }
    }

    /// A state that was found and is refused; `what` names it and holds no content.
    pub(super) fn found(step: Step, cause: Cause, what: &'static str) -> Self {
        Self {
            step,
            cause,
            why: Why::Found(what),
        }
    }

    pub(super) fn cause(&self) -> Cause {
        self.cause
    }

    /// Whether the new file had already taken the target's name.
    pub(super) fn renamed(&self) -> bool {
        matches!(self.step, Step::FsyncDirectory | Step::Verify)
    }

    /// The same failure, met while the result of a replacement was checked.
    pub(super) fn verifying(self) -> Self {
        Self {
            step: Step::Verify,
            cause: Cause::Verify,
            why: self.why,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Errno(Errno),
    Found(&'static str),
}

/// What was being done to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Finding out whether it could be replaced.
    Check,
    /// Reading what is there.
    Read,
    /// Replacing it.
    Replace,
    /// Removing it.
    Remove,
    /// Removing temporary files that an earlier process left beside it.
    Sweep,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Check | Self::Replace => "replace",
            Self::Read => "read",
            Self::Remove => "remove",
            Self::Sweep => "clean up beside",
        }
    }
}

/// The steps of the path, in the order in which a replacement takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Finding the file's directory and following links to it.
    Open,
    /// Making the directory, where that was asked for.
    CreateDirectory,
    /// Reading the old file.
    Read,
    /// Creating the temporary file.
    Create,
    /// Reading what the new file is a copy of.
    Source,
    /// Writing it in full.
    Write,
    /// Giving it its owner.
    Chown,
    /// Giving it the old file's access control list.
    Acl,
    /// Giving it its mode.
    Chmod,
    /// Giving it the old file's SELinux label.
    Label,
    /// Making its content durable.
    Fsync,
    /// Putting it in the old file's place.
    Rename,
    /// Making that durable.
    FsyncDirectory,
    /// Reading the result back.
    Verify,
    /// Removing temporary files of an earlier process.
    Sweep,
}

impl Step {
    /// The step's name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::CreateDirectory => "create directory",
            Self::Read => "read",
            Self::Create => "create",
            Self::Source => "read the source",
            Self::Write => "write",
            Self::Chown => "chown",
            Self::Acl => "acl",
            Self::Chmod => "chmod",
            Self::Label => "label",
            Self::Fsync => "fsync",
            Self::Rename => "rename",
            Self::FsyncDirectory => "fsync directory",
            Self::Verify => "verify",
            Self::Sweep => "sweep",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_path_step_cause_and_remedy() {
        let path = Path::new("/x/config.json");
        let failure = Failure::call(Step::Rename, Errno::EBUSY);
        let error = TargetError::new(Action::Replace, path, failure);
        assert_eq!(
            error.to_string(),
            "cannot replace /x/config.json: rename failed: Device or resource busy; mount the \
             directory that holds the file instead of the file alone (a hostPath volume of type \
             Directory, without subPath)"
        );
        assert_eq!(
            (error.kind(), error.errno()),
            ("bind_mount", Some(Errno::EBUSY))
        );
        assert!(!error.renamed());

        let failure = Failure::found(Step::Read, Cause::NotRegular, "it is a FIFO");
        let error = TargetError::new(Action::Read, path, failure);
        assert_eq!(
            error.to_string(),
            "cannot read /x/config.json: read failed: it is a FIFO; \
             remove what has the name of the file, or configure another path"
        );
        assert_eq!(error.errno(), None);
    }

    #[test]
    fn a_temporary_file_that_stays_is_named() {
        let failure = Failure::call(Step::Fsync, Errno::EIO);
        let error = TargetError::new(Action::Replace, Path::new("/x/y"), failure)
            .with_leftover(Some(".pullkeeper-0.tmp".into()));
        assert!(
            error
                .to_string()
                .ends_with("; remove .pullkeeper-0.tmp beside it"),
            "{error}"
        );
    }

    #[test]
    fn only_what_fails_after_the_rename_says_so() {
        let renamed =
            |failure| TargetError::new(Action::Replace, Path::new("/x"), failure).renamed();
        assert!(renamed(Failure::call(Step::FsyncDirectory, Errno::EIO)));
        assert!(renamed(Failure::call(Step::Read, Errno::EIO).verifying()));
        assert!(!renamed(Failure::call(Step::Rename, Errno::EIO)));
    }
}
