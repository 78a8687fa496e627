//! The `pullkeeper` binary: crypto provider, panic hook, command line, command, exit status.

use std::{env, process::ExitCode};

use pullkeeper_daemon::{cli, exit::Exit, telemetry};

fn main() -> ExitCode {
    telemetry::install_panic_hook();
    // Explicitly, because rustls refuses to guess as soon as a dependency brings a second one.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return Exit::Internal.into();
    }
    match cli::parse(env::args_os()) {
        Ok(cli) => pullkeeper_daemon::run(cli),
        Err(exit) => exit.into(),
    }
}
