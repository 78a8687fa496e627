//! Registry keys: the left-hand side of `auths`, where host names, URLs and patterns meet.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::finding::{Finding, Reason};

/// Names under which clients know Docker Hub.
const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// A key that can name a registry, taken apart.
///
/// Only keys that all three readers take apart alike parse: what Go's `net/url` would silently drop
/// (user-info, query, fragment) or refuse (white space, a port that is no number) is an error here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'k> {
    /// `http` or `https` when the key is written as a URL.
    pub scheme: Option<&'k str>,
    /// The host, a pattern, or a bracketed IPv6 literal; without the port.
    pub host: &'k str,
    /// The port's digits.
    pub port: Option<&'k str>,
    /// The path with its leading slash, or empty.
    pub path: &'k str,
}

impl<'k> Key<'k> {
    /// Takes a key apart; the error says in fixed words what no reader can make sense of.
    pub fn parse(key: &'k str) -> Result<Self, &'static str> {
        if key.is_empty() {
            return Err("the key is empty");
        }
        // One look at every byte: every entry's key comes by here several times.
        let found = key
            .bytes()
            .fold(0, |found, byte| found | CLASSES[usize::from(byte)]);
        if found & BLANK != 0
            || (found & BEYOND_ASCII != 0
                && key.chars().any(|c| c.is_control() || c.is_whitespace()))
        {
            return Err("the key holds white space or a control character");
        }
        let url = (found & COLON != 0)
            .then(|| key.split_once("://"))
            .flatten()
            .filter(|(scheme, _)| !scheme.contains(':'));
        let (scheme, rest) = match url {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest),
            Some(_) => return Err("the key has a scheme other than http or https"),
            None => (None, key),
        };
        if found & AT != 0 {
            return Err(
                "the key holds user-info or a digest; a key names a registry and nothing else",
            );
        }
        if found & LOST_IN_URLS != 0 {
            return Err("the key holds a character that kubelet's URL reader drops or refuses");
        }
        let slash = rest.bytes().position(|byte| byte == b'/');
        let (authority, path) = rest.split_at(slash.unwrap_or(rest.len()));
        let (host, port) = if found & (COLON | BRACKET) == 0 {
            (authority, None)
        } else {
            split_port(authority)?
        };
        if host.is_empty() {
            return Err("the key has no host");
        }
        let literal = host.starts_with('[');
        if literal
            && !host[1..host.len() - 1]
                .bytes()
                .all(|b| b.is_ascii_hexdigit() || b":.".contains(&b))
        {
            return Err("the key's brackets hold no IPv6 address");
        }
        if !literal
            && !host
                .bytes()
                .all(|byte| CLASSES[usize::from(byte)] & IN_HOST != 0)
        {
            return Err("the key's host holds a character that no registry name has");
        }
        Ok(Self {
            scheme,
            host,
            port,
            path,
        })
    }

    /// Whether the host is one of Docker Hub's names.
    pub fn is_hub(&self) -> bool {
        self.port.is_none() && HUB.contains(&self.host)
    }

    /// The path below the host as repositories have it: without API version and slashes at its ends.
    pub fn repository(&self) -> &'k str {
        let path = self.path.trim_matches('/');
        match path {
            "v1" | "v2" => "",
            _ => path
                .strip_prefix("v1/")
                .or_else(|| path.strip_prefix("v2/"))
                .unwrap_or(path),
        }
    }

    /// What the key names once clients' differences in writing it are taken away.
    pub(super) fn registry(&self) -> Registry<'k> {
        let host = if self.is_hub() { HUB[0] } else { self.host };
        (host, self.port, self.repository())
    }

    /// Whether the key is written as its registry's name: no other such key names the same registry.
    pub(super) fn is_plain(&self) -> bool {
        let repository = self.repository();
        let path_is_plain = match self.path.strip_prefix('/') {
            Some(path) => path == repository && !repository.is_empty(),
            None => true,
        };
        self.scheme.is_none() && !self.is_hub() && path_is_plain
    }

    /// Whether a credential under this key covers `registry` (`host[:port][/path]`), by whole path segments.
    pub fn covers(&self, registry: &Key<'_>) -> bool {
        let (host, port, own) = self.registry();
        let (wanted_host, wanted_port, wanted) = registry.registry();
        (host, port) == (wanted_host, wanted_port)
            && (own.is_empty()
                || wanted == own
                || wanted
                    .strip_prefix(own)
                    .is_some_and(|rest| rest.starts_with('/')))
    }

    /// What clients do with this key that its author may not expect.
    pub(super) fn surprises(&self, key: &str, findings: &mut Vec<Finding>) {
        let mut add = |reason, detail: &'static str| {
            findings.push(Finding::new(reason, detail).about_shown(shown(key)));
        };
        let repository = self.repository();
        if !repository.is_empty() {
            if !self.path.ends_with('/') {
                add(
                    Reason::PrefixLeak,
                    "kubelet matches the path as a plain text prefix, so `team` also serves `team-evil`; \
                     use a key for the host, or one registry host per team",
                );
            }
            if self.scheme.is_some() {
                add(
                    Reason::WideningPath,
                    "podman, CRI-O and docker use this entry for every repository of the host, \
                     because the key has a scheme; write it without `https://`",
                );
            } else {
                add(
                    Reason::WideningPath,
                    "docker uses this entry for every repository of the host, because it ignores the path",
                );
            }
        }
        if self.host.contains('*') {
            add(
                Reason::GlobIgnored,
                "only kubelet reads the pattern; podman, CRI-O and docker look for the literal name",
            );
        }
        if self.host.bytes().any(|b| b.is_ascii_uppercase()) {
            add(
                Reason::UppercaseHost,
                "hosts are compared as they are written and images have lower-case hosts; write it in lower case",
            );
        }
        if matches!(
            (self.scheme, self.port),
            (_, Some("443")) | (Some("http"), Some("80"))
        ) {
            add(
                Reason::DefaultPort,
                "images without a port do not match a key with one; write the key without it unless images have it",
            );
        }
        if self.host.starts_with('[') && self.port.is_none() {
            add(
                Reason::Ipv6Literal,
                "kubelet reads the brackets as a character class and never matches",
            );
        }
        let standard_hub =
            self.scheme == Some("https") && self.host == "index.docker.io" && self.path == "/v1/";
        if self.is_hub() && !standard_hub {
            add(
                Reason::HubAlias,
                "not every client looks Docker Hub up under this name; write `https://index.docker.io/v1/`",
            );
        }
    }
}

