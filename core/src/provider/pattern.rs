//! The patterns of `matchImages`: which images they match, and which of them hardly match what was meant.

use std::fmt;
use std::path::PathBuf;

use crate::image::ImageRef;
use crate::reader::kubelet::Location;

/// Whether kubelet can read `pattern`: with `https://` in front it must be a URL (`ParseSchemelessURL`).
pub fn is_readable(pattern: &str) -> bool {
    Location::parse(pattern.as_bytes()).is_some()
}

/// Whether `pattern` matches `image`, as kubelet decides it (`URLsMatchStr` in keyring.go).
///
/// The host is compared label by label, and `*` stands for any text within one label. The port is compared as text,
/// none with none. The path of the pattern must begin the repository. An unreadable pattern matches nothing.
pub fn matches(pattern: &str, image: &ImageRef) -> bool {
    let target = Location::parse(image.name().as_bytes());
    match (Location::parse(pattern.as_bytes()), target) {
        (Some(pattern), Some(target)) => pattern.matches(&target).is_some(),
        _ => false,
    }
}

/// A pattern that kubelet accepts, and that probably matches less than was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The file.
    pub file: PathBuf,
    /// The field, such as `providers[1].matchImages[0]`.
    pub field: String,
    /// The provider's name.
    pub provider: String,
    /// The pattern.
    pub pattern: String,
    /// What is doubtful about it.
    pub reason: Reason,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            provider,
            pattern,
            reason,
            ..
        } = self;
        let file = self.file.display();
        write!(
            f,
            "{file}, {field}, provider {provider:?}: {pattern:?} {reason}"
        )
    }
}

/// What is doubtful about a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Matches nothing: no registry has such a name.
    Host,
    /// Matches nothing: kubelet calls Docker Hub `docker.io`.
    HubAlias,
    /// Matches nothing: it has no registry.
    NoHost,
    /// Matches `localhost` at most: a registry without a port has a dot in its name.
    OneLabel,
    /// Matches nothing: no repository begins like this.
    Path,
    /// Matches nothing: `*` has its meaning in the host only.
    PathWildcard,
    /// Matches only images that are written with this port, which is the default one.
    Port,
    /// Matches nothing: a scheme is no part of an image.
    Scheme,
    /// Matches only images that are written with these upper-case letters.
    UpperCase,
}

impl Reason {
    /// Whether no image at all is matched.
    pub fn is_certain(self) -> bool {
        !matches!(self, Self::OneLabel | Self::Port | Self::UpperCase)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "matches nothing, no registry has such a name; correct the host",
            Self::HubAlias => "matches nothing, kubelet calls Docker Hub `docker.io`; write that",
            Self::NoHost => "matches nothing; put the registry first",
            Self::OneLabel => {
                "matches `localhost` at most; write the whole name of the registry, one `*` for each label"
            }
            Self::Path => "matches nothing, no repository begins like this; correct the path",
            Self::PathWildcard => {
                "matches nothing, `*` has its meaning in the host only; remove it, a path is a prefix"
            }
            Self::Port => {
                "matches only images that are written with this port; add the registry without it"
            }
            Self::Scheme => "matches nothing, an image has no scheme; remove it",
            Self::UpperCase => {
                "matches only images that are written with these letters; write them small"
            }
        })
    }
}

