//! The agent under test, as a process of its own; the coordinator too.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use pullkeeper_core::wire::{self, Answer, Request};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::eventually;
use crate::evidence::{self, Kind};
use crate::fixture::{Credential, config_json};
use crate::http::Endpoint;
use crate::process::{Process, Program};
use crate::product::pullkeeper;
use crate::scratch::Scratch;

/// The longest time that a drain may take.
const DRAIN: Duration = Duration::from_secs(25);

/// A folder with a configuration, in which an agent can be started, and started again.
#[derive(Debug)]
pub struct Site {
    scratch: Scratch,
    config: PathBuf,
    program: Option<PathBuf>,
    command: &'static str,
    env: Vec<(String, String)>,
}

/// A running agent, or what else the site runs.
pub struct Agent {
    process: Process,
    endpoint: Endpoint,
}

impl Site {
    /// A site without a configuration yet.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let config = scratch.join("config.toml");
        Ok(Self {
            scratch,
            config,
            program: None,
            command: "agent",
            env: Vec::new(),
        })
    }

    /// Runs this program instead of the one of this build.
    #[must_use]
    pub fn running(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// Runs a coordinator.
    #[must_use]
    pub fn coordinating(mut self) -> Self {
        self.command = "coordinator";
        self
    }

    /// Sets a variable in the environment of its agents.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// What [`Site::env`] has set.
    pub fn environment(&self) -> &[(String, String)] {
        &self.env
    }

    /// The path of an entry in the site's folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Writes a file in the site's folder, in place as a plain editor does.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        self.scratch.write(name, content)
    }

    /// Writes the configuration: `head` are top-level keys, `tables` everything else. State, endpoint
    /// and log are the site's.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, head: &str, tables: &str) -> Result<()> {
        let state = self.join("state");
        let text = format!(
            "state_dir = {state:?}\n{head}\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n{tables}\n"
        );
        self.scratch.write("config.toml", text)?;
        Ok(())
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The program with `agent --config …` (or another command), for further arguments.
    ///
    /// # Errors
    /// When the program is not built.
    pub fn program(&self) -> Result<Program> {
        let program = match &self.program {
            Some(path) => Program::new("pullkeeper", path),
            None => pullkeeper()?,
        };
        let program = self
            .env
            .iter()
            .fold(program, |program, (name, value)| program.env(name, value));
        Ok(program.args([self.command, "--config"]).arg(&self.config))
    }

    /// Waits until the site's `auth.json` holds exactly these entries.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn holds(&self, entries: &[(&str, &Credential)]) -> Result<()> {
        let wanted: Value = serde_json::from_str(&config_json(entries.iter().copied()))?;
        eventually("the target holds the entries", async || {
            let found = std::fs::read(self.join("auth.json"))?;
            let found: Value = serde_json::from_slice(&found).context("the target is no JSON")?;
            let keys = found["auths"]
                .as_object()
                .map(|auths| auths.keys().collect::<Vec<_>>());
            ensure!(found == wanted, "the target has other entries: {keys:?}");
            Ok(())
        })
        .await
    }

    /// Asks the agent at the site's `broker.sock`, without a process for each question.
    ///
    /// # Errors
    /// When nobody answers, or nothing that can be read.
    pub async fn ask(&self, request: &Request) -> Result<Answer> {
        let mut stream = UnixStream::connect(self.join("broker.sock")).await?;
        let request = wire::http_request(wire::CREDENTIAL, Some(request));
        stream.write_all(&request).await?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await?;
        Ok(wire::read_response(&response)?)
    }

    /// Starts an agent; it serves its endpoint on return.
    ///
    /// # Errors
    /// When it ends early or does not serve.
    pub async fn start(&self) -> Result<Agent> {
        let logs = tempfile::tempdir_in(self.scratch.path())?.keep();
        let process = self.program()?.spawn(&logs)?;
        let address = eventually("the agent serves its endpoint", async || {
            ensure!(
                process.is_running(),
                "the agent has ended: {}",
                process.tail()
            );
            let log = process.stderr();
            let message = format!("{} started", self.command);
            let started = records(&log).find(|record| record["message"] == *message);
            let started = started.context("no start in the log yet")?;
            let url = started["admin"]
                .as_str()
                .context("no address in the log")?
                .to_owned();
            Ok(url.trim_start_matches("http://").parse::<SocketAddr>()?)
        })
        .await?;
        Ok(Agent {
            process,
            endpoint: Endpoint::plain(address),
        })
    }
}

