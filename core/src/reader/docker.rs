//! The configuration file of docker/cli (29, cli/config).

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::decode::{self, Field, Map, Slot};
use super::fault::{DocumentError, Fault};
use super::{Candidate, Entry, Lookup, MatchRule, Outcome, Step, url};
use crate::authfile::Shape;
use crate::authfile::base64::{self, Padding};
use crate::authfile::credential::Credential;
use crate::image::ImageRef;
use crate::json::{Member, Node, Text, folds_to};

/// The key of Docker Hub.
const HUB: &str = "https://index.docker.io/v1/";

/// Fields of the file that have nothing to do with credentials, but whose types are checked too
/// (configfile/file.go, `ConfigFile`).
const STRINGS: [&str; 14] = [
    "psFormat",
    "imagesFormat",
    "networksFormat",
    "pluginsFormat",
    "volumesFormat",
    "statsFormat",
    "detachKeys",
    "serviceInspectFormat",
    "servicesFormat",
    "tasksFormat",
    "secretFormat",
    "configFormat",
    "nodesFormat",
    "currentContext",
];
const STRING_LISTS: [&str; 2] = ["pruneFilters", "cliPluginsExtraDirs"];
const STRING_MAPS: [&str; 3] = ["HttpHeaders", "aliases", "features"];
const PROXY_STRINGS: [&str; 5] = ["httpProxy", "httpsProxy", "noProxy", "ftpProxy", "allProxy"];

/// What concerns credentials in a loaded file.
pub(super) struct ConfigFile<'t> {
    /// False for the legacy file, which is not opened.
    read: bool,
    /// Known to be good.
    auths: Map<'t, Raw<'t>>,
    helpers: Map<'t, Field<'t>>,
    store: Field<'t>,
}

impl<'t> ConfigFile<'t> {
    /// Only the first JSON value counts, and a blank file is fine. All entries are decoded at once;
    /// one bad entry is an error for the whole file unless a later one has the same key.
    pub(super) fn load(text: &'t Text, shape: Shape) -> Result<Self, DocumentError> {
        let mut file = ConfigFile {
            read: shape == Shape::ConfigJson,
            auths: Map::new(),
            helpers: Map::new(),
            store: Field::default(),
        };
        let blank = text
            .as_str()
            .trim_matches([' ', '\t', '\r', '\n'])
            .is_empty();
        if !file.read || blank {
            return Ok(file);
        }
        for member in decode::root_members(text.parse_first()?)? {
            if folds_to(&member.name, "auths") {
                decode::map_into(&mut file.auths, member.value, Raw::read)?;
            } else {
                file.read_setting(&member)?;
            }
        }
        let errors = file.auths.values().filter_map(|slot| {
            let error = slot.value.pair().err()?;
            Some(error.in_entry(slot.offset))
        });
        match errors.min_by_key(|error| error.offset) {
            Some(error) => Err(error),
            None => Ok(file),
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.auths.iter().map(|(key, slot)| Entry {
            key,
            offset: slot.offset,
            reads_as: Some(match &**key {
                HUB => Cow::Borrowed("docker.io"),
                key => lossy(convert_to_hostname(key)),
            }),
            credential: slot.value.decode().map_err(|error| error.fault),
        })
    }

    /// A helper, or the exact key, or else any key whose host is the registry.
    pub(super) fn lookup(&self, image: &ImageRef) -> Lookup<'_> {
        if !self.read {
            let steps = vec![Step::NotRead];
            return Lookup {
                outcome: Outcome::None,
                candidates: Vec::new(),
                steps,
            };
        }
        let server = match image.domain() {
            "docker.io" | "index.docker.io" => HUB,
            registry => registry,
        };
        let mut steps = Vec::new();
        if let Some((field, name)) = self.helper(server) {
            steps.push(Step::Helper {
                field,
                name: name.clone(),
            });
            if !name.is_empty() {
                let outcome = Outcome::Helper {
                    name,
                    server: server.to_owned(),
                };
                return Lookup {
                    outcome,
                    candidates: Vec::new(),
                    steps,
                };
            }
        }
        let mut candidates = Vec::new();
        let exact = self.auths.get_key_value(server);
        steps.push(Step::Tried {
            key: server.to_owned(),
            found: exact.is_some(),
        });
        match exact {
            Some(found) => candidates.push(candidate(found, MatchRule::Exact)),
            None => {
                let same_host = |key: &str| convert_to_hostname(key) == server.as_bytes();
                let found = self.auths.iter().filter(|(key, _)| same_host(key));
                candidates.extend(found.map(|found| candidate(found, MatchRule::Host)));
                steps.push(Step::Compared {
                    with: server.to_owned(),
                    matched: candidates.len(),
                });
            }
        }
        Lookup {
            outcome: Outcome::of_any(&candidates),
            candidates,
            steps,
        }
    }

