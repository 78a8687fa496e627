//! Flags and environment variables as a layer of the configuration.

use std::ffi::OsString;

use toml::{
    Spanned,
    de::{DeArray, DeString, DeTable, DeValue},
};

use super::{
    error::{Fault, Place, Problem},
    file::{Layer, LayerOrigin},
    keys::{KEYS, Key, Kind},
};

/// Looks up an environment variable. The process passes `std::env::var_os`, tests pass what they like.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A setting given on the command line.
#[derive(Clone, Debug)]
pub struct FlagValue {
    /// Which one.
    pub key: &'static Key,
    /// What was given.
    pub value: OsString,
}

/// One value on its way into a table.
struct Entry {
    key: &'static Key,
    text: String,
    place: Place,
}

/// The layer of the flags, which must be in the order of the command line.
///
/// # Errors
/// Values that are not UTF-8 or have the wrong type.
pub(crate) fn flags(values: &[FlagValue]) -> Result<Layer, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut entries = Vec::new();
    for FlagValue { key, value } in values {
        let place = Place::Flag(key.flag.map_or(key.path, |(flag, _)| flag));
        if let Some(text) = utf8(key, value.clone(), &place, &mut problems) {
            entries.push(Entry {
                key,
                text: from_current_directory(key, text),
                place,
            });
        }
    }
    build(entries, problems)
}

/// The layer of the environment. Empty variables count as unset, as manifests cannot remove a variable.
///
/// # Errors
/// Values that are not UTF-8 or have the wrong type.
pub(crate) fn environment(environment: Environment<'_>) -> Result<Layer, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut entries = Vec::new();
    for key in KEYS {
        let names = [key.also_environment.map(str::to_owned), key.environment()];
        for name in names.into_iter().flatten() {
            let Some(value) = environment(&name).filter(|value| !value.is_empty()) else {
                continue;
            };
            let place = Place::Environment(name);
            let Some(text) = utf8(key, value, &place, &mut problems) else {
                continue;
            };
            let parts = if key.is_repeated() {
                text.split(',').collect()
            } else {
                vec![&*text]
            };
            entries.extend(parts.into_iter().map(|part| Entry {
                key,
                text: part.trim().to_owned(),
                place: place.clone(),
            }));
        }
    }
    build(entries, problems)
}

fn utf8(key: &Key, value: OsString, place: &Place, problems: &mut Vec<Problem>) -> Option<String> {
    let text = value.into_string();
    if text.is_err() {
        let why = "must be UTF-8".to_owned();
        let fault = Fault::BadValue {
            key: key.path.to_owned(),
            why,
        };
        problems.push(Problem::new(place.clone(), fault));
    }
    text.ok()
}

/// Makes relative paths absolute, because on a command line they mean the current directory.
fn from_current_directory(key: &Key, text: String) -> String {
    let absolute = |path: &str| {
        let path = std::path::absolute(path).ok()?;
        path.into_os_string().into_string().ok()
    };
    match (key.kind, text.split_once('=')) {
        (Kind::Path, _) => absolute(&text).unwrap_or(text),
        (Kind::Tables, Some((kind, path))) => {
            absolute(path).map_or_else(|| text.clone(), |path| format!("{kind}={path}"))
        }
        _ => text,
    }
}

/// Turns entries into the document that a file would have had. The span of a value is its number.
fn build(entries: Vec<Entry>, mut problems: Vec<Problem>) -> Result<Layer, Vec<Problem>> {
    let mut root = DeTable::new();
    let mut places = Vec::new();
    for (number, Entry { key, text, place }) in entries.into_iter().enumerate() {
        let at = |value| Spanned::new(number..number, value);
        let text_value = |text: &str| at(DeValue::String(text.to_owned().into()));
        let name = |name: &'static str| Spanned::new(number..number, DeString::from(name));
        match (key.kind, key.path.split_once('.')) {
            (Kind::Tables, _) => {
                let (kind, path) = match text.split_once('=') {
                    Some((kind, path)) => (kind, Some(path)),
                    None => (&*text, None),
                };
                let mut table = DeTable::new();
                table.insert(name("kind"), text_value(kind));
                if let Some(path) = path {
                    table.insert(name("path"), text_value(path));
                }
                push(&mut root, name(key.path), at(DeValue::Table(table)));
            }
            (_, Some(("source", field))) => {
                let mut table = DeTable::new();
                table.insert(name(field), text_value(&text));
                push(&mut root, name("source"), at(DeValue::Table(table)));
            }
            (kind, path) => {
                let (section, field) = path.map_or((None, key.path), |(section, field)| {
                    (Some(name(section)), field)
                });
                edit(&mut root, section, |table| match (kind, &*text) {
                    (Kind::List, _) => push(table, name(field), text_value(&text)),
                    (Kind::Bool, "true" | "false") => {
                        let value = DeValue::Boolean(text == "true");
                        table.insert(name(field), at(value));
                    }
                    _ => {
                        table.insert(name(field), text_value(&text));
                    }
                });
            }
        }
        places.push(place);
    }
    let table = Spanned::new(0..0, root);
    match Layer::from_table(table, LayerOrigin::Listed(places)) {
        Ok(layer) if problems.is_empty() => Ok(layer),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// Lets `change` work on a section, or on the root.
fn edit(
    root: &mut DeTable<'static>,
    section: Option<Spanned<DeString<'static>>>,
    change: impl FnOnce(&mut DeTable<'static>),
) {
    let Some(section) = section else {
        return change(root);
    };
    let span = section.span();
    let empty = || Spanned::new(span, DeValue::Table(DeTable::new()));
    if let DeValue::Table(table) = root.entry(section).or_insert_with(empty).get_mut() {
        change(table);
    }
}

fn push(
    table: &mut DeTable<'static>,
    name: Spanned<DeString<'static>>,
    value: Spanned<DeValue<'static>>,
) {
    let span = name.span();
    let empty = || Spanned::new(span, DeValue::Array(DeArray::new()));
    if let DeValue::Array(array) = table.entry(name).or_insert_with(empty).get_mut() {
        array.push(value);
    }
}