impl Agent {
    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The log's records so far.
    pub fn log(&self) -> Vec<Value> {
        records(&self.process.stderr()).collect()
    }

    /// How many records of the log have this message.
    pub fn logged(&self, message: &str) -> usize {
        self.log()
            .iter()
            .filter(|record| record["message"] == message)
            .count()
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// `/statusz`.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn status(&self) -> Result<Value> {
        self.endpoint.get("/statusz").await?.json()
    }

    /// `/metrics`.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn metrics(&self) -> Result<String> {
        Ok(self.endpoint.get("/metrics").await?.text())
    }

    /// The value of the one sample that begins with `name` and has all the labels (`key="value"`).
    ///
    /// # Errors
    /// When the agent does not answer or has no such sample.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<f64> {
        let metrics = self.metrics().await?;
        let sample = metrics.lines().find(|line| {
            let rest = line.strip_prefix(name).unwrap_or("#");
            rest.starts_with(['{', ' ']) && labels.iter().all(|label| line.contains(label))
        });
        let sample = sample.with_context(|| format!("no {name} with {labels:?} in\n{metrics}"))?;
        Ok(sample.rsplit(' ').next().unwrap_or_default().parse()?)
    }

    /// The reasons of the findings about all sources, sorted, each once.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn source_reasons(&self) -> Result<Vec<String>> {
        let status = self.status().await?;
        let of_sources = status["sources"].as_array().into_iter().flatten();
        let findings =
            of_sources.flat_map(|source| source["findings"].as_array().into_iter().flatten());
        let joint = status["findings"].as_array().into_iter().flatten();
        let mut reasons: Vec<_> = findings
            .chain(joint)
            .filter_map(|finding| finding["reason"].as_str().map(str::to_owned))
            .collect();
        reasons.sort();
        reasons.dedup();
        Ok(reasons)
    }

    /// Waits until there is a finding of this reason about the sources.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn finds(&self, reason: &str) -> Result<()> {
        eventually(&format!("the finding {reason}"), async || {
            let reasons = self.source_reasons().await?;
            ensure!(
                reasons.iter().any(|found| found == reason),
                "only {reasons:?}"
            );
            Ok(())
        })
        .await
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the agent has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Keeps what the endpoint shows for the search for secrets.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn keep_evidence(&self) -> Result<()> {
        evidence::keep(Kind::Metrics, &self.metrics().await?)?;
        for path in ["/statusz", "/readyz"] {
            evidence::keep(Kind::Status, &self.endpoint.get(path).await?.text())?;
        }
        Ok(())
    }

    /// Keeps the evidence, asks the agent to end and waits for that; it must end by itself with status 0.
    ///
    /// # Errors
    /// When any of that fails.
    pub async fn stop(self) -> Result<ExitStatus> {
        self.keep_evidence().await?;
        self.process.terminate()?;
        let status = self.process.wait(DRAIN).await?;
        ensure!(
            status.success(),
            "the agent ended with {status}: {}",
            self.process.tail()
        );
        Ok(status)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Also of agents that were killed; a failing test has other worries than lost evidence.
        let _ = evidence::keep(Kind::Log, &self.process.stderr());
        let _ = evidence::keep(Kind::Output, &self.process.stdout());
    }
}

/// The records of a log in JSON.
///
/// # Panics
/// When one has two messages: whoever reads it loses one of them.
pub fn records(log: &str) -> impl Iterator<Item = Value> {
    log.lines().filter_map(|line| {
        let record = serde_json::from_str(line).ok()?;
        // Quotes within a text are escaped.
        let messages = line.matches("\"message\":\"").count();
        assert!(messages < 2, "two messages: {line}");
        Some(record)
    })
}
