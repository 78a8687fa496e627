//! What was done to a node, kept beside it: enough to undo it, and to go on where an earlier process has ended.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::overlay::target;
use super::root::Root;
use crate::install::{Cause, TargetError};

/// The one file, below the directory that is ours.
const NAME: &str = "record.json";

/// What was done, and what is being done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// What kubelet has; none before it had anything.
    pub(super) installed: Option<Installed>,
    /// What is under way: systemd undoes it unless somebody says that it went well.
    pub(super) switching: Option<Switching>,
    /// What came to nothing, until something else goes well.
    pub(super) failure: Option<Failure>,
    /// How often kubelet was restarted for all this.
    pub(super) restarts: u32,
    /// When that was last.
    pub(super) last_restart: Option<Time>,
}

/// How kubelet was given the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Installed {
    /// The unit that was restarted.
    pub(super) unit: String,
    /// The file that gives kubelet its flags.
    pub(super) path: String,
    /// Whether that is ours alone.
    pub(super) ours: bool,
    /// What was there before us; none where there was no file.
    pub(super) former: Option<String>,
    /// What we wrote.
    pub(super) written: String,
    /// kubelet's flags without us.
    pub(super) before: [Option<String>; 2],
    /// kubelet's flags since.
    pub(super) flags: [String; 2],
}

/// A change that has not proved itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Switching {
    /// What is to be; none where all is to be taken away.
    pub(super) to: Option<Installed>,
    /// The unit that is restarted.
    pub(super) unit: String,
    /// The file that is replaced.
    pub(super) path: String,
    /// kubelet's flags before it.
    pub(super) from: [Option<String>; 2],
    /// kubelet's flags after it.
    pub(super) wanted: [Option<String>; 2],
    /// The permit that it is for; none where a human has asked for it.
    pub(super) permit: Option<u64>,
}

/// Why it came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    /// What happened.
    pub(super) why: String,
    /// Whether kubelet has what it had before, and is back.
    pub(super) rolled_back: bool,
    /// The permit that it was for.
    pub(super) permit: Option<u64>,
}

impl Record {
    /// The record of this node; an empty one before anything was done.
    pub(super) fn load(root: &Root, directory: &str) -> Result<Self, RecordError> {
        let path = format!("{directory}/{NAME}");
        let current = match target(root, &path, 0o600)?.read() {
            // Nobody has made the directory above it either.
            Err(error) if error.cause() == Cause::MissingDirectory => None,
            read => read?,
        };
        let parsed = current.map(|current| serde_json::from_slice(&current.bytes));
        let record = parsed
            .transpose()
            .map_err(|source| RecordError::Form { path, source })?;
        Ok(record.unwrap_or_default())
    }

    /// Returns when it is durable.
    pub(super) fn save(&self, root: &Root, directory: &str) -> Result<(), RecordError> {
        let path = format!("{directory}/{NAME}");
        let file = target(root, &path, 0o600)?;
        let text = serde_json::to_vec_pretty(self);
        let text = text.map_err(|source| RecordError::Form { path, source })?;
        file.replace(&text)?;
        Ok(())
    }
}

/// Why nobody knows what was done.
#[derive(Debug, Error)]
pub(super) enum RecordError {
    /// The file.
    #[error(transparent)]
    File(#[from] TargetError),
    /// What it holds.
    #[error("cannot understand {path}; a newer version may have written it")]
    Form {
        /// Which file.
        path: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}
