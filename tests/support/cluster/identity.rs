//! Who asks the API server: certificates, tokens, and the kubeconfig that carries them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// A subject known to the API server, with its proof.
#[derive(Clone, Debug)]
pub struct Identity {
    name: String,
    proof: Proof,
}

#[derive(Clone, Debug)]
pub(super) enum Proof {
    Certificate { certificate: String, key: String },
    Token(String),
}

impl Identity {
    pub(super) fn new(name: impl Into<String>, proof: Proof) -> Self {
        Self {
            name: name.into(),
            proof,
        }
    }

    /// The user name that RBAC sees.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bearer token; `None` for who shows a certificate. Only tokens pass a proxy that ends TLS.
    pub fn token(&self) -> Option<&str> {
        match &self.proof {
            Proof::Certificate { .. } => None,
            Proof::Token(token) => Some(token),
        }
    }

    /// The certificate and its key, as PEM; `None` for who shows a token.
    pub fn pair(&self) -> Option<(&str, &str)> {
        match &self.proof {
            Proof::Certificate { certificate, key } => Some((certificate, key)),
            Proof::Token(_) => None,
        }
    }

    pub(super) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// A self-contained kubeconfig for the server at `url`, written as JSON, which is YAML.
    pub(super) fn kubeconfig(&self, url: &str, authority: &str) -> Value {
        let user = match &self.proof {
            Proof::Certificate { certificate, key } => json!({
                "client-certificate-data": BASE64_STANDARD.encode(certificate),
                "client-key-data": BASE64_STANDARD.encode(key),
            }),
            Proof::Token(token) => json!({ "token": token }),
        };
        let cluster = json!({
            "server": url,
            "certificate-authority-data": BASE64_STANDARD.encode(authority),
        });
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": cluster }],
            "users": [{ "name": self.name, "user": user }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": self.name } }],
            "current-context": "test",
        })
    }
}
