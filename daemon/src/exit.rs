//! Exit statuses: one list for every command.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::ValueEnum;

/// How a command ended. Numbers above 1 are those of sysexits(3).
///
/// A second SIGINT or SIGTERM during the drain ends the process with 130 or 143, as a shell would report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Exit {
    /// Done; for the agent: asked to end, and drained.
    Ok = 0,
    /// The checked document has errors.
    Findings = 1,
    /// The command line or the configuration cannot be used.
    Usage = 64,
    /// A file named on the command line cannot be read.
    NoInput = 66,
    /// Something that is needed cannot be reached or bound.
    Unavailable = 69,
    /// A fault of the program.
    Internal = 70,
    /// Not now: the same command may succeed later.
    TryAgain = 75,
    /// The system does not permit it.
    NoPermission = 77,
}

impl Exit {
    /// The status that the parent process sees.
    pub fn status(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

/// An error and its causes on one line, outermost first.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Tells the person at the terminal what could not be done, and why.
pub fn complain(what: &str, error: &dyn Error) {
    // Nobody is left to tell when the terminal is gone.
    let _ = writeln!(io::stderr(), "pullkeeper: {what}: {}", chain(error));
}
