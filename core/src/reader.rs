//! What each client does with an auth file: kubelet, containers/image and docker/cli.
//!
//! A model says exactly what the client's own code says, strange parts included. Each is tested
//! against that code, linked into a program of its own (`tests/readers`): kubelet of Kubernetes
//! 1.36 (`pkg/credentialprovider`), containers/image 5.42 (`pkg/docker/config`) and docker/cli 29
//! (`cli/config`), all built with Go 1.26, whose encoding/json, encoding/base64, net/url and
//! path/filepath decide many of the rules.
//!
//! ```text
//! bytes ─▶ json::Text ─▶ read(reader, text, shape) ─▶ View ─▶ lookup(image) ─▶ Lookup
//!                              │                                                 outcome, candidates
//!                              ▼                                                 in the order tried,
//!                        DocumentError: nothing in the document is used          steps taken
//! ```

use std::borrow::Cow;
use std::fmt;

use crate::authfile::Shape;
use crate::authfile::credential::Credential;
use crate::image::ImageRef;
use crate::json::{Node, Text};

mod containers;
mod decode;
mod docker;
mod fault;
pub(crate) mod glob;
pub(crate) mod kubelet;
mod url;

pub use fault::{DocumentError, Fault, LookupError};

/// The clients that read auth files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reader {
    /// kubelet, for its node file and for pull secrets; also the API server's keyring.
    Kubelet,
    /// containers/image: podman, buildah, skopeo, CRI-O.
    Containers,
    /// docker/cli and what uses its loader.
    Docker,
}

impl Reader {
    /// All readers, in the order of reports.
    pub const ALL: [Self; 3] = [Self::Kubelet, Self::Containers, Self::Docker];

    /// The name used in reports, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::Containers => "containers",
            Self::Docker => "docker",
        }
    }
}

/// Reads a file as `reader` does.
///
/// docker/cli no longer opens the legacy file, so it sees nothing in [`Shape::DockerCfg`]. An error
/// means that the client uses nothing of the document; what happens then is the client's business:
/// kubelet goes on without credentials, containers/image fails the pull, the docker command warns
/// and goes on with whatever it had decoded.
pub fn read<'t>(reader: Reader, text: &'t Text, shape: Shape) -> Result<View<'t>, DocumentError> {
    let model = match reader {
        Reader::Kubelet => Model::Kubelet(kubelet::Keyring::load(text, shape)?),
        Reader::Containers => Model::Containers(containers::AuthFile::load(text, shape)?),
        Reader::Docker => Model::Docker(docker::ConfigFile::load(text, shape)?),
    };
    Ok(View { model })
}

/// Reads the data of a pull secret as kubelet does: like the file of the same shape, except that no
/// data is no error.
pub fn read_pull_secret(text: &Text, shape: Shape) -> Result<View<'_>, DocumentError> {
    if text.as_str().is_empty() {
        return Ok(View {
            model: Model::Kubelet(kubelet::Keyring::default()),
        });
    }
    read(Reader::Kubelet, text, shape)
}

/// Reads the value of one registry entry as `reader` does once it uses it.
pub fn read_entry(reader: Reader, value: Node<'_>) -> Result<Credential, DocumentError> {
    match reader {
        Reader::Kubelet => kubelet::read_entry(value),
        Reader::Containers => containers::read_entry(value),
        Reader::Docker => docker::read_entry(value),
    }
}

/// What one reader has after loading a document.
pub struct View<'t> {
    model: Model<'t>,
}

enum Model<'t> {
    Kubelet(kubelet::Keyring<'t>),
    Containers(containers::AuthFile<'t>),
    Docker(docker::ConfigFile<'t>),
}

impl View<'_> {
    /// Whose view this is.
    pub fn reader(&self) -> Reader {
        match self.model {
            Model::Kubelet(_) => Reader::Kubelet,
            Model::Containers(_) => Reader::Containers,
            Model::Docker(_) => Reader::Docker,
        }
    }

    /// The entries that are left after decoding, in document order; of equal keys only the last.
    pub fn entries(&self) -> Vec<Entry<'_>> {
        let mut entries: Vec<_> = match &self.model {
            Model::Kubelet(keyring) => keyring.entries().collect(),
            Model::Containers(file) => file.entries().collect(),
            Model::Docker(file) => file.entries().collect(),
        };
        entries.sort_by_key(|entry| entry.offset);
        entries
    }

    /// What the reader finds for `image`.
    pub fn lookup(&self, image: &ImageRef) -> Lookup<'_> {
        match &self.model {
            Model::Kubelet(keyring) => keyring.lookup(image),
            Model::Containers(file) => file.lookup(image),
            Model::Docker(file) => file.lookup(image),
        }
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("reader", &self.reader())
            .finish_non_exhaustive()
    }
}

