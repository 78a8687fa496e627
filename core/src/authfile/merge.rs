//! The three-way merge: what is wished for, what is on disk, and what we put there before.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::document::Document;
use super::entry::Unusable;
use super::finding::{Finding, Reason};
use super::join::{Owned, Wanted};
use super::ledger::{Hasher, Ledger, Managed, Part};
use super::render::{Members, render};
use crate::reader::Reader;

/// The rules of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The clients that the file is for; entries that none of them can use are not put into it.
    pub readers: &'static [Reader],
    /// Whether entries that others put into the file stay.
    pub foreign: Foreign,
}

/// What happens to entries that others put into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// They survive.
    Keep,
    /// The file is Pullkeeper's alone.
    Drop,
}

/// The outcome of a merge. Nothing has happened yet.
#[derive(Debug)]
pub struct Merged {
    /// The whole file as it should be. It holds credentials.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The record that belongs to those bytes.
    pub ledger: Ledger,
    /// What becomes different on disk, by key. Without changes there is nothing to write.
    pub changes: Changes,
    /// What the merge decided that people may want to know.
    pub findings: Vec<Finding>,
}

/// Differences between the file on disk and the merged one; keys as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Entries that the file did not have.
    pub added: Vec<String>,
    /// Entries with another value, or in a form that some client does not read.
    pub changed: Vec<String>,
    /// Entries that go.
    pub removed: Vec<String>,
    /// Whether something beside the entries changes, or the file as a whole is not usable.
    pub document: bool,
}

impl Changes {
    /// Whether the file is right as it is.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.changed.is_empty()
            && self.removed.is_empty()
            && !self.document
    }
}

/// Merges the wish into what is on disk.
///
/// - A wished entry is written. One that others had put there gives way, and that is reported.
/// - A managed entry that is no longer wished for goes, unless somebody changed it since (then it is theirs)
///   or its source cannot offer a good one now (then the last good one stays).
/// - All other entries stay as they are, but for those on which a client loses the whole file.
///
/// `disk` is `None` when there is no file, or none that can be read as an auth file. The result depends on
/// nothing but the arguments, and merging it again changes nothing.
pub fn merge(
    wanted: &Wanted<'_>,
    disk: Option<&Document>,
    ledger: &Ledger,
    rules: Rules,
) -> Merged {
    let nothing = Document::default();
    let on_disk = disk.unwrap_or(&nothing);
    let hasher = ledger.hasher();

    let wished = wanted
        .entries
        .iter()
        .filter(|(_, owned)| {
            rules
                .readers
                .iter()
                .any(|&reader| owned.value.serves(reader))
        })
        .map(|(key, owned)| {
            (
                *key,
                Owned {
                    source: owned.source,
                    value: owned.value.body(),
                },
            )
        })
        .collect();
    let present = on_disk
        .entries()
        .map(|entry| (entry.key(), entry.body()))
        .collect();
    let mut entries = Merge::new(Part::Entries, wanted, ledger, &hasher, rules);
    entries.run(&wished, &present);
    let rewritten = on_disk
        .entries()
        .filter(|entry| entry.was_repaired() && entries.out.contains_key(entry.key()))
        .map(|entry| entry.key().to_owned());
    entries.changes.changed.extend(rewritten);
    entries.changes.changed.sort_unstable();
    entries.changes.changed.dedup();
    entries.leftovers(on_disk);

    let mut fields = Merge::new(Part::Fields, wanted, ledger, &hasher, rules);
    let present = on_disk.fields().collect();
    fields.run(&wanted.fields, &present);

    let mut changes = entries.changes;
    changes.document = disk.is_none() || !fields.changes.is_empty();
    Merged {
        bytes: render(&entries.out, &fields.out),
        ledger: ledger.with(
            entries.managed.into_iter().collect(),
            fields.managed.into_iter().collect(),
        ),
        changes,
        findings: entries.findings,
    }
}

/// The one rule, applied to entries and to top-level fields.
struct Merge<'m> {
    part: Part,
    wanted: &'m Wanted<'m>,
    before: &'m BTreeMap<String, Managed>,
    hasher: &'m Hasher,
    rules: Rules,
    out: Members<'m>,
    managed: Vec<(String, Managed)>,
    holding: bool,
    changes: Changes,
    findings: Vec<Finding>,
}

impl<'m> Merge<'m> {
    fn new(
        part: Part,
        wanted: &'m Wanted<'m>,
        ledger: &'m Ledger,
        hasher: &'m Hasher,
        rules: Rules,
    ) -> Self {
        Self {
            part,
            wanted,
            before: ledger.part(part),
            hasher,
            rules,
            out: BTreeMap::new(),
            managed: Vec::new(),
            holding: wanted.holds_some(),
            changes: Changes::default(),
            findings: Vec::new(),
        }
    }

