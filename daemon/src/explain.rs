//! `pullkeeper explain IMAGE`: which entry each client would use here, and why.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use pullkeeper_core::authfile::Shape;
use pullkeeper_core::explain::{Answer, File, explain};
use pullkeeper_core::image::ImageRef;
use pullkeeper_core::json::Text;
use pullkeeper_core::query::Query;
use pullkeeper_core::reader::Reader;
use serde::Serialize;

use crate::cli::ExplainArgs;
use crate::config::{self, ConfigError};
use crate::delegation::steps;
use crate::exit::{Exit, complain};
use crate::table::Table;
use crate::validate::{print, read_file};

/// What `explain` found out. It holds no credential.
#[derive(Debug, Serialize)]
struct Report {
    image: String,
    /// What the agent's broker does for it, when a delegation answers; one sentence a step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delegation: Vec<String>,
    answers: Vec<Answer>,
}

/// Explains and prints. Exits with [`Exit::Findings`] when some client would end without a credential.
pub fn run(arguments: &ExplainArgs) -> Exit {
    let image = match ImageRef::parse(&arguments.image) {
        Ok(image) => image,
        Err(error) => {
            complain("cannot explain", &error);
            return Exit::Usage;
        }
    };
    let mut answers = Vec::new();
    for reader in Reader::ALL {
        let named = !arguments.files.is_empty();
        let paths = if named {
            arguments.files.clone()
        } else {
            files_of(reader)
        };
        match opened(&paths, named) {
            Ok(files) => answers.push(answer(reader, &image, &files)),
            Err((path, error)) => {
                complain(&format!("cannot read {}", path.display()), &error);
                return Exit::NoInput;
            }
        }
    }
    let delegation = match delegation(arguments, &image) {
        Ok(steps) => steps,
        Err(error) => {
            complain("cannot use the configuration", &error);
            return Exit::Usage;
        }
    };
    let report = Report {
        image: image.name(),
        delegation,
        answers,
    };
    let good = report.answers.iter().all(Answer::is_served);
    print(arguments.output, &report, print_table, good)
}

/// The way of the delegation that answers for the image's registry, if one does.
fn delegation(arguments: &ExplainArgs, image: &ImageRef) -> Result<Vec<String>, ConfigError> {
    let file = arguments.config.as_deref();
    let loaded = config::load(file, &[], &|name| env::var_os(name))?;
    let Ok(query) = Query::of_image(&image.name()) else {
        return Ok(Vec::new());
    };
    let mut delegations = loaded.settings.delegations.iter();
    let found = delegations.find(|delegation| delegation.answers(&query));
    Ok(found.map_or_else(Vec::new, |found| steps(found, &query)))
}

type Opened = Vec<(PathBuf, Text)>;

/// Reads the files that are there; one that was named on the command line must be.
fn opened(paths: &[PathBuf], named: bool) -> Result<Opened, (PathBuf, io::Error)> {
    let mut files = Vec::new();
    for path in paths {
        match read_file(path) {
            Ok(bytes) => files.push((path.clone(), Text::new(&bytes))),
            Err(error) if !named && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((path.clone(), error)),
        }
    }
    Ok(files)
}

fn answer(reader: Reader, image: &ImageRef, files: &Opened) -> Answer {
    let names: Vec<_> = files
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    let files: Vec<_> = files
        .iter()
        .zip(&names)
        .map(|((path, text), name)| File {
            name,
            text,
            shape: shape(path),
        })
        .collect();
    explain(reader, image, &files)
}

/// Clients go by the name: only `.dockercfg` is read as the legacy shape.
fn shape(path: &Path) -> Shape {
    match path.file_name().and_then(|name| name.to_str()) {
        Some(".dockercfg") => Shape::DockerCfg,
        _ => Shape::ConfigJson,
    }
}

/// Where a client run by this user looks on this machine, in its order.
fn files_of(reader: Reader) -> Vec<PathBuf> {
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = set("HOME").unwrap_or_else(|| PathBuf::from("/root"));
    let docker = set("DOCKER_CONFIG")
        .unwrap_or_else(|| home.join(".docker"))
        .join("config.json");
    match reader {
        // kubelet.go: root directory, working directory, home, root of the file system; then the legacy name.
        Reader::Kubelet => vec![
            PathBuf::from("/var/lib/kubelet/config.json"),
            home.join(".docker/config.json"),
            PathBuf::from("/.docker/config.json"),
            PathBuf::from("/var/lib/kubelet/.dockercfg"),
            home.join(".dockercfg"),
            PathBuf::from("/.dockercfg"),
        ],
        Reader::Containers => match set("REGISTRY_AUTH_FILE") {
            Some(file) => vec![file],
            None => {
                let runtime = set("XDG_RUNTIME_DIR").map_or_else(
                    || PathBuf::from(format!("/run/containers/{}", nix::unistd::getuid())),
                    |runtime| runtime.join("containers"),
                );
                let config = set("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
                vec![
                    runtime.join("auth.json"),
                    config.join("containers/auth.json"),
                    docker,
                    home.join(".dockercfg"),
                ]
            }
        },
        Reader::Docker => vec![docker],
    }
}

fn print_table(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Image: {}\n", report.image)?;
    let mut table = Table::new(["CLIENT", "OUTCOME", "KEY", "RULE", "FILE"]);
    for answer in &report.answers {
        let first = answer.candidates.first();
        table.row([
            answer.reader,
            answer.outcome,
            first.map_or("-", |candidate| candidate.key.as_str()),
            first.map_or("-", |candidate| candidate.rule),
            answer.file.as_deref().unwrap_or("-"),
        ]);
    }
    table.write_to(&mut out)?;
    if !report.delegation.is_empty() {
        writeln!(
            out,
            "\nthrough docker-credential-pullkeeper, also as kubelet's provider:"
        )?;
        for step in &report.delegation {
            writeln!(out, "  - {step}")?;
        }
    }
    for answer in &report.answers {
        writeln!(out, "\n{}:", answer.reader)?;
        for step in &answer.steps {
            writeln!(out, "  - {step}")?;
        }
        for candidate in answer.candidates.iter().skip(1) {
            let (key, rule) = (&candidate.key, candidate.rule);
            writeln!(out, "  - then {key} ({rule}, {})", candidate.position)?;
        }
    }
    Ok(())
}
