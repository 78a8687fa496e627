//! Instructions of the helper, counted: the same number wherever the same program runs.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// How many instructions one `get` of the helper takes with an agent at the socket.
///
/// # Errors
/// When valgrind is missing (install the package of that name), or the helper finds nothing.
pub fn instructions_of(helper: &Path, socket: &Path, server: &str) -> Result<u64> {
    let mut child = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(helper)
        .arg("get")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("PULLKEEPER_BROKER_SOCKET", socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run valgrind; install the package valgrind")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(server.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the helper failed: {said}");
    let count = said
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .with_context(|| format!("callgrind counted nothing: {said}"))?;
    Ok(count.1.trim().parse()?)
}
