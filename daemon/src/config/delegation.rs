//! `[[delegation]]`: registries whose credentials come from somewhere else.

mod endpoint;
mod protocol;
mod written;

use std::collections::BTreeMap;
use std::path::PathBuf;

use pullkeeper_core::origin::{Origin, Url};
use pullkeeper_core::query::Query;

pub use self::protocol::{At, Body, Carrier, Client, Parameters, TokenProtocol, Username};
pub(crate) use self::protocol::{GrantWord, PresetWord};
pub(crate) use self::written::{HandOutWord, Scheme};

/// Registries whose credentials come from somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationSettings {
    /// For logs, metrics and status.
    pub name: String,
    /// At least one; hosts may be patterns.
    pub registries: Vec<Query>,
    /// How the credential is obtained.
    pub grant: Grant,
    /// Key of the entry for the token service, when it is not that service's host.
    pub credential: Option<Query>,
    /// An auth file with that entry, in place of the pull secret.
    pub credential_file: Option<PathBuf>,
    /// Certificates besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// How a delegated credential is obtained, and what is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// One token endpoint is asked for one token, which is handed out.
    Exchange(Exchange),
    /// An entry of the pull Secrets in the pod's namespace is handed out, which are read with the pod's own token.
    NamespaceSecrets {
        /// A workload's token that the API server takes.
        subject: Subject,
        /// Where it is the entry of the registry's token service, not of the registry itself.
        flow: Option<TokenFlow>,
    },
    /// A token is handed out as it is.
    PassThrough {
        /// Which one.
        subject: Subject,
        /// The user name that the registry wants beside it.
        username: String,
    },
    /// The registry's own token flow with the credential of its token service, which is tried before anything is
    /// handed out.
    RegistryToken(TokenFlow),
}

/// The registry's own token flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFlow {
    /// Origins of token services, at least one; http only on loopback.
    pub realms: Vec<Origin>,
    /// Whether the registry is asked over https.
    pub secure: bool,
    /// What clients get.
    pub hand_out: HandOut,
}

/// One request to one token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// How it is asked.
    pub protocol: &'static TokenProtocol,
    /// Where it is: https, or on loopback.
    pub service: TokenService,
    /// What is exchanged, if anything is.
    pub subject: Option<Subject>,
    /// Whether a client authenticates itself with ID and secret.
    pub client: bool,
    /// Sent besides what the protocol always has.
    pub parameters: BTreeMap<String, String>,
    /// The user name under which the registry takes the token; `None` where the endpoint says it.
    pub username: Option<String>,
}

/// A token that stands for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The pod's service-account token, as kubelet passes it on.
    Workload(Expected),
    /// One for the whole node, read at every use.
    File {
        /// Where it is.
        path: PathBuf,
        /// What it must say about itself, where that is said.
        expected: Option<Expected>,
    },
    /// A refresh token that is replaced when the endpoint gives a new one.
    Stored {
        /// Where it is.
        path: PathBuf,
    },
}

/// What a token must say about itself before it is sent anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its one audience.
    pub audience: String,
    /// Its issuer, where that is configured.
    pub issuer: Option<String>,
}

/// Where a token endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenService {
    /// There.
    Endpoint(Url),
    /// Where the discovery document of this OpenID Connect issuer says, at the same origin.
    Issuer(Url),
}

/// What clients get in the registry's own token flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOut {
    /// User name and password.
    Credential,
    /// A token that clients exchange by POST in place of the password.
    IdentityToken,
}

impl TokenService {
    /// The only origin that anything is sent to.
    pub fn origin(&self) -> &Origin {
        let (Self::Endpoint(url) | Self::Issuer(url)) = self;
        url.origin()
    }
}

impl DelegationSettings {
    /// Whether it answers for the query; of several the first does.
    pub fn answers(&self, query: &Query) -> bool {
        self.registries.iter().any(|registry| query.fits(registry))
    }
}

impl Grant {
    /// The word in the configuration, also used in logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Exchange(exchange) => exchange.protocol.name,
            Self::NamespaceSecrets { .. } => "namespace-secrets",
            Self::PassThrough { .. } => "pass-through",
            Self::RegistryToken(_) => "registry-token",
        }
    }

    /// The token that is handed out or exchanged, if one is.
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Exchange(exchange) => exchange.subject.as_ref(),
            Self::NamespaceSecrets { subject, .. } | Self::PassThrough { subject, .. } => {
                Some(subject)
            }
            Self::RegistryToken(_) => None,
        }
    }
}

impl Subject {
    /// The audience that the token must have, where one is known.
    pub fn audience(&self) -> Option<&str> {
        match self {
            Self::Workload(expected)
            | Self::File {
                expected: Some(expected),
                ..
            } => Some(&expected.audience),
            Self::File { expected: None, .. } | Self::Stored { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
