//! A refresh token in a file: read, used once, and replaced before anything is made of what came with its successor.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use pullkeeper_core::wire::Secret;
use zeroize::Zeroizing;

use super::Failure;
use super::subject::Held;
use crate::config::Subject;
use crate::exit::chain;
use crate::install::{Options, Target};

/// The file, held against everybody else who would use the token: an endpoint that replaces tokens may take a second
/// use of the first one for a theft, and revoke both (RFC 9700 section 4.14.2).
pub(super) struct Stored {
    path: PathBuf,
    token: Secret,
    /// Released when it is closed.
    _lock: File,
}

impl Stored {
    /// Waits for its turn, reads the token, and makes sure that a successor could be kept. Blocks.
    pub(super) fn take(path: &Path) -> Result<Self, Failure> {
        let lock = lock(path)?;
        let subject = Subject::Stored {
            path: path.to_owned(),
        };
        let token = Held::new(&subject, None)?.token;
        let stored = Self {
            path: path.to_owned(),
            token,
            _lock: lock,
        };
        // A full disk is found out now, not when the endpoint has already made the old token void.
        stored.write(&stored.token)?;
        Ok(stored)
    }

    pub(super) fn token(&self) -> &Secret {
        &self.token
    }

    /// Puts the successor in the token's place, durably. Blocks.
    pub(super) fn replace(self, successor: &Secret) -> Result<(), Failure> {
        self.write(successor)
    }

    fn write(&self, token: &Secret) -> Result<(), Failure> {
        let text = Zeroizing::new(format!("{}\n", token.expose()));
        let target = Target::new(&self.path, Options::default());
        let written = target.and_then(|target| target.replace(text.as_bytes()));
        written.map(drop).map_err(|error| {
            Failure::new(format!("cannot keep the refresh token: {}", chain(&error)))
        })
    }
}

fn lock(path: &Path) -> Result<File, Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let opened = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(&name);
    let locked = opened.and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| {
        let path = Path::new(&name).display();
        Failure::new(format!(
            "cannot lock {path}: {error}; the directory of `token_file` must be one to write in"
        ))
    })
}
