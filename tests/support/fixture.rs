//! Credentials that exist only in tests and can be told from everything else that is printed.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Every fixture's password begins with this, so that one search finds any of them.
pub const MARKER: &str = "fixture-secret-";

/// A credential that no other test has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The user name, which is no secret.
    pub username: String,
    /// The password.
    pub password: String,
}

impl Credential {
    /// A new one.
    pub fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let password = format!("{MARKER}{}-{serial}", std::process::id());
        Self {
            username: "puller".to_owned(),
            password,
        }
    }

    /// As the `auth` field has it.
    pub fn auth(&self) -> String {
        STANDARD.encode(format!("{}:{}", self.username, self.password))
    }

    /// As an entry of `auths`.
    pub fn entry(&self) -> Value {
        json!({ "auth": self.auth() })
    }
}

impl Default for Credential {
    fn default() -> Self {
        Self::new()
    }
}

/// A service account's token as kubelet passes it on, good for an hour, signed by nobody.
pub fn workload_token(namespace: &str, account: &str, audience: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let exp = since.unwrap_or_default().as_secs() + 3600;
    let claims = json!({
        "iss": "https://cluster.example", "sub": format!("system:serviceaccount:{namespace}:{account}"),
        "aud": [audience], "exp": exp, "kubernetes.io": {
            "namespace": namespace, "serviceaccount": { "name": account, "uid": format!("uid-of-{account}") },
        },
    });
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    // The signature is what makes a token a secret.
    format!("e30.{claims}.{}", Credential::new().password)
}

/// A config.json with these entries.
pub fn config_json<'a>(entries: impl IntoIterator<Item = (&'a str, &'a Credential)>) -> String {
    let auths: serde_json::Map<_, _> = entries
        .into_iter()
        .map(|(key, credential)| (key.to_owned(), credential.entry()))
        .collect();
    json!({ "auths": auths }).to_string()
}

/// A config.json with `count` registries, each with a credential of its own. `path` is appended to every key.
pub fn large_config_json(count: usize, path: &str) -> String {
    let mut text = String::from("{\"auths\":{");
    for number in 0..count {
        let comma = if number == 0 { "" } else { "," };
        let auth = STANDARD.encode(format!("puller:{MARKER}large-{number:05}-{number:0>24}"));
        let _infallible = write!(
            text,
            "{comma}\"r{number:05}.registry.example{path}\":{{\"auth\":\"{auth}\",\"email\":\"team-{number}@example.com\"}}"
        );
    }
    text.push_str("}}");
    text
}

/// How tokens of Keycloak and of the cluster begin, as JSON Web Tokens do: an object with `alg` or `typ` first.
const TOKENS: [&str; 2] = ["eyJhbGciOi", "eyJ0eXAiOi"];

/// What a leak of any fixture or token would look like: the marker itself, and the part of its base64 form that does
/// not depend on what stands around it, in each of the three alignments.
pub fn traces() -> Vec<String> {
    let mut traces = Vec::new();
    for marker in [MARKER].into_iter().chain(TOKENS) {
        traces.push(marker.to_owned());
        for shift in 0..3 {
            let shifted = STANDARD.encode([&b"###"[..shift], marker.as_bytes()].concat());
            let start = (shift * 8).div_ceil(6);
            let whole = (shift + marker.len()) * 8 / 6;
            traces.push(shifted[start..whole].to_owned());
        }
    }
    traces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_fixture_leaves_a_trace() {
        let found = |text: &str| traces().iter().any(|trace| text.contains(trace));
        let credential = Credential::new();
        assert!(found(&credential.password) && found(&credential.auth()));
        for before in ["", "a", "ab", "abc"] {
            assert!(found(
                &STANDARD.encode(format!("{before}{}", credential.password))
            ));
        }
        for header in [json!({ "alg": "ES256" }), json!({ "typ": "JWT" })] {
            let token = URL_SAFE_NO_PAD.encode(header.to_string());
            assert!(found(&token) && found(&STANDARD.encode(format!("jwt:{token}"))));
        }
        assert!(!found("nothing secret"));
    }
}
