//! URLs of token services and registries, as far as they decide where a credential may go.
//!
//! Origins are compared after they were taken apart, never as text: `https://sso.example.evil.example`,
//! `https://sso.example@evil.example` and `https://sso.example:444` all begin like `https://sso.example`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// Scheme, host and port (RFC 6454). Equal when requests go to the same place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    secure: bool,
    host: String,
    port: u16,
}

/// An absolute http or https URL without user-info and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    origin: Origin,
    /// Path and query, with the leading slash.
    target: String,
}

/// Why a text is no URL that anything may be sent to. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// White space, control characters, backslashes or anything beyond ASCII.
    #[error("it holds a character that URLs do not have")]
    Character,
    /// `#…`
    #[error("it holds a fragment")]
    Fragment,
    /// The host is missing, or has a form that hosts do not have.
    #[error("it has no host that can be used")]
    Host,
    /// More than the origin, where only that is wanted.
    #[error("it holds more than scheme, host and port")]
    NotAnOrigin,
    /// The port is no number from 1 to 65535.
    #[error("its port is no port")]
    Port,
    /// Neither `https://` nor `http://`.
    #[error("it begins with neither https:// nor http://")]
    Scheme,
    /// `user@` or `user:password@`.
    #[error("it holds user-info")]
    UserInfo,
}

impl Url {
    /// Takes a URL apart.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let odd = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'\\' | b'"' | b'<' | b'>');
        if text.bytes().any(odd) {
            return Err(UrlError::Character);
        }
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlError::Scheme),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let origin = Origin::of_authority(secure, authority)?;
        let target = match target {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            target => target.to_owned(),
        };
        Ok(Self { origin, target })
    }

    /// Where requests go.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The URL with these parameters added to its query, percent-encoded.
    #[must_use]
    pub fn with_query(&self, parameters: &[(&str, &str)]) -> Self {
        let mut target = self.target.clone();
        for (name, value) in parameters {
            target.push(if target.contains('?') { '&' } else { '?' });
            push_encoded(&mut target, name);
            target.push('=');
            push_encoded(&mut target, value);
        }
        Self {
            origin: self.origin.clone(),
            target,
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.target)
    }
}

