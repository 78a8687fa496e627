//! A file as the values that kubelet's decoder sees, whether it is JSON or YAML.

use super::fault::What;
use super::yaml;
use crate::json::{Kind, Member, Node, SyntaxError, Text};

/// A JSON value, or the one that a YAML node stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// No field is a number, so it does not matter which one.
    Number,
    Text(String),
    List(Vec<Value>),
    /// In document order; equal names are kept, because they are a fault.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// With its article, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Reads a file as kubelet's decoder does: as JSON when it begins with a brace, and otherwise as YAML
/// (apimachinery, `pkg/runtime/serializer/recognizer` and `json`).
pub(super) fn read(bytes: &[u8]) -> Result<Value, What> {
    let text = Text::new(bytes);
    if text.as_str().trim_start().starts_with('{') {
        let root = text.parse().map_err(|error| syntax(&text, error))?;
        return Ok(value(root, 0));
    }
    let text = str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        yaml::unusual(line, yaml::Unusual::Encoding)
    })?;
    yaml::parse(text)
}

fn syntax(text: &Text, error: SyntaxError) -> What {
    let position = text.position(error.offset);
    What::Json {
        line: position.line as usize,
        what: error.what,
    }
}

/// What lies deeper than any field of the configuration. What holds it has the wrong type or an unknown name,
/// so it need not be looked at.
pub(super) const TOO_DEEP: usize = 8;

fn value(node: Node<'_>, depth: usize) -> Value {
    match node.kind() {
        Kind::Bool => Value::Bool(node.raw() == "true"),
        Kind::Number => Value::Number,
        Kind::String => Value::Text(node.text().unwrap_or_default().into_owned()),
        Kind::Array if depth < TOO_DEEP => {
            let elements = node.elements().into_iter().flatten();
            Value::List(elements.map(|element| value(element, depth + 1)).collect())
        }
        Kind::Object if depth < TOO_DEEP => {
            let members = node.members().into_iter().flatten();
            let named =
                |member: Member<'_>| (member.name.into_owned(), value(member.value, depth + 1));
            Value::Object(members.map(named).collect())
        }
        Kind::Null | Kind::Array | Kind::Object => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brace_makes_it_json_and_nothing_may_follow() {
        assert_eq!(
            read(b" \n{\"a\": [1, null, true, \"\\u0041\"], \"a\": {}}\n").unwrap(),
            Value::Object(vec![
                (
                    "a".to_owned(),
                    Value::List(vec![
                        Value::Number,
                        Value::Null,
                        Value::Bool(true),
                        Value::Text("A".to_owned())
                    ])
                ),
                ("a".to_owned(), Value::Object(vec![])),
            ])
        );
        for bad in ["{} x", "{}\n---\n", "{a: b}", "\u{a0}{}", "{"] {
            let error = read(bad.as_bytes()).unwrap_err();
            assert!(matches!(error, What::Json { .. }), "{bad} {error}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(9_000), "]".repeat(9_000));
        assert!(read(deep.as_bytes()).is_ok());
    }
}
