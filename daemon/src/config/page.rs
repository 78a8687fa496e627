//! Keeps `docs/usage/configure.md` and `examples/config.toml` true: what can be generated is, the rest is read.

use std::fs;
use std::path::Path;

use clap::{CommandFactory as _, ValueEnum as _};
use serde::de::{self, Deserialize, Visitor, value::Error};

use super::{
    file,
    keys::{Fallback, KEYS, Key, Kind},
    table,
};
use crate::page::{self, REWRITE, repository};
use crate::{cli::Cli, exit::Exit};

#[test]
fn the_page_is_what_the_table_says() {
    page::keep_true(
        "docs/usage/configure.md",
        &[
            ("settings", settings()),
            ("arguments", arguments()),
            ("statuses", statuses()),
        ],
    );
}

#[test]
fn the_page_names_every_flag_of_the_help() {
    let page = fs::read_to_string(repository("docs/usage/configure.md")).unwrap();
    let mut cli = Cli::command();
    cli.build();
    let agent = cli.find_subcommand_mut("agent").unwrap();
    let flags: Vec<String> = agent
        .get_arguments()
        .filter_map(|flag| flag.get_long())
        .map(str::to_owned)
        .collect();
    for flag in flags
        .iter()
        .filter(|flag| !["help", "version"].contains(&flag.as_str()))
    {
        assert!(
            page.contains(&format!("`--{flag}")),
            "--{flag} is not on the page: {REWRITE}"
        );
    }
    let help = agent.render_long_help().to_string();
    for key in KEYS {
        let Some((flag, _)) = key.flag else { continue };
        assert!(
            help.contains(&format!("--{flag}")),
            "--{flag} is not in the help"
        );
        assert!(
            help.contains(&key.environment().unwrap()),
            "{} lacks its variable",
            key.path
        );
    }
}

#[test]
fn the_table_has_every_key_that_files_may_have() {
    let root: Vec<&str> = fields::<file::File>().to_vec();
    let mut paths = Vec::new();
    for field in root {
        let (prefix, inner) = match field {
            "source" => ("source", fields::<table::WrittenSource>()),
            "target" => ("target", fields::<table::WrittenTarget>()),
            "validation" => ("validation", fields::<file::Validation>()),
            "activation" => ("activation", fields::<file::Activation>()),
            "admin" => ("admin", fields::<file::Admin>()),
            "broker" => ("broker", fields::<file::Broker>()),
            "credential_helper" => ("credential_helper", fields::<file::CredentialHelper>()),
            "kubelet_provider" => ("kubelet_provider", fields::<file::KubeletProvider>()),
            "delegation" => ("delegation", fields::<table::WrittenDelegation>()),
            "log" => ("log", fields::<file::Log>()),
            "kubernetes" => ("kubernetes", fields::<file::Kubernetes>()),
            "coordinator" => ("coordinator", fields::<file::Coordinator>()),
            scalar => {
                paths.push(scalar.to_owned());
                continue;
            }
        };
        if Key::find(prefix).is_some() {
            paths.push(prefix.to_owned());
        }
        paths.extend(inner.iter().map(|field| format!("{prefix}.{field}")));
    }
    let keys: Vec<String> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    assert_eq!(
        paths, keys,
        "config/keys.rs and config/file.rs must name the same keys in one order"
    );
}

#[test]
fn every_example_about_delegations_is_a_configuration() {
    let page = fs::read_to_string(repository("docs/usage/delegations.md")).unwrap();
    let examples: Vec<_> = page
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(examples.len() > 5, "{} examples", examples.len());
    for example in examples {
        let loaded = super::tests::load_text(example);
        assert!(loaded.is_ok(), "{example}\n{}", loaded.unwrap_err());
    }
    // Every preset has one, and none is named that does not exist.
    for word in super::delegation::PresetWord::value_variants() {
        let name = word.to_possible_value().unwrap();
        assert!(page.contains(&format!("{:?}", name.get_name())), "{name:?}");
    }
}

#[test]
fn variables_are_not_those_that_kubernetes_makes_for_services() {
    // A Service named `pullkeeper` gives pods PULLKEEPER_PORT, PULLKEEPER_SERVICE_HOST, PULLKEEPER_PORT_80_TCP, …
    for name in KEYS.iter().filter_map(Key::environment) {
        assert!(
            !name.ends_with("_PORT") && !name.contains("_PORT_"),
            "{name}"
        );
        assert!(!name.contains("_SERVICE_"), "{name}");
    }
}

#[test]
fn every_example_on_the_page_can_be_used() {
    let page = fs::read_to_string(repository("docs/usage/configure.md")).unwrap();
    let blocks: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 2, "the page has lost its examples");
    for block in blocks {
        let loaded = super::tests::load_text(block);
        assert!(loaded.is_ok(), "{}\n{block}", loaded.unwrap_err());
    }
}

