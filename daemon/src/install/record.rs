//! The record of managed entries of one target, kept in the state directory between runs.

use std::path::{Path, PathBuf};

use pullkeeper_core::authfile::{HashKey, Ledger, LedgerError};

use super::{Options, Target, TargetError};

/// The file that holds one target's [`Ledger`].
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    stored: Option<Ledger>,
}

/// The record cannot be kept. Without it a later run could not tell our entries from those of others.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The state directory cannot be made.
    #[error(
        "cannot make the state directory {path}; set `state_dir` to a directory that can be written"
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be read or replaced.
    #[error("cannot keep the record of managed entries")]
    File(#[from] TargetError),
    /// The system gives no random numbers for the hash key.
    #[error("cannot make a key for the record of managed entries")]
    Random(#[from] getrandom::Error),
}

impl Record {
    /// The record of the target at `target`, below the state directory. Nothing is read yet.
    pub fn of(state_dir: &Path, target: &Path) -> Self {
        Self {
            path: state_dir.join("targets").join(file_name(target)),
            stored: None,
        }
    }

    /// Whether one was ever kept: the target has been written before.
    pub(crate) fn is_kept(&self) -> bool {
        self.path.exists()
    }

    /// The ledger as it was last kept; a new one when there is none, or none that can be used.
    pub fn load(&mut self) -> Result<Ledger, RecordError> {
        if let Some(ledger) = &self.stored {
            return Ok(ledger.clone());
        }
        self.make_directory()?;
        let file = self.open()?;
        file.sweep()?;
        let ledger = match file.read()? {
            None => Self::fresh()?,
            Some(current) => match Ledger::from_json(&current.bytes) {
                Ok(ledger) => ledger,
                Err(error) => {
                    self.complain(&error);
                    Self::fresh()?
                }
            },
        };
        self.stored = Some(ledger.clone());
        Ok(ledger)
    }

    /// Keeps a ledger; does nothing when it is the one that is kept already.
    pub fn keep(&mut self, ledger: &Ledger) -> Result<(), RecordError> {
        if self.stored.as_ref() == Some(ledger) && self.path.exists() {
            return Ok(());
        }
        self.make_directory()?;
        self.open()?.replace(&ledger.to_json())?;
        self.stored = Some(ledger.clone());
        Ok(())
    }

    fn fresh() -> Result<Ledger, RecordError> {
        let mut key = HashKey::new([0; 32]);
        getrandom::fill(key.as_mut_slice())?;
        Ok(Ledger::new(key))
    }

    fn open(&self) -> Result<Target, TargetError> {
        Target::new(&self.path, Options::default())
    }

    fn make_directory(&self) -> Result<(), RecordError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| RecordError::Directory {
                path: directory.to_owned(),
                source,
            })
    }

    fn complain(&self, error: &LedgerError) {
        tracing::warn!(
            path = %self.path.display(),
            error = error as &dyn std::error::Error,
            "the record of managed entries is damaged; all entries in the file count as put there by others"
        );
    }
}

/// A target's path as one file name; different paths give different names, as with `systemd-escape`.
fn file_name(target: &Path) -> String {
    let text = target.to_string_lossy();
    let mut name = String::new();
    for character in text.trim_start_matches('/').chars() {
        match character {
            '/' => name.push('-'),
            '-' | '\\' => name.push_str(&format!("\\x{:02x}", u32::from(character))),
            other => name.push(other),
        }
    }
    name + ".json"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_targets_have_different_records() {
        let name = |path: &str| file_name(Path::new(path));
        assert_eq!(
            name("/var/lib/kubelet/config.json"),
            "var-lib-kubelet-config.json.json"
        );
        assert_ne!(name("/a-b/c"), name("/a/b-c"));
    }
}
