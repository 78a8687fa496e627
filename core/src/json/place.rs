//! Byte offsets as lines and columns.

use std::fmt;

use memchr::{memchr_iter, memrchr};
use serde::Serialize;

/// A place in a text; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// Line number.
    pub line: u32,
    /// Character within the line.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Remembers the last place, so that finding thousands of them reads the text once.
#[derive(Clone)]
pub struct Places<'t> {
    text: &'t str,
    offset: usize,
    last: Position,
}

impl<'t> Places<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            offset: 0,
            last: Position { line: 1, column: 1 },
        }
    }

    /// Where `offset` is. An offset past the end is taken as the end; one before the last starts over.
    pub fn locate(&mut self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        if offset < self.offset {
            *self = Self::new(self.text);
        }
        let between = &self.text[self.offset..offset];
        let lines = memchr_iter(b'\n', between.as_bytes()).count();
        let (from, tail) = match memrchr(b'\n', between.as_bytes()) {
            Some(newline) => (1, &between[newline + 1..]),
            None => (self.last.column, between),
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.last = Position {
            line: self.last.line.saturating_add(count(lines)),
            column: from.saturating_add(count(tail.chars().count())),
        };
        self.offset = offset;
        self.last
    }
}

impl fmt::Debug for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}
