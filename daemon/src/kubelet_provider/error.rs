//! Why kubelet is not as it is wanted, and what became of it.

use std::io;

use pullkeeper_core::placement::extra_args::ExtraArgsError;
use thiserror::Error;

use super::guard::GuardError;
use super::look::LookError;
use super::overlay::OverlayError;
use super::record::RecordError;
use super::trial::TrialError;
use super::verify::NotBack;
use crate::install::TargetError;
use crate::service::RestartError;

/// What went wrong. Unless it says so, kubelet was not touched.
#[derive(Debug, Error)]
pub(super) enum ChangeError {
    /// The host cannot be looked at.
    #[error(transparent)]
    Look(#[from] LookError),
    /// A file or link of ours.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// Somebody else is at it.
    #[error(
        "another process changes kubelet's provider at this moment; try again when it has ended"
    )]
    Busy,
    /// Whether anybody is cannot be told.
    #[error("cannot lock {path}")]
    Lock {
        /// Which file.
        path: String,
        /// What came.
        #[source]
        source: io::Error,
    },
    /// The program does not work.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// What was done before is not known.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Nobody would undo it.
    #[error("cannot arm what undoes the change by itself, so that nothing was changed")]
    Guard(#[from] GuardError),
    /// The file that gives kubelet its flags.
    #[error(transparent)]
    Switch(#[from] TargetError),
    /// Somebody has changed that file since.
    #[error("cannot take our flags out of {path}: {why}")]
    ExtraArgs {
        /// Which one.
        path: String,
        /// What is in the way.
        why: ExtraArgsError,
    },
    /// systemd.
    #[error(transparent)]
    Service(#[from] RestartError),
    /// kubelet is not back.
    #[error(transparent)]
    NotBack(#[from] NotBack),
    /// It was undone.
    #[error("{0}; kubelet has its former flags, and is back")]
    RolledBack(String),
    /// It could not be undone.
    #[error("{why}; kubelet is not as it was")]
    NotRolledBack {
        /// Why it had to be.
        why: String,
        /// What went wrong then.
        #[source]
        source: Box<ChangeError>,
    },
    /// systemd does not undo it.
    #[error(
        "pullkeeper-kubelet-rollback.service does not end; look at `journalctl -u pullkeeper-kubelet-rollback`"
    )]
    GuardStuck,
    /// kubelet is as it was, and something of ours is still there.
    #[error("cannot remove {path}")]
    Leftover {
        /// What.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}
