//! What waits for a permit, and what goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use pullkeeper_core::rollout::{Revision, SecretRevision, SecretSource};

use super::orders::Orders;
use crate::activation::Rejected;
use crate::resource::{NodePermit, ReportedOutcome};
use crate::source::{self, Item, Observation, Payload};

/// Keeps what went on last, so that it stays in use while something newer waits.
#[derive(Debug)]
pub(crate) struct Hold {
    /// By name of the source: what went on last of those that may be held.
    released: Released,
    /// Whether the node had nothing from Pullkeeper before this process, and nothing went on yet: then there is nothing that
    /// could be kept, and waiting would only keep it from pulling.
    joining: bool,
    /// What went on before the permit with this serial number, under which services are restarted.
    before: Option<(u64, Released)>,
}

type Released = BTreeMap<Arc<str>, Option<Vec<Item>>>;

/// What goes on, and how the rest stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Holding {
    /// What the gate sees.
    pub(crate) observations: Vec<Observation>,
    /// The versions that there are of all Secrets that the node reads; `None` before any has answered.
    pub(crate) seen: Option<Revision>,
    /// Whether something waits.
    pub(crate) standing: Standing,
}

/// Whether something waits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Standing {
    /// Nobody knows whether it may go on.
    #[default]
    Unknown,
    /// Nothing is paced.
    Free,
    /// Something waits for a permit.
    Waiting,
    /// What is new is tried at its registries before it goes on with this permit.
    Probing(NodePermit),
    /// It was tried for the permit that there is, and rejected for this reason.
    Refused(String),
    /// What there is went on with this permit.
    Taken(NodePermit),
    /// The node had nothing, and took what there was.
    Joined,
}

impl Standing {
    /// The word that is shown.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Free => "free",
            Self::Waiting => "waiting",
            Self::Probing(_) => "probing",
            Self::Refused(_) => "refused",
            Self::Taken(_) => "taken",
            Self::Joined => "joined",
        }
    }

    /// Whether something that is new may be kept from going on.
    pub(crate) fn holds_back(&self) -> bool {
        !matches!(self, Self::Free | Self::Taken(_) | Self::Joined)
    }
}

impl Hold {
    /// One that has let nothing through.
    pub(crate) fn new(joining: bool) -> Self {
        Self {
            released: BTreeMap::new(),
            joining,
            before: None,
        }
    }

    /// Lets through what may go on.
    ///
    /// `probed` is the serial number of the permit whose credentials were tried and are good; `rejected` is the one after which
    /// services did not come back.
    pub(crate) fn pass(
        &mut self,
        observations: &[Observation],
        orders: &Orders,
        probed: Option<u64>,
        rejected: Option<&Rejected>,
    ) -> Holding {
        let mut standing = self.stand(observations, orders, probed);
        if let Standing::Taken(permit) = &standing
            && permit.restart
        {
            match rejected.filter(|rejected| rejected.serial == permit.serial) {
                Some(rejected) => {
                    // Back to what went on before, if this process knows it; otherwise what is on disk stays.
                    if let Some((_, former)) =
                        self.before.take_if(|(serial, _)| *serial == permit.serial)
                    {
                        self.released = former;
                    }
                    standing = Standing::Refused(rejected.why.clone());
                }
                None if self
                    .before
                    .as_ref()
                    .is_none_or(|(serial, _)| *serial != permit.serial) =>
                {
                    self.before = Some((permit.serial, self.released.clone()));
                }
                None => {}
            }
        }
        let everything = !standing.holds_back();
        if everything && observations.iter().any(|one| one.items.is_some()) {
            self.joining = false;
        }
        let sources = sources(orders);
        let let_through = |observation: &Observation| {
            let former = self.released.get(&observation.source).cloned().flatten();
            let held = Observation {
                items: former,
                ..observation.clone()
            };
            if everything || !(is_paced(observation, sources) || is_paced(&held, sources)) {
                let source = Arc::clone(&observation.source);
                self.released.insert(source, observation.items.clone());
                return observation.clone();
            }
            held
        };
        Holding {
            observations: observations.iter().map(let_through).collect(),
            seen: seen(observations),
            standing,
        }
    }

    /// What waits and is new, and what went on before it, where the permit asks for it to be tried.
    pub(crate) fn candidates(&self, observations: &[Observation]) -> (Vec<Payload>, Vec<Payload>) {
        let payloads = |items: &mut dyn Iterator<Item = &Item>| {
            let good = items.filter_map(|item| item.content.as_ref().ok().cloned());
            good.collect::<Vec<_>>()
        };
        let next = payloads(&mut observations.iter().flat_map(of).map(|(_, _, item)| item));
        let former = payloads(&mut self.released.values().flatten().flatten());
        (next, former)
    }

