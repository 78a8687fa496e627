//! Child processes that cannot outlive the suite.
//!
//! A [`Program`] says what to run; [`Program::spawn`] gives a [`Process`], [`Program::run`] waits
//! for its end. Every child is the leader of a process group of its own, writes to files, is
//! killed with its group when dropped, and is killed by the kernel when the test process dies.

mod lasting;
mod program;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

pub use program::{Output, Program};

/// A running child, or one that has ended and was not looked at yet.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: u32,
    child: Mutex<Child>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// The process ID, also that of the process group.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// Everything written to standard output so far, also by former runs with the same log folder.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// Everything written to standard error so far, also by former runs with the same log folder.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Where standard output goes.
    pub fn stdout_path(&self) -> &Path {
        &self.stdout
    }

    /// Where standard error goes.
    pub fn stderr_path(&self) -> &Path {
        &self.stderr
    }

    /// Whether the process has not ended yet. A stopped process counts as running.
    pub fn is_running(&self) -> bool {
        self.ended().is_none()
    }

    /// SIGKILL to the whole group; returns when the process is gone. Nothing happens when it has
    /// ended already.
    pub fn kill_9(&self) {
        let mut child = self.child();
        if let Ok(None) = child.try_wait() {
            let _ = signal::killpg(self.group(), Signal::SIGKILL);
            let _ = child.wait();
        }
    }

    /// SIGTERM to the process.
    ///
    /// # Errors
    /// As [`Process::signal`].
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// SIGSTOP to the whole group: its sockets stay open and accept, nothing answers.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn stop(&self) -> Result<()> {
        self.signal_group(Signal::SIGSTOP)
    }

    /// SIGCONT to the whole group.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cont(&self) -> Result<()> {
        self.signal_group(Signal::SIGCONT)
    }

    /// Any signal, to the process alone.
    ///
    /// # Errors
    /// When the process has ended; shows the tail of its log.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.running(|| signal::kill(self.group(), signal))
            .with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// When it has not ended after `deadline`; it is left running, the error shows its log's tail.
    pub async fn wait(&self, deadline: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if begun.elapsed() >= deadline {
                bail!(
                    "{} has not ended within {deadline:?}{}",
                    self.name,
                    self.tail()
                );
            }
            sleep(POLL).await;
        }
    }

    /// The last lines of standard error (of standard output when there are none), made to be
    /// appended to an error message. Names the file.
    pub fn tail(&self) -> String {
        [&self.stderr, &self.stdout]
            .into_iter()
            .map(|path| (path, read(path)))
            .find(|(_, text)| !text.trim().is_empty())
            .map_or_else(
                || ", it wrote nothing".to_owned(),
                |(path, text)| format!(", the end of {}:\n{}", path.display(), last_lines(&text)),
            )
    }

    fn ended(&self) -> Option<ExitStatus> {
        // An error here means that there is no such child any more.
        self.child()
            .try_wait()
            .unwrap_or_else(|_| Some(ExitStatus::from_raw(-1)))
    }

    fn signal_group(&self, signal: Signal) -> Result<()> {
        self.running(|| signal::killpg(self.group(), signal))
            .with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    // The lock is held over the call, so that the ID cannot have passed to another process.
    fn running(&self, act: impl FnOnce() -> nix::Result<()>) -> Result<()> {
        let mut child = self.child();
        if let Some(status) = child.try_wait()? {
            bail!("it has ended with {status}{}", self.tail());
        }
        Ok(act()?)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.pid.cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_9();
    }
}

const POLL: Duration = Duration::from_millis(5);
const TAIL_LINES: usize = 20;

fn read(path: &Path) -> String {
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests;
