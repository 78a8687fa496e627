//! What can be used of an auth file.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use super::entry::{Entry, Unusable};
use super::finding::{Finding, Reason};
use super::render::{self, Members};
use super::{Shape, check};
use crate::json::Text;

/// What can be used of a document: good entries and top-level fields, each in rendered form.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// Sorted by key, each key once.
    pub(super) entries: Vec<Entry>,
    pub(super) fields: BTreeMap<String, Zeroizing<Vec<u8>>>,
    /// Sorted by key; no key of an entry is among them.
    pub(super) unusable: Vec<Leftover>,
}

/// A member of `auths` that is no usable entry: its compacted text, kept only for those who put it there.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Leftover {
    pub(super) key: String,
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) why: Unusable,
}

/// A checked document and everything that there is to say about it.
#[derive(Debug)]
pub struct Checked {
    /// The usable part; `None` when the bytes are no auth file at all.
    pub document: Option<Document>,
    /// In document order, worst not first; sort for display.
    pub findings: Vec<Finding>,
}

impl Document {
    /// Reads and checks a document. Never fails: what is wrong is in the findings.
    ///
    /// Broken and empty entries are left out and named; safe repairs are made and named. A document
    /// without `auths` is an empty one, as it is to every client.
    pub fn check(bytes: &[u8], shape: Shape) -> Checked {
        let mut findings = Vec::new();
        let bytes = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
            None => bytes,
            Some(rest) => {
                findings.push(Finding::new(
                    Reason::ByteOrderMark,
                    "the byte order mark was dropped; every client fails on it",
                ));
                rest
            }
        };
        let document = check::document(&Text::new(bytes), shape, &mut findings);
        Checked { document, findings }
    }

    /// The usable entries in the order of their keys.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The entry of exactly this key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.key().cmp(key));
        at.ok().map(|at| &self.entries[at])
    }

    /// Whether there is not one usable entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys of entries that were left out.
    pub fn left_out(&self) -> impl ExactSizeIterator<Item = &str> {
        self.unusable.iter().map(|leftover| leftover.key.as_str())
    }

    /// The top-level fields beside `auths`, by name, rendered. They may hold secrets (`HttpHeaders`).
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The document in the one form that every client reads alike.
    pub fn render(&self) -> Zeroizing<Vec<u8>> {
        let entries = self.entries.iter().map(|entry| (entry.key(), entry.body()));
        let (entries, fields): (Members<'_>, Members<'_>) =
            (entries.collect(), self.fields().collect());
        render::render(&entries, &fields)
    }

    /// The members that are no usable entries, in the order of their keys.
    pub(super) fn leftovers(&self) -> &[Leftover] {
        &self.unusable
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("entries", &self.entries.len())
            .field("left_out", &self.unusable.len())
            .finish_non_exhaustive()
    }
}
