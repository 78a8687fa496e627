//! The forms of single values. Errors say what to write instead and never repeat the value.

use std::{
    net::SocketAddr,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use hyper::Uri;
use k8s_openapi::jiff::fmt::friendly::{SpanParser, SpanPrinter};
use pullkeeper_core::authfile::Key;
use pullkeeper_core::origin::{self, Url};
use pullkeeper_core::provider::pattern;
use pullkeeper_core::query::Query;
use tracing_subscriber::filter::Targets;

use super::{
    file::nearest,
    settings::{Listen, Owner},
};

mod labels;

pub(crate) use labels::selector;

/// An absolute path without `..`, with doubled slashes and `.` removed.
pub(crate) fn absolute_path(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err("must be an absolute path, beginning with '/'".to_owned());
    }
    if path
        .components()
        .any(|component| component == Component::ParentDir)
    {
        return Err("must not contain '..'".to_owned());
    }
    if text.contains(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(path.components().collect())
}

/// An absolute path that names a file by its form.
pub(crate) fn file_path(text: &str) -> Result<PathBuf, String> {
    let path = absolute_path(text)?;
    if text.ends_with('/') || text.ends_with("/.") || path.file_name().is_none() {
        return Err("must name a file, not a directory".to_owned());
    }
    Ok(path)
}

/// An absolute path that stands for itself in a shell, in a unit of systemd and on a command line.
pub(crate) fn plain_path(text: &str) -> Result<PathBuf, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if let Some(odd) = text.chars().find(|c| !plain(*c)) {
        return Err(format!(
            "must consist of letters, digits and '/._-', and has {odd:?}"
        ));
    }
    file_path(text)
}

/// A pattern of kubelet's `matchImages` that kubelet can read and that may match something.
pub(crate) fn image_pattern(text: &str) -> Result<String, String> {
    if !pattern::is_readable(text) {
        return Err("is no pattern that kubelet can read".to_owned());
    }
    match pattern::doubt(text) {
        Some(reason) if reason.is_certain() => Err(reason.to_string()),
        _ => Ok(text.to_owned()),
    }
}

/// What a token is for: one word.
pub(crate) fn audience(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("must be one word".to_owned());
    }
    Ok(text.to_owned())
}

/// A number with a unit: `60s`, `5m`, `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    SpanParser::new()
        .parse_unsigned_duration(text)
        .map_err(|_| "must be a number with a unit, such as 60s, 5m or 1h30m".to_owned())
}

/// The form that [`duration`] reads.
pub(crate) fn friendly(duration: Duration) -> String {
    SpanPrinter::new().unsigned_duration_to_string(&duration)
}

/// One of the words of an enum.
pub(crate) fn word<T: ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text, false).map_err(|_| {
        let values = T::value_variants()
            .iter()
            .filter_map(ValueEnum::to_possible_value);
        let words: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
        let meant = nearest(text, words.iter().map(String::as_str));
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
        format!("must be one of {}{meant}", words.join(", "))
    })
}

/// A DNS label as of RFC 1123, the form of a namespace's name.
pub(crate) fn dns_label(text: &str) -> Result<String, String> {
    let good = is_dns_label(text);
    let why = "must be a DNS label: at most 63 lower-case letters, digits and '-', with a letter or digit at both ends";
    if good {
        Ok(text.to_owned())
    } else {
        Err(why.to_owned())
    }
}

/// A DNS subdomain as of RFC 1123, the form of most Kubernetes names.
pub(crate) fn dns_subdomain(text: &str) -> Result<String, String> {
    let good = text.len() <= 253 && text.split('.').all(is_dns_part);
    let why = "must be a DNS name: at most 253 lower-case letters, digits, '-' and '.', with a letter or digit at both ends of each part";
    if good {
        Ok(text.to_owned())
    } else {
        Err(why.to_owned())
    }
}

/// `NAMESPACE/NAME` of a Secret.
pub(crate) fn secret_reference(text: &str) -> Result<(String, String), String> {
    let (namespace, name) = text
        .split_once('/')
        .ok_or("must be NAMESPACE/NAME, such as openshift-config/pull-secret")?;
    let namespace = dns_label(namespace).map_err(|why| format!("before the '/' {why}"))?;
    let name = dns_subdomain(name).map_err(|why| format!("after the '/' {why}"))?;
    Ok((namespace, name))
}

