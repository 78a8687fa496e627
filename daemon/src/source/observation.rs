//! What the sources report.

use std::{fmt, sync::Arc, time::SystemTime};

use k8s_openapi::jiff::Timestamp;
use pullkeeper_core::authfile::Shape;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::SourceError;

/// The present view of one source: facts only, nothing remembered from before.
///
/// Two observations are equal when they say the same; the time of seeing does not count.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// [`SourceSettings::name`](crate::config::SourceSettings::name).
    pub source: Arc<str>,
    /// The namespace whose pods alone may have what is in it; `None` for every workload of the node.
    pub namespace: Option<Arc<str>>,
    /// What the source consists of; `None` until its first answer. A selector gives any number,
    /// sorted by namespace and name, every other source exactly one.
    pub items: Option<Vec<Item>>,
    /// Why the view may be older than the truth. `None` while the source is being watched.
    pub trouble: Option<SourceError>,
}

impl Observation {
    /// A source that has not answered yet.
    pub(super) fn none_yet(source: &str, namespace: Option<&str>) -> Self {
        Self {
            source: source.into(),
            namespace: namespace.map(Into::into),
            items: None,
            trouble: None,
        }
    }
}

/// One file, volume or Secret of a source.
#[derive(Clone, Debug)]
pub struct Item {
    /// `file:<path>`, `volume:<directory>` or `secret:<namespace>/<name>`.
    pub id: String,
    /// Which version of the object this is; `None` where there is no object.
    pub revision: Option<Revision>,
    /// The credentials as they are, not validated, or why there are none.
    pub content: Result<Payload, SourceError>,
    /// When the agent first learned of this revision: for a Secret when the API server's message
    /// was decoded, for files when the read began that found it.
    pub seen: Instant,
}

impl Item {
    /// Namespace and name, where it is a Secret.
    pub(crate) fn secret(&self) -> Option<(&str, &str)> {
        self.id.strip_prefix("secret:")?.split_once('/')
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.revision == other.revision && self.content == other.content
    }
}

/// The bytes of an auth file and how to read them. Wiped when the last copy of the handle goes.
#[derive(Clone)]
pub struct Payload {
    /// How the bytes are to be read.
    pub shape: Shape,
    /// The bytes as they were found.
    pub bytes: Arc<Zeroizing<Vec<u8>>>,
}

impl Payload {
    pub(super) fn new(shape: Shape, bytes: Zeroizing<Vec<u8>>) -> Self {
        Self {
            shape,
            bytes: Arc::new(bytes),
        }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape
            && (Arc::ptr_eq(&self.bytes, &other.bytes) || self.bytes == other.bytes)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shape, bytes } = self;
        write!(f, "Payload({shape:?}, {} bytes)", bytes.len())
    }
}

/// Which version of an object an item is. Never derived from content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revision {
    /// A Secret in the API server.
    Secret {
        /// `metadata.uid`: tells a recreated Secret from a changed one.
        uid: String,
        /// `metadata.resourceVersion`.
        resource_version: String,
    },
    /// A file as fstat saw it.
    File {
        /// Inode number: a replaced file has another one.
        inode: u64,
        /// Time of the last modification.
        modified: SystemTime,
        /// Size in bytes.
        size: u64,
    },
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret {
                uid,
                resource_version,
            } => {
                write!(f, "uid {uid} resourceVersion {resource_version}")
            }
            Self::File {
                inode,
                modified,
                size,
            } => match Timestamp::try_from(*modified) {
                Ok(modified) => write!(f, "inode {inode} modified {modified} size {size}"),
                Err(_) => write!(f, "inode {inode} size {size}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn item(seen: Instant, bytes: &[u8]) -> Item {
        Item {
            id: "file:/p".into(),
            revision: None,
            content: Ok(Payload::new(
                Shape::ConfigJson,
                Zeroizing::new(bytes.to_vec()),
            )),
            seen,
        }
    }

    #[test]
    fn equality_is_about_content_and_not_about_time() {
        let now = Instant::now();
        assert_eq!(item(now, b"a"), item(now + Duration::from_secs(1), b"a"));
        assert_ne!(item(now, b"a"), item(now, b"b"));
    }

    #[test]
    fn debug_shows_no_content() {
        let text = format!("{:?}", item(Instant::now(), b"hunter2"));
        assert!(text.contains("7 bytes"), "{text}");
        assert!(
            !text.contains("hunter2") && !text.contains("104, 117"),
            "{text}"
        );
    }

    #[test]
    fn revisions_read_well() {
        let file = Revision::File {
            inode: 7,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
            size: 12,
        };
        assert_eq!(
            file.to_string(),
            "inode 7 modified 1970-01-01T00:00:01Z size 12"
        );
    }
}
