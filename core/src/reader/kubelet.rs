//! kubelet's keyring (Kubernetes 1.36, pkg/credentialprovider/{config,keyring}.go).

use std::borrow::Cow;
use std::sync::OnceLock;

use zeroize::Zeroizing;

use super::decode::{self, Field, Map, Slot};
use super::fault::{DocumentError, Fault};
use super::{Candidate, Entry, Lookup, MatchRule, Outcome, Step, glob, url};
use crate::authfile::Shape;
use crate::authfile::base64::{self, Padding};
use crate::authfile::credential::Credential;
use crate::image::ImageRef;
use crate::json::{Node, Text, folds_to};

/// The normalised key that serves images of Docker Hub when nothing else matches.
const HUB: &[u8] = b"index.docker.io";

/// The entries, and the order in which lookups try them.
#[derive(Default)]
pub(super) struct Keyring<'t> {
    entries: Vec<Keyed<'t>>,
    /// Made by the first lookup.
    index: OnceLock<Vec<Indexed>>,
}

struct Keyed<'t> {
    key: Cow<'t, str>,
    offset: usize,
    /// Known to be good.
    raw: Raw<'t>,
    /// `None` when the key cannot be parsed as a URL, which skips it.
    normalized: Option<Vec<u8>>,
}

struct Indexed {
    entry: usize,
    /// The normalised key parsed once more, as each lookup does; `None` when that fails.
    pattern: Option<Location>,
}

impl<'t> Keyring<'t> {
    /// One bad entry is an error for the whole document, also when a later one has the same key.
    pub(super) fn load(text: &'t Text, shape: Shape) -> Result<Self, DocumentError> {
        let members = decode::root_members(text.parse()?)?;
        let mut auths = Map::new();
        match shape {
            Shape::DockerCfg => decode::insert_members(&mut auths, members, Raw::read)?,
            Shape::ConfigJson => {
                for member in members {
                    if folds_to(&member.name, "auths") {
                        decode::map_into(&mut auths, member.value, Raw::read)?;
                    } else if folds_to(&member.name, "HttpHeaders") {
                        decode::check_string_map(member.value)?;
                    }
                }
            }
        }
        let entries = auths.into_iter().map(Keyed::new).collect();
        Ok(Self {
            entries,
            index: OnceLock::new(),
        })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().map(|entry| Entry {
            key: &entry.key,
            offset: entry.offset,
            reads_as: entry.normalized.as_deref().map(String::from_utf8_lossy),
            credential: entry.raw.decode().map_err(|error| error.fault),
        })
    }

    /// All matches are tried in turn until one pull succeeds. Keys that are normalised to the same one
    /// are tried in map order.
    pub(super) fn lookup(&self, image: &ImageRef) -> Lookup<'_> {
        let name = image.name();
        let target = Location::parse(name.as_bytes());
        let matching = self.index().iter().filter_map(|indexed| {
            let rule = indexed.pattern.as_ref()?.matches(target.as_ref()?)?;
            Some((&self.entries[indexed.entry], rule))
        });
        let mut candidates = rank(matching);
        let compared = Step::Compared {
            with: name.clone(),
            matched: candidates.len(),
        };
        let mut steps = vec![compared];
        if candidates.is_empty() && falls_back_to_hub(&name) {
            let hub = self
                .entries
                .iter()
                .filter(|entry| entry.normalized.as_deref() == Some(HUB));
            candidates = rank(hub.map(|entry| (entry, MatchRule::HubFallback)));
            let key = String::from_utf8_lossy(HUB).into_owned();
            steps.push(Step::Tried {
                key,
                found: !candidates.is_empty(),
            });
        }
        let first_rank = candidates
            .iter()
            .take_while(|candidate| candidate.rank == 0)
            .count();
        Lookup {
            outcome: Outcome::of_any(&candidates[..first_rank]),
            candidates,
            steps,
        }
    }

    /// Descending by normalised key, without skipped keys.
    fn index(&self) -> &[Indexed] {
        self.index.get_or_init(|| {
            let keyed = self.entries.iter().enumerate();
            let mut sorted: Vec<_> = keyed
                .filter_map(|(at, entry)| Some((at, entry.normalized.as_deref()?, entry.offset)))
                .collect();
            sorted.sort_by(|(_, a, first), (_, b, second)| b.cmp(a).then(first.cmp(second)));
            sorted
                .into_iter()
                .map(|(entry, key, _)| Indexed {
                    entry,
                    pattern: Location::parse(key),
                })
                .collect()
        })
    }
}

impl<'t> Keyed<'t> {
    fn new((key, Slot { offset, value: raw }): (Cow<'t, str>, Slot<Raw<'t>>)) -> Self {
        let normalized = normalize(&key);
        Self {
            key,
            offset,
            raw,
            normalized,
        }
    }
}

/// The fields of an entry that say something to kubelet.
#[derive(Clone, Copy)]
struct Raw<'t> {
    username: Field<'t>,
    password: Field<'t>,
    auth: Field<'t>,
}

