//! `[[delegation]]`: registries whose credentials come from somewhere else.

use std::path::PathBuf;

use clap::ValueEnum;
use pullkeeper_core::authfile::Key;
use pullkeeper_core::origin::{Origin, Url};
use pullkeeper_core::query::Query;

use super::merge::{Delegation, Placed};
use super::resolve::Resolver;
use super::syntax;

/// Registries whose credentials come from somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationSettings {
    /// For logs, metrics and status.
    pub name: String,
    /// At least one; hosts may be patterns.
    pub registries: Vec<Query>,
    /// How the credential is obtained.
    pub grant: Grant,
    /// Key of the pull secret's entry for the token service, when it is not that service's host.
    pub credential: Option<Query>,
    /// Certificates besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// How a delegated credential is obtained, and what is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// OAuth 2.0 client credentials with the pod's service-account token as client assertion (RFC 7523); the access
    /// token is handed out, and no secret is stored anywhere.
    ClientAssertion {
        /// The token endpoint.
        endpoint: TokenEndpoint,
        /// The one audience that the service-account token must have.
        audience: String,
    },
    /// OAuth 2.0 client credentials; the access token is handed out.
    ClientCredentials {
        /// The token endpoint.
        endpoint: TokenEndpoint,
    },
    /// The pod's service-account token as a grant of its own (RFC 7523 section 2.1), presented by a client that has a
    /// secret; the access token is handed out.
    JwtBearer {
        /// The token endpoint.
        endpoint: TokenEndpoint,
        /// The one audience that the service-account token must have.
        audience: String,
    },
    /// The pod's service-account token itself is handed out.
    PassThrough {
        /// The one audience that it must have.
        audience: String,
        /// The user name that the registry wants beside it.
        username: String,
    },
    /// The registry's own token flow with the credential of its token service: that credential is handed out once
    /// the realm was found to be an allowed one and to take it.
    RegistryToken {
        /// At least one; http only on loopback.
        realms: Vec<Origin>,
        /// Whether the registry is asked over https.
        secure: bool,
    },
}

/// An OAuth 2.0 token endpoint and what becomes of its access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEndpoint {
    /// Where it is.
    pub service: TokenService,
    /// What to ask for.
    pub scope: Option<String>,
    /// The user name under which the registry takes the token as password.
    pub username: String,
}

/// Where a token endpoint is: https, or on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenService {
    /// There.
    Endpoint(Url),
    /// Where the discovery document of this OpenID Connect issuer says, at the same origin.
    Issuer(Url),
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
            Self::ClientAssertion { .. } => "client-assertion",
            Self::ClientCredentials { .. } => "client-credentials",
            Self::JwtBearer { .. } => "jwt-bearer",
            Self::PassThrough { .. } => "pass-through",
            Self::RegistryToken { .. } => "registry-token",
        }
    }
}

/// The words of the configuration for a [`Grant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GrantWord {
    /// OAuth 2.0 client credentials with the pod's service-account token as client assertion (RFC 7523): nothing is stored
    ClientAssertion,
    /// OAuth 2.0 client credentials with client ID and secret from the pull secret
    ClientCredentials,
    /// the pod's service-account token as authorization grant (RFC 7523), with client ID and secret from the pull secret
    JwtBearer,
    /// the pod's service-account token itself is the password: nothing is stored
    PassThrough,
    /// the registry's own token flow, with the pull secret's entry for its token service
    RegistryToken,
}

/// The scheme of a registry's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scheme {
    /// not encrypted, for registries on this machine alone
    Http,
    /// encrypted
    Https,
}

/// Beside a token, unless the configuration says otherwise (S2 of the rules for pass-through: never empty).
const TOKEN_USER: &str = "jwt";
/// Audiences that API servers take: a token for one of them is good for more than pulling.
const API_SERVERS: [&str; 4] = [
    "https://kubernetes.default.svc",
    "https://kubernetes.default.svc.cluster.local",
    "kubernetes.default.svc",
    "api",
];

impl Resolver {
    /// Checks one table.
    pub(super) fn delegation(
        &mut self,
        Placed {
            value: written,
            place,
        }: &Placed<Delegation>,
    ) -> Option<DelegationSettings> {
        let key = "delegation.registries";
        if written.registries.is_none() {
            self.missing(key, place);
            return None;
        }
        let registries = self.each(key, &written.registries, syntax::registry_pattern)?;
        let Some(first) = registries.first() else {
            self.bad(key, place, "must have at least one registry".to_owned());
            return None;
        };
        let name = match &written.name {
            None => Some(
                first
                    .registry()
                    .replace([':', '*'], "-")
                    .trim_matches(['-', '.'])
                    .to_owned(),
            ),
            name => self.optional("delegation.name", name, syntax::source_name),
        };
        let credential = self.optional("delegation.credential", &written.credential, |text| {
            syntax::registry(text)?;
            let key = Key::parse(text).map_err(str::to_owned)?;
            Ok(Query::of_key(&key))
        });
        let ca_file = self.optional("delegation.ca_file", &written.ca_file, syntax::file_path);
        let grant = self.grant(written, place, &registries);
        Some(DelegationSettings {
            name: name?,
            registries,
            grant: grant?,
            credential,
            ca_file,
        })
    }

