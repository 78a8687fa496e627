//! Which versions of which Secrets a rollout is about, and which ones most nodes see.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fleet::Fleet;

/// One version of one Secret. Nothing here comes from what it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRevision {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`: a Secret that was made anew is another one.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// Versions of Secrets, one of each at most, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<SecretRevision>", into = "Vec<SecretRevision>")]
pub struct Revision(Vec<SecretRevision>);

/// Secrets whose changes are rolled out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretSource {
    /// Their namespace.
    pub namespace: String,
    /// The name of the only one; otherwise all that agents read from the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl SecretSource {
    /// Whether a Secret is one of these.
    pub fn covers(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name.as_deref().is_none_or(|own| own == name)
    }
}

impl Revision {
    /// Whether it names no Secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The versions, in the order of the Secrets' names.
    pub fn secrets(&self) -> &[SecretRevision] {
        &self.0
    }
}

/// Of several versions of the same Secret the first one counts.
impl FromIterator<SecretRevision> for Revision {
    fn from_iter<I: IntoIterator<Item = SecretRevision>>(secrets: I) -> Self {
        let mut secrets: Vec<_> = secrets.into_iter().collect();
        secrets.sort_by(|one, other| name(one).cmp(&name(other)));
        secrets.dedup_by(|later, former| name(later) == name(former));
        Self(secrets)
    }
}

impl From<Vec<SecretRevision>> for Revision {
    fn from(secrets: Vec<SecretRevision>) -> Self {
        secrets.into_iter().collect()
    }
}

impl From<Revision> for Vec<SecretRevision> {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

type Name<'s> = (&'s str, &'s str);

fn name(secret: &SecretRevision) -> Name<'_> {
    (&secret.namespace, &secret.name)
}

/// The version of every Secret that more than half of the ready nodes see; where no version has so many, the `former` one.
///
/// One node cannot bring about a rollout, and the coordinator needs no right to read a Secret.
pub(super) fn seen_by_most(sources: &[SecretSource], former: &Revision, fleet: &Fleet) -> Revision {
    let ready = fleet.nodes.values().filter(|node| node.ready);
    let seen = ready.filter_map(|node| node.record.as_ref()?.seen.as_ref());
    let mut voters = 0;
    let mut votes: BTreeMap<Name<'_>, BTreeMap<&SecretRevision, usize>> = BTreeMap::new();
    for revision in seen {
        voters += 1;
        for secret in &revision.0 {
            let of_secret = votes.entry(name(secret)).or_default();
            *of_secret.entry(secret).or_default() += 1;
        }
    }
    let before: BTreeMap<_, _> = former
        .0
        .iter()
        .map(|secret| (name(secret), secret))
        .collect();
    for known in before.keys() {
        votes.entry(*known).or_default();
    }
    let covered =
        |(namespace, name): Name<'_>| sources.iter().any(|source| source.covers(namespace, name));
    let most = |count: usize| count * 2 > voters;
    let elected = |(name, votes): (Name<'_>, BTreeMap<&SecretRevision, usize>)| {
        let absent = voters - votes.values().sum::<usize>();
        let winner = votes.into_iter().find(|(_, count)| most(*count));
        match winner {
            Some((secret, _)) => Some(secret.clone()),
            None if most(absent) => None,
            None => before.get(&name).map(|secret| (*secret).clone()),
        }
    };
    let governed = votes.into_iter().filter(|(name, _)| covered(*name));
    governed.filter_map(elected).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fleet::{Node, Record};
    use super::*;

    fn secret(name: &str, version: u32) -> SecretRevision {
        SecretRevision {
            namespace: "ns".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-of-{name}"),
            resource_version: version.to_string(),
        }
    }

    fn fleet(seen: &[Option<&[SecretRevision]>]) -> Fleet {
        let node = |(number, seen): (usize, &Option<&[SecretRevision]>)| {
            let record = Record {
                seen: seen.map(|seen| seen.iter().cloned().collect()),
                ..Record::default()
            };
            let node = Node {
                uid: format!("uid-{number}"),
                ready: true,
                record: Some(record),
                ..Node::default()
            };
            (format!("node-{number}"), node)
        };
        Fleet {
            nodes: seen.iter().enumerate().map(node).collect(),
            ..Fleet::default()
        }
    }

    fn all() -> [SecretSource; 1] {
        [SecretSource {
            namespace: "ns".to_owned(),
            name: None,
        }]
    }

    fn elected(
        former: &[SecretRevision],
        seen: &[Option<&[SecretRevision]>],
    ) -> Vec<SecretRevision> {
        let former = former.iter().cloned().collect();
        seen_by_most(&all(), &former, &fleet(seen)).0
    }

    #[test]
    fn more_than_half_decide_and_silence_is_no_vote() {
        let (old, new) = ([secret("a", 1)], [secret("a", 2)]);
        let (o, n) = (Some(&old[..]), Some(&new[..]));
        assert_eq!(elected(&old, &[n, n, o]), new);
        assert_eq!(elected(&old, &[n, o]), old, "half is not more than half");
        assert_eq!(
            elected(&old, &[n, None, None]),
            new,
            "who says nothing is not counted"
        );
        assert_eq!(
            elected(&old, &[None, None]),
            old,
            "without votes nothing changes"
        );
        assert_eq!(elected(&[], &[o, o, n]), old, "the first one");
        let third = [secret("a", 3)];
        assert_eq!(
            elected(&old, &[n, o, Some(&third)]),
            old,
            "no majority for any"
        );
    }

    #[test]
    fn a_liar_alone_brings_about_nothing() {
        let (old, lie) = ([secret("a", 1)], [secret("a", 999)]);
        let honest = Some(&old[..]);
        assert_eq!(elected(&old, &[honest, honest, Some(&lie)]), old);
    }

    #[test]
    fn every_secret_is_decided_by_itself_and_absence_is_a_vote() {
        let both = [secret("a", 1), secret("b", 1)];
        let changed = [secret("a", 2), secret("b", 1)];
        let without = [secret("a", 2)];
        let (one, other) = (Some(&changed[..]), Some(&without[..]));
        assert_eq!(elected(&both, &[one, one, other]), changed);
        assert_eq!(elected(&both, &[one, other, other]), without);
        assert_eq!(
            elected(&both, &[one, other]),
            changed,
            "no majority about b"
        );
    }

    #[test]
    fn what_no_source_covers_and_who_is_not_ready_do_not_count() {
        let seen = [secret("a", 2)];
        let mut nodes = fleet(&[Some(&seen)]);
        let other = [SecretSource {
            namespace: "ns".to_owned(),
            name: Some("b".to_owned()),
        }];
        assert!(seen_by_most(&other, &Revision::default(), &nodes).is_empty());
        for node in nodes.nodes.values_mut() {
            node.ready = false;
        }
        assert!(seen_by_most(&all(), &Revision::default(), &nodes).is_empty());
    }

    #[test]
    fn a_revision_is_sorted_has_each_secret_once_and_reads_back() {
        let revision: Revision = [secret("b", 1), secret("a", 2), secret("b", 3)]
            .into_iter()
            .collect();
        assert_eq!(revision.secrets(), [secret("a", 2), secret("b", 1)]);
        let json = serde_json::to_string(&revision).unwrap();
        assert!(
            json.starts_with(
                r#"[{"namespace":"ns","name":"a","uid":"uid-of-a","resourceVersion":"2"}"#
            ),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Revision>(&json).unwrap(), revision);
    }
}
