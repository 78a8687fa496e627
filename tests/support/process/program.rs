//! What to run.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::time::{Instant, sleep};

use super::{POLL, Process, lasting};

/// A program with its arguments, environment and input; may be started any number of times.
///
/// The environment is empty but for `PATH` and what [`Program::env`] adds, so that neither the
/// developer's kubeconfig nor a proxy setting leaks into a suite.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    input: Option<Vec<u8>>,
    restarted: bool,
}

impl Program {
    /// The executable at `path`; `name` stands in messages and in the names of its log files.
    pub fn new(name: &str, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            path: path.into(),
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
            input: None,
            restarted: false,
        }
    }

    /// A program of the system, looked up in `PATH`.
    ///
    /// # Errors
    /// When it is not installed; says how to get it.
    pub fn installed(name: &str) -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|p| p.is_file());
        let found = found.with_context(|| {
            format!("{name} is not installed; the scripts `tests/*/build` get what the suites need")
        })?;
        Ok(Self::new(name, found))
    }

    /// The name that messages use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets the name that messages and log files use, for who runs it through another program.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Where the program is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets the working directory; default is that of the suite.
    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Sets what it reads from standard input; default is nothing.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Has it started again a second after each of its ends, as kubelet does with the parts of a control plane. The process is then
    /// what does that: signals go there, and it does not end by itself.
    #[must_use]
    pub fn restarted(mut self) -> Self {
        self.restarted = true;
        self
    }

    /// Starts it; output is appended to `NAME.stdout` and `NAME.stderr` in `logs`.
    ///
    /// # Errors
    /// When the program is missing or the logs cannot be opened.
    pub fn spawn(&self, logs: &Path) -> Result<Process> {
        let log = |kind| {
            let path = logs.join(format!("{}.{kind}", self.name));
            let file = OpenOptions::new().append(true).create(true).open(&path);
            file.with_context(|| format!("cannot open {}", path.display()))
                .map(|f| (path, f))
        };
        let (stdout, to_stdout) = log("stdout")?;
        let (stderr, to_stderr) = log("stderr")?;
        let child = lasting::spawn(self.command(to_stdout, to_stderr)?)
            .with_context(|| format!("cannot start {} through setpriv", self.path.display()))?;
        let name = self.name.clone();
        Ok(Process {
            name,
            pid: child.id(),
            child: Mutex::new(child),
            stdout,
            stderr,
        })
    }

    /// Runs it to its end, at most for `limit`.
    ///
    /// # Errors
    /// When it cannot be started or takes longer (it is killed then). Its exit status is *not*
    /// judged; [`Output::success`] does that.
    pub async fn run(&self, limit: Duration) -> Result<Output> {
        let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let command = self.command(stdout.try_clone()?, stderr.try_clone()?)?;
        let mut child =
            Reaped(lasting::spawn(command).with_context(|| {
                format!("cannot start {} through setpriv", self.path.display())
            })?);
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.0.try_wait()? {
                break status;
            }
            if begun.elapsed() >= limit {
                bail!(
                    "{self} takes longer than {limit:?}; stderr:\n{}",
                    rewound(&mut stderr)?
                );
            }
            sleep(POLL).await;
        };
        let (stdout, stderr) = (rewound(&mut stdout)?, rewound(&mut stderr)?);
        Ok(Output {
            what: self.to_string(),
            status,
            stdout,
            stderr,
        })
    }

    fn command(&self, stdout: File, stderr: File) -> Result<Command> {
        ensure!(
            self.path.is_file(),
            "{} does not exist",
            self.path.display()
        );
        // The kernel shall kill the child when this process dies. Should it have died before it
        // was asked to, the child has another parent by now and ends by itself.
        // The shell must leave nothing of its own in the environment.
        let guard = r#"[ "$PPID" = "$0" ] && unset PWD OLDPWD SHLVL && exec "$@""#;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "sh", "-c", guard]);
        command.arg(std::process::id().to_string());
        if self.restarted {
            let again = r#"while :; do setpriv --pdeathsig KILL "$@"; sleep 1; done"#;
            command.args(["sh", "-c", again, "sh"]);
        }
        command.arg(&self.path).args(&self.args);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
            .stdout(stdout)
            .stderr(stderr)
            .stdin(match &self.input {
                None => Stdio::null(),
                Some(bytes) => {
                    let mut file = tempfile::tempfile()?;
                    file.write_all(bytes)?;
                    file.rewind()?;
                    file.into()
                }
            });
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.process_group(0);
        Ok(command)
    }
}

/// The command as a reader of an error message wants it: name and arguments.
impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.args
            .iter()
            .try_for_each(|arg| write!(f, " {}", arg.display()))
    }
}

/// What a program left behind.
#[derive(Clone, Debug)]
pub struct Output {
    what: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Its standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// The output of a program that must exit with 0.
    ///
    /// # Errors
    /// For any other end; shows the command and its standard error.
    pub fn success(self) -> Result<Self> {
        let Self {
            what,
            status,
            stdout,
            stderr,
        } = &self;
        let shown = if stderr.trim().is_empty() {
            stdout
        } else {
            stderr
        };
        ensure!(
            status.success(),
            "`{what}` ended with {status}:\n{}",
            shown.trim_end()
        );
        Ok(self)
    }
}

// Kills on the way out when the future is dropped or an error returns early.
struct Reaped(std::process::Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let group = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::SIGKILL);
            let _ = self.0.wait();
        }
    }
}

fn rewound(file: &mut File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
