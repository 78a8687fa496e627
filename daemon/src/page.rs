//! Keeps pages of the documentation true: what stands between their markers is generated from the code.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use pullkeeper_core::authfile::Reason;

use crate::admin::metrics;
use crate::coordinator::desk;

pub(crate) const REWRITE: &str = "make docs";

/// Compares the named blocks of a page with what they should say, or rewrites them when `UPDATE_DOCS` is set.
pub(crate) fn keep_true(page: &str, blocks: &[(&str, String)]) {
    let path = repository(page);
    let written = fs::read_to_string(&path).unwrap();
    let mut wanted = written.clone();
    for (name, text) in blocks {
        wanted = replace_block(&wanted, name, text);
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::File::create(&path)
            .unwrap()
            .write_all(wanted.as_bytes())
            .unwrap();
        return;
    }
    let line = written
        .lines()
        .zip(wanted.lines())
        .position(|(is, wanted)| is != wanted);
    assert!(
        written == wanted,
        "{page} is not up to date (line {}); rewrite it with\n    {REWRITE}",
        line.unwrap_or_else(|| written.lines().count().min(wanted.lines().count())) + 1,
    );
}

pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn replace_block(page: &str, name: &str, text: &str) -> String {
    let begin = format!("<!-- begin {name}: generated, `make docs` -->\n");
    let end = format!("<!-- end {name} -->");
    let (before, rest) = page
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no {begin:?}"));
    let (_, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("no {end:?}"));
    format!("{before}{begin}\n{text}\n{end}{after}")
}

#[test]
fn the_page_of_metrics_is_what_is_served() {
    let blocks = [
        ("metrics", table_of(metrics::ALL)),
        ("coordinator", table_of(desk::ALL)),
    ];
    keep_true("docs/usage/metrics.md", &blocks);
}

fn table_of(all: &[metrics::Description]) -> String {
    let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|");
    for metric in all {
        let labels: Vec<_> = metric
            .labels
            .split(',')
            .filter(|label| !label.is_empty())
            .collect();
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        write!(
            table,
            "\n| `{}` | {} | {} | {} |",
            metric.name,
            metric.kind,
            labels.join(", "),
            metric.help
        )
        .unwrap();
    }
    table
}

#[test]
fn the_page_of_findings_has_every_reason() {
    let mut table = String::from("| reason | severity | meaning |\n|---|---|---|");
    for reason in Reason::ALL {
        let severity = reason.severity().as_str();
        write!(
            table,
            "\n| `{}` | {severity} | {} |",
            reason.as_str(),
            reason.summary()
        )
        .unwrap();
    }
    keep_true("docs/usage/findings.md", &[("findings", table)]);
}
