//! An HTTP server that says whatever a test wants, byte by byte if need be, and remembers what it was sent.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What is said to a request.
#[derive(Clone, Debug)]
pub enum Say {
    /// These bytes, and the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes, one at a time with a pause after each.
    Drip(Vec<u8>, Duration),
    /// These bytes, and then the last of them again and again until nobody listens.
    Endless(Vec<u8>),
    /// Nothing, for as long as the client waits.
    Nothing,
    /// What a judge of the request says.
    Judged(Judge),
}

/// Decides on the whole request, head and body as they came.
#[derive(Clone)]
pub struct Judge(Arc<dyn Fn(&str) -> Say + Send + Sync>);

impl Say {
    /// A response with this status line, headers (each ended by `\r\n`) and body.
    pub fn response(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        Self::Bytes(text.into_bytes())
    }

    /// What `judge` decides, for each request anew.
    pub fn judged(judge: impl Fn(&str) -> Self + Send + Sync + 'static) -> Self {
        Self::Judged(Judge(Arc::new(judge)))
    }

    /// A registry's challenge with this realm.
    pub fn challenge(realm: &str) -> Self {
        let header = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"fixture\"\r\n");
        Self::response("401 Unauthorized", &header, "{}")
    }
}

/// A running server on a loopback port of its own.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    tls: Mutex<Option<Arc<ServerConfig>>>,
    say: Mutex<Say>,
    heard: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Scripted {
    /// Starts a server that says this until it is told otherwise.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(say: Say) -> Result<Self> {
        Self::listen(say, None)
    }

    /// As [`Scripted::start`], over TLS.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start_tls(say: Say, tls: Arc<ServerConfig>) -> Result<Self> {
        Self::listen(say, Some(tls))
    }

    fn listen(say: Say, tls: Option<Arc<ServerConfig>>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            tls: Mutex::new(tls),
            say: Mutex::new(say),
            heard: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&serving);
                // A client that goes away in the middle is what some tests are about.
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(Self { address, shared })
    }

    /// `127.0.0.1:PORT`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `localhost:PORT`.
    pub fn local_name(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Speaks TLS like this from the next connection on.
    pub fn set_tls(&self, tls: Arc<ServerConfig>) {
        *self
            .shared
            .tls
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(tls);
    }

    /// Says this from the next request on.
    pub fn say(&self, say: Say) {
        *self
            .shared
            .say
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = say;
    }

    /// The requests so far: head and body as they came.
    pub fn heard(&self) -> Vec<String> {
        let heard = self.shared.heard.lock();
        heard.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // So that it looks.
        drop(TcpStream::connect(self.address));
    }
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> Result<()> {
        let tls = self
            .tls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match tls {
            None => self.answer(stream),
            Some(config) => {
                let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
                self.answer(&mut stream)?;
                // Or the end would look like an attack.
                stream.conn.send_close_notify();
                stream.flush()?;
                Ok(())
            }
        }
    }

    fn answer(&self, mut stream: impl Read + Write) -> Result<()> {
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while !is_whole(&heard) {
            match stream.read(&mut buffer)? {
                0 => break,
                count => heard.extend_from_slice(&buffer[..count]),
            }
        }
        if heard.is_empty() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&heard).into_owned();
        let mut all = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(text.clone());
        drop(all);
        let say = self
            .say
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        say.to(&text, stream)
    }
}

impl Say {
    fn to(self, request: &str, mut stream: impl Read + Write) -> Result<()> {
        match self {
            Self::Judged(judge) => return judge.0(request).to(request, stream),
            Self::Bytes(bytes) => stream.write_all(&bytes)?,
            Self::Drip(bytes, pause) => {
                for byte in bytes {
                    stream.write_all(&[byte])?;
                    std::thread::sleep(pause);
                }
            }
            Self::Endless(bytes) => {
                stream.write_all(&bytes)?;
                let more = [bytes.last().copied().unwrap_or(b' '); 4096];
                loop {
                    stream.write_all(&more)?;
                }
            }
            Self::Nothing => while stream.read(&mut [0; 64])? > 0 {},
        }
        Ok(())
    }
}

/// Whether a request with a known length, or none, has arrived.
fn is_whole(heard: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heard).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}
