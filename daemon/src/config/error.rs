//! What can be wrong with a configuration, and where.

use std::{fmt, io, path::Path, sync::Arc};

/// The configuration cannot be used.
///
/// `Display` is one line with every problem; [`problems`](Self::problems) gives them one by one. Values are
/// never quoted: somebody may have put a credential where its place belongs.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the configuration: {}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One thing that is wrong. `Display` is one line: place, key, and what to write instead.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct Problem {
    place: Place,
    fault: Fault,
}

/// Where a value, or a problem, comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The built-in defaults.
    Default,
    /// An environment variable.
    Environment(String),
    /// A file as a whole.
    File(Arc<Path>),
    /// A flag of the command line, without dashes.
    Flag(&'static str),
    /// A line of a file, counted from 1.
    Line(Arc<Path>, usize),
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("`{key}` {why}")]
    BadValue { key: String, why: String },
    #[error("`{key}` is missing")]
    Missing { key: String },
    #[error("cannot read the configuration: {0}")]
    Read(io::Error),
    #[error("not valid TOML: {0}")]
    Syntax(String),
    #[error("unknown key `{key}`; {hint}")]
    UnknownKey { key: String, hint: String },
    #[error("`{key}` must be {expected}, not {found}")]
    WrongType {
        key: String,
        expected: &'static str,
        found: &'static str,
    },
}

impl ConfigError {
    /// From at least one problem.
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// `Ok` if there are no problems.
    pub(crate) fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self::new(problems))
        }
    }

    /// At least one, in the order in which files, environment and flags were read.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Problem {
    pub(crate) fn new(place: Place, fault: Fault) -> Self {
        Self { place, fault }
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Stable word for metrics.
    pub fn kind(&self) -> &'static str {
        match self.fault {
            Fault::BadValue { .. } => "bad_value",
            Fault::Missing { .. } => "missing",
            Fault::Read(_) => "unreadable",
            Fault::Syntax(_) => "syntax",
            Fault::UnknownKey { .. } => "unknown_key",
            Fault::WrongType { .. } => "wrong_type",
        }
    }
}

impl Place {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Line(path, _) => Some(path),
            Self::Default | Self::Environment(_) | Self::Flag(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
        }
    }
}
