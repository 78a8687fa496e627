use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, ChildStdout, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::*;

/// Set for the process that a test starts from its own binary: signals are for processes, and the one that runs
/// the other tests should not get them.
const CHILD: &str = "PULLKEEPER_TEST_CHILD";

/// A process with the handlers installed, that prints a line for each event.
struct Agent {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Agent {
    /// `mode` is `polling`, or `stuck` for a runtime that never gets a turn.
    fn start(mode: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "signal::tests::child"])
            .env(CHILD, mode)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut agent = Self { child, lines };
        agent.expect("event ready");
        agent
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for a line; the harness of the child prints others.
    fn expect(&mut self, wanted: &str) {
        let mut line = String::new();
        while !line.contains("event ") {
            line.clear();
            assert_ne!(
                self.lines.read_line(&mut line).unwrap(),
                0,
                "ended before {wanted:?}"
            );
        }
        assert!(
            line.trim_end().ends_with(wanted),
            "{line:?} instead of {wanted:?}"
        );
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test of its own: what [`Agent`] runs.
#[test]
fn child() {
    let Some(mode) = std::env::var_os(CHILD) else {
        return;
    };
    // Whatever is broken, the test that waits for this process gets an answer.
    std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_secs(60));
        std::process::exit(99);
    });
    let say = |what: &str| {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "event {what}").unwrap();
        stdout.flush().unwrap();
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut signals = Signals::install().unwrap();
        say("ready");
        if mode == "stuck" {
            loop {
                std::thread::park();
            }
        }
        loop {
            say(&format!("{:?}", signals.next().await));
        }
    });
}

#[test]
fn signals_become_events() {
    let mut agent = Agent::start("polling");
    for _ in 0..3 {
        agent.send(Signal::SIGHUP);
        agent.expect("Reload");
        agent.send(Signal::SIGUSR1);
        agent.expect("Resync");
    }
    agent.send(Signal::SIGTERM);
    agent.expect("Shutdown");
    // The drain goes on: other signals are events still, and end nothing.
    agent.send(Signal::SIGHUP);
    agent.expect("Reload");
    assert_eq!(agent.child.try_wait().unwrap(), None);
}

#[test]
fn a_second_termination_ends_a_running_process() {
    for (first, second, status) in [
        (Signal::SIGTERM, Signal::SIGTERM, 143),
        (Signal::SIGINT, Signal::SIGTERM, 143),
        (Signal::SIGTERM, Signal::SIGINT, 130),
    ] {
        let mut agent = Agent::start("polling");
        agent.send(first);
        agent.expect("Shutdown");
        agent.send(second);
        let ended = agent.child.wait().unwrap();
        assert_eq!((ended.code(), ended.signal()), (Some(status), None));
    }
}

#[test]
fn a_second_termination_ends_a_process_whose_runtime_is_stuck() {
    let mut agent = Agent::start("stuck");
    // Of two equal signals that are pending at once the kernel keeps one; of two different ones it keeps both.
    agent.send(Signal::SIGINT);
    agent.send(Signal::SIGTERM);
    let ended = agent.child.wait().unwrap();
    assert!(matches!(ended.code(), Some(130 | 143)), "{ended:?}");
}
