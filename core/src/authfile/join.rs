//! Several sources, one wish: who wins, and what must not be taken away yet.

use std::collections::HashMap;

use super::document::Document;
use super::entry::Entry;
use super::finding::{Finding, Reason, Severity};
use super::key::{Key, Registry};

/// What one source has to say, in precedence order with the others.
#[derive(Clone, Copy, Debug)]
pub struct Contribution<'d> {
    /// The source's name, as configured. Sources that select several Secrets contribute once for each.
    pub source: &'d str,
    /// Its last good document; `None` while nothing good has been read from it.
    pub document: Option<&'d Document>,
    /// Keys that its newest revision has, but not as usable entries: what is on the node stays.
    pub broken: &'d [String],
}

/// The joined wish of all sources.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'d> {
    /// Sorted by key, each key once.
    pub(super) entries: Vec<(&'d str, Owned<'d, &'d Entry>)>,
    /// Sorted by name, each name once.
    pub(super) fields: Vec<(&'d str, Owned<'d, &'d [u8]>)>,
    sources: Vec<Contribution<'d>>,
}

/// A value and the source that it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned<'d, T> {
    pub(super) source: &'d str,
    pub(super) value: T,
}

impl<'d> Wanted<'d> {
    /// Joins the sources, first one first. A key that two sources have differently is reported once.
    ///
    /// Keys that name the same registry (`quay.io`, `https://quay.io/v1/`) count as one key here, because
    /// clients would pick between them. Top-level fields are the first source's alone: they can make
    /// clients execute programs.
    pub fn join(sources: &[Contribution<'d>], findings: &mut Vec<Finding>) -> Self {
        let mut wanted = Self {
            sources: sources.to_vec(),
            ..Self::default()
        };
        let several = sources.len() > 1;
        let mut registries: HashMap<Registry<'_>, (usize, &str, &Entry)> = HashMap::new();
        for (rank, contribution) in sources.iter().enumerate() {
            let Some(document) = contribution.document else {
                continue;
            };
            let source = contribution.source;
            for entry in document.entries() {
                if several && let Ok(parsed) = Key::parse(entry.key()) {
                    let taken = registries
                        .entry(parsed.registry())
                        .or_insert((rank, source, entry));
                    let (winner, name, own) = *taken;
                    if winner != rank {
                        if own.body() != entry.body() {
                            findings.push(conflict(entry.key(), name, source));
                        }
                        continue;
                    }
                }
                let value = entry;
                wanted.entries.push((entry.key(), Owned { source, value }));
            }
            for (name, value) in document.fields() {
                if rank == 0 {
                    wanted.fields.push((name, Owned { source, value }));
                } else {
                    findings.push(Finding::new(
                        Reason::FieldIgnored,
                        "a source other than the first has top-level fields beside `auths`; they are not used",
                    ));
                    break;
                }
            }
        }
        // Two sources' entries of one key name one registry, so only the first of them is here.
        wanted.entries.sort_by_key(|(key, _)| *key);
        wanted
    }

    /// Whether no source wishes for anything.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries are wished for.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries that are wished for, in the order of their keys.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &'d Entry> {
        self.entries.iter().map(|(_, owned)| owned.value)
    }

    /// Reports the required registries (`host[:port][/path]`) that no wished entry covers.
    pub fn missing(&self, required: &[String], severity: Severity) -> Vec<Finding> {
        let keys: Vec<_> = self
            .entries
            .iter()
            .filter_map(|(key, _)| Key::parse(key).ok())
            .collect();
        let uncovered = |registry: &&String| {
            Key::parse(registry).is_ok_and(|registry| !keys.iter().any(|key| key.covers(&registry)))
        };
        let report = |registry: &String| {
            Finding::new(
                Reason::MissingRegistry,
                "no source has an entry for this required registry",
            )
            .about(registry)
            .with_severity(severity)
        };
        required.iter().filter(uncovered).map(report).collect()
    }

    /// Whether [`Self::holds`] can be true of anything.
    pub(super) fn holds_some(&self) -> bool {
        self.sources
            .iter()
            .any(|c| c.document.is_none() || !c.broken.is_empty())
    }

    /// Whether a value that `owner` put on the node must stay although `owner` does not offer one now:
    /// it cannot be asked, or has the key in a broken form.
    pub(super) fn holds(&self, key: &str, owner: &str) -> bool {
        self.sources.iter().any(|contribution| {
            contribution.source == owner
                && (contribution.document.is_none()
                    || contribution.broken.iter().any(|broken| broken == key))
        })
    }

    /// Whether `owner` stands before `source` in the order of precedence.
    pub(super) fn outranks(&self, owner: &str, source: &str) -> bool {
        let rank = |name: &str| self.sources.iter().position(|c| c.source == name);
        rank(owner)
            .zip(rank(source))
            .is_some_and(|(owner, source)| owner < source)
    }
}

fn conflict(registry: &str, winner: &str, loser: &str) -> Finding {
    let detail = if winner == loser {
        format!(
            "two Secrets of source `{winner}` have different credentials; the first by name is used"
        )
    } else {
        format!(
            "sources `{winner}` and `{loser}` have different credentials; the former is used, by precedence"
        )
    };
    Finding::new(Reason::SourceConflict, detail).about(registry)
}
