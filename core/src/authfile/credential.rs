//! A credential in memory.

use std::fmt;

use zeroize::Zeroizing;

/// What a client would present to a registry. Wiped on drop; cannot be displayed, and its debug
/// output does not depend on its content.
///
/// The parts are bytes because that is what the readers take from base64: nothing makes them UTF-8.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credential {
    username: Zeroizing<Vec<u8>>,
    password: Zeroizing<Vec<u8>>,
    identity_token: Zeroizing<Vec<u8>>,
    registry_token: Zeroizing<Vec<u8>>,
}

impl Credential {
    /// A user name and a password; either may be empty.
    pub fn new(username: &[u8], password: &[u8]) -> Self {
        let (username, password) = (owned(username), owned(password));
        Self {
            username,
            password,
            ..Self::default()
        }
    }

    /// Splits `user:password` at the first colon; `None` when there is none.
    pub fn from_pair(pair: &[u8]) -> Option<Self> {
        let colon = pair.iter().position(|byte| *byte == b':')?;
        Some(Self::new(&pair[..colon], &pair[colon + 1..]))
    }

    /// The same with a token that is exchanged for access tokens (`identitytoken`).
    pub fn with_identity_token(self, token: &[u8]) -> Self {
        Self {
            identity_token: owned(token),
            ..self
        }
    }

    /// The same with a token that is sent to the registry as it is (`registrytoken`).
    pub fn with_registry_token(self, token: &[u8]) -> Self {
        Self {
            registry_token: owned(token),
            ..self
        }
    }

    /// The same without the NUL bytes around the password, which some writers pad with.
    pub fn with_trimmed_password(self) -> Self {
        let padding = |byte: &u8| *byte != 0;
        let start = self
            .password
            .iter()
            .position(padding)
            .unwrap_or(self.password.len());
        let end = self
            .password
            .iter()
            .rposition(padding)
            .map_or(start, |last| last + 1);
        Self {
            password: owned(&self.password[start..end]),
            ..self
        }
    }

    /// The user name.
    pub fn username(&self) -> &[u8] {
        &self.username
    }

    /// The password.
    pub fn password(&self) -> &[u8] {
        &self.password
    }

    /// The identity token.
    pub fn identity_token(&self) -> &[u8] {
        &self.identity_token
    }

    /// The registry token.
    pub fn registry_token(&self) -> &[u8] {
        &self.registry_token
    }

    /// Whether there is nothing to present.
    pub fn is_empty(&self) -> bool {
        self.username.is_empty()
            && self.password.is_empty()
            && self.identity_token.is_empty()
            && self.registry_token.is_empty()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(redacted)")
    }
}

fn owned(part: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(part.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_split_at_the_first_colon() {
        let credential = Credential::from_pair(b"user:pass:word\n").unwrap();
        assert_eq!(
            (credential.username(), credential.password()),
            (&b"user"[..], &b"pass:word\n"[..])
        );
        assert!(Credential::from_pair(b"user").is_none());
        assert!(Credential::from_pair(b":").unwrap().is_empty());
    }

    #[test]
    fn padding_is_trimmed_on_both_sides_of_the_password_only() {
        let trim = |pair: &[u8]| Credential::from_pair(pair).unwrap().with_trimmed_password();
        assert_eq!(
            trim(b"\0u\0:\0\0p\0w\0"),
            Credential::new(b"\0u\0", b"p\0w")
        );
        assert_eq!(trim(b"u:\0\0"), Credential::new(b"u", b""));
    }

    #[test]
    fn each_part_alone_makes_it_not_empty() {
        assert!(Credential::default().is_empty());
        assert!(!Credential::new(b"u", b"").is_empty() && !Credential::new(b"", b"p").is_empty());
        assert!(!Credential::default().with_identity_token(b"t").is_empty());
        assert!(!Credential::default().with_registry_token(b"t").is_empty());
    }

    #[test]
    fn debug_output_is_the_same_for_all() {
        let full = Credential::new(b"s3cret-user", b"s3cret").with_identity_token(b"s3cret");
        assert_eq!(format!("{full:?}"), format!("{:?}", Credential::default()));
    }
}
