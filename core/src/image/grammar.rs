//! The tokens of an image reference (github.com/distribution/reference, regexp.go).

/// 64 lower-case hexadecimal digits: an image ID.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_lower_hex)
}

/// `host[:port]`, where the host is a DNS-like name or an IPv6 literal in brackets.
pub(super) fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    port.is_none_or(is_port) && (is_ipv6_literal(host) || host.split('.').all(is_domain_component))
}

/// Lower-case letters and digits in groups, with one of `.`, `_`, `__` or any number of `-`
/// between.
pub(super) fn is_path_component(text: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_well = |byte: Option<&u8>| byte.is_some_and(|byte| is_alphanumeric(*byte));
    ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes
            .split(|byte| is_alphanumeric(*byte))
            .all(|between| matches!(between, b"" | b"." | b"_" | b"__") || is_dashes(between))
}

/// A word character and up to 127 word characters, dots and dashes.
pub(super) fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    bytes.len() <= 128
        && bytes.first().is_some_and(|byte| is_word(*byte))
        && bytes
            .iter()
            .all(|byte| is_word(*byte) || matches!(byte, b'.' | b'-'))
}

/// `algorithm:digits` for the algorithms of github.com/opencontainers/go-digest.
pub(super) fn is_digest(text: &str) -> bool {
    let digits =
        |length| move |digits: &str| digits.len() == length && digits.bytes().all(is_lower_hex);
    match text.split_once(':') {
        Some(("sha256", encoded)) => digits(64)(encoded),
        Some(("sha384", encoded)) => digits(96)(encoded),
        Some(("sha512", encoded)) => digits(128)(encoded),
        _ => false,
    }
}

fn is_ipv6_literal(host: &str) -> bool {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|address| {
            !address.is_empty()
                && address
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b':')
        })
}

fn is_domain_component(component: &str) -> bool {
    !component.is_empty()
        && !component.starts_with('-')
        && !component.ends_with('-')
        && component
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_dashes(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte == b'-')
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')
}
