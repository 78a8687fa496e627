//! The agent that is not there, hangs, restarts, or is somebody else.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::agent::records;
use support::eventually;
use support::fixture::Credential;
use support::process::Program;

use super::*;

#[tokio::test]
async fn without_an_agent_exchange_answers_in_its_place() -> Result<()> {
    let credential = Credential::new();
    let site = site("exchange", &body(&[("r.example", &credential)]), "")?;
    knows(&site, "r.example", &credential).await?;
    assert_eq!(
        docker(&site, "get", "other.example").await?.stdout,
        NOT_FOUND
    );
    let output = kubelet(&site, "r.example/app").await?;
    ensure!(
        output.stdout.contains(&credential.password),
        "{}",
        output.stderr
    );
    // Login tools go on; a list of what nobody holds is an error, not an empty list.
    assert_eq!(
        docker(&site, "erase", "r.example").await?.status.code(),
        Some(0)
    );
    let output = docker(&site, "list", "").await?;
    ensure!(
        output.stdout.contains("no agent listens at"),
        "{}",
        output.stdout
    );

    site.configure("resnc_interval = \"5s\"", "")?;
    let output = docker(&site, "get", "r.example").await?;
    assert_eq!(output.status.code(), Some(1));
    ensure!(
        output.stdout.contains("resnc_interval"),
        "{}",
        output.stdout
    );
    Ok(())
}

/// A request that waits in the queue of an agent that ends is nobody's failure.
#[tokio::test]
async fn an_agent_that_goes_away_while_it_is_asked_is_no_failure() -> Result<()> {
    let credential = Credential::new();
    let site = site("leaving", &body(&[("r.example", &credential)]), "")?;
    for read in [false, true] {
        let socket = site.join("broker.sock");
        let listener = UnixListener::bind(&socket)?;
        let agent = std::thread::spawn(move || -> std::io::Result<()> {
            let (mut asked, _) = listener.accept()?;
            let mut first = [0];
            if read {
                // To the end of the head, or closing would be a reset.
                let mut head = Vec::new();
                while !head.ends_with(b"\"}") && asked.read(&mut first)? == 1 {
                    head.extend(first);
                }
            }
            std::fs::remove_file(socket)
        });
        let output = docker(&site, "get", "r.example").await?;
        let answered = output.stdout.contains(&credential.password);
        ensure!(answered, "read: {read}, {}", output.status);
        agent.join().expect("the agent's part is played")?;
    }
    Ok(())
}

