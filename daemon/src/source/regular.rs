//! Reading a regular file that may be anything, may change meanwhile, and may never answer.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    path::Path,
    time::{Duration, SystemTime},
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat},
    sys::stat::{FileStat, Mode, SFlag, fstat, fstatat},
};
use zeroize::Zeroizing;

use super::{Revision, SourceError};

/// Largest file that is read. An auth file of 5,000 registries has 1 MiB, a Secret holds no more.
pub(super) const LIMIT: u64 = 4 << 20;

/// Content of a regular file and the version it belongs to.
#[derive(Debug)]
pub(crate) struct Regular {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(super) revision: Revision,
}

/// Reads `name` relative to the open directory. Links are followed. Errors name the file `shown`.
///
/// Never waits for a peer: anything but a regular file is refused before it is opened (opening a
/// device can have effects of its own), and once more after, because it may have been replaced.
pub(crate) fn read(dir: impl AsFd, name: &Path, shown: &Path) -> Result<Regular, SourceError> {
    let failed = |errno| match errno {
        Errno::ENOENT | Errno::ENOTDIR => SourceError::FileNotFound {
            path: shown.to_owned(),
        },
        source => SourceError::Unreadable {
            path: shown.to_owned(),
            source,
        },
    };
    let acceptable = |stat: &FileStat| check(stat, shown);

    acceptable(&fstatat(dir.as_fd(), name, AtFlags::empty()).map_err(failed)?)?;
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(dir.as_fd(), name, flags, Mode::empty()).map_err(failed)?);
    let stat = fstat(&file).map_err(failed)?;
    let size = acceptable(&stat)?;

    let bytes = read_all(&mut file, size).map_err(|e| failed(errno(&e)))?;
    if bytes.len() as u64 > LIMIT {
        return Err(SourceError::TooLarge {
            path: shown.to_owned(),
            limit: LIMIT,
        });
    }
    let revision = Revision::File {
        inode: stat.st_ino,
        modified: modified(&stat),
        size: bytes.len() as u64,
    };
    Ok(Regular { bytes, revision })
}

/// The size, if it is the stat of a regular file of reasonable size.
fn check(stat: &FileStat, shown: &Path) -> Result<u64, SourceError> {
    let found = match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => {
            let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
            return if size <= LIMIT {
                Ok(size)
            } else {
                Err(SourceError::TooLarge {
                    path: shown.to_owned(),
                    limit: LIMIT,
                })
            };
        }
        SFlag::S_IFDIR => "directory",
        SFlag::S_IFIFO => "named pipe",
        SFlag::S_IFSOCK => "socket",
        SFlag::S_IFCHR | SFlag::S_IFBLK => "device",
        _ => "special file",
    };
    Err(SourceError::NotRegular {
        path: shown.to_owned(),
        found,
    })
}

/// Reads to the end, but not much beyond the limit, into buffers that are wiped when they are
/// outgrown: letting a `Vec` grow by itself would leave copies behind.
fn read_all(file: &mut File, size: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // One byte more than expected, so that the end is seen without growing.
    let mut buffer = Zeroizing::new(vec![0; usize::try_from(size).unwrap_or(0) + 1]);
    let mut filled = 0;
    loop {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if filled as u64 > LIMIT {
            break;
        }
        if filled == buffer.len() {
            let mut larger = Zeroizing::new(vec![0; filled * 2]);
            larger[..filled].copy_from_slice(&buffer);
            buffer = larger;
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn modified(stat: &FileStat) -> SystemTime {
    let nanos = Duration::from_nanos(u64::try_from(stat.st_mtime_nsec).unwrap_or(0));
    let seconds = Duration::from_secs(stat.st_mtime.unsigned_abs());
    let whole = if stat.st_mtime < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    whole
        .and_then(|time| time.checked_add(nanos))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
