//! JSON text as the Go readers of registry auth files see it.
//!
//! kubelet, containers/image and docker/cli all decode with Go's `encoding/json`, which differs
//! from what a Rust program expects: equal member names are all kept and used in turn, invalid
//! UTF-8 and lone surrogates become U+FFFD, field names match whatever their letter case, nesting
//! deeper than 10,000 levels is an error, and a byte order mark is one too. This module keeps what
//! those rules need: every member, in document order, with its place.
//!
//! The text usually holds credentials, so nothing here prints it and its memory is wiped on drop.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;
use zeroize::Zeroizing;

pub use self::inside::{Elements, Member, Members};
pub use self::place::{Places, Position};

mod inside;
mod lexical;
mod place;

/// A JSON source text, after Go's treatment of invalid UTF-8; wiped on drop.
///
/// All offsets of this module are byte offsets into this text. They equal the offsets in the
/// original bytes up to the first byte that is not UTF-8.
pub struct Text(Zeroizing<String>);

impl Text {
    /// Takes over `bytes`, replacing each byte that is not part of valid UTF-8 by one U+FFFD, as Go
    /// does.
    pub fn new(bytes: &[u8]) -> Self {
        if let Ok(text) = str::from_utf8(bytes) {
            return Self(Zeroizing::new(text.to_owned()));
        }
        let replacement = char::REPLACEMENT_CHARACTER.len_utf8();
        let length = bytes
            .utf8_chunks()
            .map(|chunk| chunk.valid().len() + chunk.invalid().len() * replacement)
            .sum();
        // Exact, because growing would leave an unwiped copy behind.
        let mut text = Zeroizing::new(String::with_capacity(length));
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
        }
        Self(text)
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses the text as exactly one value, as `json.Unmarshal` does.
    pub fn parse(&self) -> Result<Node<'_>, SyntaxError> {
        let node = self.parse_first()?;
        let rest = self.0[node.end..].trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            return Ok(node);
        }
        Err(SyntaxError {
            offset: self.0.len() - rest.len(),
            what: "data after the value",
        })
    }

    /// Parses the first value and ignores what follows it, as one call of `json.Decoder.Decode`
    /// does.
    pub fn parse_first(&self) -> Result<Node<'_>, SyntaxError> {
        let text = self.0.as_str();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let raw = <&RawValue>::deserialize(&mut deserializer)
            .map_err(|error| SyntaxError::locate(text, &error))?;
        let node = Node::new(text, raw.get());
        match lexical::too_deep(node.raw()) {
            Some(offset) => Err(SyntaxError {
                offset: node.start + offset,
                what: "nested too deeply",
            }),
            None => Ok(node),
        }
    }

    /// Where `offset` is, for people. An offset past the end is taken as the end.
    pub fn position(&self, offset: usize) -> Position {
        self.places().locate(offset)
    }

    /// Finds many places in one pass, as long as they are asked for in ascending order.
    pub fn places(&self) -> Places<'_> {
        Places::new(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text")
            .field("bytes", &self.0.len())
            .finish_non_exhaustive()
    }
}

/// One value of a [`Text`] that is known to be well-formed. Its inside is looked at only when asked
/// for.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    text: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Node<'a> {
    /// `raw` must be a slice of `text`.
    fn new(text: &'a str, raw: &'a str) -> Self {
        let start = raw.as_ptr().addr() - text.as_ptr().addr();
        Self {
            text,
            start,
            end: start + raw.len(),
        }
    }

    /// What the value is.
    pub fn kind(&self) -> Kind {
        match self.raw().as_bytes().first() {
            Some(b'n') => Kind::Null,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'"') => Kind::String,
            Some(b'[') => Kind::Array,
            Some(b'{') => Kind::Object,
            _ => Kind::Number,
        }
    }

    /// Byte offset of the value's first byte in its [`Text`].
    pub fn offset(&self) -> usize {
        self.start
    }

    /// The value as it is written, without white space around it.
    pub fn raw(&self) -> &'a str {
        &self.text[self.start..self.end]
    }

    /// The members of an object in document order, equal names included; `None` when it is not an
    /// object.
    pub fn members(&self) -> Option<Members<'a>> {
        (self.kind() == Kind::Object).then(|| Members::of(*self))
    }

    /// The elements of an array in order; `None` when it is not an array.
    pub fn elements(&self) -> Option<Elements<'a>> {
        (self.kind() == Kind::Array).then(|| Elements::of(*self))
    }

    /// The value of a string, a lone surrogate escape read as U+FFFD; `None` when it is not a
    /// string.
    ///
    /// An owned result may be a secret: who keeps it wipes it.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        let quoted = self.raw().strip_prefix('"')?.strip_suffix('"')?;
        Some(lexical::unescape(quoted))
    }
}

/// Shows what the value is and where, never its content.
impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("kind", &self.kind())
            .field("offset", &self.start)
            .finish_non_exhaustive()
    }
}

/// The six kinds of JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// Any number.
    Number,
    /// A string.
    String,
    /// `[…]`
    Array,
    /// `{…}`
    Object,
}

impl Kind {
    /// The kind's lower-case name, as the JSON specification (RFC 8259) writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "boolean",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

/// The text is not JSON. Names the place and one of a few fixed reasons, never what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cannot parse JSON at byte {offset}: {what}")]
pub struct SyntaxError {
    /// Byte offset of the first byte that cannot belong to the value; the length of the text when
    /// it ends too early.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl SyntaxError {
    fn locate(text: &str, error: &serde_json::Error) -> Self {
        if error.is_eof() {
            return Self {
                offset: text.len(),
                what: "unexpected end of the text",
            };
        }
        let line_start = match error.line().checked_sub(2) {
            Some(newline) => text
                .match_indices('\n')
                .nth(newline)
                .map_or(0, |(at, _)| at + 1),
            None => 0,
        };
        // serde_json's column is the number of bytes of the line up to and including the offending
        // one, except for a control character in a string, which it does not include.
        let after = line_start + error.column();
        let control = text.as_bytes().get(after).is_some_and(|byte| *byte < b' ')
            && lexical::ends_in_string(&text[..text.floor_char_boundary(after)]);
        let last = if control {
            after
        } else {
            after.saturating_sub(1)
        };
        let offset = text.floor_char_boundary(last);
        let what = match text[offset..].chars().next() {
            Some('\u{feff}') if offset == 0 => "byte order mark",
            Some(_) if control => "control character in a string",
            Some(_) => "unexpected character",
            None => "unexpected end of the text",
        };
        Self { offset, what }
    }
}

/// Whether Go decodes a member called `name` into the struct field tagged `field`, which must be
/// ASCII.
///
/// Go compares under simple Unicode case folding, so `ſ` (U+017F) stands for `s` and the Kelvin
/// sign (U+212A) for `k` (encoding/json, fold.go).
pub fn folds_to(name: &str, field: &str) -> bool {
    let folded = name.chars().map(|character| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(field
        .chars()
        .map(|character| character.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests;
