//! The configuration as written: one TOML document, with the place of every value.

use std::{fs, io::Read as _, ops::Range, path::Path, sync::Arc};

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer},
};

use super::{
    error::{Fault, Place, Problem},
    keys::{KEYS, Key, Kind},
    table::{WrittenDelegation, WrittenSource, WrittenTarget},
};

/// Larger files are refused: nobody writes them by hand, and the path may name anything.
const MAX_BYTES: u64 = 1 << 20;

type Text = Option<Spanned<String>>;
type Flag = Option<Spanned<bool>>;
type List = Option<Spanned<Vec<String>>>;

/// One document. Field names are the keys; what they mean is in [`KEYS`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) node_name: Text,
    pub(crate) state_dir: Text,
    pub(crate) resync_interval: Text,
    pub(crate) source: Vec<Spanned<WrittenSource>>,
    pub(crate) target: Vec<Spanned<WrittenTarget>>,
    pub(crate) validation: Validation,
    pub(crate) activation: Activation,
    pub(crate) admin: Admin,
    pub(crate) broker: Broker,
    pub(crate) credential_helper: CredentialHelper,
    pub(crate) kubelet_provider: KubeletProvider,
    pub(crate) delegation: Vec<Spanned<WrittenDelegation>>,
    pub(crate) log: Log,
    pub(crate) kubernetes: Kubernetes,
    pub(crate) coordinator: Coordinator,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Validation {
    pub(crate) bad_entry: Text,
    pub(crate) allow_empty: Flag,
    pub(crate) required_registries: List,
    pub(crate) required_action: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Activation {
    pub(crate) units: List,
    pub(crate) timeout: Text,
    pub(crate) settle: Text,
    pub(crate) health_url: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admin {
    pub(crate) listen: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Broker {
    pub(crate) listen: Text,
    pub(crate) allowed_users: List,
    pub(crate) allowed_groups: List,
    pub(crate) store: Text,
    pub(crate) exchange_cache: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CredentialHelper {
    pub(crate) directory: Text,
    pub(crate) source: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KubeletProvider {
    pub(crate) management: Text,
    pub(crate) profile: Text,
    pub(crate) host_root: Text,
    pub(crate) directory: Text,
    pub(crate) helper: Text,
    pub(crate) match_images: List,
    pub(crate) token_audience: Text,
    pub(crate) timeout: Text,
    pub(crate) settle: Text,
    pub(crate) health_url: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) format: Text,
    pub(crate) level: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kubernetes {
    pub(crate) kubeconfig: Text,
    pub(crate) events: Flag,
    pub(crate) rollouts: Flag,
    pub(crate) watch_timeout: Text,
    pub(crate) request_timeout: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Coordinator {
    pub(crate) lease: Text,
    pub(crate) lease_duration: Text,
}

/// A document and the way from its spans back to what the user wrote.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) file: File,
    pub(crate) origin: LayerOrigin,
}

#[derive(Debug)]
pub(crate) enum LayerOrigin {
    /// The table of settings.
    Defaults,
    /// A file; offsets at which its lines begin.
    File { path: Arc<Path>, lines: Vec<usize> },
    /// Flags or environment variables; a span is the number of a place.
    Listed(Vec<Place>),
}

impl Layer {
    /// Reads and checks a file: TOML, known keys, types. Values are not judged yet.
    ///
    /// # Errors
    /// Every unknown key and wrong type, or else the first error of syntax.
    pub(crate) fn read(path: &Path) -> Result<Self, Vec<Problem>> {
        let path: Arc<Path> = path.into();
        let text = read_text(&path)
            .map_err(|error| vec![Problem::new(Place::File(path.clone()), Fault::Read(error))])?;
        Self::parse(&text, LayerOrigin::of_file(path, &text))
    }

    /// Checks a document that is in memory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn parse(text: &str, origin: LayerOrigin) -> Result<Self, Vec<Problem>> {
        // The parser's own Display quotes the line, which may hold anything.
        let table = DeTable::parse(text).map_err(|error| {
            let place = origin.place(&error.span().unwrap_or(0..0));
            vec![Problem::new(
                place,
                Fault::Syntax(error.message().to_owned()),
            )]
        })?;
        Self::from_table(table, origin)
    }

    /// Checks a document that was put together from flags or environment.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn from_table(
        table: Spanned<DeTable<'_>>,
        origin: LayerOrigin,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        check(table.get_ref(), "", &origin, &mut problems);
        if !problems.is_empty() {
            problems.sort_by_key(|problem| match problem.place() {
                Place::Line(_, line) => *line,
                _ => 0,
            });
            return Err(problems);
        }
        match File::deserialize(Deserializer::from(table)) {
            Ok(file) => Ok(Self { file, origin }),
            // `check` leaves nothing for serde to find as long as KEYS and the structs agree.
            Err(error) => {
                let place = origin.place(&error.span().unwrap_or(0..0));
                let what = "keys and their types do not fit together".to_owned();
                Err(vec![Problem::new(place, Fault::Syntax(what))])
            }
        }
    }
}

impl LayerOrigin {
    fn of_file(path: Arc<Path>, text: &str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        Self::File {
            path,
            lines: std::iter::once(0).chain(starts).collect(),
        }
    }

    /// What the user wrote at this span.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        match self {
            Self::Defaults => Place::Default,
            Self::File { path, lines } => Place::Line(
                path.clone(),
                lines.partition_point(|start| *start <= span.start),
            ),
            Self::Listed(places) => places.get(span.start).cloned().unwrap_or(Place::Default),
        }
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind};

    let file = fs::File::open(path)?;
    let mut text = String::new();
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_BYTES {
        return Err(Error::new(ErrorKind::FileTooLarge, "more than 1 MiB"));
    }
    Ok(text)
}

/// Reports keys that do not exist and values whose type is wrong.
fn check(table: &DeTable<'_>, prefix: &str, origin: &LayerOrigin, problems: &mut Vec<Problem>) {
    for (name, value) in table {
        let path = format!("{prefix}{}", name.get_ref());
        let section = format!("{path}.");
        let key = Key::find(&path);
        let mut wrong_type = |expected, value: &Spanned<DeValue<'_>>| {
            let found = found(value.get_ref());
            let fault = Fault::WrongType {
                key: path.clone(),
                expected,
                found,
            };
            problems.push(Problem::new(origin.place(&value.span()), fault));
        };
        match (key.map(|key| key.kind), value.get_ref()) {
            (Some(Kind::Tables), DeValue::Array(tables)) => {
                for element in tables.iter() {
                    match element.get_ref() {
                        DeValue::Table(table) => check(table, &section, origin, problems),
                        _ => {
                            let expected = Kind::Tables.toml_type();
                            let found = "an array of other values";
                            let fault = Fault::WrongType {
                                key: path.clone(),
                                expected,
                                found,
                            };
                            problems.push(Problem::new(origin.place(&element.span()), fault));
                        }
                    }
                }
            }
            (Some(kind @ Kind::List), DeValue::Array(items)) => {
                for item in items.iter().filter(|item| !item.get_ref().is_str()) {
                    wrong_type(kind.toml_type(), item);
                }
            }
            (Some(kind @ Kind::Strings), DeValue::Table(strings)) => {
                for (_, value) in strings
                    .iter()
                    .filter(|(_, value)| !value.get_ref().is_str())
                {
                    wrong_type(kind.toml_type(), value);
                }
            }
            (Some(Kind::Bool), DeValue::Boolean(_)) => {}
            (
                Some(Kind::Duration | Kind::Path | Kind::Text | Kind::Word(_)),
                DeValue::String(_),
            ) => {}
            (Some(kind), _) => wrong_type(kind.toml_type(), value),
            (None, DeValue::Table(table)) if is_section(&section) => {
                check(table, &section, origin, problems);
            }
            (None, _) if is_section(&section) => wrong_type("a table", value),
            (None, _) => {
                let hint = hint(prefix, name.get_ref());
                let fault = Fault::UnknownKey { key: path, hint };
                problems.push(Problem::new(origin.place(&name.span()), fault));
            }
        }
    }
}