/// What is doubtful about `pattern`; `None` also for one that cannot be read.
pub fn doubt(pattern: &str) -> Option<Reason> {
    let location = Location::parse(pattern.as_bytes())?;
    if pattern.contains("://") {
        return Some(Reason::Scheme);
    }
    if location.host.is_empty() {
        return Some(Reason::NoHost);
    }
    if location.path.contains(&b'*') {
        return Some(Reason::PathWildcard);
    }
    if !begins_repository(&location.path) {
        return Some(Reason::Path);
    }
    if location.host == b"index.docker.io" && location.port.is_empty() {
        return Some(Reason::HubAlias);
    }
    // An address in brackets, or one out of them.
    let is_address = location.host.iter().any(|byte| matches!(byte, b'[' | b':'));
    if is_address {
        return None;
    }
    let label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*');
    if !location
        .host
        .split(|byte| *byte == b'.')
        .all(|text| !text.is_empty() && text.iter().all(|byte| label(*byte)))
    {
        return Some(Reason::Host);
    }
    if location.host.iter().any(u8::is_ascii_uppercase) {
        return Some(Reason::UpperCase);
    }
    if location.port.is_empty() && !location.host.contains(&b'.') && location.host != b"localhost" {
        return Some(Reason::OneLabel);
    }
    matches!(location.port.as_slice(), b"443" | b"80").then_some(Reason::Port)
}

/// Whether a repository, which has small letters, digits and separators, can begin with `path`.
fn begins_repository(path: &[u8]) -> bool {
    let allowed =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(byte);
    let misplaced = path
        .windows(2)
        .any(|pair| pair[0] == b'/' && b"/._-".contains(&pair[1]));
    path.iter().all(allowed) && !misplaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_like_urls_of_kubelet() {
        let matching = [
            ("registry.example.com", "registry.example.com/team/app:1"),
            ("*.example.com", "registry.example.com/app"),
            ("*.*.example.com", "a.b.example.com/app"),
            (
                "reg*.example.com/team",
                "registry.example.com/team-evil/app",
            ),
            ("registry.example.com:5000/t", "registry.example.com:5000/t"),
            ("docker.io", "ubuntu"),
            ("docker.io/library", "index.docker.io/ubuntu"),
            ("localhost:5000", "localhost:5000/app"),
            ("*", "localhost/app"),
        ];
        for (pattern, image) in matching {
            assert!(
                matches(pattern, &image.parse().unwrap()),
                "{pattern} {image}"
            );
        }
        let others = [
            ("*.example.com", "example.com/app"),
            ("*.example.com", "a.b.example.com/app"),
            ("registry.example.com", "registry.example.com:5000/app"),
            ("registry.example.com:443", "registry.example.com/app"),
            ("registry.example.com/*", "registry.example.com/app"),
            ("https://registry.example.com", "registry.example.com/app"),
            ("Registry.example.com", "registry.example.com/app"),
            ("", "registry.example.com/app"),
            ("*", "registry.example.com/app"),
            ("host:*", "registry.example.com/app"),
        ];
        for (pattern, image) in others {
            assert!(
                !matches(pattern, &image.parse().unwrap()),
                "{pattern} {image}"
            );
        }
    }

    #[test]
    fn patterns_that_never_match_are_doubted() {
        for (pattern, reason) in [
            ("registry.example.com/*", Reason::PathWildcard),
            ("https://registry.example.com", Reason::Scheme),
            ("", Reason::NoHost),
            ("/team", Reason::NoHost),
            ("*", Reason::OneLabel),
            ("registry", Reason::OneLabel),
            ("Registry.example.com", Reason::UpperCase),
            ("registry.example.com:443", Reason::Port),
            ("registry.example.com/Team", Reason::Path),
            ("registry.example.com/app:1", Reason::Path),
            ("registry.example.com//app", Reason::Path),
            ("index.docker.io", Reason::HubAlias),
            ("registry_x.example.com", Reason::Host),
            ("registry..example.com", Reason::Host),
        ] {
            assert_eq!(doubt(pattern), Some(reason), "{pattern}");
        }
        for pattern in [
            "registry.example.com",
            "*.example.com/team/",
            "localhost",
            "registry:5000",
            "[::1]:5000/app",
            "123456789012.dkr.ecr.*.amazonaws.com",
            "docker.io/library",
        ] {
            assert_eq!(doubt(pattern), None, "{pattern}");
        }
        assert_eq!(doubt("host:*"), None);
        assert!(!is_readable("host:*") && !is_readable("a b") && !is_readable("%zz"));
    }
}
