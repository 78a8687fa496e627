//! Clients that log in to a realm on their own behalf, and what their tokens say.

use serde_json::{Value, json};

use crate::fixture::Credential;

/// How a client proves who it is.
#[derive(Clone, Debug)]
pub enum Login<'a> {
    /// By its secret; the credential's user name is the client's ID.
    Secret(&'a Credential),
    /// By a token that an identity provider of the realm vouches for.
    Federated {
        /// The client's ID.
        id: &'a str,
        /// The alias of the identity provider.
        provider: &'a str,
        /// The token's `sub`, exactly.
        subject: &'a str,
    },
}

/// What the access tokens of a client say beyond the usual.
#[derive(Clone, Debug)]
pub enum Mapper {
    /// One more audience.
    Audience(String),
    /// A claim with a fixed value.
    Claim {
        /// Its name.
        name: String,
        /// Its value.
        value: Value,
    },
}

impl Mapper {
    /// The `access` claim by which a registry knows what a token permits: `actions` are some of
    /// `pull`, `push`, `delete`.
    pub fn access(repository: &str, actions: &[&str]) -> Self {
        Self::Claim {
            name: "access".to_owned(),
            value: json!([{ "type": "repository", "name": repository, "actions": actions }]),
        }
    }

    /// All that a [`Registry::trusting`](crate::registry::Registry::trusting) needs to permit that.
    pub fn registry(repository: &str, actions: &[&str]) -> [Self; 2] {
        let audience = Self::Audience(crate::registry::SERVICE.to_owned());
        [audience, Self::access(repository, actions)]
    }

    fn representation(&self, name: &str) -> Value {
        let (kind, config) = match self {
            Self::Audience(audience) => (
                "oidc-audience-mapper",
                json!({ "included.custom.audience": audience }),
            ),
            Self::Claim { name, value } => (
                "oidc-hardcoded-claim-mapper",
                json!({
                    "claim.name": name, "claim.value": value.to_string(), "jsonType.label": "JSON",
                }),
            ),
        };
        let mut config = config;
        config["access.token.claim"] = "true".into();
        json!({
            "name": name, "protocol": "openid-connect", "protocolMapper": kind, "config": config,
        })
    }
}

/// The client as the admin API wants it.
pub(super) fn representation(login: &Login<'_>, mappers: &[Mapper]) -> Value {
    let mappers: Vec<_> = mappers
        .iter()
        .enumerate()
        .map(|(number, mapper)| mapper.representation(&format!("mapper-{number}")))
        .collect();
    let mut client = json!({
        "protocol": "openid-connect",
        // Left out, it would be true, and a public client proves nothing.
        "publicClient": false,
        "serviceAccountsEnabled": true,
        "standardFlowEnabled": false,
        "protocolMappers": mappers,
    });
    match login {
        Login::Secret(credential) => {
            client["clientId"] = credential.username.as_str().into();
            client["secret"] = credential.password.as_str().into();
        }
        Login::Federated {
            id,
            provider,
            subject,
        } => {
            client["clientId"] = (*id).into();
            client["clientAuthenticatorType"] = "federated-jwt".into();
            client["attributes"] =
                json!({ "jwt.credential.issuer": provider, "jwt.credential.sub": subject });
        }
    }
    client
}