/// One entry of a document, as a reader sees it.
pub struct Entry<'v> {
    /// The key as it is written, unescaped. May have a user and password in front of the host.
    pub key: &'v str,
    /// Byte offset of the key.
    pub offset: usize,
    /// What the reader takes the key for: a registry, or a registry and the beginning of a
    /// repository.
    /// `None` when it skips the key.
    pub reads_as: Option<Cow<'v, str>>,
    /// The credential, or why there is none.
    pub credential: Result<Credential, Fault>,
}

/// Keys can carry credentials (`https://user:password@host`), so only the place is shown.
impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("offset", &self.offset)
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

/// The answer to one lookup.
#[derive(Debug)]
pub struct Lookup<'v> {
    /// What the reader ends with.
    pub outcome: Outcome,
    /// The entries that match, in the order in which they are tried. Only kubelet tries more than
    /// one.
    pub candidates: Vec<Candidate<'v>>,
    /// How the reader got there.
    pub steps: Vec<Step>,
}

/// What a lookup ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Map order decides which of several different entries is used; it changes from run to run.
    Ambiguous,
    /// A credential; of several candidates the first.
    Credentials,
    /// An entry that has no credential in it. kubelet pulls with blanks, docker anonymously;
    /// containers/image goes to the next file without looking at less specific keys of this one.
    Empty,
    /// The lookup fails.
    Error(LookupError),
    /// A credential helper is asked.
    Helper {
        /// The helper's name: the program is `docker-credential-<name>`.
        name: String,
        /// What it is asked for.
        server: String,
    },
    /// Nothing matches.
    None,
}

impl Outcome {
    /// The outcome's name in reports.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous",
            Self::Credentials => "credentials",
            Self::Empty => "empty",
            Self::Error(_) => "error",
            Self::Helper { .. } => "helper",
            Self::None => "none",
        }
    }

    /// What becomes of candidates of which the reader takes whichever it meets first.
    fn of_any(candidates: &[Candidate<'_>]) -> Self {
        let Some((first, others)) = candidates.split_first() else {
            return Self::None;
        };
        if others
            .iter()
            .any(|other| other.credential != first.credential)
        {
            return Self::Ambiguous;
        }
        match &first.credential {
            Ok(credential) if credential.is_empty() => Self::Empty,
            Ok(_) => Self::Credentials,
            Err(fault) => Self::Error(LookupError::Entry {
                offset: first.offset,
                fault: *fault,
            }),
        }
    }
}

/// An entry that matches an image.
pub struct Candidate<'v> {
    /// The key as it is written, unescaped. May have a user and password in front of the host.
    pub key: &'v str,
    /// Byte offset of the key.
    pub offset: usize,
    /// The credential, or why using it fails.
    pub credential: Result<Credential, Fault>,
    /// Why the key matches.
    pub rule: MatchRule,
    /// Candidates of one rank are tried in random order, or a random one of them is taken.
    pub rank: usize,
}

/// Keys can carry credentials (`https://user:password@host`), so only the place is shown.
impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("offset", &self.offset)
            .field("credential", &self.credential)
            .field("rule", &self.rule)
            .field("rank", &self.rank)
            .finish_non_exhaustive()
    }
}

/// Why a key matches an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchRule {
    /// The key is what is looked up.
    Exact,
    /// The key's host has a wildcard that matches the registry (kubelet).
    Glob,
    /// The key's host is the registry; scheme and path of the key do not count.
    Host,
    /// The key is Docker Hub's, and the image names no other registry with a dot or port (kubelet).
    HubFallback,
    /// The key is the registry, or the registry and whole leading segments of the repository.
    Namespace,
    /// The key's path ends inside a segment of the repository, so it serves strangers too
    /// (kubelet).
    Prefix,
}

impl MatchRule {
    /// The rule's name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Glob => "glob",
            Self::Host => "host",
            Self::HubFallback => "hub-fallback",
            Self::Namespace => "namespace",
            Self::Prefix => "prefix",
        }
    }
}

/// One step of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every key was compared with the image (kubelet) or its host with the registry (the others).
    Compared {
        /// With what.
        with: String,
        /// How many matched.
        matched: usize,
    },
    /// A credential helper is configured for the registry, or for all.
    Helper {
        /// The field that names it: `credHelpers` or `credsStore`.
        field: &'static str,
        /// The helper's name.
        name: String,
    },
    /// The reader does not open files of this shape.
    NotRead,
    /// The reader cannot parse the image reference, although others can.
    Refused,
    /// A key was looked up as it is.
    Tried {
        /// The key.
        key: String,
        /// Whether there is such an entry.
        found: bool,
    },
}

#[cfg(test)]
mod tests;
