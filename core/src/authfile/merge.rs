//! The three-way merge: what is wished for, what is on disk, and what we put there before.

use std::collections::btree_map;
use std::iter::Peekable;

use zeroize::Zeroizing;

use super::document::{Document, Leftover};
use super::entry::{Entry, Unusable};
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
    /// Whether an entry that the file had becomes another one, or goes. Who keeps entries in memory then has an old one; one
    /// that is new is missed by nobody.
    pub fn replace_something(&self) -> bool {
        !self.changed.is_empty() || !self.removed.is_empty()
    }

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

    let served = |owned: &Owned<'_, &Entry>| {
        let mut readers = rules.readers.iter();
        readers.any(|&reader| owned.value.serves(reader))
    };
    let wished = wanted.entries.iter().filter(|(_, owned)| served(owned));
    let wished = wished.map(|(key, owned)| {
        let (source, value) = (owned.source, owned.value.body());
        (*key, Owned { source, value })
    });
    let present = on_disk.entries().map(|entry| (entry.key(), entry.body()));
    let mut entries = Merge::new(Part::Entries, wanted, ledger, &hasher, rules);
    entries.run(wished, present, on_disk.leftovers());
    for entry in on_disk.entries().filter(|entry| entry.was_repaired()) {
        if entries.outcome(entry.key()).is_some() {
            entries.changes.changed.push(entry.key().to_owned());
        }
    }
    entries.changes.changed.sort_unstable();
    entries.changes.changed.dedup();

    let mut fields = Merge::new(Part::Fields, wanted, ledger, &hasher, rules);
    fields.run(wanted.fields.iter().copied(), on_disk.fields(), &[]);

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
    /// What we put there, from the key on that is being merged.
    before: Peekable<btree_map::Iter<'m, String, Managed>>,
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
            before: ledger.part(part).iter().peekable(),
            hasher,
            rules,
            out: Vec::new(),
            managed: Vec::new(),
            holding: wanted.holds_some(),
            changes: Changes::default(),
            findings: Vec::new(),
        }
    }

    /// All four sequences are in the order of their keys and are walked side by side.
    fn run(
        &mut self,
        wished: impl Iterator<Item = (&'m str, Owned<'m, &'m [u8]>)>,
        present: impl Iterator<Item = (&'m str, &'m [u8])>,
        leftovers: &'m [Leftover],
    ) {
        let mut wished = wished.peekable();
        let mut present = present.peekable();
        let mut leftovers = leftovers.iter().peekable();
        loop {
            let next_wished = wished.peek().map(|(key, _)| *key);
            let next_present = present.peek().map(|(key, _)| *key);
            let next_leftover = leftovers.peek().map(|leftover| leftover.key.as_str());
            let next = [next_wished, next_present, next_leftover];
            let Some(key) = next.into_iter().flatten().min() else {
                return;
            };
            let before = self.before(key);
            let value = present.next_if(|(other, _)| *other == key);
            let leftover = leftovers.next_if(|leftover| leftover.key == key);
            match wished.next_if(|(other, _)| *other == key) {
                Some((_, owned)) => {
                    let present = match (value, leftover) {
                        (Some((_, value)), _) => Present::Entry(value),
                        (None, Some(_)) => Present::Unusable,
                        (None, None) => Present::Nothing,
                    };
                    self.wished(key, owned, present, before);
                }
                None => {
                    if let Some((_, value)) = value {
                        self.not_wished(key, value, before);
                    }
                    if let Some(leftover) = leftover {
                        self.leftover(leftover);
                    }
                }
            }
        }
    }

    /// What we put under this key. Keys are asked for in ascending order.
    fn before(&mut self, key: &str) -> Option<&'m Managed> {
        while self
            .before
            .next_if(|(other, _)| other.as_str() < key)
            .is_some()
        {}
        let found = self.before.next_if(|(other, _)| *other == key);
        found.map(|(_, managed)| managed)
    }

    /// What the file is to hold under this key.
    fn outcome(&self, key: &str) -> Option<&'m [u8]> {
        let at = self
            .out
            .binary_search_by(|(other, _)| (*other).cmp(key))
            .ok()?;
        Some(self.out[at].1)
    }

    fn wished(
        &mut self,
        key: &'m str,
        owned: Owned<'m, &'m [u8]>,
        present: Present<'m>,
        before: Option<&'m Managed>,
    ) {
        if self.holding
            && let (Present::Entry(value), Some(managed)) = (present, before)
            && self.wanted.outranks(&managed.source, owned.source)
            && self.wanted.holds(key, &managed.source)
            && managed.digests.contains(&self.hasher.digest(value))
        {
            self.keep_last_good(key, value, managed);
            return;
        }
        match present {
            Present::Nothing => self.changes.added.push(key.to_owned()),
            Present::Entry(value) if value == owned.value => {}
            Present::Entry(value) => self.replaced(key, value, before),
            Present::Unusable => self.changes.changed.push(key.to_owned()),
        }
        self.out.push((key, owned.value));
        let managed = Managed {
            source: owned.source.to_owned(),
            digests: vec![self.hasher.digest(owned.value)],
        };
        self.managed.push((key.to_owned(), managed));
    }

    fn replaced(&mut self, key: &'m str, value: &'m [u8], before: Option<&'m Managed>) {
        self.changes.changed.push(key.to_owned());
        match before {
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

    fn not_wished(&mut self, key: &'m str, value: &'m [u8], before: Option<&'m Managed>) {
        let Some(managed) = before else {
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
                self.out.push((key, value));
            }
            Foreign::Drop => {
                self.changes.removed.push(key.to_owned());
            }
        }
    }

    fn keep_last_good(&mut self, key: &'m str, value: &'m [u8], managed: &Managed) {
        self.out.push((key, value));
        self.managed.push((key.to_owned(), managed.clone()));
        self.report(
            Reason::LastGoodKept,
            key,
            "the source does not offer a good entry now; the last good one stays in the file",
        );
    }

    /// A member of the file that is no usable entry stays where it does no harm.
    fn leftover(&mut self, leftover: &'m Leftover) {
        let key = leftover.key.as_str();
        let harmless =
            leftover.why != Unusable::Broken || self.rules.readers == [Reader::Containers];
        if harmless && self.rules.foreign == Foreign::Keep {
            self.out.push((key, &leftover.body));
            return;
        }
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

    fn report(&mut self, reason: Reason, key: &str, detail: &'static str) {
        // Top-level fields are named by the document's own vocabulary; only entries concern a registry.
        if self.part == Part::Entries {
            self.findings.push(Finding::new(reason, detail).about(key));
        }
    }
}

/// What the file has under a key.
#[derive(Clone, Copy)]
enum Present<'m> {
    Entry(&'m [u8]),
    Nothing,
    /// A member that no client can use.
    Unusable,
}