/// A data key of a Secret, by the API server's rule (`IsConfigMapKey` of apimachinery).
pub(crate) fn secret_key(text: &str) -> Result<String, String> {
    let characters = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let good = (1..=253).contains(&text.len())
        && text.bytes().all(characters)
        && text != "."
        && !text.starts_with("..");
    let why = "must be a data key: at most 253 letters, digits, '-', '_' and '.', not beginning with '..'";
    if good {
        Ok(text.to_owned())
    } else {
        Err(why.to_owned())
    }
}

/// `IP:PORT`, `unix:/PATH` or `off`.
pub(crate) fn listen(text: &str) -> Result<Listen, String> {
    if text == "off" {
        return Ok(Listen::Off);
    }
    if let Some(path) = text.strip_prefix("unix:") {
        let path = file_path(path).map_err(|why| format!("after 'unix:' {why}"))?;
        // sun_path of unix(7) has 108 bytes with the terminating zero.
        if path.as_os_str().len() > 107 {
            return Err("must have at most 107 bytes after 'unix:'".to_owned());
        }
        return Ok(Listen::Unix(path));
    }
    text.parse::<SocketAddr>().map(Listen::Tcp).map_err(|_| {
        "must be IP:PORT, such as 127.0.0.1:9409 or [::]:9409, or unix:/PATH, or off".to_owned()
    })
}

/// A Unix socket or nothing: `unix:/PATH`, `systemd` or `off`.
pub(crate) fn socket_listen(text: &str) -> Result<Listen, String> {
    if text == "systemd" {
        return Ok(Listen::Systemd);
    }
    let why = "must be unix:/PATH, systemd or off: who asks is known on Unix sockets only";
    match listen(text) {
        Ok(Listen::Tcp(_)) => Err(why.to_owned()),
        Err(_) if !text.starts_with("unix:") => Err(why.to_owned()),
        other => other,
    }
}

/// The number of a user or group.
pub(crate) fn id(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // chown(2) takes the largest number as "leave it", and no process has it.
    text.parse::<u32>()
        .ok()
        .filter(|number| digits && *number != u32::MAX)
        .ok_or_else(|| {
            "must be the number of a user or group, such as \"0\": names differ between host and container"
                .to_owned()
        })
}

/// The name of a unit that can be restarted, by systemd's rule for names (`systemd.unit(5)`).
pub(crate) fn unit(text: &str) -> Result<String, String> {
    let characters = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let kinds = [".service", ".socket", ".target"];
    let named = kinds
        .iter()
        .any(|kind| text.strip_suffix(kind).is_some_and(|name| !name.is_empty()));
    if named && text.len() <= 255 && text.bytes().all(characters) {
        return Ok(text.to_owned());
    }
    Err("must be the name of a unit with its kind, such as \"kubelet.service\"".to_owned())
}

/// An address on this host that is asked without TLS.
pub(crate) fn local_url(text: &str) -> Result<Uri, String> {
    let why =
        "must be an http address on this host, by number, such as http://127.0.0.1:10248/healthz";
    let url: Uri = text.parse().map_err(|_| why.to_owned())?;
    let host = url.host().unwrap_or_default();
    let address = host
        .trim_matches(['[', ']'])
        .parse::<std::net::IpAddr>()
        .ok();
    let plain = url
        .authority()
        .is_some_and(|all| !all.as_str().contains('@'));
    if url.scheme_str() == Some("http") && plain && address.is_some_and(|one| one.is_loopback()) {
        return Ok(url);
    }
    Err(why.to_owned())
}

/// Permission bits of a file with credentials.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let octal =
        (3..=5).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| octal);
    let mode = mode.ok_or("must be octal digits, such as \"0600\"")?;
    if mode & 0o007 != 0 {
        return Err("must not give access to others; for more readers use \"0640\" and give the file to their group with `owner`".to_owned());
    }
    if mode & 0o030 != 0 {
        return Err(
            "must not let a group write: it could plant credentials; use \"0640\" or \"0600\""
                .to_owned(),
        );
    }
    if mode & !0o640 != 0 || mode & 0o400 == 0 {
        return Err("must be 0400, 0440, 0600 or 0640".to_owned());
    }
    Ok(mode)
}

