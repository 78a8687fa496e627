//! The `pullkeeper` program: the node agent and its offline commands.
//!
//! ```text
//!              cli ─▶ config ─▶ telemetry, signal
//!                        │
//! source ─▶ gate ─▶ install{plan, record, target} ─▶ the node's files ─▶ activation ─▶ systemd
//!   │         │          │
//!   │         ├──────────┴─▶ report (log, event), status ─▶ admin
//!   │         └─▶ broker ◀─ helper, through a Unix socket
//!   └─ cluster (API server), notice (inotify)        listener, server: HTTP for admin and broker
//!
//! permit ─▶ kubelet_provider{look, plan, overlay, guard, change} ─▶ kubelet's flags ─▶ service ─▶ systemd
//! ```
//!
//! Modules are listed in the order in which data flows through them. What is decided is decided in
//! `pullkeeper-core`; here is what has effects.

pub mod cli;
pub mod exit;

pub mod config;
pub mod signal;
pub mod telemetry;

pub mod cluster;
mod jitter;
pub mod list_watch;
pub mod notice;
pub mod resource;
pub mod resync;
pub mod source;

pub mod rollout;

pub mod gate;
pub mod install;

mod activation;
pub mod kubelet_provider;
mod service;

pub mod event;
pub mod report;
pub mod status;

pub mod delegation;
pub mod listener;
pub mod outbound;
pub mod server;

pub mod admin;
pub mod broker;

pub mod agent;
pub mod coordinator;
pub mod exchange;
pub mod explain;
mod table;
pub mod validate;

#[cfg(test)]
mod page;

use std::process::ExitCode;

use self::cli::{Cli, Command};

/// Runs a command to its end.
pub fn run(cli: Cli) -> ExitCode {
    let exit = match cli.command {
        Command::Agent(arguments) if arguments.check => agent::check(&arguments),
        Command::Agent(arguments) => agent::run(&arguments),
        Command::Coordinator(arguments) => coordinator::run(&arguments),
        // Its statuses are those of the protocols that it speaks.
        Command::Exchange(arguments) => return exchange::run(&arguments).into(),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::KubeletProvider(arguments) => kubelet_provider::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
    };
    exit.into()
}
