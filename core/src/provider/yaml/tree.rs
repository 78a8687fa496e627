//! The value that the events of one document make, with a look at how its scalars are written.

use granit_parser::{Event, ScalarStyle, StructureStyle};

use super::{Unusual, plain};
use crate::provider::document::{TOO_DEEP, Value};

/// Builds a value from the events of one document.
#[derive(Default)]
pub(super) struct Tree {
    root: Option<Value>,
    open: Vec<Open>,
    /// How many of the open ones are in brackets or braces; all inside of the first are.
    flow: usize,
}

/// A collection whose end has not been seen.
enum Open {
    List(Vec<Value>),
    Object(Vec<(String, Value)>, Option<String>),
}

impl Tree {
    /// What has been built; null when there was nothing.
    pub(super) fn root(self) -> Value {
        self.root.unwrap_or(Value::Null)
    }

    /// Adds an event, with how it was written and what follows it.
    pub(super) fn take(
        &mut self,
        event: Event<'_>,
        (source, after): (&str, &str),
    ) -> Result<(), Unusual> {
        match event {
            Event::Alias(_) | Event::Anchor(..) | Event::UnresolvedAlias(_) => {
                return Err(Unusual::Anchor);
            }
            Event::Scalar(text, style, anchor, tag) => {
                check_properties(anchor, tag.is_some())?;
                self.check_notation(&text, style, source)?;
                if self.expects_key() {
                    check_key(source, after)?;
                }
                self.add(match style {
                    ScalarStyle::Plain => plain::resolve(&text),
                    _ => Value::Text(text.into_owned()),
                });
            }
            Event::SequenceStart(style, anchor, tag) => {
                check_properties(anchor, tag.is_some())?;
                self.open(style, Open::List(Vec::new()))?;
            }
            Event::MappingStart(style, anchor, tag) => {
                check_properties(anchor, tag.is_some())?;
                self.open(style, Open::Object(Vec::new(), None))?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.flow = self.flow.saturating_sub(1);
                match self.open.pop() {
                    Some(Open::List(elements)) => self.add(Value::List(elements)),
                    Some(Open::Object(members, _)) => self.add(Value::Object(members)),
                    None => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the next scalar is a key.
    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Object(_, None)))
    }

    fn check_notation(&self, text: &str, style: ScalarStyle, source: &str) -> Result<(), Unusual> {
        let may_mark_key = || source.is_empty() || source.contains('?') || source.starts_with(':');
        match style {
            ScalarStyle::Plain if text == "<<" => Err(Unusual::Anchor),
            ScalarStyle::Plain if self.flow > 0 && may_mark_key() => Err(Unusual::Flow),
            ScalarStyle::DoubleQuoted if has_strange_escape(source) => Err(Unusual::Escape),
            _ => Ok(()),
        }
    }

    fn open(&mut self, style: StructureStyle, collection: Open) -> Result<(), Unusual> {
        if self.expects_key() {
            return Err(Unusual::Key);
        }
        self.flow += usize::from(self.flow > 0 || style == StructureStyle::Flow);
        self.open.push(collection);
        Ok(())
    }

    fn add(&mut self, value: Value) {
        let too_deep = self.open.len() > TOO_DEEP;
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::List(elements)) if !too_deep => elements.push(value),
            Some(Open::List(_)) => {}
            Some(Open::Object(members, name)) => match name.take() {
                Some(name) => members.push((name, value)),
                // No field is called like what else a key can be, so that it is found unknown.
                None => {
                    *name = Some(match value {
                        Value::Text(text) => text,
                        other => format!("({})", other.kind()),
                    });
                }
            },
        }
    }
}

/// Whether a text in double quotes has an escape that kubelet refuses (scannerc.go).
fn has_strange_escape(quoted: &str) -> bool {
    let mut rest = quoted;
    while let Some((_, escape)) = rest.split_once('\\') {
        let strange = match escape.as_bytes() {
            [
                b'u',
                b'd' | b'D',
                b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F',
                ..,
            ]
            | [] => true,
            [known, ..] => !b"0abtnvfre \"'\\N_LPxuU\r\n".contains(known),
        };
        if strange {
            return true;
        }
        rest = escape.strip_prefix('\\').unwrap_or(escape);
    }
    false
}

/// kubelet wants a key on one line with its colon.
fn check_key(source: &str, after: &str) -> Result<(), Unusual> {
    match after.trim_start_matches(' ').starts_with(':') && !source.contains('\n') {
        true => Ok(()),
        false => Err(Unusual::Key),
    }
}

fn check_properties(anchor: usize, tag: bool) -> Result<(), Unusual> {
    match (anchor, tag) {
        (0, false) => Ok(()),
        (0, true) => Err(Unusual::Tag),
        _ => Err(Unusual::Anchor),
    }
}
