//! URLs as Go's net/url parses them (url.go of Go 1.26), as far as readers look at them.
//!
//! Go has become stricter: since 1.25.8 and 1.26.1 brackets are taken only around an IPv6 address
//! that begins the host, and since 1.26 the host of an http or https URL has one colon only. A
//! client built with an older Go takes `app[12].r.example` for a pattern; here the key cannot be
//! parsed.
//!
//! Texts are bytes because the escapes of a path may stand for bytes that are not UTF-8.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// The parts of a URL that readers use, unescaped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url<'r> {
    /// `host[:port]` as in Go's `URL.Host`; without user information.
    pub(super) host: Cow<'r, [u8]>,
    /// The path, with its leading slash.
    pub(super) path: Cow<'r, [u8]>,
}

/// Parses `raw` as Go's `url.Parse`; `None` for what that refuses.
pub(super) fn parse(raw: &[u8]) -> Option<Url<'_>> {
    let rest = split_fragment_and_query(raw)?;
    let (scheme, rest) = split_scheme(rest)?;
    if !rest.starts_with(b"/") {
        if !scheme.is_empty() {
            // `scheme:opaque`
            return Some(Url {
                host: Cow::Borrowed(b""),
                path: Cow::Borrowed(b""),
            });
        }
        if cut(rest, b'/').0.contains(&b':') {
            return None;
        }
    }
    match rest.strip_prefix(b"//") {
        Some(rest) if !scheme.is_empty() || !rest.starts_with(b"/") => {
            let http = [&b"http"[..], b"https"]
                .iter()
                .any(|http| scheme.eq_ignore_ascii_case(http));
            parse_hierarchy(rest, http)
        }
        _ => Some(Url {
            host: Cow::Borrowed(b""),
            path: unescape(rest, Part::Other)?,
        }),
    }
}

/// Parses what follows `https://` or `http://` as Go's `url.Parse` parses the whole.
pub(super) fn parse_http(rest: &[u8]) -> Option<Url<'_>> {
    parse_hierarchy(split_fragment_and_query(rest)?, true)
}

/// Splits as Go's `net.SplitHostPort`, which kubelet uses; a host that cannot be split has no port.
pub(super) fn split_host_port(host: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = host.iter().rposition(|byte| *byte == b':') else {
        return (host, b"");
    };
    let (name, port) = (&host[..colon], &host[colon + 1..]);
    let (inside, outside) = match name {
        [b'[', inside @ .., b']'] if !inside.contains(&b']') => (inside, &[][..]),
        _ => (name, name),
    };
    let misplaced = |byte: &u8| matches!(byte, b'[' | b']');
    if outside.contains(&b':') || outside.iter().any(misplaced) || inside.contains(&b'[') {
        return (host, b"");
    }
    if port.iter().any(misplaced) {
        return (host, b"");
    }
    (inside, port)
}

/// Splits as Go's `URL.Hostname` and `URL.Port`, which docker/cli uses.
pub(super) fn hostname_and_port(host: &[u8]) -> (&[u8], &[u8]) {
    let (name, port) = match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if is_optional_port(&host[colon..]) => (&host[..colon], &host[colon + 1..]),
        _ => (host, &b""[..]),
    };
    match name {
        [b'[', inside @ .., b']'] => (inside, port),
        _ => (name, port),
    }
}

/// What is left without `?query#fragment`. Escapes in the fragment and control characters before it are
/// checked all the same.
fn split_fragment_and_query(raw: &[u8]) -> Option<&[u8]> {
    let (url, fragment) = cut(raw, b'#');
    if url.iter().any(u8::is_ascii_control) {
        return None;
    }
    unescape(fragment, Part::Other)?;
    Some(cut(url, b'?').0)
}

/// Parses `authority/path`.
fn parse_hierarchy(rest: &[u8], http: bool) -> Option<Url<'_>> {
    let slash = rest
        .iter()
        .position(|byte| *byte == b'/')
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    Some(Url {
        host: parse_authority(authority, http)?,
        path: unescape(path, Part::Other)?,
    })
}

