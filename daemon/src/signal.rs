//! Signals as events: TERM and INT drain, a second one ends at once, HUP reloads, USR1 resyncs.

use std::{
    fmt, io,
    sync::{Arc, atomic::AtomicBool},
};

use futures_util::StreamExt as _;
use signal_hook::{
    consts::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    flag,
};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: compare sources and targets now.
    Resync,
    /// SIGINT or SIGTERM: finish what is being written, then exit.
    Shutdown,
}

/// The signals of the process. Installed once, before the configuration is read: process 1 ignores SIGTERM
/// for as long as nobody handles it.
pub struct Signals {
    stream: signal_hook_tokio::Signals,
}

/// Both ask for the same, so that a second one counts whichever it is.
const TERMINATION: [i32; 2] = [SIGINT, SIGTERM];

impl Signals {
    /// Installs the handlers. From now on a first SIGINT or SIGTERM is only an [`Event`], and a second one ends
    /// the process in the handler itself with status 130 or 143, even if no task ever runs again.
    ///
    /// Call it within a Tokio runtime, and not for commands that end by themselves: they should die by SIGINT.
    ///
    /// # Errors
    /// Those of `sigaction(2)` and `socketpair(2)`.
    pub fn install() -> io::Result<Self> {
        let draining = Arc::new(AtomicBool::new(false));
        for signal in TERMINATION {
            // Handlers run in the order of registration: the first signal finds the flag unset, then sets it.
            flag::register_conditional_shutdown(signal, 128 + signal, draining.clone())?;
        }
        for signal in TERMINATION {
            flag::register(signal, draining.clone())?;
        }
        let stream = signal_hook_tokio::Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1])?;
        Ok(Self { stream })
    }

    /// Waits for the next event. Signals of one kind that come before it is asked for are one event.
    ///
    /// Safe to cancel.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.stream.next().await {
                Some(SIGHUP) => return Event::Reload,
                Some(SIGUSR1) => return Event::Resync,
                Some(SIGINT | SIGTERM) => return Event::Shutdown,
                Some(_) => {}
                // Only its handle, which nobody has, closes the stream. An agent that cannot be told to end
                // must not go on.
                None => return Event::Shutdown,
            }
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
