//! A real systemd in namespaces of its own, with a bus that every process of a test can reach. It needs root, and Debian's
//! packages `systemd` and `dbus`.
//!
//! It stands beside the other parts because the unit tests of the program under test need it as well.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A running systemd. All that it has started ends when this is dropped, and when the thread that has made it ends.
#[derive(Debug)]
pub struct Systemd {
    folder: PathBuf,
    init: Child,
    cgroups: Vec<PathBuf>,
}

impl Systemd {
    /// Starts one in an empty folder that is its own. It has these services, by name and text of `[Service]`; `FOLDER` in a text
    /// is the folder's path. `enter` are the words before a command that have it run elsewhere, such as those of `nsenter`, where
    /// the folder has the same path.
    ///
    /// The bus does not answer yet on return.
    ///
    /// # Errors
    /// When the folder cannot be written, or nothing can be started.
    pub fn start(
        folder: &Path,
        services: &[(impl AsRef<str>, impl AsRef<str>)],
        enter: &[String],
    ) -> io::Result<Self> {
        for part in ["units", "bus"] {
            fs::create_dir(folder.join(part))?;
        }
        let unit = |name: &str, text: &str| {
            let text = format!("[Unit]\nDefaultDependencies=no\n{text}\n");
            let text = text.replace("FOLDER", &folder.display().to_string());
            File::create(folder.join("units").join(name))?.write_all(text.as_bytes())
        };
        unit("test.target", "Wants=dbus.socket")?;
        let listen = "[Socket]\nListenStream=/run/dbus/system_bus_socket";
        unit("dbus.socket", listen)?;
        let bus = "Requires=dbus.socket\n[Service]\nExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork \
                   --nopidfile --systemd-activation";
        unit("dbus.service", bus)?;
        for (name, text) in services {
            unit(name.as_ref(), &format!("[Service]\n{}", text.as_ref()))?;
        }
        let (cgroups, join) = cgroups();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd.sh");
        let log = File::create(folder.join("log"))?;
        // The signal reaches what is entered as well: who enters a PID namespace stays outside and has a child there.
        let leash = ["setpriv", "--pdeathsig", "KILL"].map(str::to_owned);
        let mut words = leash.iter().chain(enter).chain(&leash);
        let first = words.next().cloned().unwrap_or_default();
        let init = Command::new(first)
            .args(words)
            .args(["sh", "-c"])
            .arg(format!(
                "{join} exec unshare --mount --pid --fork --kill-child=KILL --cgroup --uts --ipc sh {} {}",
                script.display(),
                folder.display()
            ))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self {
            folder: folder.to_owned(),
            init,
            cgroups,
        })
    }

    /// The socket of its system bus.
    pub fn bus(&self) -> PathBuf {
        self.folder.join("bus/system_bus_socket")
    }

    /// Its process ID as seen from outside; `None` before it has begun.
    pub fn pid(&self) -> Option<u32> {
        let mut pid = self.init.id();
        loop {
            // Each of the programs in front of it has the one child.
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            pid = children.split_whitespace().next()?.parse().ok()?;
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            if name.trim() == "systemd" {
                return Some(pid);
            }
        }
    }

    /// What it has said so far, for the message of a test that fails.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _gone = self.init.kill();
        let _reaped = self.init.wait();
        for cgroup in &self.cgroups {
            // What was killed is not dead yet; a folder that stays does no harm.
            for _ in 0..100 {
                let removed = Command::new("find")
                    .arg(cgroup)
                    .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"])
                    .stderr(Stdio::null())
                    .status();
                if removed.is_ok_and(|status| status.success()) || !cgroup.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// The address of a bus with this socket, as clients take it.
pub fn address(socket: &Path) -> String {
    format!("unix:path={}", socket.display())
}

/// Folders for a systemd of its own in the hierarchies that there are, and the words of a shell that enter them.
fn cgroups() -> (Vec<PathBuf>, String) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("pullkeeper-test-{}-{number}", std::process::id());
    let root = Path::new("/sys/fs/cgroup");
    let several = root.join("systemd").is_dir();
    let hierarchies = if several {
        vec![root.join("systemd"), root.join("unified")]
    } else {
        vec![root.to_owned()]
    };
    let there = hierarchies.into_iter().filter(|one| one.is_dir());
    let folders: Vec<_> = there.map(|one| one.join(&name)).collect();
    let enter = folders.iter().map(|folder| {
        let folder = folder.display();
        format!("mkdir {folder} && echo 0 >{folder}/cgroup.procs || exit 1; ")
    });
    let enter = enter.collect();
    (folders, enter)
}
