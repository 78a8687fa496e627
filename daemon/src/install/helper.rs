//! The credential helper on the host: a copy of the agent's own, never absent and never half of it once it is there.

use std::path::PathBuf;

use k8s_openapi::jiff::Timestamp;

use super::original::Original;
use super::target::copy::Compared;
use super::{Identity, Installed, Options, Target, TargetError, Unusable};
use crate::config::HelperSettings;
use crate::report::Reporter;
use crate::status::{HelperState, HelperStatus, TargetFailure};

pub(crate) use self::keep::Keep;

mod keep;

/// The only writer of the credential helper on the host.
#[derive(Debug)]
pub struct Helper {
    settings: HelperSettings,
    sweep_due: bool,
    /// The source and the installed program when they were last found to be the same.
    same: Option<(Identity, Identity)>,
    status: HelperStatus,
}

/// What one look at the credential helper led to.
#[derive(Debug)]
pub struct Applied {
    /// How it stands now.
    pub status: HelperStatus,
    /// What was written, when it was.
    pub written: Option<Installed>,
}

/// Why the credential helper could not be installed or updated. What was there stays.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// There is nothing to install.
    #[error(
        "cannot install {}: {why}; set `credential_helper.source` to the program that the agent's image or package has",
        path.display()
    )]
    Source {
        /// What was to be installed.
        path: PathBuf,
        /// What is wrong with it.
        why: Unusable,
    },
    /// Its place on the host.
    #[error(transparent)]
    Replace(#[from] TargetError),
}

impl HelperError {
    /// A stable word for status and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Source { why, .. } => why.kind(),
            Self::Replace(error) => error.kind(),
        }
    }
}

impl Helper {
    /// One that has not looked at the host yet.
    pub fn new(settings: &HelperSettings) -> Self {
        Self {
            settings: settings.clone(),
            sweep_due: true,
            same: None,
            status: HelperStatus::pending(settings),
        }
    }

    /// Looks at the host and brings it up to date. Blocks on the file system.
    pub fn apply(&mut self) -> Applied {
        let (written, error) = match self.try_apply() {
            Ok(written) => (written, None),
            Err(error) => {
                // Whatever it was, the next look starts from what is there then.
                self.same = None;
                if let HelperError::Replace(error) = &error {
                    self.sweep_due |= error.leftover().is_some();
                }
                (None, Some(error))
            }
        };
        if written.is_some() {
            self.status.last_write = Some(Timestamp::now());
        }
        self.status.state = if error.is_none() {
            HelperState::UpToDate
        } else {
            HelperState::Failed
        };
        self.status.error = error.map(|error| TargetFailure {
            kind: error.kind(),
            message: crate::exit::chain(&error),
        });
        Applied {
            status: self.status.clone(),
            written,
        }
    }

    fn try_apply(&mut self) -> Result<Option<Installed>, HelperError> {
        let target = self.target()?;
        let limit = Options::DEFAULT_LIMIT as u64;
        let source = &self.settings.source;
        let original = Original::open(source, limit).map_err(|why| HelperError::Source {
            path: source.clone(),
            why,
        })?;
        let known = self.same.take();
        let known = known.filter(|(source, _)| source == original.identity());
        let known = known.as_ref().map(|(_, installed)| installed);
        let compared = target.compare(&original, known)?;
        if self.sweep_due {
            target.sweep()?;
            self.sweep_due = false;
        }
        let (installed, written) = match compared {
            Compared::Same(identity) => (identity, None),
            Compared::Differs(seen) => {
                let written = target.copy_if(seen.as_ref(), &original)?;
                (written.identity.clone(), Some(written))
            }
        };
        self.same = Some((original.identity().clone(), installed));
        Ok(written)
    }

    fn target(&self) -> Result<Target, TargetError> {
        Target::new(self.settings.path(), Options::ours(0o755))
    }
}

impl Applied {
    /// What came of an attempt to write; `None` when there was nothing to do.
    pub(crate) fn result(&self) -> Option<&'static str> {
        match (&self.written, self.status.state) {
            (_, HelperState::Failed) => Some("failed"),
            (Some(written), _) if written.created => Some("installed"),
            (Some(_), _) => Some("updated"),
            (None, _) => None,
        }
    }

    /// Logs what was written, and what is new about a failure.
    pub(crate) fn tell(&self, reporter: &mut Reporter) {
        let path = &self.status.path;
        if let (Some(written), Some(result)) = (&self.written, self.result()) {
            tracing::info!(path, result, "credential helper written");
            if written.other_links > 0 {
                tracing::warn!(
                    path,
                    links = written.other_links,
                    "the credential helper had other hard links; they keep the old program"
                );
            }
        }
        reporter.tell_helper(&self.status);
    }
}

#[cfg(test)]
mod tests;
