//! The auth files of containers/image (5.42, pkg/docker/config/config.go).

use std::borrow::Cow;

use super::decode::{self, Field, Map, Slot};
use super::fault::{DocumentError, Fault, LookupError};
use super::{Candidate, Entry, Lookup, MatchRule, Outcome, Step};
use crate::authfile::Shape;
use crate::authfile::base64::{self, Padding};
use crate::authfile::credential::Credential;
use crate::image::ImageRef;
use crate::json::{Node, Text, folds_to};

/// Longest image name, registry included, that containers/image parses.
const MAX_NAME: usize = 255;

/// The entries as they are written: they are decoded only when a lookup hits them.
pub(super) struct AuthFile<'t> {
    legacy: bool,
    auths: Map<'t, Raw<'t>>,
    helpers: Map<'t, Field<'t>>,
}

#[derive(Clone, Copy)]
struct Raw<'t> {
    auth: Field<'t>,
    identity_token: Field<'t>,
}

impl<'t> AuthFile<'t> {
    pub(super) fn load(text: &'t Text, shape: Shape) -> Result<Self, DocumentError> {
        let members = decode::root_members(text.parse()?)?;
        let (mut auths, mut helpers) = (Map::new(), Map::new());
        match shape {
            Shape::DockerCfg => decode::insert_members(&mut auths, members, Raw::read)?,
            Shape::ConfigJson => {
                for member in members {
                    if folds_to(&member.name, "auths") {
                        decode::map_into(&mut auths, member.value, Raw::read)?;
                    } else if folds_to(&member.name, "credHelpers") {
                        decode::map_into(&mut helpers, member.value, decode::string).map_err(
                            |error| DocumentError {
                                entry: None,
                                ..error
                            },
                        )?;
                    }
                }
            }
        }
        Ok(Self {
            legacy: shape == Shape::DockerCfg,
            auths,
            helpers,
        })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.auths.iter().map(|(key, slot)| Entry {
            key,
            offset: slot.offset,
            reads_as: Some(Cow::Borrowed(self.location(key))),
            credential: slot.value.decode(),
        })
    }

    /// Helper of the registry, then the name and its parents, then any key with the registry's
    /// host.
    pub(super) fn lookup(&self, image: &ImageRef) -> Lookup<'_> {
        let name = image.name();
        if !is_parsed(image, &name) {
            let outcome = Outcome::Error(LookupError::ImageRefused);
            return Lookup {
                outcome,
                candidates: Vec::new(),
                steps: vec![Step::Refused],
            };
        }
        let registry = name.split('/').next().unwrap_or_default();
        if let Some(helper) = self.helpers.get(registry) {
            let name = helper.value.text().into_owned();
            let steps = vec![Step::Helper {
                field: "credHelpers",
                name: name.clone(),
            }];
            let outcome = Outcome::Helper {
                name,
                server: registry.to_owned(),
            };
            return Lookup {
                outcome,
                candidates: Vec::new(),
                steps,
            };
        }
        let mut steps = Vec::new();
        let mut candidates = Vec::new();
        for key in lookup_order(&name, registry, self.legacy) {
            let found = self.auths.get_key_value(key);
            steps.push(Step::Tried {
                key: key.to_owned(),
                found: found.is_some(),
            });
            if let Some(found) = found {
                let rule = if key == name {
                    MatchRule::Exact
                } else {
                    MatchRule::Namespace
                };
                candidates.push(candidate(found, rule));
                break;
            }
        }
        if candidates.is_empty() {
            let host = normalize_registry(registry);
            let same_host = self.auths.iter().filter(|(key, _)| self.host(key) == host);
            candidates.extend(same_host.map(|found| candidate(found, MatchRule::Host)));
            steps.push(Step::Compared {
                with: host.to_owned(),
                matched: candidates.len(),
            });
        }
        Lookup {
            outcome: Outcome::of_any(&candidates),
            candidates,
            steps,
        }
    }

    /// What a key stands for: its host when it has a scheme or the file is legacy, else itself.
    fn location<'k>(&self, key: &'k str) -> &'k str {
        let stripped = key.strip_prefix("http://").unwrap_or(key);
        let stripped = stripped.strip_prefix("https://").unwrap_or(stripped);
        if !self.legacy && stripped == key {
            return key;
        }
        stripped.split('/').next().unwrap_or_default()
    }

    /// `normalizeAuthFileKey`.
    fn host<'k>(&self, key: &'k str) -> &'k str {
        normalize_registry(self.location(key))
    }
}

impl<'t> Raw<'t> {
    fn read(value: Node<'t>) -> Result<Self, DocumentError> {
        let [auth, identity_token] = decode::fields(value, ["auth", "identitytoken"])?;
        Ok(Self {
            auth,
            identity_token,
        })
    }

    /// `decodeDockerAuth`: without a colon the entry counts as empty, its identity token included.
    fn decode(&self) -> Result<Credential, Fault> {
        let pair = self
            .auth
            .lend(|auth| base64::decode(auth, Padding::Required));
        let Some(credential) = Credential::from_pair(&pair.map_err(|_| Fault::Base64)?) else {
            return Ok(Credential::default());
        };
        let credential = credential.with_trimmed_password();
        Ok(self
            .identity_token
            .lend(|token| credential.with_identity_token(token.as_bytes())))
    }
}

/// The entry as a lookup that hits it decodes it.
pub(super) fn read_entry(value: Node<'_>) -> Result<Credential, DocumentError> {
    let entry = Raw::read(value)?;
    entry
        .decode()
        .map_err(|fault| DocumentError::new(entry.auth.offset(), fault))
}

/// Whether containers/image parses the reference too. Its grammar (docker/reference) has no IPv6
/// literals, takes an upper-case first segment without dot and port for a namespace, which it then
/// refuses, and counts the registry into the length of the name.
fn is_parsed(image: &ImageRef, name: &str) -> bool {
    let registry = image.domain();
    let is_registry =
        registry.is_empty() || registry == "localhost" || registry.contains(['.', ':']);
    is_registry && !registry.starts_with('[') && name.len() <= MAX_NAME
}

/// `authKeyLookupOrder`: the name and its parents, or just the registry in a legacy file.
fn lookup_order<'n>(
    name: &'n str,
    registry: &'n str,
    legacy: bool,
) -> impl Iterator<Item = &'n str> {
    let first = if legacy { registry } else { name };
    std::iter::successors(Some(first), |key| {
        key.rsplit_once('/').map(|(parent, _)| parent)
    })
}

/// `normalizeRegistry`: Docker Hub's hosts are one.
fn normalize_registry(host: &str) -> &str {
    match host {
        "docker.io" | "registry-1.docker.io" => "index.docker.io",
        other => other,
    }
}

fn candidate<'v, 't>(
    (key, slot): (&'v Cow<'t, str>, &'v Slot<Raw<'t>>),
    rule: MatchRule,
) -> Candidate<'v> {
    Candidate {
        key,
        offset: slot.offset,
        credential: slot.value.decode(),
        rule,
        rank: 0,
    }
}

#[cfg(test)]
mod tests;
