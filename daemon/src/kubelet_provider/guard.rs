//! A timer of systemd on the host that gives kubelet its former flags back, unless somebody disarms it in time.
//!
//! It needs nobody: without kubelet nothing restarts the agent's pod, and a node that reboots half-way arms it again at its boot.
//! Going back is done in this one way, also when the agent itself finds out that it has to be.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use super::overlay::{parent, remove, remove_empty, target};
use super::root::Root;
use crate::install::TargetError;
use crate::service::{RestartError, Systemd};

const UNITS: &str = "/etc/systemd/system";
const SERVICE: &str = "pullkeeper-kubelet-rollback.service";
const TIMER: &str = "pullkeeper-kubelet-rollback.timer";
/// What has a timer started at boot.
const WANTS: &str = "/etc/systemd/system/timers.target.wants";

/// What has to be put back.
#[derive(Clone, Debug)]
pub(super) struct Guard<'a> {
    pub(super) root: &'a Root,
    /// The directory that is ours.
    pub(super) directory: &'a str,
}

/// How a guard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody has armed one.
    None,
    /// It waits.
    Armed,
    /// It is at work, or was interrupted at it.
    Firing,
    /// Somebody has said that it went well.
    Disarmed,
    /// It has put everything back, and has asked for kubelet to be restarted.
    Fired,
}

/// Why there is none, so that nothing was changed.
#[derive(Debug, Error)]
pub(super) enum GuardError {
    /// A file of it.
    #[error("cannot write {path}")]
    Write {
        /// Which one.
        path: String,
        /// What came.
        #[source]
        source: io::Error,
    },
    /// A unit of it.
    #[error(transparent)]
    Unit(#[from] TargetError),
    /// The timer.
    #[error("systemd does not start {TIMER}: {0}; look at `journalctl -u {TIMER}`")]
    NotStarted(String),
    /// systemd.
    #[error(transparent)]
    Service(#[from] RestartError),
}

impl Guard<'_> {
    /// Arms it: in so long the file at `switch` holds `former` again, and the unit is restarted.
    pub(super) async fn arm(
        &self,
        systemd: &Systemd,
        unit: &str,
        switch: &str,
        former: Option<&str>,
        after: Duration,
    ) -> Result<(), GuardError> {
        self.clear()?;
        let arming = self.at("arming");
        self.make(&self.at(""))?;
        self.make(&arming)?;
        let mode = fs::metadata(self.root.seen(switch)).ok();
        if let Some(former) = former {
            let path = format!("{arming}/former");
            let written = self.write_new(&path, former.as_bytes());
            written.map_err(failed(&path))?;
            if let Some(metadata) = mode {
                let copied = like(&self.root.seen(&path), &metadata);
                copied.map_err(failed(&path))?;
            }
        }
        let script = script(&self.at(""), unit, switch);
        self.write(&self.at("rollback.sh"), &script, 0o755)?;
        self.write(
            &format!("{UNITS}/{SERVICE}"),
            &service(&self.at("rollback.sh")),
            0o644,
        )?;
        self.write(&format!("{UNITS}/{TIMER}"), &timer(after), 0o644)?;
        self.make(WANTS)?;
        let (link, timer) = (format!("{WANTS}/{TIMER}"), format!("../{TIMER}"));
        match symlink(timer, self.root.seen(&link)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(&link)(error));
            }
            _ => {}
        }
        self.rename("arming", "armed")
            .map_err(failed(&self.at("armed")))?;
        systemd.reload().await?;
        // A restart, for that tells its end.
        let result = systemd.unit(TIMER).await?.restart().await?;
        if result == "done" {
            Ok(())
        } else {
            Err(GuardError::NotStarted(result))
        }
    }

    /// Disarms it; false if it was quicker.
    pub(super) fn disarm(&self) -> Result<bool, GuardError> {
        match self.rename("armed", "disarmed") {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&self.at("armed"))(error)),
        }
    }

    /// Has it put everything back now.
    pub(super) async fn fire(&self, systemd: &Systemd) -> Result<(), RestartError> {
        systemd.start(SERVICE).await
    }

    /// Removes it, once nothing is to be put back any more.
    pub(super) async fn dismiss(&self, systemd: &Systemd) -> Result<(), GuardError> {
        systemd.stop(TIMER).await?;
        self.clear()?;
        Ok(systemd.reload().await?)
    }

    pub(super) fn state(&self) -> State {
        let has = |name| self.root.has(&self.at(name));
        if has("armed") {
            State::Armed
        } else if has("firing") {
            State::Firing
        } else if has("disarmed") {
            State::Disarmed
        } else if has("fired") {
            State::Fired
        } else {
            State::None
        }
    }

    fn clear(&self) -> Result<(), GuardError> {
        for path in [
            format!("{WANTS}/{TIMER}"),
            format!("{UNITS}/{TIMER}"),
            format!("{UNITS}/{SERVICE}"),
        ] {
            match fs::remove_file(self.root.seen(&path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&path)(error));
                }
                _ => {}
            }
        }
        remove_empty(self.root, WANTS).map_err(failed(WANTS))?;
        let path = self.at("");
        remove(self.root, &path).map_err(failed(&path))
    }

    fn at(&self, name: &str) -> String {
        let path = format!("{}/guard/{name}", self.directory);
        path.trim_end_matches('/').to_owned()
    }

    fn make(&self, path: &str) -> Result<(), GuardError> {
        let made = DirBuilder::new()
            .mode(0o755)
            .recursive(true)
            .create(self.root.seen(path));
        made.map_err(failed(path))
    }

    fn write(&self, path: &str, text: &str, mode: u32) -> Result<(), GuardError> {
        target(self.root, path, mode)?.replace(text.as_bytes())?;
        Ok(())
    }

    fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = File::options();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(self.root.seen(path))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let [from, to] = [from, to].map(|name| self.root.seen(&self.at(name)));
        #[expect(
            clippy::disallowed_methods,
            reason = "what it moves is complete, and is made durable with the directory here"
        )]
        fs::rename(from, to)?;
        File::open(self.root.seen(&self.at("")))?.sync_all()
    }
}