#[test]
fn the_example_shows_every_setting_at_its_default() {
    let path = repository("examples/config.toml");
    let text = fs::read_to_string(&path).unwrap();
    let nothing = |_: &str| None;
    let example = super::load(Some(&path), &[], &nothing).unwrap();
    let absent =
        super::load_with_default(Path::new("/nonexistent/config.toml"), None, &[], &nothing);
    assert_eq!(example.settings, absent.unwrap().settings);
    for key in KEYS.iter().filter(|key| !matches!(key.kind, Kind::Tables)) {
        let name = key.path.rsplit('.').next().unwrap();
        let shown = text.lines().any(|line| {
            let line = line.strip_prefix("# ").unwrap_or(line);
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(" = "))
        });
        assert!(shown, "examples/config.toml does not show `{}`", key.path);
    }
}

/// One table for each section.
fn settings() -> String {
    let mut page = String::new();
    let mut section = None;
    for key in KEYS {
        let (of, name) = key.path.split_once('.').unwrap_or(("", key.path));
        // `source` and `target` stand for their tables.
        let of = if matches!(key.kind, Kind::Tables) {
            key.path
        } else {
            of
        };
        if section != Some(of) {
            section = Some(of);
            let title = match of {
                "" => "At the top".to_owned(),
                "source" | "target" | "delegation" => format!("`[[{of}]]`"),
                _ => format!("`[{of}]`"),
            };
            page.push_str(&format!("\n### {title}\n\n"));
            page.push_str("| Key | Flag, variable | Value | Default | Meaning |\n");
            page.push_str("|---|---|---|---|---|\n");
        }
        let name = if matches!(key.kind, Kind::Tables) {
            format!("[[{name}]]")
        } else {
            name.to_owned()
        };
        page.push_str(&format!(
            "| `{name}` | {} | {} | {} | {} |\n",
            flag_and_variable(key),
            value(key.kind),
            match key.default {
                Fallback::Toml(value) => format!("`{value}`"),
                Fallback::Unset(text) => text.to_owned(),
                Fallback::Required => "none: must be given".to_owned(),
            },
            meaning(key),
        ));
    }
    page.trim_start().to_owned()
}

fn flag_and_variable(key: &Key) -> String {
    let Some((flag, value)) = key.flag else {
        return String::new();
    };
    let flag = match key.kind {
        Kind::Bool => format!("`--{flag}[={value}]`"),
        _ => format!("`--{flag} {value}`"),
    };
    let names = key
        .environment()
        .into_iter()
        .chain(key.also_environment.map(str::to_owned));
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    format!("{flag}, {}", names.join(", else "))
}

fn value(kind: Kind) -> String {
    match kind {
        Kind::Bool => "`true`, `false`".to_owned(),
        Kind::Duration => "duration".to_owned(),
        Kind::List => "array of strings".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Strings => "table of strings".to_owned(),
        Kind::Tables => "tables".to_owned(),
        Kind::Text => "string".to_owned(),
        Kind::Word(words) => {
            let words = words();
            let words: Vec<_> = words
                .iter()
                .map(|word| format!("`\"{}\"`", word.get_name()))
                .collect();
            words.join(", ")
        }
    }
}

fn meaning(key: &Key) -> String {
    let mut text = key.meaning.to_owned();
    if let Kind::Word(words) = key.kind {
        for word in words() {
            let help = word
                .get_help()
                .unwrap_or_else(|| panic!("{} explains no {word:?}", key.path));
            text.push_str(&format!("<br>`{}`: {help}.", word.get_name()));
        }
    }
    text
}

/// What can only be said on the command line.
fn arguments() -> String {
    let cli = Cli::command();
    let agent = cli.find_subcommand("agent").unwrap();
    let mut table = "| Flag | Meaning |\n|---|---|\n".to_owned();
    for argument in agent.get_arguments() {
        let Some(flag) = argument.get_long() else {
            continue;
        };
        if KEYS
            .iter()
            .any(|key| key.flag.is_some_and(|(known, _)| known == flag))
        {
            continue;
        }
        let value = argument
            .get_value_names()
            .filter(|_| argument.get_action().takes_values());
        let value = value.map_or(String::new(), |names| format!(" {}", names[0]));
        let help = argument.get_help().unwrap();
        table.push_str(&format!("| `--{flag}{value}` | {help}. |\n"));
    }
    table
}

fn statuses() -> String {
    let mut table = "| Status | Meaning |\n|---|---|\n".to_owned();
    for exit in Exit::value_variants() {
        let help = exit.to_possible_value().unwrap();
        table.push_str(&format!(
            "| {} | {}. |\n",
            exit.status(),
            help.get_help().unwrap()
        ));
    }
    table
}

/// The field names that serde accepts for a struct.
fn fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    struct Probe<'a>(&'a mut &'static [&'static str]);

    impl<'de> de::Deserializer<'de> for Probe<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(de::Error::custom("not a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            *self.0 = fields;
            Err(de::Error::custom("seen"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut found: &'static [&'static str] = &[];
    assert!(T::deserialize(Probe(&mut found)).is_err());
    assert!(!found.is_empty());
    found
}
