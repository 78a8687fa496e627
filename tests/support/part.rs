//! A real server of the suites, and the ways to break it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::eventually::eventually_within;
use crate::http::Endpoint;
use crate::patience;
use crate::process::{Process, Program};

/// A server that can be stopped, killed, frozen and started again, with the same port, the same
/// arguments and the same data.
///
/// All of it needs `&mut`: what tests share cannot be broken by one of them.
#[derive(Debug)]
pub struct Part {
    program: Program,
    logs: PathBuf,
    ready: Ready,
    process: Option<Process>,
}

/// What tells that a part serves: 200 to a GET.
#[derive(Clone)]
pub(crate) struct Ready {
    pub(crate) endpoint: Endpoint,
    pub(crate) path: &'static str,
}

impl Part {
    pub(crate) fn new(program: Program, logs: PathBuf, ready: Ready) -> Self {
        Self {
            program,
            logs,
            ready,
            process: None,
        }
    }

    /// Starts the part and waits until it serves.
    ///
    /// # Errors
    /// When it runs already, ends again, or does not serve in time; shows its log's tail.
    pub async fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.serving().await
    }

    /// SIGTERM, as an orderly stop of the service does, and waits for the end.
    ///
    /// # Errors
    /// When it does not run or does not end in time.
    pub async fn stop(&mut self) -> Result<()> {
        let process = self.process()?;
        process.terminate()?;
        process.wait(patience()).await?;
        self.process = None;
        Ok(())
    }

    /// SIGKILL, as a crash of the machine does to its connections; it is gone on return.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.process()?.kill_9();
        self.process = None;
        Ok(())
    }

    /// [`Part::stop`] and [`Part::start`].
    ///
    /// # Errors
    /// As those.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.start().await
    }

    /// SIGSTOP: connections stay open and new ones are accepted, but nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn hang(&mut self) -> Result<()> {
        self.process()?.stop()
    }

    /// Ends [`Part::hang`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&mut self) -> Result<()> {
        self.process()?.cont()
    }

    /// The running process, with its logs.
    ///
    /// # Errors
    /// When the part was stopped or killed.
    pub fn process(&self) -> Result<&Process> {
        self.process
            .as_ref()
            .with_context(|| format!("not running: {}", self.name()))
    }

    /// [`Part::start`] without waiting.
    pub(crate) fn launch(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "already running: {}", self.name());
        self.process = Some(self.program.spawn(&self.logs)?);
        Ok(())
    }

    /// Waits until the launched part serves. The limit is twice the usual one: on a busy machine
    /// the start of an API server is the heaviest thing that the suites do.
    pub(crate) async fn serving(&self) -> Result<()> {
        let process = self.process()?;
        let Ready { endpoint, path } = &self.ready;
        let what = format!("{} serves {}{path}", self.name(), endpoint.url());
        let probe = eventually_within(patience() * 2, &what, async || {
            let answer = endpoint.get(path).await?;
            ensure!(
                answer.status.is_success(),
                "{}: {}",
                answer.status,
                answer.text()
            );
            Ok(())
        });
        tokio::select! {
            served = probe => served.with_context(|| format!("{} hangs{}", self.name(), process.tail())),
            ended = process.wait(patience() * 3) => {
                bail!("{} ended at its start ({}){}", self.name(), ended?, process.tail())
            }
        }
    }

    fn name(&self) -> &str {
        self.program.name()
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.endpoint.url(), self.path)
    }
}
