//! A whole auth file, checked for every reader at once.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use zeroize::Zeroizing;

use super::Shape;
use super::entry::{self, Entry, Unusable};
use super::finding::{Finding, Reason};
use super::key::{Key, Registry};
use super::render::{self, compacted, push_string};
use super::shape::holds_credential;
use crate::json::{Kind, Member, Node, Places, Text, folds_to};
use crate::reader::{self, Reader};

/// What can be used of a document: good entries and top-level fields, each in rendered form.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Document {
    entries: BTreeMap<String, Entry>,
    fields: BTreeMap<String, Zeroizing<Vec<u8>>>,
    unusable: BTreeMap<String, Leftover>,
}

/// A member of `auths` that is no usable entry: its compacted text, kept only for those who put it there.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Leftover {
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
        let text = Text::new(bytes);
        let document = Check {
            text: &text,
            places: text.places(),
            all_plain: true,
            findings: &mut findings,
        }
        .document(shape);
        Checked { document, findings }
    }

    /// The usable entries by key.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.values()
    }

    /// The entry of exactly this key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Whether there is not one usable entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys of entries that were left out.
    pub fn left_out(&self) -> impl ExactSizeIterator<Item = &str> {
        self.unusable.keys().map(String::as_str)
    }

    /// The top-level fields beside `auths`, by name, rendered. They may hold secrets (`HttpHeaders`).
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The document in the one form that every client reads alike.
    pub fn render(&self) -> Zeroizing<Vec<u8>> {
        let entries = self
            .entries
            .iter()
            .map(|(key, entry)| (key.as_str(), entry.body()))
            .collect();
        render::render(&entries, &self.fields().collect())
    }

    pub(super) fn leftovers(&self) -> impl Iterator<Item = (&str, &Leftover)> {
        self.unusable
            .iter()
            .map(|(key, leftover)| (key.as_str(), leftover))
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

struct Check<'c> {
    text: &'c Text,
    places: Places<'c>,
    /// Whether all keys so far are written in the one way that no other key can mean.
    all_plain: bool,
    findings: &'c mut Vec<Finding>,
}

impl<'c> Check<'c> {
    fn document(&mut self, shape: Shape) -> Option<Document> {
        let root = match self.text.parse() {
            Ok(root) => root,
            Err(error) => {
                let detail = match self.text.parse_first() {
                    Ok(_) => "there is text after the JSON value; only docker ignores it",
                    Err(_) => error.what,
                };
                self.report(Reason::MalformedJson, error.offset, detail);
                return None;
            }
        };
        let members = match (root.kind(), root.members()) {
            (Kind::Null, _) => {
                self.report(
                    Reason::MissingAuths,
                    root.offset(),
                    "the document is `null`",
                );
                return Some(Document::default());
            }
            (_, Some(members)) => members,
            (_, None) => {
                self.report(
                    Reason::NotAnObject,
                    root.offset(),
                    "the document is not a JSON object",
                );
                return None;
            }
        };
        match shape {
            Shape::ConfigJson => self.config_json(root, &members),
            Shape::DockerCfg => self.docker_cfg(root, &members),
        }
    }

