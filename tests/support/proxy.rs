//! A proxy between the product and the API server that misbehaves on command.
//!
//! ```text
//! client ──TCP──▶ wire (silence, cut) ──▶ TLS ends ──▶ exchange (delay, refuse, cut body) ──TLS──▶ API server
//! ```
//!
//! It ends TLS with a certificate of the cluster's authority and passes the `Authorization`
//! header on. A client certificate stays behind: identities behind the proxy need a token.
//! It runs on a thread of its own, so it works whatever the test's runtime does.

mod exchange;
mod trap;
mod wire;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::http::{Endpoint, Method};
use wire::Wire;

pub use trap::{Side, Trap};

/// What the proxy does to every request from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Passes every request on, that much later.
    Delay(Duration),
    /// Ends the connection in the middle of every answer that is longer, after so many bytes of
    /// its body. A watch breaks in mid-event when its first events are longer together.
    CutBody(usize),
    /// Refuses every request; the API server does not see it.
    Refuse(Refusal),
    /// Accepts connections and stays silent, on the open ones too, in both directions, as a
    /// network does that drops all packets. What was sent arrives when this mode ends.
    BlackHole,
}

/// How a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 429 with `Retry-After` in seconds, as an overloaded API server answers.
    TooManyRequests {
        /// The seconds.
        retry_after: u32,
    },
    /// 500 with a `Status` object.
    InternalError,
}

/// A request that has arrived at the proxy, refused or not.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it came.
    pub at: Instant,
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub uri: String,
}

/// A running proxy; it and its connections end when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: Endpoint,
    state: Mutex<State>,
    wire: watch::Sender<Wire>,
}

struct State {
    mode: Mode,
    refusals: VecDeque<Refusal>,
    trap: Option<Trap>,
    caught: usize,
    seen: Vec<Seen>,
    open: usize,
}

impl Proxy {
    /// Listens on a free port and passes on to `upstream`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(tls: Arc<ServerConfig>, upstream: Endpoint) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("cannot listen on 127.0.0.1")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = State {
            mode: Mode::Pass,
            refusals: VecDeque::new(),
            trap: None,
            caught: 0,
            seen: Vec::new(),
            open: 0,
        };
        let wire = watch::Sender::new(Wire::default());
        let shared = Arc::new(Shared {
            upstream,
            state: Mutex::new(state),
            wire,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let serving = serve(listener, TlsAcceptor::from(tls), Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || runtime.block_on(serving))?;
        Ok(Self {
            address,
            shared,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Changes the mode, for requests that come from now on; [`Mode::BlackHole`] begins and ends
    /// for open connections too.
    pub fn set(&self, mode: Mode) {
        self.shared.state().mode = mode;
        self.shared
            .wire
            .send_modify(|wire| wire.silent = mode == Mode::BlackHole);
    }

    /// Refuses the next `count` requests, after that the mode decides again.
    pub fn refuse_next(&self, count: usize, refusal: Refusal) {
        self.shared
            .state()
            .refusals
            .extend(std::iter::repeat_n(refusal, count));
    }

    /// Holds one request for as long as its connection lasts; others pass. It takes the place of a trap that has caught nothing.
    pub fn trap(&self, trap: Trap) {
        self.shared.state().trap = Some(trap);
    }

    /// How many requests traps have caught so far.
    pub fn caught(&self) -> usize {
        self.shared.state().caught
    }

    /// Resets every open connection at once, as a load balancer does that fails over; new ones
    /// are not touched.
    pub fn cut(&self) {
        self.shared.wire.send_modify(|wire| wire.cuts += 1);
    }

    /// The requests that have arrived so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    /// How many connections are open on the product's side.
    pub fn open_connections(&self) -> usize {
        self.shared.state().open
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.wire.send_modify(|wire| wire.closed = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const BETWEEN_FAILED_ACCEPTS: Duration = Duration::from_millis(50);

async fn serve(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    let mut wire = shared.wire.subscribe();
    loop {
        tokio::select! {
            () = wire::until(&mut wire, |wire| wire.closed) => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(connection(stream, tls.clone(), Arc::clone(&shared)));
                }
                Err(_) => tokio::time::sleep(BETWEEN_FAILED_ACCEPTS).await,
            },
        }
    }
}

// Every failure here ends the connection, which is what the client is to see.
async fn connection(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let _counted = Counted::new(Arc::clone(&shared));
    let _ = stream.set_nodelay(true);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let mut relay = pin!(wire::relay(stream, near, shared.wire.subscribe()));
    let exchanges = async {
        let Ok(plain) = tls.accept(far).await else {
            return;
        };
        let service = service_fn(|request| exchange::exchange(request, Arc::clone(&shared)));
        let _ = http1::Builder::new()
            .serve_connection(TokioIo::new(plain), service)
            .await;
    };
    // The client's end ends the exchange; what the exchange wrote last still reaches the client.
    tokio::select! {
        () = &mut relay => {}
        () = exchanges => relay.await,
    }
}

struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        shared.state().open += 1;
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.state().open -= 1;
    }
}