    fn stand(
        &self,
        observations: &[Observation],
        orders: &Orders,
        probed: Option<u64>,
    ) -> Standing {
        let given = match orders {
            Orders::Unknown => return Standing::Unknown,
            Orders::Absent => return Standing::Free,
            Orders::Given(given) if given.sources.is_empty() => return Standing::Free,
            Orders::Given(given) => given,
        };
        let permit = given
            .permit
            .as_ref()
            .filter(|permit| !permit.is_void())
            .filter(|permit| self.permits(permit, observations, &given.sources));
        let answer = given
            .answered
            .as_ref()
            .filter(|answer| permit.is_some_and(|permit| permit.serial == answer.serial));
        match permit {
            // Tried and rejected, by a former process too; or to be tried.
            Some(permit) if permit.probe && probed != Some(permit.serial) => match answer {
                Some(answer) if answer.outcome == ReportedOutcome::Reached => {
                    Standing::Taken(permit.clone())
                }
                Some(answer) => Standing::Refused(answer.message.clone()),
                None => Standing::Probing(permit.clone()),
            },
            Some(permit) => Standing::Taken(permit.clone()),
            None if self.joining => Standing::Joined,
            None => Standing::Waiting,
        }
    }
}

impl Hold {
    /// Whether what there is of the paced Secrets is what the permit names. One that went on before and is gone now counts as
    /// gone; one that this node has never read is not its business.
    fn permits(
        &self,
        permit: &NodePermit,
        observations: &[Observation],
        sources: &[SecretSource],
    ) -> bool {
        let former = observations.iter().filter_map(|observation| {
            let items = self.released.get(&observation.source)?.as_deref()?;
            Some(secrets(observation.namespace.is_none(), items))
        });
        let mut versions: BTreeMap<(&str, &str), Option<SecretRevision>> = former
            .flatten()
            .map(|(namespace, name, _)| ((namespace, name), None))
            .collect();
        let present = observations.iter().flat_map(of);
        versions.extend(
            present.map(|(namespace, name, item)| {
                ((namespace, name), revision(namespace, name, item))
            }),
        );
        versions.into_iter().all(|((namespace, name), version)| {
            let paced = sources.iter().any(|source| source.covers(namespace, name));
            let permitted = permit
                .revision
                .secrets()
                .iter()
                .find(|secret| secret.namespace == namespace && secret.name == name);
            !paced || version.as_ref() == permitted
        })
    }
}

/// The Secrets that are paced; `None` for all, where nobody knows.
fn sources(orders: &Orders) -> Option<&[SecretSource]> {
    match orders {
        Orders::Unknown => None,
        Orders::Absent => Some(&[]),
        Orders::Given(given) => Some(&given.sources),
    }
}

/// The items of an observation that are Secrets for the node, with their names.
fn of(observation: &Observation) -> impl Iterator<Item = (&str, &str, &Item)> {
    let items = observation.items.as_deref().unwrap_or_default();
    secrets(observation.namespace.is_none(), items)
}

fn secrets(for_node: bool, items: &[Item]) -> impl Iterator<Item = (&str, &str, &Item)> {
    let items = items.iter().filter(move |_| for_node);
    items.filter_map(|item| {
        let (namespace, name) = item.secret()?;
        Some((namespace, name, item))
    })
}

fn is_paced(observation: &Observation, sources: Option<&[SecretSource]>) -> bool {
    of(observation).any(|(namespace, name, _)| {
        sources.is_none_or(|sources| sources.iter().any(|source| source.covers(namespace, name)))
    })
}

fn seen(observations: &[Observation]) -> Option<Revision> {
    let answered = observations
        .iter()
        .all(|observation| observation.items.is_some());
    let secrets = observations.iter().flat_map(of);
    let versions = secrets.filter_map(|(namespace, name, item)| revision(namespace, name, item));
    // A part of it would say that the rest is not there.
    answered.then(|| versions.collect())
}

fn revision(namespace: &str, name: &str, item: &Item) -> Option<SecretRevision> {
    match item.revision.as_ref()? {
        source::Revision::Secret {
            uid,
            resource_version,
        } => Some(SecretRevision {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.clone(),
            resource_version: resource_version.clone(),
        }),
        source::Revision::File { .. } => None,
    }
}

#[cfg(test)]
mod tests;
