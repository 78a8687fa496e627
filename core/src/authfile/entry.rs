//! One registry entry: from the fields that people write to the one form that every client reads.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::credential::Credential;
use super::finding::{Finding, Reason};
use super::pair::{Pair, Scratch};
use super::render::{push_compact, push_name, push_string};
use crate::json::{Kind, Node, Text, folds_to};
use crate::reader::Reader;

/// A usable entry: its key, and its object rendered in the form that every client reads alike.
///
/// The body has padded standard base64 on one line as `auth`, no `username` or `password`, and every other
/// field as it was, sorted by name. Two entries with equal bodies are the same credential to every client.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    key: String,
    body: Zeroizing<Vec<u8>>,
    has_pair: bool,
    repaired: bool,
}

impl Entry {
    /// The key as it was written.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The rendered JSON object. It is the credential: not for logs, and only for the targets.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// What the entry holds, as docker reads it: user name and password, identity token, registry token.
    pub fn credential(&self) -> Credential {
        let text = Text::new(&self.body);
        let fields = text.parse().ok().and_then(|root| Fields::of(root).ok());
        let fields = fields.unwrap_or_default();
        let mut scratch = Scratch::default();
        let pair = fields.pair(&mut scratch).ok().flatten();
        pair.and_then(|pair| Credential::from_pair(pair.bytes))
            .unwrap_or_default()
            .with_identity_token(fields.identity_token.as_bytes())
            .with_registry_token(fields.registry_token.as_bytes())
    }

    /// Whether some client would have read the written form differently from the rendered one.
    pub fn was_repaired(&self) -> bool {
        self.repaired
    }

    /// Whether this reader finds a credential in the entry; tokens alone serve only docker.
    pub fn serves(&self, reader: Reader) -> bool {
        match reader {
            Reader::Kubelet | Reader::Containers => self.has_pair,
            Reader::Docker => true,
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &super::key::display(&self.key))
            .finish_non_exhaustive()
    }
}

/// Why a member of `auths` gave no [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Readable, under a key that names no registry.
    BadKey,
    /// Some reader loses the whole document on it.
    Broken,
    /// No credential in it.
    Empty,
}

/// Reads one member of `auths`. Findings name the key; the caller adds the position.
pub(super) fn read(
    key: &str,
    node: Node<'_>,
    scratch: &mut Scratch,
    findings: &mut Vec<Finding>,
) -> Result<Entry, Unusable> {
    let fields = Fields::of(node).map_err(|detail| {
        findings.push(Finding::new(Reason::BadEntry, detail).about(key));
        Unusable::Broken
    })?;
    let pair = fields.pair(scratch).map_err(|detail| {
        findings.push(Finding::new(Reason::BadEntry, detail).about(key));
        Unusable::Broken
    })?;
    let mut report = |reason, detail: &'static str| {
        findings.push(Finding::new(reason, detail).about(key));
    };
    let has_token = !fields.identity_token.is_empty() || !fields.registry_token.is_empty();
    if pair.is_none() && !has_token {
        report(
            Reason::EmptyCredential,
            "the entry is empty and was left out; clients would pull without credentials, and podman and \
             CRI-O would also pass over the entries of parent paths",
        );
        return Err(Unusable::Empty);
    }
    if has_token {
        report(
            Reason::TokenIgnored,
            "kubelet knows neither identity nor registry tokens, podman and CRI-O no registry tokens; \
             add user name and password if nodes are to pull with this entry",
        );
    }
    let repaired = pair.as_ref().is_some_and(|pair| pair.repaired);
    if let Some(pair) = &pair {
        if !fields.auth.is_empty() && pair.contradicts(&fields.username, &fields.password) {
            report(
                Reason::ConflictingFields,
                "`auth` and `username`/`password` say different things; every client takes `auth`",
            );
        }
        pair.remarks(&mut report);
    }
    Ok(Entry {
        key: key.to_owned(),
        body: fields.render(pair.as_ref()),
        has_pair: pair.is_some(),
        repaired,
    })
}

/// The fields that some client knows.
const FIELDS: [&str; 7] = [
    "auth",
    "email",
    "identitytoken",
    "password",
    "registrytoken",
    "serveraddress",
    "username",
];

/// The fields that clients know, by Go's rules: names fold, of equal names the last counts, null changes nothing.
#[derive(Default)]
struct Fields<'a> {
    auth: Plain<'a>,
    username: Plain<'a>,
    password: Plain<'a>,
    email: Plain<'a>,
    identity_token: Plain<'a>,
    registry_token: Plain<'a>,
    /// Fields that no client knows, sorted by name, kept as they are.
    unknown: Vec<(String, Node<'a>)>,
}

