//! What can be wrong with a source.

use std::path::PathBuf;

use nix::errno::Errno;
use pullkeeper_core::authfile::{Finding, Reason};
use thiserror::Error;

use crate::exit::chain;
use crate::notice::NoticeError;

/// Why a source has no usable content, or why its content may be old.
///
/// Texts name objects, paths, key *names* and system errors, never a value. Comparable and cheap
/// to copy, because observations that did not change must not wake anybody.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SourceError {
    /// Nothing is at the path.
    #[error(
        "cannot find {}: create it, or correct the path of this source",
        path.display()
    )]
    FileNotFound {
        /// The file, or the directory of a volume.
        path: PathBuf,
    },

    /// The API server knows the agent and does not let it read (403).
    #[error("cannot watch {object}: forbidden; allow the agent {rule} (API server: {detail})")]
    Forbidden {
        /// What was asked for.
        object: String,
        /// The missing rule, as it would be written in a Role.
        rule: String,
        /// The API server's words.
        detail: String,
    },

    /// The content is there, the key is not.
    #[error(
        "cannot find the key {key} (present: {}): store the credentials under it, or set `key` of \
         this source to the key that has them",
        listing(present)
    )]
    MissingKey {
        /// The key that was looked for.
        key: String,
        /// Names of the keys that are there, sorted, at most [`MissingKey::NAMES`](Self::NAMES).
        present: Vec<String>,
    },

    /// The path leads to something that is not a regular file.
    #[error(
        "cannot read {}: it is a {found}; point this source at a regular file",
        path.display()
    )]
    NotRegular {
        /// The path.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },

    /// The API server understood the request and does not serve it (any 4xx of no other variant).
    #[error("cannot watch {object}: the API server answered {code}: {detail}; correct this source")]
    Rejected {
        /// What was asked for.
        object: String,
        /// HTTP status.
        code: u16,
        /// The API server's words.
        detail: String,
    },

    /// The API server says that there is no such Secret.
    #[error("cannot find Secret {namespace}/{name}: create it, or correct `secret` of this source")]
    SecretNotFound {
        /// Namespace that was searched.
        namespace: String,
        /// Name that was searched.
        name: String,
    },

    /// The file is larger than any auth file has reason to be.
    #[error(
        "cannot read {}: larger than {limit} bytes; point this source at an auth file",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },

    /// The API server does not know who the agent is (401).
    #[error(
        "cannot watch {object}: not authenticated; renew the token or client certificate of the \
         kubeconfig or service account (API server: {detail})"
    )]
    Unauthorized {
        /// What was asked for.
        object: String,
        /// The API server's words.
        detail: String,
    },

    /// No conversation with the API server at present.
    #[error("cannot reach the API server: {detail}; trying again")]
    Unreachable {
        /// What failed, without content of any answer.
        detail: String,
    },

    /// The system refuses to read the file.
    #[error(
        "cannot read {}: check its permissions, the links that lead to it and the file system",
        path.display()
    )]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: Errno,
    },

    /// Change notification of the directory failed; it is polled.
    #[error(
        "cannot watch the directory of {}: {detail}; until it works the source is only polled",
        path.display()
    )]
    WatchFailed {
        /// A path of the source.
        path: PathBuf,
        /// The reason.
        detail: String,
    },

    /// The node has no inotify instances or watches left; the directory is polled.
    #[error(
        "cannot watch the directory of {}: inotify limit reached; raise \
         fs.inotify.max_user_instances and fs.inotify.max_user_watches on the node, until then \
         the source is only polled",
        path.display()
    )]
    WatchLimit {
        /// A path of the source.
        path: PathBuf,
    },

    /// The Secret is of a type that does not hold registry credentials.
    #[error(
        "cannot use a Secret of type {found:?}: its type cannot be changed, so delete it and \
         create it as kubernetes.io/dockerconfigjson, or set `key` of this source"
    )]
    WrongType {
        /// The type of the Secret.
        found: String,
    },
}

impl SourceError {
    /// How many key names a [`MissingKey`](Self::MissingKey) holds at most.
    pub const NAMES: usize = 20;

    /// The stable word for this error in metrics, events and status.
    pub fn reason(&self) -> Reason {
        match self {
            Self::FileNotFound { .. } => Reason::FileNotFound,
            Self::Forbidden { .. } => Reason::Forbidden,
            Self::MissingKey { .. } => Reason::MissingKey,
            Self::NotRegular { .. } | Self::Unreadable { .. } => Reason::Unreadable,
            Self::Rejected { .. } => Reason::Rejected,
            Self::SecretNotFound { .. } => Reason::SecretNotFound,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::Unauthorized { .. } => Reason::Unauthorized,
            Self::Unreachable { .. } => Reason::Unreachable,
            Self::WatchFailed { .. } => Reason::WatchFailed,
            Self::WatchLimit { .. } => Reason::WatchLimit,
            Self::WrongType { .. } => Reason::WrongType,
        }
    }

    /// The same as a finding.
    pub fn finding(&self) -> Finding {
        Finding::new(self.reason(), chain(self))
    }

    /// A [`MissingKey`](Self::MissingKey) with the names sorted and their number bounded.
    pub(super) fn missing_key(key: &str, present: impl IntoIterator<Item = String>) -> Self {
        let mut present: Vec<_> = present.into_iter().collect();
        present.sort_unstable();
        present.truncate(Self::NAMES);
        Self::MissingKey {
            key: key.to_owned(),
            present,
        }
    }
}

impl From<NoticeError> for SourceError {
    fn from(error: NoticeError) -> Self {
        match error {
            NoticeError::Limit { path } => Self::WatchLimit { path },
            NoticeError::Failed { path, detail } => Self::WatchFailed { path, detail },
        }
    }
}

fn listing(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_key_names_what_is_there_in_order_and_bounded() {
        let error = SourceError::missing_key(".dockerconfigjson", ["b".into(), "a".into()]);
        assert!(error.to_string().contains("(present: a, b)"), "{error}");
        assert_eq!(error.reason(), Reason::MissingKey);

        let error = SourceError::missing_key("k", []);
        assert!(error.to_string().contains("(present: none)"), "{error}");

        let error = SourceError::missing_key("k", (0..1000).map(|n| n.to_string()));
        assert!(error.to_string().len() < 500, "{error}");
    }

    #[test]
    fn the_cause_is_in_the_chain_and_not_in_the_message() {
        let error = SourceError::Unreadable {
            path: "/p".into(),
            source: Errno::ELOOP,
        };
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("ELOOP"), "{cause}");
        assert!(!error.to_string().contains("ELOOP"));
    }
}