/// `UID:GID`.
pub(crate) fn owner(text: &str) -> Result<Owner, String> {
    text.split_once(':')
        .and_then(|(uid, gid)| {
            Some(Owner {
                uid: id(uid).ok()?,
                gid: id(gid).ok()?,
            })
        })
        .ok_or_else(|| "must be UID:GID in numbers, such as 0:0".to_owned())
}

/// A registry, optionally with a port and the beginning of a repository's path.
pub(crate) fn registry(text: &str) -> Result<String, String> {
    let (host, path) = match text.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (text, None),
    };
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.len() <= 253 && name.split('.').all(is_dns_part),
    };
    let port = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    let path = path.is_none_or(|path| path.split('/').all(is_path_component));
    let why = "must be HOST[:PORT][/PATH] in lower case, without 'https://', such as quay.io or registry.example:5000/team";
    if host && port && path {
        Ok(text.to_owned())
    } else {
        Err(why.to_owned())
    }
}

/// A registry as [`registry`] has it, whose host may hold `*`.
pub(crate) fn registry_pattern(text: &str) -> Result<Query, String> {
    // A star stands where a letter may.
    registry(&text.replace('*', "x"))?;
    let key = Key::parse(text).map_err(str::to_owned)?;
    if key.path.contains('*') {
        return Err("must have stars in the host alone".to_owned());
    }
    Ok(Query::of_key(&key))
}

/// A URL that credentials may be sent to: https, or http on a loopback address.
pub(crate) fn safe_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("must be a URL, and {error}"))?;
    safe(url.origin()).map(|()| url)
}

/// The origin of such a URL.
pub(crate) fn safe_origin(text: &str) -> Result<origin::Origin, String> {
    let origin = origin::Origin::parse(text).map_err(|error| {
        format!("must be an origin such as https://sso.example.com, and {error}")
    })?;
    safe(&origin).map(|()| origin)
}

fn safe(origin: &origin::Origin) -> Result<(), String> {
    if origin.is_secure() || origin.is_loopback() {
        return Ok(());
    }
    Err("must be https: what is sent there could be read on the way".to_owned())
}

/// The user name beside a token.
pub(crate) fn token_user(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && !text.contains(|c: char| c.is_control() || c == ':');
    // Clients take this name for an identity token, which they would send by POST.
    if plain && text != "<token>" {
        Ok(text.to_owned())
    } else {
        Err("must be a user name without ':', and not <token>".to_owned())
    }
}

/// The name of a source.
pub(crate) fn source_name(text: &str) -> Result<String, String> {
    let good = text.len() <= 63 && text.split('.').all(is_dns_part);
    let why = "must be at most 63 lower-case letters, digits, '-' and '.', with a letter or digit at both ends";
    if good {
        Ok(text.to_owned())
    } else {
        Err(why.to_owned())
    }
}

/// Directives of [`Targets`].
///
/// A word that is no level would be taken as the name of a target, and silence everything else: it is refused.
pub(crate) fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let why = "must be a level (error, warn, info, debug, trace, off) or directives such as info,kube=debug";
    for directive in text.split(',') {
        let is_level = |level: &&str| level.eq_ignore_ascii_case(directive);
        match directive.split_once('=') {
            None if LEVELS.iter().any(is_level) => {}
            None => {
                let meant = nearest(directive, LEVELS.into_iter());
                let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
                return Err(format!("{why}{meant}"));
            }
            // It would be the target of nothing, or of everything.
            Some((target, _)) if !is_path(target) => return Err(why.to_owned()),
            Some(_) => {}
        }
    }
    match text.parse::<Targets>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(why.to_owned()),
    }
}

/// Whether it looks like the path of a module.
fn is_path(text: &str) -> bool {
    let of_path = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte);
    !text.is_empty() && text.bytes().all(of_path)
}

fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_dns_part(text)
}

fn is_dns_part(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// A path component of a repository, `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` in the OCI distribution spec;
/// that separators are not mixed is left to the registry.
fn is_path_component(text: &str) -> bool {
    let end = |byte: Option<u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    text.bytes().all(inner) && end(text.bytes().next()) && end(text.bytes().last())
}

#[cfg(test)]
mod tests;
