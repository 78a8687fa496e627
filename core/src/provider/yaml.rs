//! YAML as kubelet's decoder reads it (sigs.k8s.io/yaml over go.yaml.in/yaml/v2).
//!
//! Two parsers never agree on all of YAML. So only what nobody writes by hand is left out ([`Unusual`]): it is
//! refused although kubelet may read it, and the text says how to write it instead. The first document counts;
//! kubelet ignores what follows it, whatever that is.

use std::fmt;

use granit_parser::{ErrorKind, Parser, ScanError, options};

use super::document::Value;
use super::fault::What;

mod plain;
mod tree;

/// YAML that is refused here although kubelet may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusual {
    /// An anchor, an alias or a merge key.
    Anchor,
    /// A byte order mark, a control character, or a line break that is neither LF nor CRLF; anywhere in the file,
    /// also behind its first document.
    Character(char),
    /// A directive (`%YAML`, `%TAG`).
    Directive,
    /// Not UTF-8.
    Encoding,
    /// An escape that JSON and later versions of YAML have: `\/`, and half a character (`\ud83d`).
    Escape,
    /// Between brackets or braces: an unquoted value with a `?` in it or a `:` at its beginning, which may be taken for
    /// the mark of a key, or no value at all.
    Flow,
    /// A key of several lines, one whose `:` is on another line, or one that is a list or an object.
    Key,
    /// A document that begins on the line of its `---`, or a `...` before any document.
    Marker,
    /// A tab outside of a comment that has its line for itself.
    Tab,
    /// A tag (`!!str`).
    Tag,
}

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anchor => f.write_str("an anchor, alias or merge key; write the values out"),
            Self::Character(found) => write!(
                f,
                "the character U+{:04X}; remove it, or write it as an escape in double quotes",
                u32::from(*found)
            ),
            Self::Directive => f.write_str("a directive; remove the line"),
            Self::Encoding => f.write_str("bytes that are not UTF-8; save the file as UTF-8"),
            Self::Escape => {
                f.write_str("an escape that is not known everywhere; write the character itself")
            }
            Self::Flow => f.write_str(
                "between brackets an unquoted `?`, a leading `:`, or a missing value; write quotes, or null",
            ),
            Self::Key => {
                f.write_str("a key that is no text on one line with its `:`; write `name: value`")
            }
            Self::Marker => f.write_str("a document marker that does not have its line for itself"),
            Self::Tab => f.write_str("a tab; use spaces, or \"\\t\" in double quotes"),
            Self::Tag => f.write_str("a tag; quote the value if it is to be a string"),
        }
    }
}

/// The fault for something unusual.
pub(super) fn unusual(line: usize, what: Unusual) -> What {
    What::UnusualYaml { line, what }
}

/// The first document.
pub(super) fn parse(text: &str) -> Result<Value, What> {
    check_characters(text)?;
    let (skipped, document) = first_document(text)?;
    let options = options! {
        disallow_directives: true,
        block_scalar_eof_without_line_feed: true,
        emit_comments: false,
        flow_nesting_limit: 64,
        block_nesting_limit: 64,
    };
    let mut tree = tree::Tree::default();
    for next in Parser::new_from_str_with_options(document, options) {
        let (event, span) = next.map_err(|error| refused(&error, skipped))?;
        let line = skipped + span.start.line();
        let written = span.byte_range().and_then(|range| {
            let after = document.get(range.end..)?;
            Some((document.get(range)?, after))
        });
        tree.take(event, written.unwrap_or_default())
            .map_err(|what| unusual(line, what))?;
    }
    Ok(tree.root())
}

fn refused(error: &ScanError, skipped: usize) -> What {
    let line = skipped + error.marker().line();
    match error.kind() {
        ErrorKind::DirectiveDisallowed => unusual(line, Unusual::Directive),
        _ => What::Yaml {
            line,
            what: error.info(),
        },
    }
}

/// kubelet refuses some of these (go.yaml.in/yaml/v2, readerc.go) and reads others in its own way.
fn check_characters(text: &str) -> Result<(), What> {
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let is_comment = line.trim_start_matches(' ').starts_with('#');
        let found = line.chars().find(|character| match character {
            '\t' => !is_comment,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => true,
            other => other.is_control(),
        });
        match found {
            Some('\t') => return Err(unusual(index + 1, Unusual::Tab)),
            Some(other) => return Err(unusual(index + 1, Unusual::Character(other))),
            None => {}
        }
    }
    Ok(())
}

/// The text of the first document without its markers, and how many lines stand before it.
fn first_document(text: &str) -> Result<(usize, &str), What> {
    let is_marker = |line: &str| {
        let rest = line
            .strip_prefix("---")
            .or_else(|| line.strip_prefix("..."));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\r', '\n']))
    };
    let is_blank = |line: &str| {
        let line = line.trim_matches([' ', '\r', '\n']);
        line.is_empty() || line.starts_with('#')
    };
    let mut start = 0;
    let mut at = 0;
    let mut skipped = 0;
    let mut begun = false;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if is_marker(line) {
            if begun {
                return Ok((skipped, &text[start..at]));
            }
            if line.starts_with('.') || !is_blank(&line[3..]) {
                return Err(unusual(index + 1, Unusual::Marker));
            }
            begun = true;
            start = at + line.len();
            skipped = index + 1;
        }
        begun |= !is_blank(line);
        at += line.len();
    }
    Ok((skipped, &text[start..]))
}

#[cfg(test)]
mod tests;
