//! The machine that a node runs on: this one's files and network, but its own processes, mounts
//! and changes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use crate::process::{Process, Program};
use crate::scratch::profile_dir;
use crate::{eventually, patience};

const NSENTER: &str = "nsenter";

/// PID and mount namespaces in which a node may write wherever it likes. `machine.sh` describes
/// what it sees there; the network is that of the test.
///
/// Everything in it ends when this is dropped or the test process dies, whatever has daemonized
/// itself there included.
#[derive(Debug)]
pub(super) struct Machine {
    init: Pid,
    process: Process,
    logs: PathBuf,
}

impl Machine {
    /// Makes a machine for the node whose folder this is.
    pub(super) async fn start(folder: &Path) -> Result<Self> {
        ensure!(
            Uid::effective().is_root(),
            "a node needs root: its namespaces, mounts and cgroups are the kernel's"
        );
        for part in ["kubelet", "pod-logs"] {
            let path = folder.join(part);
            std::fs::create_dir(&path)
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/node/machine.sh");
        // All scratch folders and the product's programs.
        let profile = profile_dir()?;
        let shared = profile.parent().context("target/<profile> has no parent")?;
        // In a session of its own, so that a kill of our child's group lets it clean up.
        let process = Program::installed("unshare")?
            .named("machine")
            .args(["--mount", "--pid", "--fork", "--kill-child=TERM"])
            .args(["setsid", "sh"])
            .arg(script)
            .args([folder, shared])
            .spawn(folder)?;
        let init = eventually("the machine is made", async || {
            ensure!(process.is_running(), "it failed to start{}", process.tail());
            ensure!(folder.join("machine-ready").exists(), "not yet");
            only_child(process.id())
        });
        let init = init.await?;
        Ok(Self {
            init,
            process,
            logs: folder.to_owned(),
        })
    }

    /// `program` as it is to be started from outside in order to run inside. Paths in its arguments
    /// are those of the machine.
    pub(super) fn inside(&self, name: &str, program: &Path) -> Result<Program> {
        let nsenter = Program::installed(NSENTER)?;
        Ok(nsenter.named(name).args(self.entering()).arg(program))
    }

    /// The words before a command that have it run inside.
    pub(super) fn enter(&self) -> Vec<String> {
        let nsenter = std::iter::once(NSENTER.to_owned());
        nsenter.chain(self.entering()).collect()
    }

    fn entering(&self) -> [String; 4] {
        let target = format!("--target={}", self.init);
        [target, "--mount".into(), "--pid".into(), "--".into()]
    }

    /// Starts what [`Machine::inside`] gave; logs go to the node's folder.
    pub(super) fn spawn(&self, program: &Program) -> Result<Resident> {
        ensure!(
            self.process.is_running(),
            "the machine has ended{}",
            self.process.tail()
        );
        Ok(Resident {
            process: program.spawn(&self.logs)?,
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What is killed is only the watcher: the machine hears of it and tidies up.
        self.process.kill_9();
        let begun = Instant::now();
        while runs(self.init) && begun.elapsed() < patience() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A program in the machine. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Resident {
    process: Process,
}

impl Resident {
    /// Its watcher outside, with the logs; ends when and as it does.
    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// SIGTERM, and waits for the end.
    pub(super) async fn stop(self) -> Result<()> {
        ensure!(
            self.process.is_running(),
            "it has ended already{}",
            self.process.tail()
        );
        kill(only_child(self.process.id())?, Signal::SIGTERM)?;
        self.process.wait(patience()).await?;
        Ok(())
    }
}

// unshare and nsenter stay outside and have the one child that is inside.
fn only_child(parent: u32) -> Result<Pid> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let mut ids = children.split_whitespace();
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(Pid::from_raw(id.parse()?)),
        _ => bail!("not one child but {children:?} in {path}"),
    }
}

fn runs(pid: Pid) -> bool {
    // Nobody may reap an orphan in a container, so a zombie counts as gone.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, state)| !state.starts_with('Z'))
    })
}
