//! Decoding into typed fields as Go's encoding/json does (decode.go).
//!
//! Field names match whatever their case, unknown fields are ignored, each later occurrence is
//! decoded over what the earlier ones left, and `null` empties a map but leaves a string as it is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::fault::{DocumentError, Fault};
use crate::json::{Kind, Member, Members, Node, folds_to};

/// A Go map with string keys, with the place of each key. Its order is that of the keys, so that
/// all walks over it are reproducible.
pub(super) type Map<'t, V> = BTreeMap<Cow<'t, str>, Slot<V>>;

/// One value of a [`Map`].
pub(super) struct Slot<V> {
    /// Byte offset of the key.
    pub(super) offset: usize,
    pub(super) value: V,
}

/// A string field: the last string that was decoded into it.
#[derive(Clone, Copy, Default)]
pub(super) struct Field<'t>(Option<Node<'t>>);

impl<'t> Field<'t> {
    /// Decodes `value` into the field.
    pub(super) fn set(&mut self, value: Node<'t>) -> Result<(), DocumentError> {
        match value.kind() {
            Kind::Null => {}
            Kind::String => self.0 = Some(value),
            _ => return Err(wrong_type(value, "a string")),
        }
        Ok(())
    }

    /// Where the string is; 0 when there is none.
    pub(super) fn offset(&self) -> usize {
        self.0.map_or(0, |node| node.offset())
    }

    /// The string; empty when there is none.
    pub(super) fn text(&self) -> Cow<'t, str> {
        self.0.and_then(|node| node.text()).unwrap_or_default()
    }

    /// Lends the string to `read`. What had to be copied for it is wiped afterwards.
    pub(super) fn lend<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        match self.text() {
            Cow::Borrowed(text) => read(text),
            Cow::Owned(text) => read(&Zeroizing::new(text)),
        }
    }
}

/// The members of a document that is decoded into a struct or a map; `null` has none.
pub(super) fn root_members(root: Node<'_>) -> Result<Members<'_>, DocumentError> {
    match (root.kind(), root.members()) {
        (_, Some(members)) => Ok(members),
        (Kind::Null, None) => Ok(Members::default()),
        (found, None) => Err(DocumentError::new(
            root.offset(),
            Fault::NotAnObject { found },
        )),
    }
}

/// The members of a value that is decoded into a struct; `null` has none.
pub(super) fn struct_members(value: Node<'_>) -> Result<Members<'_>, DocumentError> {
    match (value.kind(), value.members()) {
        (_, Some(members)) => Ok(members),
        (Kind::Null, None) => Ok(Members::default()),
        _ => Err(wrong_type(value, "an object")),
    }
}

/// Decodes a struct whose fields of interest are all strings, in the order of `names`.
pub(super) fn fields<'t, const N: usize>(
    value: Node<'t>,
    names: [&str; N],
) -> Result<[Field<'t>; N], DocumentError> {
    let mut fields = [Field::default(); N];
    for member in struct_members(value)? {
        if let Some(at) = names.iter().position(|name| folds_to(&member.name, name)) {
            fields[at].set(member.value)?;
        }
    }
    Ok(fields)
}

/// Decodes `value` into `map`, whose values are decoded anew by `decode`.
pub(super) fn map_into<'t, V>(
    map: &mut Map<'t, V>,
    value: Node<'t>,
    decode: impl Fn(Node<'t>) -> Result<V, DocumentError>,
) -> Result<(), DocumentError> {
    if value.kind() == Kind::Null {
        map.clear();
    }
    insert_members(map, struct_members(value)?, decode)
}

/// Decodes the members of an object into `map`. An error inside a value is an error in that entry.
pub(super) fn insert_members<'t, V>(
    map: &mut Map<'t, V>,
    members: Members<'t>,
    decode: impl Fn(Node<'t>) -> Result<V, DocumentError>,
) -> Result<(), DocumentError> {
    for Member {
        name,
        offset,
        value,
    } in members
    {
        let value = decode(value).map_err(|error| error.in_entry(offset))?;
        map.insert(name, Slot { offset, value });
    }
    Ok(())
}

/// Decodes a string, as the value of a map.
pub(super) fn string(value: Node<'_>) -> Result<Field<'_>, DocumentError> {
    let mut field = Field::default();
    field.set(value)?;
    Ok(field)
}

/// Checks that `value` can be decoded into a map of strings.
pub(super) fn check_string_map(value: Node<'_>) -> Result<(), DocumentError> {
    struct_members(value)?.try_for_each(|member| string(member.value).map(drop))
}

/// Checks that `value` can be decoded into a slice of strings.
pub(super) fn check_string_list(value: Node<'_>) -> Result<(), DocumentError> {
    match (value.kind(), value.elements()) {
        (_, Some(mut elements)) => elements.try_for_each(|element| string(element).map(drop)),
        (Kind::Null, None) => Ok(()),
        _ => Err(wrong_type(value, "an array")),
    }
}

fn wrong_type(value: Node<'_>, expected: &'static str) -> DocumentError {
    DocumentError::new(
        value.offset(),
        Fault::WrongType {
            expected,
            found: value.kind(),
        },
    )
}
