//! The administrative endpoint: a Unix socket, clients that misbehave, and what it refuses.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use support::agent::Site;
use support::eventually;
use support::evidence::{self, Kind};
use support::fixture::{Credential, config_json};
use support::process::Process;

/// An agent whose endpoint is a socket in the site's folder.
fn start(site: &Site, credential: &Credential) -> Result<Process> {
    let source = site.write("source.json", config_json([("a.example", credential)]))?;
    let (state, target, socket) = (
        site.join("state"),
        site.join("auth.json"),
        site.join("admin.sock"),
    );
    site.write(
        "config.toml",
        format!(
            "state_dir = {state:?}\n[[source]]\nfile = {source:?}\n\
             [[target]]\nkind = \"containers\"\npath = {target:?}\n\
             [admin]\nlisten = \"unix:{}\"\n[log]\nformat = \"json\"\n",
            socket.display()
        ),
    )?;
    site.program()?.spawn(&site.join("."))
}

/// Sends a text and reads the answer to its end.
fn ask(socket: &Path, request: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn request(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_unix_socket_is_private_taken_over_when_stale_and_gone_at_the_end() -> Result<()> {
    let credential = Credential::new();
    let site = Site::new("socket")?;
    let socket = site.join("admin.sock");
    let agent = start(&site, &credential)?;
    let metrics = eventually("metrics", async || {
        let answer = ask(&socket, &request("GET", "/metrics"))?;
        ensure!(answer.contains("pullkeeper_target_in_sync{"), "{answer}");
        Ok(answer)
    })
    .await?;
    evidence::keep(Kind::Metrics, &metrics)?;
    ensure!(metrics.contains("application/openmetrics-text") && metrics.ends_with("# EOF\n"));
    assert_eq!(
        std::fs::metadata(&socket)?.permissions().mode() & 0o777,
        0o660
    );

    let refused = ask(&socket, &request("POST", "/metrics"))?;
    ensure!(
        refused.starts_with("HTTP/1.1 405") && refused.contains("allow: GET, HEAD"),
        "{refused}"
    );
    ensure!(ask(&socket, &request("GET", "/nowhere"))?.starts_with("HTTP/1.1 404"));
    let head = ask(&socket, &request("HEAD", "/healthz"))?;
    ensure!(
        head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
        "{head}"
    );

    // A killed agent leaves its socket behind; the next one takes its place.
    agent.kill_9();
    agent.wait(Duration::from_secs(10)).await?;
    ensure!(socket.exists());
    let agent = start(&site, &credential)?;
    eventually("the next agent answers", async || {
        let answer = ask(&socket, &request("GET", "/healthz"))?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(())
    })
    .await?;

    // Half a request holds up nobody's shutdown.
    let mut half = UnixStream::connect(&socket)?;
    half.write_all(b"GET /metr")?;
    agent.terminate()?;
    let status = agent.wait(Duration::from_secs(10)).await?;
    ensure!(status.success(), "{status}: {}", agent.tail());
    ensure!(!socket.exists(), "the socket stayed");
    evidence::keep(Kind::Log, &agent.stderr())?;
    Ok(())
}

#[tokio::test]
async fn a_socket_that_somebody_serves_is_not_taken() -> Result<()> {
    let credential = Credential::new();
    let site = Site::new("taken")?;
    let _other = std::os::unix::net::UnixListener::bind(site.join("admin.sock"))?;
    let agent = start(&site, &credential)?;
    let status = agent.wait(Duration::from_secs(10)).await?;
    assert_eq!(status.code(), Some(69), "{}", agent.tail());
    ensure!(agent.stderr().contains("admin.sock"), "{}", agent.tail());
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_the_agent_at_once() -> Result<()> {
    let credential = Credential::new();
    let site = Site::new("twice")?;
    let agent = start(&site, &credential)?;
    eventually("the target", async || {
        Ok(std::fs::metadata(site.join("auth.json"))?)
    })
    .await?;
    // Held, so that the drain has something to wait for.
    let mut half = UnixStream::connect(site.join("admin.sock"))?;
    half.write_all(b"GET /metr")?;
    agent.terminate()?;
    eventually("it drains", async || {
        ensure!(agent.stderr().contains("draining"));
        Ok(())
    })
    .await?;
    // It may be done draining by now, and then ends with 0.
    let _ended_already = agent.terminate();
    let status = agent.wait(Duration::from_secs(5)).await?;
    ensure!(matches!(status.code(), Some(0 | 143)), "{status}");
    Ok(())
}
