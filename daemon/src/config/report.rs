//! The configuration that holds, as TOML that can be read back, with the place of every value.

use std::io::{self, Write};

use toml::Value;

use super::{
    Loaded,
    error::Place,
    merge::{Merged, Placed},
};

impl Loaded {
    /// Writes what would run, for `agent --check`.
    ///
    /// The text is a configuration file: reading it gives the same [`Settings`](super::Settings).
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.files.is_empty() {
            writeln!(out, "# no configuration file was read")?;
        }
        for file in &self.files {
            writeln!(out, "# read {}", file.display())?;
        }
        for section in sections(&self.merged) {
            if section.lines.is_empty() {
                continue;
            }
            if !section.header.is_empty() {
                writeln!(out, "\n{}", section.header)?;
            }
            for Line { key, value, place } in section.lines {
                let assignment = format!("{key} = {value}");
                writeln!(out, "{assignment:<48} # {place}")?;
            }
        }
        Ok(())
    }
}

struct Section {
    header: &'static str,
    lines: Vec<Line>,
}

struct Line {
    key: &'static str,
    value: Value,
    place: Place,
}

fn sections(merged: &Merged) -> Vec<Section> {
    let mut sections = vec![Section::new(
        "",
        [
            line("node_name", &merged.node_name),
            line("state_dir", &merged.state_dir),
            line("resync_interval", &merged.resync_interval),
        ],
    )];
    sections.extend(merged.sources.iter().map(|Placed { value: source, .. }| {
        // A name that was made up is not one that may be written.
        let made_up = source.default_name().map(|name| name.value);
        let name = source
            .name
            .clone()
            .filter(|name| Some(&name.value) != made_up.as_ref());
        Section::new(
            "[[source]]",
            [
                line("name", &name),
                line("secret", &source.secret),
                line("file", &source.file),
                line("volume", &source.volume),
                line("label_selector", &source.label_selector),
                line("namespace", &source.namespace),
                line("key", &source.key),
                line("shape", &source.shape),
                line("scope", &source.scope),
            ],
        )
    }));
    sections.extend(merged.targets.iter().map(|Placed { value: target, .. }| {
        Section::new(
            "[[target]]",
            [
                line("kind", &target.kind),
                line("path", &target.path),
                line("mode", &target.mode),
                line("owner", &target.owner),
                line("merge", &target.merge),
            ],
        )
    }));
    sections.push(Section::new(
        "[validation]",
        [
            line("bad_entry", &merged.bad_entry),
            line("allow_empty", &merged.allow_empty),
            line("required_registries", &merged.required_registries),
            line("required_action", &merged.required_action),
        ],
    ));
    sections.push(Section::new("[admin]", [line("listen", &merged.listen)]));
    sections.push(Section::new(
        "[broker]",
        [
            line("listen", &merged.broker_listen),
            line("allowed_users", &merged.allowed_users),
            line("allowed_groups", &merged.allowed_groups),
            line("store", &merged.store),
        ],
    ));
    let delegations = merged
        .delegations
        .iter()
        .map(|delegation| &delegation.value);
    sections.extend(delegations.map(|delegation| {
        Section::new(
            "[[delegation]]",
            [
                line("name", &delegation.name),
                line("registries", &delegation.registries),
                line("grant", &delegation.grant),
                line("realms", &delegation.realms),
                line("token_endpoint", &delegation.token_endpoint),
                line("credential", &delegation.credential),
                line("audience", &delegation.audience),
                line("scope", &delegation.scope),
                line("username", &delegation.username),
                line("ca_file", &delegation.ca_file),
                line("registry_scheme", &delegation.registry_scheme),
            ],
        )
    }));
    sections.push(Section::new(
        "[log]",
        [line("format", &merged.format), line("level", &merged.level)],
    ));
    sections.push(Section::new(
        "[kubernetes]",
        [
            line("kubeconfig", &merged.kubeconfig),
            line("events", &merged.events),
            line("watch_timeout", &merged.watch_timeout),
            line("request_timeout", &merged.request_timeout),
        ],
    ));
    sections
}

impl Section {
    fn new(header: &'static str, lines: impl IntoIterator<Item = Option<Line>>) -> Self {
        Self {
            header,
            lines: lines.into_iter().flatten().collect(),
        }
    }
}

fn line<T: Clone + Into<Value>>(key: &'static str, value: &Option<Placed<T>>) -> Option<Line> {
    let Placed { value, place } = value.as_ref()?;
    Some(Line {
        key,
        value: value.clone().into(),
        place: place.clone(),
    })
}