fn is_section(section: &str) -> bool {
    KEYS.iter().any(|key| key.path.starts_with(section))
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Array(_) => "an array",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Integer(_) => "a number",
        DeValue::String(_) => "a string",
        DeValue::Table(_) => "a table",
    }
}

/// What the user may have meant by a key that does not exist.
fn hint(prefix: &str, name: &str) -> String {
    let mut known: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| key.path.strip_prefix(prefix))
        .map(|rest| rest.split('.').next().unwrap_or(rest))
        .collect();
    known.dedup();
    if let Some(meant) = nearest(name, known.iter().copied()) {
        return format!("did you mean `{prefix}{meant}`?");
    }
    let elsewhere = KEYS
        .iter()
        .find(|key| key.path.rsplit('.').next() == Some(name));
    if let Some(key) = elsewhere {
        return format!("did you mean `{}`?", key.path);
    }
    let known = known
        .iter()
        .map(|known| format!("`{prefix}{known}`"))
        .collect::<Vec<_>>();
    format!("known here: {}", known.join(", "))
}

/// The word that `written` is most likely a slip for, if there is one.
pub(crate) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase().replace('-', "_");
    known
        .map(|known| {
            let plain = known.replace('-', "_");
            let part = written.len() > 3 && plain.len() > 3;
            let part = part && (written.contains(&plain) || plain.contains(&written));
            (!part, strsim::damerau_levenshtein(&written, &plain), known)
        })
        .min()
        .filter(|(other, distance, known)| !other || *distance <= 1 + known.len() / 4)
        .map(|(_, _, known)| known)
}
