//! One registry entry: from the fields that people write to the one form that every client reads.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::finding::{Finding, Reason};
use super::render::{push_compact, push_string};
use crate::json::{Kind, Node, folds_to};
use crate::reader::Reader;

/// Decodes what any tool may have written; what is *accepted* is decided after decoding.
const FORGIVING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_FORGIVING: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, FORGIVING);
const URL_SAFE_FORGIVING: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, FORGIVING);

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
    findings: &mut Vec<Finding>,
) -> Result<Entry, Unusable> {
    let fields = Fields::of(node).map_err(|detail| {
        findings.push(Finding::new(Reason::BadEntry, detail).about(key));
        Unusable::Broken
    })?;
    let pair = fields.pair().map_err(|detail| {
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
        pair.remarks(&fields, &mut report);
    }
    Ok(Entry {
        key: key.to_owned(),
        body: fields.render(pair.as_ref()),
        has_pair: pair.is_some(),
        repaired,
    })
}

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
        const KNOWN: [&str; 7] = [
            "auth",
            "email",
            "identitytoken",
            "password",
            "registrytoken",
            // docker derives it from the key.
            "serveraddress",
            "username",
        ];
        let exact = KNOWN.into_iter().find(|field| *field == name);
        let field = exact.or_else(|| KNOWN.into_iter().find(|field| folds_to(name, field)))?;
        Some(match field {
            "auth" => Some(&mut self.auth),
            "email" => Some(&mut self.email),
            "identitytoken" => Some(&mut self.identity_token),
            "password" => Some(&mut self.password),
            "registrytoken" => Some(&mut self.registry_token),
            "username" => Some(&mut self.username),
            _ => None,
        })
    }

    fn pair(&self) -> Result<Option<Pair>, &'static str> {
        if !self.auth.is_empty() {
            return Pair::decode(&self.auth).map(Some);
        }
        if self.username.is_empty() && self.password.is_empty() {
            return Ok(None);
        }
        if self.username.contains(':') {
            return Err("`username` holds a colon, which no client can carry");
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            self.username.len() + self.password.len() + 1,
        ));
        bytes.extend_from_slice(self.username.as_bytes());
        bytes.push(b':');
        bytes.extend_from_slice(self.password.as_bytes());
        Pair::new(bytes, true).map(Some)
    }

    fn render(&self, pair: Option<&Pair>) -> Zeroizing<Vec<u8>> {
        let encoded = match pair {
            Some(pair) if !pair.canonical => Zeroizing::new(STANDARD.encode(pair.bytes.as_slice())),
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
        let known = known.into_iter().filter(|(_, text)| !text.is_empty());
        let mut parts: Vec<_> = known.map(|(name, text)| (name, Part::Text(text))).collect();
        parts.extend(
            self.unknown
                .iter()
                .map(|(name, node)| (name.as_str(), Part::Raw(node.raw()))),
        );
        parts.sort_unstable_by_key(|(name, _)| *name);

        // Sized beforehand: growing would leave copies of the credential behind.
        let size = parts
            .iter()
            .map(|(name, part)| name.len() + part.len() + 32)
            .sum();
        let mut body = Zeroizing::new(Vec::with_capacity(size));
        body.push(b'{');
        for (at, (name, part)) in parts.into_iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            push_string(&mut body, name);
            body.push(b':');
            match part {
                Part::Text(text) => push_string(&mut body, text),
                Part::Raw(raw) => push_compact(&mut body, raw),
            }
        }
        body.push(b'}');
        body
    }
}

/// A field's value on its way out.
enum Part<'a> {
    Text(&'a str),
    Raw(&'a str),
}

impl Part<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) | Self::Raw(text) => text.len(),
        }
    }
}

/// `user:password` as bytes, with at least a user.
struct Pair {
    bytes: Zeroizing<Vec<u8>>,
    colon: usize,
    /// The text it was decoded from is the one that encoding it gives.
    canonical: bool,
    repaired: bool,
}

impl Pair {
    fn new(mut bytes: Zeroizing<Vec<u8>>, mut repaired: bool) -> Result<Self, &'static str> {
        // kubelet keeps trailing NULs that the other clients trim.
        while bytes.last() == Some(&0) {
            bytes.pop();
            repaired = true;
        }
        match bytes.iter().position(|&b| b == b':') {
            None => Err(
                "`auth` decodes to text without a colon, which costs kubelet and docker the whole file",
            ),
            Some(0) => Err("the user name is empty, which costs docker the whole file"),
            Some(colon) => Ok(Self {
                bytes,
                colon,
                canonical: false,
                repaired,
            }),
        }
    }

    /// Reads `auth` in every dialect that cannot be mistaken for another.
    fn decode(auth: &str) -> Result<Self, &'static str> {
        // Strict, and nearly always enough: what passes needs no other encoding.
        if let Ok(bytes) = STANDARD.decode(auth) {
            let pair = Self::new(Zeroizing::new(bytes), false)?;
            return Ok(Self {
                canonical: !pair.repaired,
                ..pair
            });
        }
        let mut repaired = false;
        let mut text = Zeroizing::new(String::new());
        let wrapped = auth.bytes().any(|b| b.is_ascii_whitespace());
        if wrapped {
            text.extend(auth.chars().filter(|c| !c.is_ascii_whitespace()));
            repaired = true;
        }
        let plain = if wrapped { text.as_str() } else { auth };
        let url_safe = plain.contains(['-', '_']);
        repaired |= url_safe || plain.len() % 4 != 0;
        let engine = if url_safe {
            &URL_SAFE_FORGIVING
        } else {
            &STANDARD_FORGIVING
        };
        let bytes = engine
            .decode(plain)
            .map_err(|_| "`auth` is not base64, which costs kubelet and docker the whole file")?;
        Self::new(Zeroizing::new(bytes), repaired)
    }

    fn remarks(&self, fields: &Fields<'_>, report: &mut impl FnMut(Reason, &'static str)) {
        let (user, password) = (&self.bytes[..self.colon], &self.bytes[self.colon + 1..]);
        let differs = |field: &str, own: &[u8]| !field.is_empty() && field.as_bytes() != own;
        if !fields.auth.is_empty()
            && (differs(&fields.username, user) || differs(&fields.password, password))
        {
            report(
                Reason::ConflictingFields,
                "`auth` and `username`/`password` say different things; every client takes `auth`",
            );
        }
        if self.repaired {
            report(
                Reason::Repaired,
                "the entry was rewritten as one padded base64 `auth`, which every client reads",
            );
        }
        if std::str::from_utf8(&self.bytes).is_err() {
            report(
                Reason::NotUtf8,
                "the credential is not UTF-8; kubelet cannot hand it to the runtime",
            );
        }
        if password.ends_with(b"\n") {
            report(
                Reason::SuspiciousPassword,
                "the password ends in a line break, which is sent with it; `echo` adds one, `printf %s` does not",
            );
        } else if self.bytes.iter().any(u8::is_ascii_control) {
            report(
                Reason::SuspiciousPassword,
                "the credential holds a control character",
            );
        }
    }
}
