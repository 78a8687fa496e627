//! A mounted Secret volume.
//!
//! The kubelet's atomic writer puts a new set of keys into a directory of its own and then renames
//! a link named `..data` onto the former one; the visible keys are links through it.

use std::{
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, open},
    sys::stat::{Mode, fstat, stat},
};

use pullkeeper_core::authfile::Shape;

use super::{
    Context, Payload, SourceError,
    directory::{self, Reader, Reading},
    join::Slot,
    regular,
    shape::{self, CONFIG_JSON_KEY, DOCKER_CFG_KEY},
};

/// The link that a volume swaps.
pub(super) const DATA: &str = "..data";
/// How many swaps one read may run into. A volume is swapped once a minute at most; who reads is held up for as long as it likes.
const ATTEMPTS: usize = 16;

/// Keeps the slot's observation that of the volume. A key whose name stands for a shape has that
/// shape, with any other key it is detected.
pub(super) async fn follow(slot: Slot, directory: PathBuf, key: Option<String>, context: Context) {
    let id = format!("volume:{}", directory.display());
    let keys = match key {
        Some(key) => vec![key],
        None => vec![CONFIG_JSON_KEY.to_owned(), DOCKER_CFG_KEY.to_owned()],
    };
    directory::follow(slot, id, VolumeReader { directory, keys }, context).await;
}

struct VolumeReader {
    directory: PathBuf,
    /// Never empty; the first one that exists is read.
    keys: Vec<String>,
}

impl Reader for VolumeReader {
    fn places(&self) -> Vec<PathBuf> {
        let names = self.keys.iter().map(String::as_str).chain([DATA]);
        names.map(|name| self.directory.join(name)).collect()
    }

    /// All keys are looked up in one set: the one that `..data` leads to, or in the directory
    /// itself where there is no such link.
    fn read(&self) -> Reading {
        let mut reading = Reading::failed(self.absent());
        for _ in 0..ATTEMPTS {
            let set = match self.open_set() {
                Ok(set) => set,
                Err(error) => return Reading::failed(error),
            };
            reading = self.read_set(&set);
            // A set that was swapped out meanwhile is being deleted key by key: it proves nothing.
            if reading.content.is_ok() || self.is_current(&set) {
                break;
            }
        }
        reading
    }
}

impl VolumeReader {
    fn open_set(&self) -> Result<OwnedFd, SourceError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        open(&self.directory.join(DATA), flags, Mode::empty())
            .or_else(|errno| match errno {
                Errno::ENOENT => open(&self.directory, flags, Mode::empty()),
                other => Err(other),
            })
            .map_err(|errno| match errno {
                Errno::ENOENT | Errno::ENOTDIR => self.absent(),
                source => SourceError::Unreadable {
                    path: self.directory.clone(),
                    source,
                },
            })
    }

    fn read_set(&self, set: &OwnedFd) -> Reading {
        for key in &self.keys {
            let shown = self.directory.join(key);
            match regular::read(set, Path::new(key), &shown) {
                Ok(regular::Regular { bytes, revision }) => {
                    let shape =
                        shape::of_name(Path::new(key)).unwrap_or_else(|| Shape::of_content(&bytes));
                    let content = Ok(Payload::new(shape, bytes));
                    return Reading {
                        revision: Some(revision),
                        content,
                    };
                }
                Err(SourceError::FileNotFound { .. }) => {}
                Err(error) => return Reading::failed(error),
            }
        }
        let wanted = self.keys.first().map_or("", String::as_str);
        Reading::failed(match names(set) {
            Ok(present) => SourceError::missing_key(wanted, present),
            Err(source) => SourceError::Unreadable {
                path: self.directory.clone(),
                source,
            },
        })
    }

    /// Whether a new look would open the same set.
    fn is_current(&self, set: &OwnedFd) -> bool {
        let now = stat(&self.directory.join(DATA)).or_else(|_| stat(&self.directory));
        match (fstat(set), now) {
            (Ok(then), Ok(now)) => (then.st_dev, then.st_ino) == (now.st_dev, now.st_ino),
            _ => false,
        }
    }

    fn absent(&self) -> SourceError {
        SourceError::FileNotFound {
            path: self.directory.clone(),
        }
    }
}

/// Names of the keys in a set: everything but the volume's own entries.
fn names(set: &OwnedFd) -> nix::Result<Vec<String>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::openat(set, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_string_lossy();
        if name != "." && !name.starts_with("..") {
            names.push(name.into_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