impl<'t> Raw<'t> {
    fn read(value: Node<'t>) -> Result<Self, DocumentError> {
        let [username, password, _email, auth] =
            decode::fields(value, ["username", "password", "email", "auth"])?;
        let raw = Self {
            username,
            password,
            auth,
        };
        raw.pair()?;
        Ok(raw)
    }

    /// The decoded `auth`, which has a colon in it; `None` when it is empty.
    fn pair(&self) -> Result<Option<Zeroizing<Vec<u8>>>, DocumentError> {
        let decoded = self.auth.lend(|auth| {
            if auth.is_empty() {
                return Ok(None);
            }
            let pair = base64::decode(auth, Padding::Optional).map_err(|_| Fault::Base64)?;
            if pair.contains(&b':') {
                Ok(Some(pair))
            } else {
                Err(Fault::NoColon)
            }
        });
        decoded.map_err(|fault| DocumentError::new(self.auth.offset(), fault))
    }

    /// `auth` wins over plain fields unless it is empty.
    fn decode(&self) -> Result<Credential, DocumentError> {
        if let Some(pair) = self.pair()? {
            return Ok(Credential::from_pair(&pair).unwrap_or_default());
        }
        Ok(self.username.lend(|username| {
            self.password
                .lend(|password| Credential::new(username.as_bytes(), password.as_bytes()))
        }))
    }
}

pub(super) fn read_entry(value: Node<'_>) -> Result<Credential, DocumentError> {
    Raw::read(value)?.decode()
}

/// A host and a path, parsed from text without a scheme (`ParseSchemelessURL`, `SplitURL`).
pub(crate) struct Location {
    pub(crate) host: Vec<u8>,
    pub(crate) port: Vec<u8>,
    pub(crate) path: Vec<u8>,
}

impl Location {
    pub(crate) fn parse(schemeless: &[u8]) -> Option<Self> {
        let url = url::parse_http(schemeless)?;
        let (host, port) = url::split_host_port(&url.host);
        Some(Self {
            host: host.to_vec(),
            port: port.to_vec(),
            path: url.path.into_owned(),
        })
    }

    /// `URLsMatch`: ports as strings, the path as a string prefix, each label of the host as a glob.
    pub(crate) fn matches(&self, target: &Self) -> Option<MatchRule> {
        if self.port != target.port || !target.path.starts_with(&self.path) {
            return None;
        }
        if self.host != target.host || self.host.starts_with(b"[") {
            let labels = || self.host.split(is_dot).zip(target.host.split(is_dot));
            let counts = [&self.host, &target.host].map(|host| host.split(is_dot).count());
            if counts[0] != counts[1] || !labels().all(|(glob, label)| glob::matches(glob, label)) {
                return None;
            }
            return Some(MatchRule::Glob);
        }
        let rest = &target.path[self.path.len()..];
        if rest.is_empty() {
            return Some(MatchRule::Exact);
        }
        let ends_segment = rest.starts_with(b"/") || self.path.ends_with(b"/");
        Some(if ends_segment {
            MatchRule::Namespace
        } else {
            MatchRule::Prefix
        })
    }
}

/// The key under which the keyring files an entry (`BasicDockerKeyring.Add`).
fn normalize(key: &str) -> Option<Vec<u8>> {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let url = url::parse_http(rest.unwrap_or(key).as_bytes())?;
    let versioned = url.path.starts_with(b"/v2/") || url.path.starts_with(b"/v1/");
    let path = if versioned {
        &url.path[3..]
    } else {
        &url.path[..]
    };
    let path = if path == b"/" { b"" } else { path };
    Some([&url.host[..], path].concat())
}

/// `isDefaultRegistryMatch`. Besides Docker Hub itself that is every registry without dot and port.
fn falls_back_to_hub(name: &str) -> bool {
    match name.split_once('/') {
        Some(("", _)) => false,
        Some(("docker.io" | "index.docker.io", _)) | None => true,
        Some((registry, _)) => !registry.contains(['.', ':']),
    }
}

/// Makes candidates of entries that are sorted by their normalised key.
fn rank<'v, 't: 'v>(
    entries: impl Iterator<Item = (&'v Keyed<'t>, MatchRule)>,
) -> Vec<Candidate<'v>> {
    let mut candidates: Vec<Candidate<'v>> = Vec::new();
    let mut before: Option<&Keyed<'t>> = None;
    for (entry, rule) in entries {
        let same = before.is_none_or(|before| before.normalized == entry.normalized);
        let rank = candidates
            .last()
            .map_or(0, |last| last.rank + usize::from(!same));
        candidates.push(Candidate {
            key: &entry.key,
            offset: entry.offset,
            credential: entry.raw.decode().map_err(|error| error.fault),
            rule,
            rank,
        });
        before = Some(entry);
    }
    candidates
}

fn is_dot(byte: &u8) -> bool {
    *byte == b'.'
}

#[cfg(test)]
mod tests;