/// `[a-zA-Z][a-zA-Z0-9+.-]*:` or nothing; `None` when there is a colon and nothing before it.
fn split_scheme(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = raw
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'-' | b'.'));
    match end {
        Some(0) if raw[0] == b':' => None,
        Some(end) if raw[end] == b':' && raw[0].is_ascii_alphabetic() => {
            Some((&raw[..end], &raw[end + 1..]))
        }
        _ => Some((b"", raw)),
    }
}

fn parse_authority(authority: &[u8], http: bool) -> Option<Cow<'_, [u8]>> {
    let Some(at) = authority.iter().rposition(|byte| *byte == b'@') else {
        return parse_host(authority, http);
    };
    let host = parse_host(&authority[at + 1..], http)?;
    let user_information = &authority[..at];
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte);
    if !user_information.iter().all(allowed) {
        return None;
    }
    unescape(user_information, Part::Other)?;
    Some(host)
}

fn parse_host(host: &[u8], http: bool) -> Option<Cow<'_, [u8]>> {
    match host.iter().rposition(|byte| *byte == b'[') {
        Some(0) => return parse_ip_literal(host).map(Cow::Owned),
        Some(_) => return None,
        None => {}
    }
    let is_colon = |byte: &u8| *byte == b':';
    let port = match http {
        true => host.iter().position(is_colon),
        false => host.iter().rposition(is_colon),
    };
    if let Some(port) = port
        && !is_optional_port(&host[port..])
    {
        return None;
    }
    unescape(host, Part::Host)
}

/// `[address]` or `[address%25zone]`, with an optional port behind it.
fn parse_ip_literal(host: &[u8]) -> Option<Vec<u8>> {
    let close = host.iter().rposition(|byte| *byte == b']')?;
    let (inside, port) = (&host[1..close], &host[close + 1..]);
    if !is_optional_port(port) {
        return None;
    }
    let zone = inside
        .windows(3)
        .position(|window| window == b"%25")
        .unwrap_or(inside.len());
    let mut address = unescape(&inside[..zone], Part::Host)?.into_owned();
    address.extend_from_slice(&unescape(&inside[zone..], Part::Zone)?);
    let (number, zone) = match address.iter().position(|byte| *byte == b'%') {
        Some(percent) => (&address[..percent], Some(&address[percent + 1..])),
        None => (&address[..], None),
    };
    let is_ipv6 = str::from_utf8(number).is_ok_and(|number| number.parse::<Ipv6Addr>().is_ok());
    if !is_ipv6 || zone.is_some_and(<[u8]>::is_empty) {
        return None;
    }
    Some([b"[", &address[..], b"]", port].concat())
}

/// Empty, or a colon with any number of digits.
fn is_optional_port(text: &[u8]) -> bool {
    text.split_first()
        .is_none_or(|(first, digits)| *first == b':' && digits.iter().all(u8::is_ascii_digit))
}

/// What a text is a part of, which decides about escapes in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Host,
    Zone,
    Other,
}

fn unescape(text: &[u8], part: Part) -> Option<Cow<'_, [u8]>> {
    if part != Part::Other && text.iter().any(|byte| !is_in_host(*byte)) {
        return None;
    }
    if !text.contains(&b'%') {
        return Some(Cow::Borrowed(text));
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        rest = after;
        let escaped = hex(digits[0])? << 4 | hex(digits[1])?;
        let allowed = match part {
            // Escapes are for bytes that are not ASCII; `%25` introduces a zone.
            Part::Host => !escaped.is_ascii() || escaped == b'%',
            Part::Zone => matches!(escaped, b'%' | b' ') || is_host_byte(escaped),
            Part::Other => true,
        };
        if !allowed {
            return None;
        }
        plain.push(escaped);
    }
    Some(Cow::Owned(plain))
}

/// What can stand in a host before escapes are resolved.
fn is_in_host(byte: u8) -> bool {
    is_host_byte(byte) || byte == b'%' || !byte.is_ascii()
}

/// What Go leaves unescaped in a host (`shouldEscape`).
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!\"$&'()*+,-.:;<=>[]_~".contains(&byte)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The text before and after the first `separator`.
fn cut(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == separator) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

#[cfg(test)]
mod tests;