impl Origin {
    /// Reads an origin that stands alone, with or without a slash behind it.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text)?;
        if url.target != "/" {
            return Err(UrlError::NotAnOrigin);
        }
        Ok(url.origin)
    }

    /// The origin of `host[:port]`, over https or not.
    pub fn of_authority(secure: bool, authority: &str) -> Result<Self, UrlError> {
        let colon = match authority.rfind(']') {
            Some(bracket) => authority[bracket..].find(':').map(|at| bracket + at),
            None if authority.starts_with('[') => return Err(UrlError::Host),
            None => authority.find(':'),
        };
        let (host, port) = match colon {
            Some(at) => (&authority[..at], Some(&authority[at + 1..])),
            None => (authority, None),
        };
        let port = match port {
            None => default_port(secure),
            Some(digits) => {
                let number = digits.parse().ok().filter(|port| *port != 0);
                let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
                number.filter(|_| plain).ok_or(UrlError::Port)?
            }
        };
        let host = host.to_ascii_lowercase();
        if !is_host(&host) {
            return Err(UrlError::Host);
        }
        Ok(Self { secure, host, port })
    }

    /// Whether requests are encrypted.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether requests stay on this machine: a loopback address, or `localhost`.
    pub fn is_loopback(&self) -> bool {
        let v6 = self
            .host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        match v6 {
            Some(address) => address.parse::<Ipv6Addr>().is_ok_and(|a| a.is_loopback()),
            None => {
                self.host == "localhost"
                    || self.host.parse::<Ipv4Addr>().is_ok_and(|a| a.is_loopback())
            }
        }
    }

    /// The host, lower case, without port; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also when it is the scheme's own.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host[:port]`, the port only when it is not the scheme's own.
    pub fn authority(&self) -> String {
        if self.port == default_port(self.secure) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

/// Encodes everything but the unreserved characters of RFC 3986, which is right in queries and in forms alike.
pub fn push_encoded(out: &mut String, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

fn is_host(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let address = rest.strip_suffix(']');
        return address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    host.len() <= 253
        && host
            .split('.')
            .all(|label| !label.is_empty() && label.bytes().all(inner))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(text: &str) -> String {
        Url::parse(text).unwrap().origin().to_string()
    }

    #[test]
    fn origins_are_what_requests_go_to() {
        for (text, expected) in [
            ("https://sso.example", "https://sso.example"),
            ("HTTPS://SSO.example:443/auth?x=1", "https://sso.example"),
            ("https://sso.example:8443/", "https://sso.example:8443"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("https://[::1]:5000/token", "https://[::1]:5000"),
            ("https://sso.example?x=@evil", "https://sso.example"),
        ] {
            assert_eq!(origin(text), expected);
        }
        let allowed = Origin::parse("https://sso.example/").unwrap();
        for other in [
            "https://sso.example.evil.example/",
            "https://sso.example:444/",
            "http://sso.example/",
            "https://evil.example/https://sso.example",
            "https://xsso.example/",
        ] {
            assert_ne!(*Url::parse(other).unwrap().origin(), allowed, "{other}");
        }
    }

    #[test]
    fn what_readers_take_apart_differently_is_refused() {
        for (text, error) in [
            ("https://sso.example@evil.example/", UrlError::UserInfo),
            ("https://u:p@sso.example/", UrlError::UserInfo),
            ("https://sso.example\\@evil.example", UrlError::Character),
            ("https://sso.example\n.evil.example", UrlError::Character),
            ("https://sso.exämple/", UrlError::Character),
            ("https://sso.example/#x", UrlError::Fragment),
            ("//sso.example/", UrlError::Scheme),
            ("ftp://sso.example/", UrlError::Scheme),
            ("https:///token", UrlError::Host),
            ("https://sso..example/", UrlError::Host),
            ("https://sso%2eexample/", UrlError::Host),
            ("https://[::1/", UrlError::Host),
            ("https://sso.example:0/", UrlError::Port),
            ("https://sso.example:+443/", UrlError::Port),
            ("https://sso.example:99999/", UrlError::Port),
            ("https://sso.example:/", UrlError::Port),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
        assert_eq!(
            Origin::parse("https://sso.example/auth"),
            Err(UrlError::NotAnOrigin)
        );
    }

    #[test]
    fn loopback_is_a_literal_or_localhost() {
        let is = |text: &str| Origin::parse(text).unwrap().is_loopback();
        assert!(is("http://127.0.0.1:8080") && is("http://127.9.9.9") && is("http://[::1]"));
        assert!(is("http://localhost:5000"));
        assert!(!is("http://10.0.0.1") && !is("http://127.0.0.1.example"));
        assert!(!is("http://localhost.example") && !is("http://[::2]"));
    }

    #[test]
    fn parameters_are_encoded_and_added_to_what_is_there() {
        let url = Url::parse("https://sso.example/auth").unwrap();
        let full = url.with_query(&[("service", "a b&c"), ("scope", "repository:t/a:pull")]);
        assert_eq!(
            full.to_string(),
            "https://sso.example/auth?service=a%20b%26c&scope=repository%3At%2Fa%3Apull"
        );
        let more = Url::parse("https://sso.example/?x=1").unwrap();
        assert_eq!(more.with_query(&[("y", "é")]).target(), "/?x=1&y=%C3%A9");
    }

    proptest! {
        #[test]
        fn any_text_is_a_url_or_refused_and_shows_as_itself(text in "(https?://)?[ -~]{0,24}") {
            if let Ok(url) = Url::parse(&text) {
                prop_assert_eq!(Url::parse(&url.to_string()), Ok(url));
            }
        }
    }
}
