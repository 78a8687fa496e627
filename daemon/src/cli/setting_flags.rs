//! The flags of the settings, made from the table of settings.

use std::ffi::OsString;

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches,
    builder::{
        OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser as _,
        ValueParser,
    },
};

use crate::config::{
    FlagValue,
    keys::{Fallback, KEYS, Key, Kind},
};

/// Settings given on the command line, in its order.
#[derive(Clone, Debug, Default)]
pub struct SettingFlags {
    /// What was given.
    pub values: Vec<FlagValue>,
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        command
            .next_help_heading("Settings")
            .args(KEYS.iter().filter_map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found: Vec<(usize, FlagValue)> = Vec::new();
        for key in KEYS {
            let Some((flag, _)) = key.flag else { continue };
            let values = matches.get_many::<OsString>(flag).into_iter().flatten();
            let indices = matches.indices_of(flag).into_iter().flatten();
            let values = values.map(|value| FlagValue {
                key,
                value: value.clone(),
            });
            found.extend(indices.zip(values));
        }
        // The order decides which of two sources wins, whatever kind they are.
        found.sort_by_key(|(index, _)| *index);
        Ok(Self {
            values: found.into_iter().map(|(_, value)| value).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument(key: &'static Key) -> Option<Arg> {
    let (flag, value_name) = key.flag?;
    let repeated = key.is_repeated();
    let argument = Arg::new(flag)
        .long(flag)
        .value_name(value_name)
        .help(help(key))
        .value_parser(parser(key))
        .action(if repeated {
            ArgAction::Append
        } else {
            ArgAction::Set
        });
    Some(match key.kind {
        // `--allow-empty` alone means true.
        Kind::Bool => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        _ => argument,
    })
}

fn parser(key: &Key) -> ValueParser {
    let words = match key.kind {
        Kind::Bool => vec![PossibleValue::new("true"), PossibleValue::new("false")],
        Kind::Word(words) => words(),
        _ => return ValueParser::new(OsStringValueParser::new()),
    };
    ValueParser::new(PossibleValuesParser::new(words).map(OsString::from))
}

fn help(key: &Key) -> String {
    let mut help = key.meaning.to_owned();
    if key.is_repeated() {
        help.push_str(" May be given several times.");
    }
    let names: Vec<String> = key
        .environment()
        .into_iter()
        .chain(key.also_environment.map(str::to_owned))
        .collect();
    help.push_str(&format!(" [env: {}]", names.join(", ")));
    if let (Fallback::Toml(value), false) = (key.default, key.is_repeated()) {
        help.push_str(&format!(" [default: {}]", value.trim_matches('"')));
    }
    help
}
