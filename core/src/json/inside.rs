//! What is inside an object or an array.
//!
//! A [`Node`] is known to be well-formed, so nothing is checked again here: a document is validated once, and
//! then only cut up, however deep it is looked into.

use std::borrow::Cow;
use std::fmt;

use super::Node;
use super::lexical::{end_of_value, skip_blanks};

/// One `"name": value` pair of an object.
pub struct Member<'a> {
    /// The name, unescaped.
    pub name: Cow<'a, str>,
    /// Byte offset of the name's opening quote.
    pub offset: usize,
    /// The value.
    pub value: Node<'a>,
}

/// Names can carry credentials (`https://user:password@host`), so only the place is shown.
impl fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("offset", &self.offset)
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

/// The members of an object, in document order.
#[derive(Clone, Debug, Default)]
pub struct Members<'a>(Option<Cursor<'a>>);

impl<'a> Members<'a> {
    pub(super) fn of(object: Node<'a>) -> Self {
        Self(Some(Cursor::inside(object)))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let cursor = self.0.as_mut()?;
        let name = cursor.value()?;
        Some(Member {
            name: name.text().unwrap_or_default(),
            offset: name.start,
            value: cursor.value()?,
        })
    }
}

/// The elements of an array, in order.
#[derive(Clone, Debug, Default)]
pub struct Elements<'a>(Option<Cursor<'a>>);

impl<'a> Elements<'a> {
    pub(super) fn of(array: Node<'a>) -> Self {
        Self(Some(Cursor::inside(array)))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        self.0.as_mut()?.value()
    }
}

/// A place between two values of an object or array.
#[derive(Clone)]
struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// Where the closing bracket is.
    end: usize,
}

impl<'a> Cursor<'a> {
    fn inside(node: Node<'a>) -> Self {
        Self {
            text: node.text,
            at: node.start + 1,
            end: node.end - 1,
        }
    }

    /// The next name or value; commas and colons are where the grammar has them.
    fn value(&mut self) -> Option<Node<'a>> {
        let bytes = &self.text.as_bytes()[..self.end];
        let start = skip_blanks(bytes, self.at);
        if start >= self.end {
            return None;
        }
        let end = end_of_value(bytes, start);
        self.at = end;
        Some(Node {
            text: self.text,
            start,
            end,
        })
    }
}

/// Shows the place and nothing of the text.
impl fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