/// Gives the copy mode and owner of the file that it is a copy of.
fn like(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};
    chown(path, Some(metadata.uid()), Some(metadata.gid()))?;
    fs::set_permissions(path, metadata.permissions())
}

fn failed(path: &str) -> impl FnOnce(io::Error) -> GuardError + use<> {
    let path = path.to_owned();
    move |source| GuardError::Write { path, source }
}

/// What systemd runs. It may be interrupted at any line and run again; whoever renames `armed` first decides.
fn script(directory: &str, unit: &str, switch: &str) -> String {
    // Where it is empty without the file, nothing but the file made it useful.
    let parent = parent(switch);
    format!(
        r#"#!/bin/sh
# Pullkeeper's: gives kubelet its former flags back.
set -u
cd {directory} || exit 0
mv armed firing 2>/dev/null || [ -d firing ] || exit 0
if [ -e firing/former ]; then
    cp -p firing/former {switch}.pullkeeper-new && mv -f {switch}.pullkeeper-new {switch} || exit 1
else
    rm -f {switch} || exit 1
    rmdir {parent} 2>/dev/null
fi
sync
systemctl daemon-reload
systemctl reset-failed {unit}
systemctl --no-block restart {unit} || exit 1
mv firing fired
rm -f {WANTS}/{TIMER} {UNITS}/{TIMER} {UNITS}/{SERVICE}
rmdir {WANTS} 2>/dev/null
systemctl --no-block stop {TIMER}
systemctl daemon-reload
"#
    )
}

fn service(script: &str) -> String {
    format!(
        "[Unit]\n\
         Description=Gives kubelet its former flags back\n\
         DefaultDependencies=no\n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=/bin/sh {script}\n"
    )
}

fn timer(after: Duration) -> String {
    format!(
        "[Unit]\n\
         Description=Gives kubelet its former flags back unless the change has proved itself\n\
         DefaultDependencies=no\n\
         [Timer]\n\
         OnActiveSec={}\n\
         OnUnitInactiveSec=10\n\
         AccuracySec=1\n\
         Unit={SERVICE}\n",
        after.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_what_a_shell_reads() {
        let text = script(
            "/opt/pullkeeper/kubelet/guard",
            "kubelet.service",
            "/etc/default/kubelet",
        );
        let mut shell = std::process::Command::new("sh");
        let child = shell
            .args(["-n", "/dev/stdin"])
            .stdin(std::process::Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success());
    }
}