/// Host, port and repository path.
pub(super) type Registry<'k> = (&'k str, Option<&'k str>, &'k str);

/// The form of a key that may be shown: never user-info, never a credential that was put in the wrong place.
pub fn display(key: &str) -> &str {
    match Key::parse(key) {
        Ok(_) => shown(key),
        Err(_) => UNPRINTABLE,
    }
}

/// [`display`] for a key that parses.
fn shown(key: &str) -> &str {
    const LONGEST: usize = 255;
    if key.len() <= LONGEST && !looks_like_credential(key) {
        key
    } else {
        UNPRINTABLE
    }
}

const UNPRINTABLE: &str = "(unprintable key)";

const BLANK: u8 = 1;
const BEYOND_ASCII: u8 = 1 << 1;
const COLON: u8 = 1 << 2;
const AT: u8 = 1 << 3;
const LOST_IN_URLS: u8 = 1 << 4;
const BRACKET: u8 = 1 << 5;
const IN_HOST: u8 = 1 << 6;

/// What each byte of a key means for taking it apart.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        #[allow(clippy::cast_possible_truncation, reason = "there are 256 bytes")]
        let class = match byte as u8 {
            0..=b' ' | 0x7f => BLANK,
            0x80.. => BEYOND_ASCII,
            b':' => COLON,
            b'@' => AT,
            b'?' | b'#' | b'\\' | b'%' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                LOST_IN_URLS
            }
            b'[' => BRACKET,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'*' => IN_HOST,
            _ => 0,
        };
        classes[byte] = class;
        byte += 1;
    }
    classes
};

/// A base64 pair without a dot or colon passes for a host name, so it is decoded to tell.
fn looks_like_credential(key: &str) -> bool {
    let text = key.trim_end_matches('=');
    !key.contains(['.', ':'])
        && text.len() >= 4
        && STANDARD_NO_PAD
            .decode(text)
            .is_ok_and(|decoded| decoded.contains(&b':'))
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    let (host, port) = if authority.starts_with('[') {
        let end = authority
            .find(']')
            .ok_or("the key's bracket is not closed")?
            + 1;
        let (host, rest) = authority.split_at(end);
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err("the key has text between the bracket and the port"),
        }
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    match port {
        Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
            Err("the key's port is not a number")
        }
        port => Ok((host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_apart_like_urls() {
        let key = Key::parse("https://r.example:5000/v2/team/app/").unwrap();
        assert_eq!(
            (key.scheme, key.host, key.port),
            (Some("https"), "r.example", Some("5000"))
        );
        assert_eq!(key.repository(), "team/app");
        assert_eq!(Key::parse("[::1]:5000").unwrap().port, Some("5000"));
        for bad in [
            "",
            " r",
            "u:p@r.example",
            "r.example?x",
            "ftp://r",
            "r:x",
            "/path",
            "[::1",
            "r\u{0}",
        ] {
            assert!(Key::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_one_spelling_of_a_registry_is_plain() {
        let plain = |key| Key::parse(key).unwrap().is_plain();
        assert!(plain("quay.io") && plain("quay.io:443") && plain("quay.io/team"));
        for other in [
            "https://quay.io",
            "quay.io/",
            "quay.io/team/",
            "quay.io/v2/",
            "quay.io/v1/team",
            "docker.io",
        ] {
            assert!(!plain(other), "{other}");
        }
    }

    #[test]
    fn coverage_is_by_segment_and_knows_the_hub() {
        let covers = |key, wanted| {
            Key::parse(key)
                .unwrap()
                .covers(&Key::parse(wanted).unwrap())
        };
        assert!(covers("quay.io", "quay.io/team"));
        assert!(covers("quay.io/team", "quay.io/team/app"));
        assert!(!covers("quay.io/team", "quay.io/team-evil"));
        assert!(!covers("quay.io/team", "quay.io"));
        assert!(covers("https://index.docker.io/v1/", "docker.io"));
        assert!(!covers("quay.io:443", "quay.io"));
    }

    #[test]
    fn a_credential_in_the_key_is_not_shown() {
        assert_eq!(display("quay.io/team"), "quay.io/team");
        assert_eq!(display("user:hunter2@quay.io"), "(unprintable key)");
        // base64 of "user:hunter2"
        assert_eq!(display("dXNlcjpodW50ZXIy"), "(unprintable key)");
        assert_eq!(display("localhost"), "localhost");
    }
}
