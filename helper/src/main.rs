//! `docker-credential-pullkeeper`: executed once for every credential that somebody asks for.
//!
//! ```text
//! argv ─▶ role ─▶ docker ──┐                  ┌─▶ stdout, exit status
//!            └──▶ kubelet ─┴▶ agent (socket) ─┤
//!                                └─ no agent ─┴─▶ exec pullkeeper exchange
//! ```
//!
//! Standard output is the protocol's alone. There is one deadline for everything, because docker's clients have none
//! and kubelet's is long.

mod agent;
mod docker;
mod exchange;
mod input;
mod kubelet;
mod role;

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pullkeeper_core::protocol::Output;

use crate::role::Role;

/// Well below kubelet's minute, and above what the agent takes for an exchange.
const DEADLINE: u64 = 25;
/// The environment's word for another deadline, in seconds from 1 to 55.
const DEADLINE_VARIABLE: &str = "PULLKEEPER_HELPER_TIMEOUT";

fn main() -> ExitCode {
    // A panic's own message may hold the value that caused it.
    std::panic::set_hook(Box::new(|_| {
        let _ = io::stderr().write_all(b"pullkeeper: the helper failed\n");
        std::process::exit(1);
    }));
    let configured = env::var(DEADLINE_VARIABLE).ok();
    let seconds = configured.and_then(|text| text.parse().ok());
    let seconds = seconds.filter(|seconds| (1..=55).contains(seconds));
    let deadline = Instant::now() + Duration::from_secs(seconds.unwrap_or(DEADLINE));
    let output = match Role::of(env::args_os()) {
        Role::Docker { program, words } => docker::run(&program, &words, deadline),
        Role::Kubelet => kubelet::run(deadline),
    };
    print(&output)
}

fn print(output: &Output) -> ExitCode {
    // Nobody is left to tell when the client is gone.
    let _ = io::stderr().write_all(output.stderr.as_bytes());
    match io::stdout().write_all(output.stdout.as_bytes()) {
        Ok(()) => ExitCode::from(output.status),
        Err(_) => ExitCode::FAILURE,
    }
}
