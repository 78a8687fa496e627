//! Whether kubelet starts with a configuration, and with what.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::image::ImageRef;

pub use super::fault::{Fault, What};
use super::pattern::{self, Doubt};
pub use super::yaml::Unusual;
use super::{document, rules, shape};

/// A file that kubelet would read.
#[derive(Clone, Copy, Debug)]
pub struct File<'f> {
    /// Its path, for messages.
    pub path: &'f Path,
    /// All of its bytes.
    pub bytes: &'f [u8],
}

/// What `--image-credential-provider-config` leads to.
#[derive(Clone, Copy, Debug)]
pub enum Source<'f> {
    /// A file.
    File(File<'f>),
    /// A directory with the files that [`super::folder::read`] tells, in this order.
    Directory(&'f [File<'f>]),
}

/// What stands under a name in the directory of the programs, behind links, for kubelet (`exec.LookPath`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Nothing, or a link that leads nowhere.
    Missing,
    /// A directory.
    Directory,
    /// What may not be executed, as `faccessat` with `X_OK` tells: none of its three `x` bits is set, or it is on a mount
    /// with `noexec`.
    NotExecutable,
    /// What may be executed.
    Executable,
}

/// The directory of the programs by name. What is not in it is missing.
pub type Programs = BTreeMap<String, Program>;

/// What about kubelet makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kubelet {
    /// The second number of its version: 36 for 1.36.
    pub minor: u32,
    /// Whether its feature gate `KubeletServiceAccountTokenForCredentialProviders` is on.
    pub tokens: bool,
}

impl Kubelet {
    /// kubelet of this minor version, its gate as it is by default: on since 1.34 (`pkg/features/kube_features.go`).
    pub fn of_minor(minor: u32) -> Self {
        Self {
            minor,
            tokens: minor >= 34,
        }
    }

    /// Whether it reads a directory of files: since 1.34.
    pub fn reads_directories(self) -> bool {
        self.minor >= 34
    }
}

/// What kubelet has after its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The providers, in the order in which their answers are combined.
    pub providers: Vec<Provider>,
    /// `sha256:` and 64 hexadecimal digits, as the metric `kubelet_credential_provider_config_info` tells since
    /// 1.34: over each file in order, its length as eight bytes, most significant first, and then its bytes.
    pub hash: String,
    /// Patterns that are accepted, and probably do not do what they were written for.
    pub doubts: Vec<Doubt>,
}

/// A provider that kubelet asks for credentials. Its arguments and environment are left out, for they can be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The file that it is in.
    pub file: PathBuf,
    /// The program's name in the directory of the programs.
    pub name: String,
    /// The version of the protocol that is spoken with it.
    pub api_version: String,
    /// Patterns of the images that it is asked for; see [`pattern::matches`].
    pub match_images: Vec<String>,
    /// How long an answer is kept that says nothing about it.
    pub default_cache_duration: Duration,
    /// Set when it is given a token of the pod's service account.
    pub token: Option<TokenAttributes>,
}

impl Provider {
    /// Whether kubelet asks this provider for an image (`isImageAllowed` in plugin.go).
    pub fn serves(&self, image: &ImageRef) -> bool {
        self.match_images
            .iter()
            .any(|pattern| pattern::matches(pattern, image))
    }
}

/// How a provider is given tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAttributes {
    /// The audience of the tokens.
    pub audience: String,
    /// `Token` or `ServiceAccount`; empty for kubelet 1.33, which has no such field.
    pub cache_type: String,
    /// Whether the provider is left out for pods without a service account.
    pub require_service_account: bool,
    /// Annotations of the service account without which the provider is left out.
    pub required_annotations: Vec<String>,
    /// Annotations of the service account that are passed on when they are there.
    pub optional_annotations: Vec<String>,
}

/// Reads a configuration as kubelet does at its start.
///
/// `programs` is the directory that `--image-credential-provider-bin-dir` names, `None` when it does not exist.
///
/// # Errors
/// All faults that were found. Each of them alone keeps kubelet from starting, except for those that
/// [`What::is_stricter`] tells.
pub fn load(
    source: Source<'_>,
    programs: Option<&Programs>,
    kubelet: Kubelet,
) -> Result<Loaded, Vec<Fault>> {
    let mut faults = Vec::new();
    let whole = |what| Fault {
        file: None,
        field: String::new(),
        provider: None,
        what,
    };
    let single;
    let files = match source {
        Source::File(file) => {
            single = [file];
            &single[..]
        }
        Source::Directory(files) => {
            if !kubelet.reads_directories() {
                faults.push(whole(What::Directory));
            }
            if files.is_empty() {
                faults.push(whole(What::NoFiles));
            }
            files
        }
    };
    if programs.is_none() {
        faults.push(whole(What::BinDirMissing));
    }
    let mut decoded = Vec::new();
    for file in files {
        let (shape, findings) = match document::read(file.bytes) {
            Ok(document) => shape::decode(&document, kubelet.minor),
            Err(what) => (shape::File::default(), vec![(String::new(), what)]),
        };
        faults.extend(findings.into_iter().map(|(field, what)| Fault {
            file: Some(file.path.to_owned()),
            field,
            provider: None,
            what,
        }));
        decoded.extend(shape.providers.into_iter().map(|raw| (file.path, raw)));
    }
    let unread = !faults.is_empty();
    if decoded.is_empty() && !unread {
        let field = "providers".to_owned();
        faults.push(Fault {
            field,
            ..whole(What::Missing)
        });
    }
    let mut checked = rules::check(&decoded, programs, kubelet);
    // What could not be decoded counts as not set, which is not to be told as well.
    checked.faults.retain(|fault| {
        let same = |other: &Fault| other.file == fault.file && other.field == fault.field;
        !faults.iter().any(same)
    });
    faults.append(&mut checked.faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Loaded {
        providers: checked.providers,
        hash: hash(files),
        doubts: checked.doubts,
    })
}

/// The hash of these files in this order, as [`Loaded::hash`] has it.
pub fn hash(files: &[File<'_>]) -> String {
    let mut hasher = Sha256::new();
    for file in files {
        let length = file.bytes.len() as u64;
        hasher.update(length.to_be_bytes());
        hasher.update(file.bytes);
    }
    let digest = hasher.finalize();
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

#[cfg(test)]
mod tests;
