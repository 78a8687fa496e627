//! Checks a whole auth file for every reader at once.

use zeroize::Zeroizing;

use super::document::{Document, Leftover};
use super::entry::{self, Entry, Unusable};
use super::finding::{Finding, Reason};
use super::key::Key;
use super::pair::Scratch;
use super::render::{compacted, push_string};
use super::shape::{Shape, holds_credential};
use crate::json::{Kind, Node, Places, Text, folds_to};
use crate::reader::{self, Reader};

/// The usable part of a document; `None` when the text is no auth file at all.
pub(super) fn document(text: &Text, shape: Shape, findings: &mut Vec<Finding>) -> Option<Document> {
    let check = Check {
        text,
        places: text.places(),
        all_plain: true,
        scratch: Scratch::default(),
        findings,
    };
    check.document(shape)
}

struct Check<'c> {
    text: &'c Text,
    places: Places<'c>,
    /// Whether all keys so far are written in the one way that no other key can mean.
    all_plain: bool,
    scratch: Scratch,
    findings: &'c mut Vec<Finding>,
}

/// A member of `auths` as it was read.
struct Read {
    offset: usize,
    content: Result<Entry, Leftover>,
}

impl Read {
    fn key(&self) -> &str {
        match &self.content {
            Ok(entry) => entry.key(),
            Err(leftover) => &leftover.key,
        }
    }
}

impl<'c> Check<'c> {
    fn document(mut self, shape: Shape) -> Option<Document> {
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
        match (root.kind(), shape) {
            (Kind::Object, Shape::ConfigJson) => self.config_json(root),
            (Kind::Object, Shape::DockerCfg) => self.docker_cfg(root),
            (Kind::Null, _) => {
                let detail = "the document is `null`";
                self.report(Reason::MissingAuths, root.offset(), detail);
                Some(Document::default())
            }
            _ => {
                let detail = "the document is not a JSON object";
                self.report(Reason::NotAnObject, root.offset(), detail);
                None
            }
        }
    }

    fn docker_cfg(&mut self, root: Node<'c>) -> Option<Document> {
        let wrapped = root
            .members()
            .unwrap_or_default()
            .find(|member| folds_to(&member.name, "auths") && holds_entries(member.value));
        if let Some(auths) = wrapped {
            self.report(
                Reason::WrongShape,
                auths.offset,
                "this is a config.json in a place for legacy .dockercfg; clients would see one registry \
                 called `auths`; use the type kubernetes.io/dockerconfigjson",
            );
            return None;
        }
        let mut read = Vec::new();
        self.entries(root, &mut read);
        let mut document = Document::default();
        self.settle(read, &mut document);
        self.whole(&document, root);
        Some(document)
    }

    fn config_json(&mut self, root: Node<'c>) -> Option<Document> {
        let mut document = Document::default();
        let mut read = Vec::new();
        let mut auths = None;
        for member in root.members().unwrap_or_default() {
            if !folds_to(&member.name, "auths") {
                let name = member.name.into_owned();
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
                    self.entries(member.value, &mut read);
                }
                Kind::Null => {
                    auths = Some(member.value);
                    read.clear();
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
        self.settle(read, &mut document);
        self.fields(root, &mut document);
        let Some(auths) = auths.filter(|node| node.kind() == Kind::Object) else {
            let mut members = root.members().unwrap_or_default();
            if members.any(|member| holds_credential(member.value)) {
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

    /// Reads the members of `auths` (or of a legacy document).
    fn entries(&mut self, auths: Node<'c>, read: &mut Vec<Read>) {
        for member in auths.members().unwrap_or_default() {
            let key = member.name.as_ref();
            let first_finding = self.findings.len();
            let entry = match Key::parse(key) {
                Ok(parsed) => {
                    parsed.surprises(key, self.findings);
                    self.all_plain &= parsed.is_plain();
                    entry::read(key, member.value, &mut self.scratch, self.findings)
                }
                Err(detail) => {
                    self.findings
                        .push(Finding::new(Reason::BadKey, detail).about(key));
                    entry::read(key, member.value, &mut self.scratch, &mut Vec::new())
                        .and(Err(Unusable::BadKey))
                }
            };
            read.push(Read {
                offset: member.offset,
                content: entry.map_err(|why| Leftover {
                    key: member.name.into_owned(),
                    body: compacted(member.value.raw()),
                    why,
                }),
            });
            if self.findings.len() > first_finding {
                let position = self.places.locate(member.offset);
                for finding in &mut self.findings[first_finding..] {
                    finding.position = Some(position);
                }
            }
        }
    }

    /// Puts what was read into the document; of several members with one key the last counts.
    fn settle(&mut self, mut read: Vec<Read>, document: &mut Document) {
        // Stable, so that members with one key stay in the order of the document. Most documents are sorted already.
        read.sort_by(|one, other| one.key().cmp(other.key()));
        let mut repeated: Vec<_> = read
            .windows(2)
            .filter(|pair| pair[0].key() == pair[1].key())
            .map(|pair| (pair[1].offset, pair[1].key()))
            .collect();
        repeated.sort_unstable_by_key(|(offset, _)| *offset);
        for (offset, key) in repeated {
            let detail = "the key stands there more than once; its last entry counts";
            let position = self.places.locate(offset);
            self.findings.push(
                Finding::new(Reason::DuplicateKey, detail)
                    .about(key)
                    .at(position),
            );
        }
        document.entries.reserve_exact(read.len());
        let mut read = read.into_iter().peekable();
        while let Some(member) = read.next() {
            if read.peek().is_some_and(|next| next.key() == member.key()) {
                continue;
            }
            match member.content {
                Ok(entry) => document.entries.push(entry),
                Err(leftover) => document.unusable.push(leftover),
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
        let mut registries: Vec<_> = document
            .entries
            .iter()
            .filter_map(|entry| Some((Key::parse(entry.key()).ok()?.registry(), entry)))
            .collect();
        // Stable: keys of one registry stay in their order.
        registries.sort_by_key(|(registry, _)| *registry);
        for twins in registries.windows(2) {
            let [(registry, first), (other, second)] = twins else {
                continue;
            };
            if registry == other && first.body() != second.body() {
                self.findings.push(
                    Finding::new(
                        Reason::AmbiguousKeys,
                        "another key names the same registry with another credential, \
                         and clients differ in which they take; keep one",
                    )
                    .about(second.key()),
                );
            }
        }
    }

    /// Drops top-level fields whose type costs some reader the whole document.
    fn fields(&mut self, root: Node<'c>, document: &mut Document) {
        for member in root.members().unwrap_or_default() {
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
    node.members()
        .is_some_and(|mut members| members.any(|member| member.value.kind() == Kind::Object))
}