    fn grant(
        &mut self,
        written: &Delegation,
        place: &super::Place,
        registries: &[Query],
    ) -> Option<Grant> {
        let word = match &written.grant {
            None => GrantWord::RegistryToken,
            grant => self.optional("delegation.grant", grant, syntax::word)?,
        };
        let token_user = |resolver: &mut Self| match &written.username {
            None => Some(TOKEN_USER.to_owned()),
            user => resolver.optional("delegation.username", user, syntax::token_user),
        };
        let endpoint = |resolver: &mut Self| {
            let service = resolver.token_service(written, place);
            let username = token_user(resolver);
            Some(TokenEndpoint {
                service: service?,
                scope: written.scope.as_ref().map(|scope| scope.value.clone()),
                username: username?,
            })
        };
        let audience = |resolver: &mut Self| {
            let key = "delegation.audience";
            resolver.required_at(key, &written.audience, place, audience)
        };
        self.fits(written, word);
        Some(match word {
            GrantWord::ClientAssertion => {
                let (endpoint, audience) = (endpoint(self), audience(self));
                Grant::ClientAssertion {
                    endpoint: endpoint?,
                    audience: audience?,
                }
            }
            GrantWord::ClientCredentials => Grant::ClientCredentials {
                endpoint: endpoint(self)?,
            },
            GrantWord::JwtBearer => {
                let (endpoint, audience) = (endpoint(self), audience(self));
                Grant::JwtBearer {
                    endpoint: endpoint?,
                    audience: audience?,
                }
            }
            GrantWord::PassThrough => {
                let (audience, username) = (audience(self), token_user(self));
                Grant::PassThrough {
                    audience: audience?,
                    username: username?,
                }
            }
            GrantWord::RegistryToken => self.registry_token(written, place, registries)?,
        })
    }

    fn token_service(
        &mut self,
        written: &Delegation,
        place: &super::Place,
    ) -> Option<TokenService> {
        if let (Some(issuer), Some(_)) = (&written.issuer, &written.token_endpoint) {
            let why = "cannot be set beside `token_endpoint`".to_owned();
            self.bad("delegation.issuer", &issuer.place, why);
            return None;
        }
        if written.issuer.is_some() {
            let issuer = self.optional("delegation.issuer", &written.issuer, syntax::safe_url);
            return issuer.map(TokenService::Issuer);
        }
        let key = "delegation.token_endpoint";
        let url = self.required_at(key, &written.token_endpoint, place, syntax::safe_url);
        url.map(TokenService::Endpoint)
    }

    fn registry_token(
        &mut self,
        written: &Delegation,
        place: &super::Place,
        registries: &[Query],
    ) -> Option<Grant> {
        let key = "delegation.realms";
        if written.realms.is_none() {
            self.missing(key, place);
            return None;
        }
        let realms = self.each(key, &written.realms, syntax::safe_origin)?;
        if realms.is_empty() {
            self.bad(key, place, "must have at least one origin".to_owned());
        }
        let scheme = match &written.registry_scheme {
            None => Scheme::Https,
            scheme => self.optional("delegation.registry_scheme", scheme, syntax::word)?,
        };
        let secure = scheme == Scheme::Https;
        let local = |registry: &Query| {
            Origin::of_authority(false, &registry.registry()).is_ok_and(|o| o.is_loopback())
        };
        if !secure && !registries.iter().all(local) {
            let why = "can be http only for registries on a loopback address".to_owned();
            self.bad("delegation.registry_scheme", place, why);
        }
        Some(Grant::RegistryToken { realms, secure })
    }

    /// Keys that mean nothing for the grant are mistakes.
    fn fits(&mut self, written: &Delegation, word: GrantWord) {
        use GrantWord::{
            ClientAssertion, ClientCredentials, JwtBearer, PassThrough, RegistryToken,
        };
        let endpoints = &[ClientAssertion, ClientCredentials, JwtBearer][..];
        let rows = [
            ("token_endpoint", &written.token_endpoint, endpoints),
            ("issuer", &written.issuer, endpoints),
            ("scope", &written.scope, endpoints),
            (
                "audience",
                &written.audience,
                &[ClientAssertion, JwtBearer, PassThrough],
            ),
            (
                "username",
                &written.username,
                &[ClientAssertion, ClientCredentials, JwtBearer, PassThrough],
            ),
            (
                "credential",
                &written.credential,
                &[ClientCredentials, JwtBearer, RegistryToken],
            ),
            (
                "registry_scheme",
                &written.registry_scheme,
                &[RegistryToken],
            ),
        ];
        for (key, value, grants) in rows {
            if let (Some(value), false) = (value, grants.contains(&word)) {
                let why = "means nothing with this `grant`".to_owned();
                self.bad(&format!("delegation.{key}"), &value.place, why);
            }
        }
        if let (Some(realms), true) = (&written.realms, word != RegistryToken) {
            let why = "means nothing with this `grant`".to_owned();
            self.bad("delegation.realms", &realms.place, why);
        }
    }
}

/// One audience for one registry, never one of the API server's (S1 of the security rules).
fn audience(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err("must be the audience, such as the registry's URL".to_owned());
    }
    if API_SERVERS.contains(&text.trim_end_matches('/')) || text.ends_with(".cluster.local") {
        return Err(
            "must not be an audience of the API server: the registry could use the token there"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