#[tokio::test]
async fn a_hanging_agent_costs_the_deadline_and_is_no_miss() -> Result<()> {
    let credential = Credential::new();
    let site = site("hanging", &body(&[("r.example", &credential)]), "")?;
    let agent = started(&site).await?;
    knows(&site, "r.example", &credential).await?;
    agent.process().stop()?;
    let begun = tokio::time::Instant::now();
    let output = docker(&site, "get", "r.example").await?;
    let took = begun.elapsed();
    ensure!(
        output.stdout.contains("did not answer in time"),
        "{}",
        output.stdout
    );
    ensure!(
        took >= Duration::from_secs(4) && took < Duration::from_secs(10),
        "{took:?}"
    );
    agent.process().cont()?;
    knows(&site, "r.example", &credential).await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_that_talks_nonsense_is_quoted_nowhere() -> Result<()> {
    let credential = Credential::new();
    let site = site("nonsense", &body(&[]), "")?;
    let answers = [
        "",
        "SSH-2.0-nonsense\r\n",
        "HTTP/1.1 200 OK\r\n\r\n<html>SECRET</html>",
        "HTTP/1.1 200 OK\r\n\r\n{\"outcome\":\"SECRET\"}",
    ];
    let listener = UnixListener::bind(site.join("broker.sock"))?;
    let serve = std::thread::spawn(move || -> Result<()> {
        for answer in answers {
            let (mut stream, _) = listener.accept()?;
            stream.write_all(answer.as_bytes())?;
        }
        Ok(())
    });
    for answer in answers {
        let output = docker(&site, "get", "r.example").await?;
        assert_eq!(output.status.code(), Some(1), "{answer}");
        ensure!(
            output.stdout.starts_with("pullkeeper: "),
            "{}",
            output.stdout
        );
        ensure!(!output.stdout.contains("SECRET") && output.stdout != NOT_FOUND);
    }
    serve
        .join()
        .map_err(|_| anyhow::anyhow!("the server panicked"))??;
    drop(credential);
    Ok(())
}

/// systemd's part: it holds the socket and starts the agent again with it.
const SUPERVISOR: &str = r#"
use Socket; use POSIX ();
$^F = 9;
my ($path, @command) = @ARGV;
socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die; bind($socket, sockaddr_un($path)) or die; listen($socket, 512) or die;
while (1) {
    my $child = fork();
    if (!$child) {
        POSIX::dup2(fileno($socket), 3);
        $ENV{LISTEN_FDS} = 1; $ENV{LISTEN_PID} = $$;
        exec @command or die;
    }
    waitpid($child, 0);
}
"#;

#[tokio::test]
async fn with_socket_activation_a_restart_loses_no_request() -> Result<()> {
    let credential = Credential::new();
    let site = site("activation", &body(&[("r.example", &credential)]), "")?;
    let text = std::fs::read_to_string(site.config())?;
    let listen = format!("unix:{}", site.join("broker.sock").display());
    site.write("config.toml", text.replace(&listen, "systemd"))?;
    let script = site.write("supervisor.pl", SUPERVISOR)?;
    let agent = site.program()?;
    let supervisor = Program::installed("perl")?
        .arg(script)
        .arg(site.join("broker.sock"))
        .arg(agent.path())
        .args(["agent", "--config"])
        .arg(site.config());
    let supervisor = supervisor.spawn(&site.join("."))?;
    let starts = || {
        let log = supervisor.stderr();
        let started = records(&log)
            .filter(|record| record["message"] == "agent started")
            .map(|record| record["broker"] == "systemd");
        started.collect::<Vec<_>>()
    };
    eventually("the first start", async || {
        ensure!(starts().len() == 1, "{:?}", starts());
        Ok(())
    })
    .await?;
    knows(&site, "r.example", &credential).await?;

    let (over, gets) = (Cell::new(false), Cell::new(0));
    let lane = async || -> Result<()> {
        while !over.get() {
            let output = docker(&site, "get", "r.example").await?;
            ensure!(output.status.success(), "lost: {}", output.stdout);
            let found: Value = serde_json::from_str(&output.stdout)?;
            ensure!(found["Secret"] == credential.password);
            gets.set(gets.get() + 1);
        }
        Ok(())
    };
    let restarts = async || -> Result<()> {
        for restarts in 1..=RESTARTS {
            // The agent is the supervisor's only child.
            let children = format!("/proc/{0}/task/{0}/children", supervisor.id());
            let child = eventually("a child", async || {
                Ok(std::fs::read_to_string(&children)?.trim().parse()?)
            });
            kill(Pid::from_raw(child.await?), Signal::SIGTERM)?;
            eventually("another start", async || {
                ensure!(starts().len() > restarts, "{:?}", starts());
                Ok(())
            })
            .await?;
        }
        over.set(true);
        Ok(())
    };
    tokio::try_join!(restarts(), lane(), lane(), lane())?;
    println!(
        "{} gets over {} starts, none lost",
        gets.get(),
        starts().len()
    );
    ensure!(gets.get() > RESTARTS && starts().iter().all(|systemd| *systemd));
    Ok(())
}

const RESTARTS: usize = 20;

#[tokio::test]
async fn a_broker_that_nobody_can_ask_is_warned_about() -> Result<()> {
    let delegation =
        "[[delegation]]\nregistries = [\"r.example\"]\npreset = \"zot\"\naudience = \"a\"\n";
    for (listening, tables, warnings) in [
        (false, delegation, 1),
        (false, "", 0),
        (true, delegation, 0),
    ] {
        let site = site("unheard", &body(&[]), tables)?;
        if !listening {
            let config = std::fs::read_to_string(site.config())?;
            let socket = format!("unix:{}", site.join("broker.sock").display());
            site.write("config.toml", config.replace(&socket, "off"))?;
        }
        let agent = site.start().await?;
        let words = "nobody can ask for what delegations and sources of namespaces give: set `broker.listen`, such as \
                     \"unix:/run/pullkeeper/broker.sock\"";
        assert_eq!(agent.logged(words), warnings, "{listening} {tables}");
        agent.stop().await?;
    }
    Ok(())
}
