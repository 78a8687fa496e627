//! Why kubelet would not start with a configuration.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::yaml::Unusual;

/// One thing because of which kubelet would end at its next start.
///
/// Names of files, providers, fields and patterns are told; arguments and environment are not, for others keep
/// secrets there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Fault {
    /// The file; `None` for what is wrong with all of them together.
    pub file: Option<PathBuf>,
    /// The field, such as `providers[1].matchImages[0]`; empty for the whole file.
    pub field: String,
    /// The provider's name, when it is about one that has a name.
    pub provider: Option<String>,
    /// What is wrong.
    #[source]
    pub what: What,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kubelet would not start with ")?;
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("this credential provider configuration")?,
        }
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        if let Some(provider) = &self.provider {
            write!(f, ", provider {provider:?}")?;
        }
        Ok(())
    }
}

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum What {
    /// A provider asks for an annotation twice.
    #[error("the key {key:?} is listed twice; list it once, as required or as optional")]
    AnnotationKeyTwice {
        /// The key.
        key: String,
    },
    /// A key that no annotation can have.
    #[error("{key:?} is no annotation key; write `name` or `dns.prefix/name`")]
    AnnotationKey {
        /// The key.
        key: String,
    },
    /// `apiVersion` of the file.
    #[error("{found:?} is no version of the configuration; write `kubelet.config.k8s.io/v1`")]
    ApiVersion {
        /// What stands there; empty when nothing does.
        found: String,
    },
    /// The directory that `--image-credential-provider-bin-dir` names is not there.
    #[error("the directory of the programs does not exist; create it before kubelet starts")]
    BinDirMissing,
    /// A cache type that kubelet does not know.
    #[error("{found:?} is no cache type; write `Token` or `ServiceAccount`")]
    CacheType {
        /// What stands there; empty when nothing does.
        found: String,
    },
    /// kubelet reads one file only.
    #[error("kubelet 1.33 reads no directory; name one file, or use kubelet 1.34")]
    Directory,
    /// Two providers have one name.
    #[error("another provider has this name; rename or remove one of the two")]
    DuplicateName,
    /// A field stands twice in one object.
    #[error("the field is set twice; remove one of the two")]
    DuplicateField,
    /// Not a duration as Go writes it.
    #[error("{found:?} is no duration; write a number with its unit, such as \"0s\" or \"10m\"")]
    Duration {
        /// What stands there.
        found: String,
    },
    /// kubelet's own form of the configuration, which it reads under names that change with its code.
    #[error(
        "this version is kubelet's own and not for files; write `kubelet.config.k8s.io/v1` and its fields"
    )]
    InternalVersion,
    /// A file that is read as JSON, because it begins with a brace.
    #[error("line {line} is not JSON: {what}; correct it, nothing may follow the object")]
    Json {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// `kind` of the file.
    #[error("{found:?} is the wrong kind; write `CredentialProviderConfig`")]
    Kind {
        /// What stands there; empty when nothing does.
        found: String,
    },
    /// A required field is not set, or is empty.
    #[error("the field is required; set it")]
    Missing,
    /// A provider's name.
    #[error("{found:?} cannot be a provider's name; use that of a program, without `/` and spaces")]
    Name {
        /// The name.
        found: String,
    },
    /// A time before zero.
    #[error("{found:?} is negative; write \"0s\" or more")]
    NegativeDuration {
        /// What stands there.
        found: String,
    },
    /// No file, in an existing directory.
    #[error("the directory has no file ending in .json, .yaml or .yml; add one")]
    NoFiles,
    /// A pattern that is no URL behind `https://`.
    #[error(
        "{pattern:?} cannot be parsed; write `host`, `host:port` or `host/path`, `*` in the host only"
    )]
    Pattern {
        /// The pattern.
        pattern: String,
    },
    /// A directory has the provider's name.
    #[error("a directory has this name in the directory of the programs; put the program there")]
    ProgramDirectory,
    /// There is no such program.
    #[error("no program has this name in the directory of the programs; install it first")]
    ProgramMissing,
    /// The program cannot be executed.
    #[error("the program of this name is not executable; set its mode to 0755")]
    ProgramMode,
    /// `apiVersion` of a provider.
    #[error(
        "{found:?} is no version of the protocol; write `credentialprovider.kubelet.k8s.io/v1`"
    )]
    Protocol {
        /// What stands there; empty when nothing does.
        found: String,
    },
    /// Required annotations without a required service account.
    #[error("required annotation keys need `requireServiceAccount: true`; set it")]
    ServiceAccountNotRequired,
    /// Tokens are switched off.
    #[error(
        "kubelet's feature gate KubeletServiceAccountTokenForCredentialProviders is off; switch it on or remove the field"
    )]
    TokensOff,
    /// Tokens exist in one version of the protocol only.
    #[error(
        "tokens need `apiVersion: credentialprovider.kubelet.k8s.io/v1` of the provider; set it"
    )]
    TokensProtocol,
    /// Nobody knows such a field here.
    #[error("no such field here{}; correct or remove it", hint.map(|field| format!("; `{field}` is written like this")).unwrap_or_default())]
    UnknownField {
        /// The field that differs from it in letter case only.
        hint: Option<&'static str>,
    },
    /// YAML that kubelet may read, but not everybody in the same way.
    #[error("line {line} has {what}")]
    UnusualYaml {
        /// The line, from 1.
        line: usize,
        /// What it has, and how to write it instead.
        what: Unusual,
    },
    /// A field holds something else.
    #[error("{found} stands where {expected} belongs; correct it, a string may need quotes")]
    WrongType {
        /// With its article.
        expected: &'static str,
        /// With its article.
        found: &'static str,
    },
    /// A file that is read as YAML, and cannot be.
    #[error("line {line} is not YAML: {what}; correct it")]
    Yaml {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
}

impl What {
    /// Whether kubelet might start all the same: it is only how the file is written that is refused, and kubelet reads
    /// some more than this module does. Better written otherwise than trusted.
    pub fn is_stricter(&self) -> bool {
        matches!(
            self,
            Self::InternalVersion | Self::UnusualYaml { .. } | Self::Yaml { .. }
        )
    }
}
