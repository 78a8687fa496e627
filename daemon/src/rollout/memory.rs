//! That this node has taken something before, kept in the state directory between runs.

use std::path::{Path, PathBuf};

use crate::install::record::Record;
use crate::install::{Options, Target, TargetError};

/// Whether there is something on the node that is worth keeping while something newer waits.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    path: PathBuf,
}

impl Memory {
    /// That of the agent with this state directory.
    pub(crate) fn of(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("paced"),
        }
    }

    /// Whether the node has taken something from Pullkeeper, under a rollout or before there were any. Where nothing is
    /// written, because helpers are asked, that is known from rollouts only.
    pub(crate) fn has_something<'t>(&self, mut targets: impl Iterator<Item = &'t Path>) -> bool {
        let state_dir = self.path.parent().unwrap_or(Path::new("/"));
        self.path.exists() || targets.any(|target| Record::of(state_dir, target).is_kept())
    }

    /// Remembers that it has. Blocks on the file system.
    pub(crate) fn remember(&self) -> Result<(), TargetError> {
        if self.path.exists() {
            return Ok(());
        }
        let options = Options {
            create_directory: Some(0o700),
            ..Options::default()
        };
        // Nobody reads what is in it.
        Target::new(self.path.clone(), options)?
            .replace(b"\n")
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::of(&directory.path().join("state"));
        assert!(!memory.has_something(std::iter::empty()));
        memory.remember().unwrap();
        memory.remember().unwrap();
        assert!(memory.has_something(std::iter::empty()));
    }

    #[test]
    fn a_file_that_was_written_before_there_were_rollouts_counts() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::of(directory.path());
        let target = Path::new("/etc/auth.json");
        assert!(!memory.has_something([target].into_iter()));
        let mut record = Record::of(directory.path(), target);
        let ledger = record.load().unwrap();
        record.keep(&ledger).unwrap();
        assert!(memory.has_something([target].into_iter()));
        assert!(!memory.has_something([Path::new("/other")].into_iter()));
    }
}
