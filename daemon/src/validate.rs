//! `pullkeeper validate`: what is wrong with an auth file, for every client at once.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use pullkeeper_core::authfile::{Contribution, Document, Finding, Severity, Shape, Wanted};
use pullkeeper_core::gate::{Policy, Verdict};
use pullkeeper_core::json::{Position, Text};
use pullkeeper_core::reader::{self, Reader};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::{Input, OutputFormat, ShapeArg, ValidateArgs};
use crate::exit::{Exit, complain};
use crate::table::Table;

/// Larger than any auth file has reason to be.
const LIMIT: u64 = 16 * 1024 * 1024;

/// What `validate` found out. It holds no credential.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether the agent would use the document.
    admitted: bool,
    /// Usable entries.
    entries: usize,
    /// What each client does with the bytes as they are.
    readers: Vec<ReaderReport>,
    /// Everything there is to say.
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct ReaderReport {
    reader: &'static str,
    /// Entries that the client has after loading the file; 0 when it uses nothing of it.
    entries: usize,
    /// Why it uses nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
}

/// Checks a document and prints the result. Exits with [`Exit::Findings`] when something is wrong with it.
pub fn run(arguments: &ValidateArgs) -> Exit {
    let Ok(bytes) = read_input(&arguments.input) else {
        return Exit::NoInput;
    };
    let report = report(arguments, &bytes);
    let flawed = report
        .findings
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    let good = !flawed && report.admitted;
    print(arguments.output, &report, print_table, good)
}

/// Prints a result in the form that was asked for; the exit says whether all is well with what it is about.
pub(crate) fn print<R: Serialize>(
    format: OutputFormat,
    report: &R,
    table: impl FnOnce(&R) -> io::Result<()>,
    good: bool,
) -> Exit {
    let printed = match format {
        OutputFormat::Json => print_json(report),
        OutputFormat::Table => table(report),
    };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain("cannot print the result", &error);
            Exit::Unavailable
        }
        _ if good => Exit::Ok,
        _ => Exit::Findings,
    }
}

/// Reads a file or standard input whole. Why that cannot be has been said.
pub(crate) fn read_input(input: &Input) -> Result<Zeroizing<Vec<u8>>, io::Error> {
    let (bytes, what) = match input {
        Input::File(path) => (read_file(path), path.display().to_string()),
        Input::Stdin => (read_all(io::stdin().lock()), "standard input".to_owned()),
    };
    bytes.inspect_err(|error| complain(&format!("cannot read {what}"), error))
}

/// Reads a regular file whole, or says why not.
pub(crate) fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    read_all(File::open(path)?)
}

fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

fn read_all(from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024 * 1024));
    from.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than 16 MiB",
        ));
    }
    Ok(bytes)
}

fn report(arguments: &ValidateArgs, bytes: &[u8]) -> Report {
    let shape = match arguments.shape {
        ShapeArg::Auto => Shape::of_content(bytes),
        ShapeArg::ConfigJson => Shape::ConfigJson,
        ShapeArg::DockerCfg => Shape::DockerCfg,
    };
    let mut checked = Document::check(bytes, shape);
    let policy = Policy {
        strict: arguments.strict,
        allow_empty: false,
    };
    let verdict = policy.judge(&mut checked);
    let mut findings = checked.findings;
    let (admitted, document) = match verdict {
        Verdict::Admitted(document) => (true, document),
        Verdict::Refused(_) => (false, Document::default()),
    };
    let contribution = [Contribution {
        source: "file",
        document: Some(&document),
        broken: &[],
    }];
    let wanted = Wanted::join(&contribution, &mut Vec::new());
    if admitted {
        findings.extend(wanted.missing(&arguments.required_registries, Severity::Error));
    }
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.position));
    let text = Text::new(bytes);
    Report {
        admitted,
        entries: document.entries().len(),
        readers: Reader::ALL
            .iter()
            .map(|&reader| ask(reader, &text, shape))
            .collect(),
        findings,
    }
}

fn ask(reader: Reader, text: &Text, shape: Shape) -> ReaderReport {
    let (entries, error) = match reader::read(reader, text, shape) {
        Ok(view) => (view.entries().len(), None),
        Err(error) => (0, Some(error)),
    };
    ReaderReport {
        reader: reader.as_str(),
        entries,
        error: error.map(|error| error.fault.to_string()),
        position: error.map(|error| text.position(error.entry.unwrap_or(error.offset))),
    }
}

fn print_table(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !report.findings.is_empty() {
        let mut table = Table::new(["SEVERITY", "REASON", "REGISTRY", "LINE:COLUMN", "DETAIL"]);
        for finding in &report.findings {
            let place = finding
                .position
                .map(|at| format!("{}:{}", at.line, at.column));
            table.row([
                finding.severity.as_str(),
                finding.reason.as_str(),
                finding.registry.as_deref().unwrap_or("-"),
                place.as_deref().unwrap_or("-"),
                &finding.detail,
            ]);
        }
        table.write_to(&mut out)?;
        writeln!(out)?;
    }
    let mut table = Table::new(["CLIENT", "ENTRIES", "THE FILE AS IT IS"]);
    for reader in &report.readers {
        let entries = reader.entries.to_string();
        let verdict = match (&reader.error, reader.position) {
            (Some(error), Some(at)) => format!("uses nothing of it ({at}: {error})"),
            _ => "reads it".to_owned(),
        };
        table.row([reader.reader, &entries, &verdict]);
    }
    table.write_to(&mut out)?;
    let verdict = if report.admitted {
        "would be used"
    } else {
        "would be refused; the last good one would stay"
    };
    writeln!(
        out,
        "\n{} usable entries; the document {verdict}.",
        report.entries
    )
}
