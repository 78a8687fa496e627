//! What a token says about itself. Nobody verifies it here: the registry or the SSO does. These words are read to fail
//! early with a clear message, to know when a token ends, and to keep caches apart.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

/// The claims that matter here (RFC 7519 section 4.1, and Kubernetes' own).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// Who made it.
    #[serde(default)]
    pub iss: Option<String>,
    /// About whom.
    #[serde(default)]
    pub sub: Option<String>,
    /// For whom; one or several.
    #[serde(default)]
    aud: Audience,
    /// When it ends, in seconds since 1970.
    #[serde(default)]
    pub exp: Option<u64>,
    #[serde(default, rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Audience {
    #[default]
    None,
    One(String),
    Several(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Kubernetes {
    namespace: String,
    serviceaccount: ServiceAccount,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct ServiceAccount {
    name: String,
    uid: String,
}

/// A Kubernetes service account, told from one of the same name that existed before or after it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// The text is no JSON Web Token. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is no JSON Web Token of three parts")]
pub struct NotAToken;

impl Claims {
    /// Reads the claims of a token in compact form.
    pub fn of(token: &str) -> Result<Self, NotAToken> {
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAToken);
        };
        if header.is_empty() || signature.is_empty() {
            return Err(NotAToken);
        }
        let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims).map_err(|_| NotAToken)?);
        serde_json::from_slice(&claims).map_err(|_| NotAToken)
    }

    /// Whether the token is for this audience and no other.
    pub fn is_for(&self, audience: &str) -> bool {
        match &self.aud {
            Audience::None => false,
            Audience::One(one) => one == audience,
            Audience::Several(several) => several == &[audience],
        }
    }

    /// The service account whose token it is; `None` where a claim about it is missing or contradicts `sub`.
    pub fn account(&self) -> Option<Account> {
        let kubernetes = self.kubernetes.as_ref()?;
        let (namespace, name) = (&kubernetes.namespace, &kubernetes.serviceaccount.name);
        let subject = format!("system:serviceaccount:{namespace}:{name}");
        (self.sub.as_deref() == Some(subject.as_str())).then(|| Account {
            namespace: namespace.clone(),
            name: name.clone(),
            uid: kubernetes.serviceaccount.uid.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn token(claims: &serde_json::Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn a_service_account_token_tells_whose_it_is() {
        let claims = json!({
            "iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:ns:puller", "aud": ["https://r.example"],
            "exp": 2_000_000_000, "iat": 1, "kubernetes.io": {"namespace": "ns", "pod": {"name": "p", "uid": "q"},
            "serviceaccount": {"name": "puller", "uid": "u-1"}},
        });
        let claims = Claims::of(&token(&claims)).unwrap();
        let account = Account {
            namespace: "ns".to_owned(),
            name: "puller".to_owned(),
            uid: "u-1".to_owned(),
        };
        assert_eq!(claims.account(), Some(account));
        assert_eq!(claims.exp, Some(2_000_000_000));
        assert!(claims.is_for("https://r.example") && !claims.is_for("https://r.example/"));
    }

    #[test]
    fn what_is_missing_or_contradicts_is_no_account_and_no_audience() {
        let of = |claims| Claims::of(&token(&claims)).unwrap();
        let two = of(json!({"aud": ["a", "b"]}));
        assert!(!two.is_for("a") && two.account().is_none());
        assert!(of(json!({"aud": "a"})).is_for("a"));
        let other = of(
            json!({"sub": "system:serviceaccount:ns:other", "kubernetes.io":
            {"namespace": "ns", "serviceaccount": {"name": "puller", "uid": "u"}}}),
        );
        assert_eq!(other.account(), None);
        for text in [
            "",
            "a.b",
            "a.b.c.d",
            ".e30.x",
            "e30.e30.",
            "e30.!!.x",
            "e30.WzFd.x",
        ] {
            assert_eq!(Claims::of(text), Err(NotAToken), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_not(text in "[ -~]{0,40}") {
            let _ = Claims::of(&text);
        }
    }
}
