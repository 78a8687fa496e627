//! A key that signs tokens.

use std::fmt;

use anyhow::{Context, Result};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use serde_json::{Value, json};

const ALGORITHM: Algorithm = Algorithm::ES256;

/// A new key and its name.
pub(super) struct Signer {
    key: EncodingKey,
    public: Jwk,
}

impl Signer {
    pub(super) fn new() -> Result<Self> {
        let pair = KeyPair::generate()?;
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let mut public = Jwk::from_encoding_key(&key, ALGORITHM)?;
        public.common.key_id = Some(public.thumbprint(ThumbprintHash::SHA256)?);
        Ok(Self { key, public })
    }

    /// The document with the public half (JWKS).
    pub(super) fn keys(&self) -> Value {
        json!({ "keys": [self.public] })
    }

    /// A token with these claims, which names the key.
    pub(super) fn sign(&self, claims: &Value) -> Result<String> {
        let mut header = Header::new(ALGORITHM);
        header.kid.clone_from(&self.public.common.key_id);
        encode(&header, claims, &self.key).context("cannot sign")
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}
