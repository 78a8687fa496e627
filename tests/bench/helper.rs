//! What a `get` costs the node, and what the agent can answer.

use std::fs::File;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::sys::time::TimeValLike as _;
use pullkeeper_core::wire::{self, Answer, Request};
use support::agent::{Agent, Site};
use support::eventually;
use support::fixture::{Credential, config_json};
use support::scripted::{Say, Scripted};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::figures::{Figures, percentile};
use crate::process::cpu_seconds;

const REGISTRY: &str = "r.example";
/// Executions in a row of one program, and how many rows by turns.
const ROW: usize = 50;
const ROWS: usize = 12;
const LOAD: Duration = Duration::from_secs(3);

pub(crate) async fn measure(figures: &mut Figures) -> Result<()> {
    let credential = Credential::new();
    let sso = Scripted::start(Say::response(
        "200 OK",
        "",
        r#"{"access_token":"fixture-secret-token","expires_in":300}"#,
    ))?;
    let site = site(&credential, &sso)?;
    let agent = site.start().await?;
    eventually("an answer", async || {
        let answer = ask(&site, REGISTRY).await?;
        ensure!(matches!(answer, Answer::Found { .. }), "{answer:?}");
        Ok(())
    })
    .await?;
    processor_time(figures, &site)?;
    instructions(figures, &site)?;
    resident(figures)?;
    rate(figures, &site, &agent).await?;
    herd(figures, &site, &sso).await?;
    agent.stop().await?;
    Ok(())
}

fn site(credential: &Credential, sso: &Scripted) -> Result<Site> {
    let site = Site::new("bench-helper")?.running(std::fs::canonicalize("target/dist/pullkeeper")?);
    let place = sso.authority();
    let entries = [(REGISTRY, credential), (place.as_str(), credential)];
    let source = site.write("source.json", config_json(entries))?;
    let (target, socket) = (site.join("auth.json"), site.join("broker.sock"));
    site.configure(
        "",
        &format!(
            "[[source]]\nfile = {source:?}\n[[target]]\nkind = \"containers\"\npath = {target:?}\n\
             [broker]\nlisten = \"unix:{}\"\n\
             [[delegation]]\nregistries = [\"sso.example\"]\ngrant = \"client-credentials\"\n\
             token_endpoint = \"http://{place}/token\"\n",
            socket.display()
        ),
    )?;
    std::fs::File::create(site.join("server"))?;
    site.write("server", REGISTRY)?;
    Ok(site)
}

/// The helper's `get`, ready to be executed.
fn get(site: &Site, program: &Path) -> Result<Command> {
    let mut command = Command::new(program);
    command
        .arg("get")
        .env_clear()
        .env("PULLKEEPER_BROKER_SOCKET", site.join("broker.sock"))
        .env("HOME", site.join("."))
        .stdin(File::open(site.join("server"))?)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command)
}

/// Processor time of children, user and system, in seconds.
fn children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    #[allow(
        clippy::cast_precision_loss,
        reason = "minutes of processor time at most"
    )]
    Ok(micros as f64 / 1e6)
}

fn processor_time(figures: &mut Figures, site: &Site) -> Result<()> {
    let programs = [
        std::fs::canonicalize("target/bench/noop")?,
        std::fs::canonicalize("target/bench/docker-credential-pullkeeper")?,
        std::fs::canonicalize("target/bench/docker-credential-ecr-login")?,
    ];
    let mut spent = [const { Vec::new() }; 3];
    for row in 0..ROWS {
        // By turns, so that all see the same machine.
        for (program, spent) in programs.iter().zip(&mut spent) {
            let before = children()?;
            for _ in 0..ROW {
                let status = get(site, program)?.status()?;
                let ours = program.ends_with("docker-credential-pullkeeper");
                ensure!(!ours || status.success(), "the helper failed");
            }
            // The first row fills caches.
            if row > 0 {
                spent.push(children()? - before);
            }
        }
    }
    let [noop, ours, ecr] = spent.map(|mut rows| percentile(&mut rows, 0.5) / ROW as f64 * 1000.0);
    let how = |other: &str, cost: f64| {
        format!(
            "processor time of a get with the agent up, median of {} rows of {ROW}: {ours:.3} ms, \
             against {other}: {cost:.3} ms",
            ROWS - 1
        )
    };
    let noop_how = how("a static program that does nothing", noop);
    figures.lower(
        "helper_get_cpu_ratio",
        ours / noop,
        "ratio",
        Some(1.5),
        noop_how,
    );
    let ecr_how = how(
        "docker-credential-ecr-login get of a registry that is not its own",
        ecr,
    );
    figures.lower(
        "helper_get_vs_ecr_login_cpu_ratio",
        ours / ecr,
        "ratio",
        Some(1.0),
        ecr_how,
    );
    Ok(())
}

