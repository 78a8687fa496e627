//! Services of a systemd of a test's own, asked over D-Bus by systemd's own program.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use pullkeeper_systemd::{Systemd, address};

use crate::eventually::{eventually, eventually_within};
use crate::patience;
use crate::process::Program;
use crate::scratch::Scratch;

const MANAGER: [&str; 3] = [
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
];
const UNIT: &str = "org.freedesktop.systemd1.Unit";

/// A running systemd with services. They end when this is dropped.
#[derive(Debug)]
pub struct Services {
    // Before the folder: it must be gone when that is removed.
    systemd: Systemd,
    scratch: Scratch,
}

impl Services {
    /// Starts a systemd with these services, by name and text of `[Service]`, in which `FOLDER` is the path of [`Services::join`].
    /// None of them runs yet; the bus answers on return.
    ///
    /// # Errors
    /// Without root; when systemd or its bus does not start (shows what it said).
    pub async fn boot(services: &[(String, String)]) -> Result<Self> {
        Self::boot_inside(&[], services).await
    }

    /// [`Services::boot`] elsewhere: `enter` are the words before a command that have it run there.
    pub(crate) async fn boot_inside(
        enter: &[String],
        services: &[(String, String)],
    ) -> Result<Self> {
        let scratch = Scratch::new("units")?;
        let systemd = scratch.join("systemd");
        std::fs::create_dir(&systemd)?;
        let systemd = Systemd::start(&systemd, services, enter).context("cannot start systemd")?;
        let services = Self { systemd, scratch };
        let answers = eventually("systemd answers on its bus", async || {
            services.manager("GetDefaultTarget", &[]).await
        });
        let answered = answers.await;
        answered.with_context(|| {
            format!(
                "this test needs root, systemd and dbus-daemon (Debian: systemd, dbus)\n{}",
                services.systemd.log()
            )
        })?;
        Ok(services)
    }

    /// The address of its bus.
    pub fn address(&self) -> String {
        address(&self.systemd.bus())
    }

    /// A program that runs another one among the services, where it sees their files and processes. A signal for it alone does not
    /// reach that one.
    ///
    /// # Errors
    /// When systemd has ended, or the program cannot be written.
    pub fn inside(&self, program: &Path) -> Result<PathBuf> {
        let pid = self.systemd.pid().context("systemd has ended")?;
        let name = program.file_name().context("no program")?;
        let enter = format!("nsenter --target={pid} --mount --pid --");
        let script = format!("#!/bin/sh\nexec {enter} {} \"$@\"\n", program.display());
        let path = self.join(&format!("inside-{}", name.display()));
        self.scratch.write(&path, script)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// The path of an entry in the folder that the services share with the test.
    pub fn join(&self, name: &str) -> PathBuf {
        self.scratch.join("systemd").join(name)
    }

    /// Writes a file in that folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<()> {
        self.scratch.write(self.join(name), content).map(drop)
    }

    /// Starts a unit that does not run, and waits until it is up.
    ///
    /// # Errors
    /// When systemd does not know it, or it is not up in time.
    pub async fn start(&self, unit: &str) -> Result<()> {
        self.manager("StartUnit", &["ss", unit, "replace"]).await?;
        eventually(&format!("{unit} is up"), async || {
            let state = self.property(unit, "ActiveState").await?;
            anyhow::ensure!(state.contains("\"active\""), "{state}");
            Ok(())
        })
        .await
    }

    /// Waits until a unit that was started does not run any more.
    ///
    /// # Errors
    /// When systemd does not know it, or it does not end in time.
    pub async fn ended(&self, unit: &str, limit: Duration) -> Result<()> {
        eventually_within(limit, &format!("{unit} has ended"), async || {
            let state = self.property(unit, "ActiveState").await?;
            let over = ["\"inactive\"", "\"failed\""];
            anyhow::ensure!(over.iter().any(|word| state.contains(word)), "{state}");
            Ok(())
        })
        .await
    }

    /// Asks for a unit to be started, and does not wait.
    ///
    /// # Errors
    /// When systemd does not know it.
    pub async fn begin(&self, unit: &str) -> Result<()> {
        self.manager("StartUnit", &["ss", unit, "replace"])
            .await
            .map(drop)
    }

    /// SIGKILL to all processes of a unit.
    ///
    /// # Errors
    /// When none of them runs.
    pub async fn kill(&self, unit: &str) -> Result<()> {
        let arguments = ["ssi", unit, "all", "9"];
        self.manager("KillUnit", &arguments).await.map(drop)
    }

    /// Which start of the unit this is: every start has another one.
    ///
    /// # Errors
    /// When systemd does not know it.
    pub async fn invocation(&self, unit: &str) -> Result<String> {
        self.property(unit, "InvocationID").await
    }

    async fn property(&self, unit: &str, property: &str) -> Result<String> {
        let loaded = self.manager("LoadUnit", &["s", unit]).await?;
        let path = loaded.split('"').nth(1).context("no path of the unit")?;
        self.busctl(&["get-property", MANAGER[0], path, UNIT, property])
            .await
    }

    async fn manager(&self, method: &str, arguments: &[&str]) -> Result<String> {
        let call = [&["call"], &MANAGER[..], &[method], arguments].concat();
        self.busctl(&call).await
    }

    async fn busctl(&self, arguments: &[&str]) -> Result<String> {
        let busctl = Program::installed("busctl")?
            .arg(format!("--address={}", self.address()))
            .args(arguments);
        Ok(busctl.run(patience()).await?.success()?.stdout)
    }
}
