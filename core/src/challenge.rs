//! What a registry asks for: `WWW-Authenticate` (RFC 9110 section 11.6.1, distribution's token specification).
//!
//! The registry writes this header, or whoever stands between. It is a claim about where credentials should be sent,
//! and nothing is sent there before [`realm`] has compared it with the configuration.

use thiserror::Error;

use crate::origin::{Origin, Url, UrlError};

/// A challenge of the scheme `Bearer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The token service's URL, as it was written.
    pub realm: String,
    /// The audience that the token service knows the registry by.
    pub service: Option<String>,
    /// The rights that the request lacked.
    pub scope: Option<String>,
}

/// Why a registry's realm is not asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RealmError {
    /// It is no URL.
    #[error("the registry's realm cannot be used: {0}")]
    Unusable(UrlError),
    /// Another origin than the configuration allows.
    #[error(
        "the registry sends clients to {found} for tokens, which is none of the allowed `realms` ({allowed}); \
         nothing was sent there; add it to the delegation's `realms` if it is your token service"
    )]
    NotAllowed {
        /// The realm's origin.
        found: Origin,
        /// Those that are allowed.
        allowed: String,
    },
}

/// The first `Bearer` challenge with a realm among the values of all `WWW-Authenticate` headers.
pub fn bearer<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Bearer> {
    headers.flat_map(challenges).find_map(|challenge| {
        if !challenge.scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameter = |name: &str| {
            let found = challenge
                .parameters
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        Some(Bearer {
            realm: parameter("realm")?,
            service: parameter("service"),
            scope: parameter("scope"),
        })
    })
}

/// Whether a challenge of the scheme `Basic` is among the values of all `WWW-Authenticate` headers.
pub fn basic<'h>(mut headers: impl Iterator<Item = &'h str>) -> bool {
    headers.any(|header| {
        let mut challenges = challenges(header).into_iter();
        challenges.any(|challenge| challenge.scheme.eq_ignore_ascii_case("basic"))
    })
}

/// The token service that a challenge names, if the configuration allows its origin.
pub fn realm(challenge: &Bearer, allowed: &[Origin]) -> Result<Url, RealmError> {
    let url = Url::parse(&challenge.realm).map_err(RealmError::Unusable)?;
    if allowed.contains(url.origin()) {
        return Ok(url);
    }
    let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
    Err(RealmError::NotAllowed {
        found: url.origin().clone(),
        allowed: allowed.join(", "),
    })
}

#[derive(Debug, Default)]
struct Parsed {
    scheme: String,
    parameters: Vec<(String, String)>,
}

/// Takes one header value apart. What does not fit the grammar ends it; what came before counts.
fn challenges(header: &str) -> Vec<Parsed> {
    let mut found: Vec<Parsed> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            return found;
        }
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        let Some(value) = value else {
            // No parameter, so another scheme begins.
            found.push(Parsed {
                scheme: word.to_owned(),
                parameters: Vec::new(),
            });
            rest = after;
            continue;
        };
        let Some((value, after)) = parameter_value(value.trim_start_matches([' ', '\t'])) else {
            return found;
        };
        match found.last_mut() {
            Some(challenge) => challenge.parameters.push((word.to_owned(), value)),
            None => return found,
        }
        rest = after;
    }
}

/// A token of RFC 9110 section 5.6.2 and what follows it.
fn token(text: &str) -> (&str, &str) {
    let in_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_at(text.find(|c| !in_token(c)).unwrap_or(text.len()))
}

/// A quoted string, or a run of anything that no separator ends: some registries leave the quotes out.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(headers: &[&str]) -> Option<Bearer> {
        bearer(headers.iter().copied())
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let expected = Bearer {
            realm: "https://sso.example/auth?x=1".to_owned(),
            service: Some("docker-registry".to_owned()),
            scope: Some("repository:t/a:pull,push".to_owned()),
        };
        for headers in [
            &[
                r#"Bearer realm="https://sso.example/auth?x=1",service="docker-registry",scope="repository:t/a:pull,push""#,
            ][..],
            &[
                r#"bearer  REALM = "https://sso.example/auth?x=1" , Service="docker-registry", scope="repository:t\/a:pull,push", error="x""#,
            ],
            &[
                r#"Basic realm="r", Bearer realm="https://sso.example/auth?x=1",service=docker-registry,scope="repository:t/a:pull,push""#,
            ],
            &[
                "Negotiate",
                r#"Bearer realm=https://sso.example/auth?x=1,service="docker-registry",scope="repository:t/a:pull,push""#,
            ],
        ] {
            assert_eq!(of(headers), Some(expected.clone()), "{headers:?}");
        }
        for none in [
            "",
            "Basic realm=\"x\"",
            "Bearer",
            "Bearer realm=\"x",
            "=,=",
            "Bearer service=\"x\"",
        ] {
            assert_eq!(of(&[none]), None, "{none}");
        }
    }

    #[test]
    fn only_a_listed_origin_is_asked() {
        let allowed = [Origin::parse("https://sso.example").unwrap()];
        let check = |realm_text: &str| {
            let challenge = Bearer {
                realm: realm_text.to_owned(),
                service: None,
                scope: None,
            };
            realm(&challenge, &allowed)
        };
        let good = check("https://sso.example:443/auth").unwrap();
        assert_eq!(good.to_string(), "https://sso.example/auth");
        for hijack in [
            "http://sso.example/auth",
            "https://sso.example.evil.example/auth",
            "https://sso.example:444/auth",
            "https://evil.example/?https://sso.example",
        ] {
            let words = check(hijack).unwrap_err().to_string();
            assert!(words.contains("`realms`"), "{words}");
        }
        for unusable in ["/auth", "https://sso.example@evil.example/", "javascript:x"] {
            assert!(matches!(check(unusable), Err(RealmError::Unusable(_))));
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_passed_over(header in ".{0,60}") {
            let _ = of(&[&header]);
        }
    }
}
