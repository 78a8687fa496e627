//! The file that another one is a copy of. It is read piece by piece, so that its size costs no memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::fstat;

use super::error::Failure;
use super::syscall::{number, retry, retry_io};
use super::{Cause, Identity, Step};

/// How much of it is in memory at a time.
const PIECE: usize = 64 << 10;

/// A regular file that is not empty, open, as it was when it was opened.
#[derive(Debug)]
pub(super) struct Original {
    file: File,
    size: u64,
    identity: Identity,
}

/// Why a file cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Nothing has its name.
    #[error("it is not there")]
    Missing,
    /// A directory, FIFO, socket or device has its name.
    #[error("it is not a regular file")]
    NotRegular,
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is beyond what a copy may have.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// The filesystem refuses.
    #[error("{0}")]
    Unreadable(io::Error),
}

impl Unusable {
    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "source_missing",
            Self::NotRegular => "source_not_regular",
            Self::Empty => "source_empty",
            Self::TooLarge(_) => "source_too_large",
            Self::Unreadable(_) => "source_unreadable",
        }
    }
}

impl Original {
    /// Opens the file at `path`, links followed, and refuses what is empty or larger than `limit`.
    pub(super) fn open(path: &Path, limit: u64) -> Result<Self, Unusable> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unusable::Missing,
            _ => Unusable::Unreadable(error),
        };
        // Looked at before it is opened: opening a device can have effects of its own. Not blocking, should a FIFO
        // have taken its name since.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Unusable::NotRegular);
        }
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(flags.bits());
        let file = options.open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Unusable::NotRegular);
        }
        let stat = retry(|| fstat(&file)).map_err(|errno| Unusable::Unreadable(errno.into()))?;
        match u64::try_from(stat.st_size).unwrap_or(u64::MAX) {
            0 => Err(Unusable::Empty),
            size if size > limit => Err(Unusable::TooLarge(limit)),
            size => Ok(Self {
                file,
                size,
                identity: Identity::of(&stat),
            }),
        }
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.size
    }

    /// Tells this state of it from every other.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Hands it over from beginning to end, each piece with its place. Fails at the end if somebody changed it meanwhile.
    pub(super) fn pieces(
        &self,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let changed = || {
            let what = "it was changed while it was read";
            Failure::found(Step::Source, Cause::Changed, what)
        };
        let failed = |errno| Failure::call(Step::Source, errno);
        let mut buffer = vec![0; PIECE];
        let mut at = 0;
        while at < self.size {
            let rest = usize::try_from(self.size - at).unwrap_or(PIECE).min(PIECE);
            let piece = &mut buffer[..rest];
            let count = retry_io(|| self.file.read_at(piece, at)).map_err(failed)?;
            if count == 0 {
                return Err(changed());
            }
            take(at, &piece[..count])?;
            at += count as u64;
        }
        let stat = retry(|| fstat(&self.file)).map_err(failed)?;
        if Identity::of(&stat) == self.identity {
            Ok(())
        } else {
            Err(changed())
        }
    }

    /// Whether `copy` holds the same and nothing else.
    pub(super) fn is_in(&self, copy: &File) -> Result<bool, Failure> {
        let failed = |errno| Failure::call(Step::Read, errno);
        let stat = retry(|| fstat(copy)).map_err(failed)?;
        if u64::try_from(stat.st_size) != Ok(self.size) {
            return Ok(false);
        }
        let mut buffer = vec![0; PIECE];
        let mut same = true;
        self.pieces(|at, piece| {
            if same {
                let other = &mut buffer[..piece.len()];
                match copy.read_exact_at(other, at) {
                    Ok(()) => same = *other == *piece,
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => same = false,
                    Err(error) => return Err(failed(number(&error))),
                }
            }
            Ok(())
        })?;
        Ok(same)
    }
}
