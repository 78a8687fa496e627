//! Configuration: as written → as merged → validated.
//!
//! ```text
//! keys ──────────── defaults ─┐
//! config.toml ──▶ file ───────┤
//! conf.d/*.toml ▶ file ───────┼─▶ merge ─▶ Merged ─▶ resolve ─▶ Settings
//! environment ─┐              │
//! flags ───────┴▶ overrides ──┘
//! ```
//!
//! Only [`Settings`] is passed on. Keys, defaults and documentation come from one table, [`keys::KEYS`].

use std::{
    ffi::OsStr,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

pub(crate) use self::syntax::{registry as parse_registry, token_user as parse_token_user};
pub use self::{
    delegation::{
        At, Body, Carrier, Client, DelegationSettings, Exchange, Expected, Grant, HandOut,
        Parameters, Subject, TokenFlow, TokenProtocol, TokenService, Username,
    },
    error::{ConfigError, Place, Problem},
    overrides::{Environment, FlagValue},
    settings::{
        ActivationSettings, AdminSettings, BadEntry, BrokerSettings, CoordinatorSettings,
        HelperSettings, KubernetesSettings, Listen, LogFormat, LogSettings, Management,
        MergePolicy, Origin, Owner, ProviderSettings, RequiredAction, Settings, SourceScope,
        SourceSettings, StorePolicy, TargetKind, TargetSettings, ValidationSettings,
    },
};
use self::{error::Fault, file::Layer, merge::Merged};

mod delegation;
mod error;
mod file;
pub mod keys;
mod merge;
mod overrides;
mod report;
mod resolve;
mod settings;
mod syntax;
mod table;

/// Where the configuration is looked for when nobody names a file.
pub const DEFAULT_FILE: &str = "/etc/pullkeeper/config.toml";

/// The environment's counterpart of `--config`.
pub const FILE_VARIABLE: &str = "PULLKEEPER_CONFIG";

/// A configuration that can be used, and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// What holds.
    pub settings: Settings,
    /// The files that were read, in the order of reading: later ones win.
    pub files: Vec<PathBuf>,
    merged: Merged,
}

/// Reads the configuration: the file, `conf.d/*.toml` beside it in the order of their names, the environment,
/// the flags. Later ones win.
///
/// `explicit` is the file of `--config`; without it `PULLKEEPER_CONFIG` counts, then [`DEFAULT_FILE`], which
/// alone may be missing.
///
/// # Errors
/// Everything that is wrong. Unreadable files, syntax, unknown keys and wrong types in all layers are
/// reported together; values are checked when there is nothing of the kind.
pub fn load(
    explicit: Option<&Path>,
    flags: &[FlagValue],
    environment: Environment<'_>,
) -> Result<Loaded, ConfigError> {
    load_with_default(Path::new(DEFAULT_FILE), explicit, flags, environment)
}

fn load_with_default(
    default: &Path,
    explicit: Option<&Path>,
    flags: &[FlagValue],
    environment: Environment<'_>,
) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let variable = environment(FILE_VARIABLE)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    let named = explicit.or(variable.as_deref());
    let file = named.unwrap_or(default);
    let mut files = Vec::new();
    if named.is_some() || !is_missing(file) {
        files.push(file.to_owned());
    }
    let drop_ins = file.with_file_name("conf.d");
    match drop_ins_in(&drop_ins) {
        Ok(found) => files.extend(found),
        Err(error) => {
            problems.push(Problem::new(
                Place::File(drop_ins.into()),
                Fault::Read(error),
            ));
        }
    }
    let layers = files.iter().map(|path| Layer::read(path));
    let above = [overrides::environment(environment), overrides::flags(flags)];
    let mut good = Vec::new();
    for layer in layers.chain(above) {
        match layer {
            Ok(layer) => good.push(layer),
            Err(more) => problems.extend(more),
        }
    }
    ConfigError::check(problems)?;
    let merged = merge::merge(good).map_err(ConfigError::new)?;
    let settings = resolve::resolve(&merged)?;
    Ok(Loaded {
        settings,
        files,
        merged,
    })
}

fn is_missing(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Files named `*.toml`, in the order of their names. Hidden ones are left out: editors leave those behind,
/// and mounted ConfigMaps keep theirs in hidden directories.
fn drop_ins_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && path.extension() == Some(OsStr::new("toml")) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod page;
#[cfg(test)]
mod tests;
