//! Why a reader cannot use a document or an entry.

use thiserror::Error;

use crate::json::{Kind, SyntaxError};

/// A reader can use nothing of a document. Names places and fixed reasons, never content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cannot use the document because of byte {offset}")]
pub struct DocumentError {
    /// Byte offset of what is wrong.
    pub offset: usize,
    /// Byte offset of the key of the registry entry that it is in.
    pub entry: Option<usize>,
    /// What is wrong.
    #[source]
    pub fault: Fault,
}

impl DocumentError {
    pub(super) fn new(offset: usize, fault: Fault) -> Self {
        Self {
            offset,
            entry: None,
            fault,
        }
    }

    pub(super) fn in_entry(self, offset: usize) -> Self {
        Self {
            entry: Some(offset),
            ..self
        }
    }
}

impl From<SyntaxError> for DocumentError {
    fn from(error: SyntaxError) -> Self {
        Self::new(error.offset, Fault::Syntax(error.what))
    }
}

/// What is wrong with a document or an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The `auth` field is not base64 as the reader decodes it.
    #[error(
        "`auth` is not base64; encode `user:password` as standard base64 with padding, on one line"
    )]
    Base64,
    /// The user name is empty, which docker/cli refuses.
    #[error("`auth` has nothing before its colon; encode `user:password`")]
    EmptyUser,
    /// The decoded `auth` field has no colon.
    #[error("`auth` has no colon in it; encode `user:password`")]
    NoColon,
    /// The document is JSON, but not an object.
    #[error("the document is a JSON {}; it must be an object", found.as_str())]
    NotAnObject {
        /// What it is.
        found: Kind,
    },
    /// The document is not JSON.
    #[error("the document is not JSON: {0}")]
    Syntax(&'static str),
    /// A field that the reader knows has another type.
    #[error("a JSON {} stands where the reader expects {expected}", found.as_str())]
    WrongType {
        /// What the reader expects, with its article.
        expected: &'static str,
        /// What stands there.
        found: Kind,
    },
}

impl Fault {
    /// The stable reason word of findings, events and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Base64 | Self::EmptyUser | Self::NoColon => "BadEntry",
            Self::NotAnObject { .. } => "NotAnObject",
            Self::Syntax(_) => "MalformedJSON",
            Self::WrongType { .. } => "WrongType",
        }
    }
}

/// Why a lookup fails although the document is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LookupError {
    /// The entry that matches cannot be used.
    #[error("cannot use the entry at byte {offset}")]
    Entry {
        /// Byte offset of its key.
        offset: usize,
        /// What is wrong with it.
        #[source]
        fault: Fault,
    },
    /// The reader cannot parse the image reference.
    #[error("cannot parse the image reference by the rules of containers/image")]
    ImageRefused,
}