/// The text of a string. Nearly always it stands in the document as it is; where it had to be unescaped, the
/// copy is wiped.
enum Plain<'a> {
    InPlace(&'a str),
    Unescaped(Zeroizing<String>),
}

impl Default for Plain<'_> {
    fn default() -> Self {
        Self::InPlace("")
    }
}

impl Deref for Plain<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::InPlace(text) => text,
            Self::Unescaped(text) => text,
        }
    }
}

impl<'a> From<Cow<'a, str>> for Plain<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::InPlace(text),
            Cow::Owned(text) => Self::Unescaped(Zeroizing::new(text)),
        }
    }
}

impl<'a> Fields<'a> {
    fn of(node: Node<'a>) -> Result<Self, &'static str> {
        let mut fields = Self::default();
        if node.kind() == Kind::Null {
            return Ok(fields);
        }
        let members = node.members().ok_or("the entry is not a JSON object")?;
        for member in members {
            let Some(slot) = fields.known(&member.name) else {
                let name = member.name.into_owned();
                match fields
                    .unknown
                    .binary_search_by(|(known, _)| known.as_str().cmp(&name))
                {
                    Ok(at) => fields.unknown[at].1 = member.value,
                    Err(at) => fields.unknown.insert(at, (name, member.value)),
                }
                continue;
            };
            match member.value.kind() {
                Kind::Null => {}
                Kind::String => {
                    let text = member.value.text().unwrap_or_default();
                    if let Some(slot) = slot {
                        *slot = text.into();
                    }
                }
                _ => return Err("a credential field of the entry is not a string"),
            }
        }
        Ok(fields)
    }

    /// The slot of a known field; the inner `None` is a field that is known and dropped.
    fn known(&mut self, name: &str) -> Option<Option<&mut Plain<'a>>> {
        Some(match name {
            "auth" => Some(&mut self.auth),
            "email" => Some(&mut self.email),
            "identitytoken" => Some(&mut self.identity_token),
            "password" => Some(&mut self.password),
            "registrytoken" => Some(&mut self.registry_token),
            // docker derives it from the key.
            "serveraddress" => None,
            "username" => Some(&mut self.username),
            _ => {
                let field = FIELDS.into_iter().find(|field| folds_to(name, field))?;
                return self.known(field);
            }
        })
    }

    fn pair<'s>(&self, scratch: &'s mut Scratch) -> Result<Option<Pair<'s>>, &'static str> {
        if !self.auth.is_empty() {
            return Pair::decode(&self.auth, scratch).map(Some);
        }
        if self.username.is_empty() && self.password.is_empty() {
            return Ok(None);
        }
        Pair::of(&self.username, &self.password, scratch).map(Some)
    }

    fn render(&self, pair: Option<&Pair<'_>>) -> Zeroizing<Vec<u8>> {
        let encoded = match pair {
            Some(pair) if !pair.canonical => Zeroizing::new(STANDARD.encode(pair.bytes)),
            _ => Zeroizing::default(),
        };
        let auth = match pair {
            Some(pair) if pair.canonical => &*self.auth,
            _ => encoded.as_str(),
        };
        let known = [
            ("auth", auth),
            ("email", &*self.email),
            ("identitytoken", &*self.identity_token),
            ("registrytoken", &*self.registry_token),
        ];
        let mut unknown = self.unknown.iter().peekable();

        // Sized beforehand: growing would leave copies of the credential behind. A name or value gets longer
        // by quotes and separators, and where it is escaped.
        let size = |name: &str, value: &str| 2 * name.len() + value.len() + value.len() / 8 + 8;
        let of_known = known.iter().map(|(name, text)| size(name, text));
        let of_unknown = self
            .unknown
            .iter()
            .map(|(name, node)| size(name, node.raw()));
        let mut body = Zeroizing::new(Vec::with_capacity(of_known.chain(of_unknown).sum()));
        body.push(b'{');
        for (name, text) in known.into_iter().filter(|(_, text)| !text.is_empty()) {
            while let Some((other, node)) = unknown.next_if(|(other, _)| other.as_str() < name) {
                push_name(&mut body, other);
                push_compact(&mut body, node.raw());
            }
            push_name(&mut body, name);
            push_string(&mut body, text);
        }
        for (name, node) in unknown {
            push_name(&mut body, name);
            push_compact(&mut body, node.raw());
        }
        body.push(b'}');
        body
    }
}
