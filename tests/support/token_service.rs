//! A registry's token endpoint that gives the password back as the token, and misbehaves on
//! command.
//!
//! A registry that asks for tokens from here takes whatever token a client holds as its password,
//! as products do that accept a workload's token. Who signed it, and what it permits, the registry
//! still checks itself.

mod answer;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::http::{Endpoint, Method, StatusCode};

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

/// A running service; it and its connections end when it is dropped. It runs on a thread of its
/// own, so it works whatever the test's runtime does.
#[derive(Debug)]
pub struct TokenService {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
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
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("cannot listen on 127.0.0.1")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            mode: Mode::Return,
            seen: Vec::new(),
        }));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let serving = serve(listener, Arc::clone(&state), stopped);
        let thread = std::thread::Builder::new()
            .name("token-service".to_owned())
            .spawn(move || runtime.block_on(serving))?;
        Ok(Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The URL of the token endpoint for a registry's challenge. Its host is a name, because crane
    /// follows no challenge from one loopback address to another.
    pub fn realm(&self) -> String {
        format!("http://localhost:{}/token", self.address.port())
    }

    /// For requests that no client makes.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::plain(self.address)
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

impl Drop for TokenService {
    fn drop(&mut self) {
        // Dropping the sender alone would do; the connections end with their runtime.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

const BETWEEN_FAILED_ACCEPTS: Duration = Duration::from_millis(50);

async fn serve(
    listener: TcpListener,
    state: Arc<Mutex<State>>,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let state = Arc::clone(&state);
                    let service = service_fn(move |request| answer::answer(request, Arc::clone(&state)));
                    // Every failure ends the connection, which is what the client is to see.
                    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
                Err(_) => tokio::time::sleep(BETWEEN_FAILED_ACCEPTS).await,
            },
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