/// Counted by callgrind: the same wherever it runs.
fn instructions(figures: &mut Figures, site: &Site) -> Result<()> {
    let budget: f64 = include_str!("../../helper/budget").trim().parse()?;
    let count = support::budget::instructions_of(
        Path::new("target/bench/docker-credential-pullkeeper"),
        &site.join("broker.sock"),
        REGISTRY,
    )?;
    #[allow(clippy::cast_precision_loss, reason = "some hundred thousand")]
    figures.lower(
        "helper_get_instructions",
        count as f64,
        "",
        Some(budget * 1.1),
        "instructions of one get, counted by callgrind; the goal is helper/budget and ten percent",
    );
    Ok(())
}

/// Looked at from the agent's side while the helper waits for its answer.
fn resident(figures: &mut Figures) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("broker.sock");
    let listener = UnixListener::bind(&socket)?;
    std::fs::File::create(folder.path().join("server"))?;
    let mut child = Command::new("target/bench/docker-credential-pullkeeper")
        .arg("get")
        .env_clear()
        .env("PULLKEEPER_BROKER_SOCKET", &socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    std::io::Write::write_all(&mut stdin, REGISTRY.as_bytes())?;
    drop(stdin);
    let (stream, _) = listener.accept()?;
    let peer = getsockopt(&stream, PeerCredentials)?.pid();
    let mut request = [0; 4096];
    let count = std::io::Read::read(&mut &stream, &mut request)?;
    ensure!(request[..count].starts_with(b"POST /v1/credential"));
    let status = std::fs::read_to_string(format!("/proc/{peer}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: f64 = peak
        .context("no VmHWM")?
        .trim()
        .trim_end_matches(" kB")
        .parse()?;
    drop(stream);
    child.wait()?;
    let how = "VmHWM of the helper while it waits for the answer";
    figures.lower("helper_rss_mib", peak / 1024.0, "MiB", Some(1.5), how);
    Ok(())
}

async fn ask(site: &Site, server: &str) -> Result<Answer> {
    let request = Request::Docker {
        server: server.to_owned(),
    };
    let bytes = wire::http_request(wire::CREDENTIAL, Some(&request));
    let mut stream = UnixStream::connect(site.join("broker.sock")).await?;
    stream.write_all(&bytes).await?;
    let mut response = Vec::with_capacity(1024);
    stream.read_to_end(&mut response).await?;
    Ok(wire::read_response(&response)?)
}

/// One connection for each get, as helpers make them; counted against the agent's own processor time.
async fn rate(figures: &mut Figures, site: &Site, agent: &Agent) -> Result<()> {
    let pid = agent.process().id();
    let (begun, before) = (Instant::now(), cpu_seconds(pid)?);
    let mut gets = 0_u32;
    while begun.elapsed() < LOAD {
        let answers = (0..8).map(|_| ask(site, REGISTRY));
        for answer in futures_util::future::join_all(answers).await {
            ensure!(matches!(answer?, Answer::Found { .. }), "not found");
            gets += 1;
        }
    }
    let spent = cpu_seconds(pid)? - before;
    let rate = f64::from(gets) / spent;
    let how = format!(
        "{gets} gets over the socket, each on a connection of its own, in {LOAD:?}; the agent used {spent:.2} s of \
         processor time for them"
    );
    figures.higher(
        "cached_gets_per_second_core",
        rate,
        "gets/s",
        Some(20_000.0),
        how,
    );
    Ok(())
}

async fn herd(figures: &mut Figures, site: &Site, sso: &Scripted) -> Result<()> {
    let asking = (0..1000)
        .map(|_| async { eventually("an answer", async || ask(site, "sso.example").await).await });
    for answer in futures_util::future::join_all(asking).await {
        ensure!(matches!(answer?, Answer::Found { .. }), "no token");
    }
    #[allow(clippy::cast_precision_loss, reason = "at most a thousand")]
    let exchanges = sso.heard().len() as f64;
    let how = "exchanges with the token endpoint for 1,000 gets at once of one delegation";
    figures.lower("exchanges_per_1000_gets", exchanges, "", Some(1.0), how);
    Ok(())
}