    fn docker_cfg(&mut self, root: Node<'c>, members: &[Member<'c>]) -> Option<Document> {
        let wrapped = |m: &&Member<'c>| folds_to(&m.name, "auths") && holds_entries(m.value);
        if let Some(auths) = members.iter().find(wrapped) {
            self.report(
                Reason::WrongShape,
                auths.offset,
                "this is a config.json in a place for legacy .dockercfg; clients would see one registry \
                 called `auths`; use the type kubernetes.io/dockerconfigjson",
            );
            return None;
        }
        let mut document = Document::default();
        self.entries(root, &mut document);
        self.whole(&document, root);
        Some(document)
    }

    fn config_json(&mut self, root: Node<'c>, members: &[Member<'c>]) -> Option<Document> {
        let mut document = Document::default();
        let mut auths = None;
        for member in members {
            if !folds_to(&member.name, "auths") {
                let name = member.name.clone().into_owned();
                document.fields.insert(name, compacted(member.value.raw()));
                continue;
            }
            match member.value.kind() {
                Kind::Object => {
                    if auths
                        .replace(member.value)
                        .is_some_and(|node: Node<'_>| node.kind() == Kind::Object)
                    {
                        self.report(
                            Reason::DuplicateKey,
                            member.offset,
                            "`auths` stands there more than once; its entries are taken together, as clients do",
                        );
                    }
                    self.entries(member.value, &mut document);
                }
                Kind::Null => {
                    auths = Some(member.value);
                    document.entries.clear();
                    document.unusable.clear();
                }
                _ => {
                    self.report(
                        Reason::NotAnObject,
                        member.value.offset(),
                        "`auths` is not a JSON object",
                    );
                    return None;
                }
            }
        }
        self.fields(members, &mut document);
        let Some(auths) = auths.filter(|node| node.kind() == Kind::Object) else {
            if members.iter().any(|member| holds_credential(member.value)) {
                self.report(
                    Reason::WrongShape,
                    root.offset(),
                    "this is a legacy .dockercfg in a place for config.json, where clients see no entry; \
                     wrap it in {\"auths\": …} or use the type kubernetes.io/dockercfg",
                );
                return None;
            }
            self.report(
                Reason::MissingAuths,
                root.offset(),
                "there is no `auths` object, so no client finds a credential",
            );
            return Some(document);
        };
        self.whole(&document, auths);
        Some(document)
    }

    /// Reads the members of `auths` (or of a legacy document) into the document.
    fn entries(&mut self, auths: Node<'c>, document: &mut Document) {
        for member in auths.members().unwrap_or_default() {
            let key = member.name.as_ref();
            let first_finding = self.findings.len();
            let read = match Key::parse(key) {
                Ok(parsed) => {
                    parsed.surprises(key, self.findings);
                    self.all_plain &= parsed.is_plain();
                    entry::read(key, member.value, self.findings)
                }
                Err(detail) => {
                    self.findings
                        .push(Finding::new(Reason::BadKey, detail).about(key));
                    entry::read(key, member.value, &mut Vec::new()).and(Err(Unusable::BadKey))
                }
            };
            let name = member.name.into_owned();
            let known = match read {
                Ok(entry) => {
                    let other =
                        !document.unusable.is_empty() && document.unusable.remove(&name).is_some();
                    document.entries.insert(name, entry).is_some() || other
                }
                Err(why) => {
                    let body = compacted(member.value.raw());
                    let other = document.entries.remove(&name).is_some();
                    document
                        .unusable
                        .insert(name.clone(), Leftover { body, why })
                        .is_some()
                        || other
                }
            };
            if known {
                let detail = "a key stands there more than once; its last entry, this one, counts";
                self.findings
                    .push(Finding::new(Reason::DuplicateKey, detail));
            }
            if self.findings.len() > first_finding {
                let position = self.places.locate(member.offset);
                for finding in &mut self.findings[first_finding..] {
                    finding.position = Some(position);
                }
            }
        }
    }

    /// What can only be said about all entries together.
    fn whole(&mut self, document: &Document, auths: Node<'c>) {
        if document.is_empty() {
            let detail = if document.unusable.is_empty() {
                "there is not one entry"
            } else {
                "not one of the entries can be used"
            };
            self.report(Reason::EmptyAuths, auths.offset(), detail);
        }
        if self.all_plain {
            return;
        }
        let mut seen: HashMap<Registry<'_>, &Entry> =
            HashMap::with_capacity(document.entries.len());
        for (key, entry) in &document.entries {
            let Ok(parsed) = Key::parse(key) else {
                continue;
            };
            if let Some(twin) = seen.insert(parsed.registry(), entry)
                && twin.body() != entry.body()
            {
                self.findings.push(
                    Finding::new(
                        Reason::AmbiguousKeys,
                        "another key names the same registry with another credential, \
                         and clients differ in which they take; keep one",
                    )
                    .about(key),
                );
            }
        }
    }

    /// Drops top-level fields whose type costs some reader the whole document.
    fn fields(&mut self, members: &[Member<'c>], document: &mut Document) {
        for member in members {
            let name = member.name.as_ref();
            let Some(body) = document.fields.get(name) else {
                continue;
            };
            let skeleton = Text::new(&alone(name, body));
            if Reader::ALL
                .iter()
                .any(|&reader| reader::read(reader, &skeleton, Shape::ConfigJson).is_err())
            {
                self.report(
                    Reason::BadField,
                    member.offset,
                    "a top-level field has a type on which some client loses the whole document; it was left out",
                );
                document.fields.remove(name);
            } else if folds_to(name, "credHelpers") || folds_to(name, "credsStore") {
                self.report(
                    Reason::HelperIgnored,
                    member.offset,
                    "kubelet ignores credential helpers, podman and CRI-O ignore `credsStore`; \
                     registries behind a helper need an entry of their own",
                );
            }
        }
    }

    fn report(&mut self, reason: Reason, offset: usize, detail: &'static str) {
        let position = self.places.locate(offset);
        self.findings
            .push(Finding::new(reason, detail).at(position));
    }
}

/// A document with this top-level field and nothing else.
fn alone(name: &str, body: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(2 * name.len() + body.len() + 8));
    out.push(b'{');
    push_string(&mut out, name);
    out.push(b':');
    out.extend_from_slice(body);
    out.push(b'}');
    out
}

fn holds_entries(node: Node<'_>) -> bool {
    node.members().is_some_and(|members| {
        members
            .iter()
            .any(|member| member.value.kind() == Kind::Object)
    })
}
