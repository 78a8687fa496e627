use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

const AUDIENCE: &str = "https://r.example";
const ISSUER: &str = "https://cluster.example";

fn expected() -> Expected {
    Expected {
        audience: AUDIENCE.to_owned(),
        issuer: Some(ISSUER.to_owned()),
    }
}

/// A good pod's token with these claims changed; `null` takes one away.
fn token(change: Value, left: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut claims = json!({
        "iss": ISSUER, "sub": "system:serviceaccount:team:app", "aud": [AUDIENCE],
        "exp": now.as_secs() + left,
        "kubernetes.io": { "namespace": "team", "serviceaccount": { "name": "app", "uid": "u" } },
    });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn of_pod(token: &str) -> Result<Held, String> {
    let token = Secret::new(token.to_owned());
    let held = Held::new(&Subject::Workload(expected()), Some(&token));
    held.map_err(|failure| failure.message)
}

#[test]
fn a_pods_token_is_its_accounts_and_good_for_as_long_as_it_says() {
    let held = of_pod(&token(json!({}), 600)).unwrap();
    let Holder::Account(account) = held.holder else {
        panic!("no account");
    };
    assert_eq!(
        (account.namespace.as_str(), account.name.as_str()),
        ("team", "app")
    );
    assert!(held.life <= Duration::from_secs(600) && held.life > Duration::from_secs(590));
    // Good, but nobody's in particular.
    let anonymous = of_pod(&token(json!({ "kubernetes.io": null }), 600)).unwrap();
    assert!(matches!(anonymous.holder, Holder::Unknown));
}

#[test]
fn a_pods_token_is_refused_before_it_goes_anywhere() {
    for (token, words) in [
        (
            token(json!({ "aud": [AUDIENCE, "https://other.example"] }), 600),
            "not for https://r.example alone",
        ),
        (
            token(json!({ "aud": "https://r.example/" }), 600),
            "not for https://r.example alone",
        ),
        (
            token(json!({ "aud": null }), 600),
            "not for https://r.example alone",
        ),
        (
            token(json!({ "iss": "https://cluster.example/" }), 600),
            "not one of https://cluster.example",
        ),
        (
            token(
                json!({ "iss": "https://cluster.example.evil.example" }),
                600,
            ),
            "not one of",
        ),
        (token(json!({ "iss": null }), 600), "not one of"),
        (
            token(json!({ "sub": "somebody" }), 600),
            "not a service account's",
        ),
        (token(json!({}), 59), "less than 60s left"),
        (token(json!({ "exp": 1 }), 600), "less than 60s left"),
        (token(json!({ "exp": null }), 600), "less than 60s left"),
        ("opaque".to_owned(), "no JSON Web Token"),
        (String::new(), "no JSON Web Token"),
    ] {
        let refused = of_pod(&token).err().unwrap_or_default();
        assert!(refused.contains(words), "{words}: {refused}");
    }
    let none = Held::new(&Subject::Workload(expected()), None);
    assert!(none.is_err_and(|failure| failure.message.contains("only kubelet's provider gets")));
}

/// What a file with this content gives.
fn of_file(content: &str, expected: Option<Expected>) -> Result<Held, String> {
    use std::io::Write as _;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    let path = file.path().to_owned();
    Held::new(&Subject::File { path, expected }, None).map_err(|failure| failure.message)
}

#[test]
fn a_token_in_a_file_is_the_nodes() {
    let held = of_file("opaque\n", None).unwrap();
    assert_eq!(held.token.expose(), "opaque");
    assert!(matches!(held.holder, Holder::Node));
    assert_eq!(held.life, Duration::MAX);
    // A JSON Web Token says when it ends, whether or not anything is expected of it; whose it is does not matter.
    let jwt = token(json!({ "sub": "spiffe://example/node" }), 600);
    for expected in [None, Some(expected())] {
        let held = of_file(&jwt, expected).unwrap();
        assert!(held.life <= Duration::from_secs(600));
    }
}

#[test]
fn a_file_without_a_good_token_is_named() {
    let good = token(json!({}), 600);
    for (content, words) in [
        (String::new(), "must hold one token and nothing else"),
        (" \n".to_owned(), "must hold one token and nothing else"),
        (
            format!("{good}\n{good}\n"),
            "must hold one token and nothing else",
        ),
        ("opaque".to_owned(), "holds no JSON Web Token"),
        (
            token(json!({ "aud": "other" }), 600),
            "have it made for that in /",
        ),
        (token(json!({}), 59), "less than 60s left"),
    ] {
        let refused = of_file(&content, Some(expected()))
            .err()
            .unwrap_or_default();
        assert!(refused.contains(words), "{words}: {refused}");
        assert!(!refused.contains(&good), "the token is told");
    }
    let path = PathBuf::from("/nowhere/token");
    let missing = Held::new(
        &Subject::File {
            path,
            expected: None,
        },
        None,
    );
    assert!(missing.is_err_and(|failure| failure.message.contains("/nowhere/token")));
}