    /// Both maps are walked side by side, in the order of their keys.
    fn run(&mut self, wished: &BTreeMap<&'m str, Owned<'m, &'m [u8]>>, present: &Members<'m>) {
        let mut present = present.iter().map(|(&key, &value)| (key, value)).peekable();
        for (&key, owned) in wished {
            while let Some((key, value)) = present.next_if(|(other, _)| *other < key) {
                self.not_wished(key, value);
            }
            let value = present
                .next_if(|(other, _)| *other == key)
                .map(|(_, value)| value);
            self.wished(key, *owned, value);
        }
        for (key, value) in present {
            self.not_wished(key, value);
        }
    }

    fn wished(&mut self, key: &'m str, owned: Owned<'m, &'m [u8]>, present: Option<&'m [u8]>) {
        if self.holding
            && let (Some(value), Some(managed)) = (present, self.before.get(key))
            && self.wanted.outranks(&managed.source, owned.source)
            && self.wanted.holds(key, &managed.source)
            && managed.digests.contains(&self.hasher.digest(value))
        {
            self.keep_last_good(key, value, managed);
            return;
        }
        match present {
            None => self.changes.added.push(key.to_owned()),
            Some(value) if value == owned.value => {}
            Some(value) => self.replaced(key, value),
        }
        self.out.insert(key, owned.value);
        let managed = Managed {
            source: owned.source.to_owned(),
            digests: vec![self.hasher.digest(owned.value)],
        };
        self.managed.push((key.to_owned(), managed));
    }

    fn replaced(&mut self, key: &'m str, value: &'m [u8]) {
        self.changes.changed.push(key.to_owned());
        match self.before.get(key) {
            None => self.report(
                Reason::ForeignReplaced,
                key,
                "the file had another credential here, put there by others; the source's was written",
            ),
            Some(managed) if !managed.digests.contains(&self.hasher.digest(value)) => self.report(
                Reason::Drift,
                key,
                "somebody changed the entry in the file; the source's was written again",
            ),
            Some(_) => {}
        }
    }

    fn not_wished(&mut self, key: &'m str, value: &'m [u8]) {
        let Some(managed) = self.before.get(key) else {
            self.foreign(key, value);
            return;
        };
        if !managed.digests.contains(&self.hasher.digest(value)) {
            self.report(
                Reason::TakenOver,
                key,
                "no source has the entry any more, but others changed it in the file; it is theirs now",
            );
            self.foreign(key, value);
        } else if self.wanted.holds(key, &managed.source) {
            self.keep_last_good(key, value, managed);
        } else {
            self.changes.removed.push(key.to_owned());
        }
    }

    fn foreign(&mut self, key: &'m str, value: &'m [u8]) {
        match self.rules.foreign {
            Foreign::Keep => {
                self.out.insert(key, value);
            }
            Foreign::Drop => {
                self.changes.removed.push(key.to_owned());
            }
        }
    }

    fn keep_last_good(&mut self, key: &'m str, value: &'m [u8], managed: &Managed) {
        self.out.insert(key, value);
        self.managed.push((key.to_owned(), managed.clone()));
        self.report(
            Reason::LastGoodKept,
            key,
            "the source does not offer a good entry now; the last good one stays in the file",
        );
    }

    /// Members of the file that are no usable entries: they stay where they do no harm.
    fn leftovers(&mut self, disk: &'m Document) {
        for (key, leftover) in disk.leftovers() {
            let harmless =
                leftover.why != Unusable::Broken || self.rules.readers == [Reader::Containers];
            if self.out.contains_key(key) {
                // It was counted as added above, because it is no usable entry.
                self.changes.added.retain(|added| added != key);
                self.changes.changed.push(key.to_owned());
            } else if harmless && self.rules.foreign == Foreign::Keep {
                self.out.insert(key, &leftover.body);
            } else {
                self.changes.removed.push(key.to_owned());
                if !harmless {
                    self.report(
                        Reason::ForeignBroken,
                        key,
                        "an entry in the file that no client can read costs kubelet and docker all others; \
                         it was taken out",
                    );
                }
            }
        }
    }

    fn report(&mut self, reason: Reason, key: &str, detail: &'static str) {
        // Top-level fields are named by the document's own vocabulary; only entries concern a registry.
        if self.part == Part::Entries {
            self.findings.push(Finding::new(reason, detail).about(key));
        }
    }
}
