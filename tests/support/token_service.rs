//! A registry's token endpoint that gives the password back as the token, and misbehaves on
//! command.
//!
//! A registry that asks for tokens from here takes whatever token a client holds as its password,
//! as products do that accept a workload's token. Who signed it, and what it permits, the registry
//! still checks itself.

mod answer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;

use crate::http::{Endpoint, Method, StatusCode};
use crate::listener::Listener;

/// What the service answers from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The password as the token; 401 to whoever shows none.
    Return,
    /// As [`Mode::Return`], and says that the token is good for so many seconds.
    ReturnFor(u32),
    /// As [`Mode::Return`] to GET; 405 to POST, as Keycloak answers.
    GetOnly,
    /// This status to everybody.
    Refuse(StatusCode),
    /// Accepts connections and requests, and stays silent.
    Silent,
}

/// A request that has arrived, answered or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it came.
    pub at: Instant,
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub uri: String,
    /// The user it named, in its header or form.
    pub username: Option<String>,
}

/// A running service; it and its connections end when it is dropped.
#[derive(Debug)]
pub struct TokenService {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    seen: Vec<Seen>,
}

impl TokenService {
    /// Listens on a free port; begins with [`Mode::Return`].
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start() -> Result<Self> {
        let state = Arc::new(Mutex::new(State {
            mode: Mode::Return,
            seen: Vec::new(),
        }));
        let answering = Arc::clone(&state);
        let answer = move |request| answer::answer(request, Arc::clone(&answering));
        Ok(Self {
            listener: Listener::start("token-service", answer)?,
            state,
        })
    }

    /// The URL of the token endpoint for a registry's challenge.
    pub fn realm(&self) -> String {
        format!("{}/token", self.listener.url())
    }

    /// For requests that no client makes.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::plain(self.listener.address())
    }

    /// Changes the mode, for requests that come from now on.
    pub fn set(&self, mode: Mode) {
        lock(&self.state).mode = mode;
    }

    /// The requests that have arrived so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state).seen.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
