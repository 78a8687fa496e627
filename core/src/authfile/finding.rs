//! What is wrong, or worth knowing, about a pull secret: stable words for people, scripts and alerts.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::json::Position;

/// One observation about an auth file or about the source that it came from.
///
/// A finding never holds a byte of a credential: `registry` went through [`super::key::display`],
/// and `detail` is made of fixed words, JSON type names, field names and numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in one stable word.
    pub reason: Reason,
    /// The registry key it concerns, as it may be shown; absent when it concerns the whole document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Where it stands in the document, when it stands in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// One sentence: what was seen, what was done about it, and what to do next.
    pub detail: Cow<'static, str>,
}

impl Finding {
    /// A finding about a whole document or source.
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            severity: reason.severity(),
            reason,
            registry: None,
            position: None,
            detail: detail.into(),
        }
    }

    /// Names the registry, in the form that may be shown.
    #[must_use]
    pub fn about(self, key: &str) -> Self {
        self.about_shown(super::key::display(key))
    }

    /// Names the registry by a key in the form that may be shown.
    #[must_use]
    pub(super) fn about_shown(mut self, shown: &str) -> Self {
        self.registry = Some(shown.to_owned());
        self
    }

    /// Names the place in the document.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// Replaces the severity that the reason has by default.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

impl fmt::Display for Finding {
    /// `Reason registry (line L, column C): detail`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_str())?;
        if let Some(registry) = &self.registry {
            write!(f, " {registry}")?;
        }
        if let Some(at) = self.position {
            write!(f, " (line {}, column {})", at.line, at.column)?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// How much a finding matters, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; every reader gets what was meant.
    Info,
    /// Some reader does something that the author may not expect.
    Warning,
    /// Something was left out or refused.
    Error,
}

impl Severity {
    /// The word used in output, logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $severity:ident;)+) => {
        /// Why something was found: the stable vocabulary of output, events, metrics and conditions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason, in the order of the reference page.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The PascalCase word, fit for a Kubernetes Event or condition reason.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// The severity that a finding of this reason has unless its place says otherwise.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }

            /// The first sentence of the reference page's row.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    // The source.
    /// The Secret does not exist.
    SecretNotFound = "SecretNotFound", Error;
    /// The Secret has a type that carries no pull secret.
    WrongType = "WrongType", Error;
    /// The Secret or volume lacks the data key.
    MissingKey = "MissingKey", Error;
    /// The source is there and cannot be read.
    Unreadable = "Unreadable", Error;
    /// The file of the source does not exist.
    FileNotFound = "FileNotFound", Error;
    /// The API server does not answer.
    Unreachable = "Unreachable", Warning;
    /// The API server refuses the request.
    Forbidden = "Forbidden", Error;
    /// The API server does not know who the agent is.
    Unauthorized = "Unauthorized", Error;
    /// The API server does not serve the request for another reason.
    Rejected = "Rejected", Error;
    /// A directory cannot be watched for changes; it is polled.
    WatchFailed = "WatchFailed", Warning;
    /// The node has no inotify instances or watches left; the directory is polled.
    WatchLimit = "WatchLimit", Warning;
    /// The source is larger than a pull secret can be.
    TooLarge = "TooLarge", Error;
    // The document.
    /// The bytes are not one JSON value.
    MalformedJson = "MalformedJSON", Error;
    /// The document, or its `auths`, is not a JSON object.
    NotAnObject = "NotAnObject", Error;
    /// The document has no `auths`.
    MissingAuths = "MissingAuths", Error;
    /// There is not one usable entry.
    EmptyAuths = "EmptyAuths", Error;
    /// The body has the other shape than its place says (config.json or legacy dockercfg).
    WrongShape = "WrongShape", Error;
    /// A top-level field has a type that costs some reader the whole document.
    BadField = "BadField", Error;
    /// A byte order mark stood before the document.
    ByteOrderMark = "ByteOrderMark", Info;
    /// A top-level field from a source other than the base is not used.
    FieldIgnored = "FieldIgnored", Warning;
    /// `credHelpers` or `credsStore` is there, which some readers do not know.
    HelperIgnored = "HelperIgnored", Warning;
    // The entry.
    /// The entry cannot be read by every client.
    BadEntry = "BadEntry", Error;
    /// The key cannot name a registry.
    BadKey = "BadKey", Error;
    /// The entry holds no credential.
    EmptyCredential = "EmptyCredential", Error;
    /// The entry was brought to the form that every client reads.
    Repaired = "Repaired", Info;
    /// `auth` and `username`/`password` differ; `auth` is what every client takes.
    ConflictingFields = "ConflictingFields", Warning;
    /// The same key stands in the document more than once; the last one counts.
    DuplicateKey = "DuplicateKey", Warning;
    /// An identity token or registry token is there, which some readers do not know.
    TokenIgnored = "TokenIgnored", Warning;
    /// The password ends in a line break or holds a control character.
    SuspiciousPassword = "SuspiciousPassword", Warning;
    /// The credential is not UTF-8, which kubelet cannot hand to the runtime.
    NotUtf8 = "NotUTF8", Warning;
    // The key.
    /// kubelet matches the path as a plain prefix, so repositories beside it get the credential too.
    PrefixLeak = "PrefixLeak", Warning;
    /// A client serves the whole host with an entry whose key has a path.
    WideningPath = "WideningPath", Warning;
    /// A pattern that only kubelet understands.
    GlobIgnored = "GlobIgnored", Warning;
    /// An upper-case host that no image reference can match.
    UppercaseHost = "UppercaseHost", Warning;
    /// An explicit default port, which no client takes for the host without a port.
    DefaultPort = "DefaultPort", Warning;
    /// A Docker Hub name that some client does not look up.
    HubAlias = "HubAlias", Warning;
    /// An IPv6 literal that kubelet never matches.
    Ipv6Literal = "IPv6Literal", Warning;
    /// Two keys are the same registry for some client, which then picks at random.
    AmbiguousKeys = "AmbiguousKeys", Warning;
    // Several sources, and the node.
    /// A required registry has no entry.
    MissingRegistry = "MissingRegistry", Warning;
    /// Two sources have different credentials for one key; the first source wins.
    SourceConflict = "SourceConflict", Warning;
    /// An entry that was on the node before was replaced by the source's.
    ForeignReplaced = "ForeignReplaced", Warning;
    /// A broken entry that others put on the node was left out, because it costs readers the whole file.
    ForeignBroken = "ForeignBroken", Warning;
    /// The file on the node was not readable as an auth file and was replaced.
    TargetUnreadable = "TargetUnreadable", Warning;
    /// Somebody changed an entry that Pullkeeper manages; it was put back.
    Drift = "Drift", Warning;
    /// Somebody took an entry over that the source no longer has; it stays.
    TakenOver = "TakenOver", Info;
    /// An entry stays although its source does not offer a good one now.
    LastGoodKept = "LastGoodKept", Warning;
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
