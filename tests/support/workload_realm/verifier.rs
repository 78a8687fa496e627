//! Whether a token is a workload's, and whose.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

/// Why somebody gets no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There was none with the request.
    NoCredential,
    /// What was shown is no JWT, or lacks a claim.
    Malformed,
    /// The issuer has no key of the name in its header.
    UnknownKey,
    /// The key of that name has not signed it.
    Signature,
    /// It is somebody else's.
    Issuer,
    /// It is not for the configured audience, or not for that alone.
    Audience,
    /// It has ended.
    Expired,
    /// It has not begun.
    NotYet,
    /// All is well with it, but its subject may not ask.
    NotAdmitted,
}

impl Refusal {
    /// As the client is told it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NoCredential => "no credential",
            Self::Malformed => "the password is no token of a workload",
            Self::UnknownKey => "the token's key is not known",
            Self::Signature => "the token's signature is wrong",
            Self::Issuer => "the token is of another issuer",
            Self::Audience => "the token is not for this registry alone",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::NotAdmitted => "the token's subject is not admitted",
        }
    }
}

/// Whoever has shown a good token.
#[derive(Debug)]
pub(super) struct Workload {
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub(super) subject: String,
    /// The pod that the token is bound to, where it is.
    pub(super) pod: Option<String>,
    /// When the token ends, in seconds since 1970.
    pub(super) until: u64,
}

/// What a token must be.
#[derive(Debug)]
pub(super) struct Verifier {
    issuer: String,
    audience: String,
    keys: JwkSet,
    rules: Validation,
}

impl Verifier {
    pub(super) fn new(issuer: &str, keys: &Value, audience: &str) -> Result<Self> {
        let keys = serde_json::from_value(keys.clone()).context("no JWKS document")?;
        let mut rules = Validation::default();
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // `verify` compares audience and issuer: the library is content with a right one among several.
        rules.validate_aud = false;
        rules.validate_nbf = true;
        rules.leeway = 0;
        // Without it a token would be good for the second in which it ends.
        rules.reject_tokens_expiring_in_less_than = 1;
        Ok(Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            keys,
            rules,
        })
    }

    /// Whose token it is, if it is a good one.
    pub(super) fn verify(&self, token: &str) -> Result<Workload, Refusal> {
        let header = decode_header(token).map_err(|_| Refusal::Malformed)?;
        let key = header.kid.and_then(|name| self.keys.find(&name));
        let (key, algorithm) = key.and_then(usable).ok_or(Refusal::UnknownKey)?;
        let mut rules = self.rules.clone();
        rules.algorithms = vec![algorithm];
        let decoded = decode::<Value>(token, &key, &rules);
        let claims = decoded.map_err(|error| refusal(error.kind()))?.claims;
        if claims["iss"] != self.issuer {
            return Err(Refusal::Issuer);
        }
        if claims["aud"] != json!(self.audience) && claims["aud"] != json!([self.audience]) {
            return Err(Refusal::Audience);
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(Workload {
            subject: text(&claims["sub"]).ok_or(Refusal::Malformed)?,
            pod: text(&claims["kubernetes.io"]["pod"]["name"]),
            until: claims["exp"].as_u64().ok_or(Refusal::Malformed)?,
        })
    }
}

/// A key with the one algorithm that it is published for, whatever a token's header says.
fn usable(key: &Jwk) -> Option<(DecodingKey, Algorithm)> {
    let algorithm = key.common.key_algorithm?.to_string().parse().ok()?;
    Some((DecodingKey::from_jwk(key).ok()?, algorithm))
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

fn refusal(error: &ErrorKind) -> Refusal {
    match error {
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => Refusal::Signature,
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYet,
        _ => Refusal::Malformed,
    }
}