    fn read_setting(
        &mut self,
        Member { name, value, .. }: &Member<'t>,
    ) -> Result<(), DocumentError> {
        let is = |field: &&str| folds_to(name, field);
        let not_an_entry = |error| DocumentError {
            entry: None,
            ..error
        };
        if is(&"credHelpers") {
            decode::map_into(&mut self.helpers, *value, decode::string).map_err(not_an_entry)
        } else if is(&"credsStore") {
            self.store.set(*value)
        } else if STRINGS.iter().any(is) {
            decode::string(*value).map(drop)
        } else if STRING_MAPS.iter().any(is) {
            decode::check_string_map(*value)
        } else if STRING_LISTS.iter().any(is) {
            decode::check_string_list(*value)
        } else if is(&"plugins") {
            let mut plugins = decode::struct_members(*value)?;
            plugins.try_for_each(|plugin| decode::check_string_map(plugin.value))
        } else if is(&"proxies") {
            let mut proxies = decode::struct_members(*value)?;
            proxies.try_for_each(|proxy| decode::fields(proxy.value, PROXY_STRINGS).map(drop))
        } else {
            Ok(())
        }
    }

    /// The helper of the registry even if it is the empty one, which stands for the file; else the
    /// store.
    fn helper(&self, server: &str) -> Option<(&'static str, String)> {
        if let Some(helper) = self.helpers.get(server).filter(|_| !server.is_empty()) {
            return Some(("credHelpers", helper.value.text().into_owned()));
        }
        let store = self.store.text();
        (!store.is_empty()).then(|| ("credsStore", store.into_owned()))
    }
}

#[derive(Clone, Copy)]
struct Raw<'t> {
    username: Field<'t>,
    password: Field<'t>,
    auth: Field<'t>,
    identity_token: Field<'t>,
    registry_token: Field<'t>,
}

impl<'t> Raw<'t> {
    fn read(value: Node<'t>) -> Result<Self, DocumentError> {
        let names = [
            "username",
            "password",
            "auth",
            "identitytoken",
            "registrytoken",
            "serveraddress",
        ];
        let [
            username,
            password,
            auth,
            identity_token,
            registry_token,
            _server,
        ] = decode::fields(value, names)?;
        Ok(Self {
            username,
            password,
            auth,
            identity_token,
            registry_token,
        })
    }

    /// The decoded `auth`, which has a user and a colon in it; `None` when it is empty.
    fn pair(&self) -> Result<Option<Zeroizing<Vec<u8>>>, DocumentError> {
        let decoded = self.auth.lend(|auth| {
            if auth.is_empty() {
                return Ok(None);
            }
            let pair = base64::decode(auth, Padding::Required).map_err(|_| Fault::Base64)?;
            match pair.iter().position(|byte| *byte == b':') {
                Some(0) => Err(Fault::EmptyUser),
                Some(_) => Ok(Some(pair)),
                None => Err(Fault::NoColon),
            }
        });
        decoded.map_err(|fault| DocumentError::new(self.auth.offset(), fault))
    }

    /// `auth` wins over the plain fields unless it is empty; the tokens count beside either.
    fn decode(&self) -> Result<Credential, DocumentError> {
        let login = match self.pair()? {
            Some(pair) => Credential::from_pair(&pair)
                .unwrap_or_default()
                .with_trimmed_password(),
            None => self.username.lend(|username| {
                self.password
                    .lend(|password| Credential::new(username.as_bytes(), password.as_bytes()))
            }),
        };
        let login = self
            .identity_token
            .lend(|token| login.with_identity_token(token.as_bytes()));
        Ok(self
            .registry_token
            .lend(|token| login.with_registry_token(token.as_bytes())))
    }
}

pub(super) fn read_entry(value: Node<'_>) -> Result<Credential, DocumentError> {
    Raw::read(value)?.decode()
}

/// The host that a key stands for (credentials/file_store.go, `ConvertToHostname`).
fn convert_to_hostname(key: &str) -> Cow<'_, [u8]> {
    if let Some((_, rest)) = key.split_once("://") {
        if let Some(url) = url::parse(key.as_bytes()) {
            match url::hostname_and_port(&url.host) {
                (b"", _) => {}
                (host, b"") => return Cow::Owned(host.to_vec()),
                (host, port) => return Cow::Owned(join_host_port(host, port)),
            }
        }
        let host = rest.split('/').next().unwrap_or_default();
        if !host.is_empty() {
            return repair_ipv6(host.as_bytes());
        }
    }
    Cow::Borrowed(key.split('/').next().unwrap_or_default().as_bytes())
}

/// Puts the brackets around an IPv6 address with a port that was written without them.
fn repair_ipv6(host: &[u8]) -> Cow<'_, [u8]> {
    let colons = host.iter().filter(|byte| **byte == b':').count();
    if colons > 1
        && !host.starts_with(b"[")
        && let Some(colon) = host.iter().rposition(|byte| *byte == b':')
        && let (address, [b':', port @ ..]) = host.split_at(colon)
        && !address.is_empty()
        && !port.is_empty()
        && port.iter().all(u8::is_ascii_digit)
    {
        return Cow::Owned(join_host_port(address, port));
    }
    Cow::Borrowed(host)
}

fn join_host_port(host: &[u8], port: &[u8]) -> Vec<u8> {
    if host.contains(&b':') {
        return [b"[", host, b"]:", port].concat();
    }
    [host, b":", port].concat()
}

fn lossy(text: Cow<'_, [u8]>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn candidate<'v>(
    (key, slot): (&'v Cow<'_, str>, &'v Slot<Raw<'_>>),
    rule: MatchRule,
) -> Candidate<'v> {
    let credential = slot.value.decode().map_err(|error| error.fault);
    Candidate {
        key,
        offset: slot.offset,
        credential,
        rule,
        rank: 0,
    }
}

#[cfg(test)]
mod tests;
