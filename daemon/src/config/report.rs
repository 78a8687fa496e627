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

/// A setting that has a value.
pub(super) struct Line {
    pub(super) key: &'static str,
    value: Value,
    pub(super) place: Place,
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
        let is_made_up = match (&source.name, made_up) {
            (Some(name), Some(made_up)) => name.value == made_up,
            _ => false,
        };
        let mut lines = source.lines();
        lines.retain(|line| line.key != "name" || !is_made_up);
        Section::of("[[source]]", lines)
    }));
    let targets = merged.targets.iter();
    sections.extend(targets.map(|target| Section::of("[[target]]", target.value.lines())));
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
            line("exchange_cache", &merged.exchange_cache),
        ],
    ));
    sections.push(Section::new(
        "[credential_helper]",
        [
            line("directory", &merged.helper_directory),
            line("source", &merged.helper_source),
        ],
    ));
    let provider = &merged.provider;
    sections.push(Section::new(
        "[kubelet_provider]",
        [
            line("management", &provider.management),
            line("profile", &provider.profile),
            line("host_root", &provider.host_root),
            line("directory", &provider.directory),
            line("helper", &provider.helper),
            line("match_images", &provider.match_images),
            line("token_audience", &provider.token_audience),
            line("timeout", &provider.timeout),
            line("settle", &provider.settle),
            line("health_url", &provider.health_url),
        ],
    ));
    let delegations = merged.delegations.iter();
    sections.extend(delegations.map(|one| Section::of("[[delegation]]", one.value.lines())));
    sections.push(Section::new(
        "[log]",
        [line("format", &merged.format), line("level", &merged.level)],
    ));
    sections.push(Section::new(
        "[kubernetes]",
        [
            line("kubeconfig", &merged.kubeconfig),
            line("events", &merged.events),
            line("rollouts", &merged.rollouts),
            line("watch_timeout", &merged.watch_timeout),
            line("request_timeout", &merged.request_timeout),
        ],
    ));
    sections.push(Section::new(
        "[activation]",
        [
            line("units", &merged.units),
            line("timeout", &merged.activation_timeout),
            line("settle", &merged.settle),
            line("health_url", &merged.health_url),
        ],
    ));
    sections.push(Section::new(
        "[coordinator]",
        [
            line("lease", &merged.lease),
            line("lease_duration", &merged.lease_duration),
        ],
    ));
    sections
}

impl Section {
    fn new(header: &'static str, lines: impl IntoIterator<Item = Option<Line>>) -> Self {
        Self::of(header, lines.into_iter().flatten().collect())
    }

    fn of(header: &'static str, lines: Vec<Line>) -> Self {
        Self { header, lines }
    }
}

/// A value that is there.
pub(super) fn line<T: Clone + Into<Value>>(
    key: &'static str,
    value: &Option<Placed<T>>,
) -> Option<Line> {
    let Placed { value, place } = value.as_ref()?;
    Some(Line {
        key,
        value: value.clone().into(),
        place: place.clone(),
    })
}
