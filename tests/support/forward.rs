//! A forward proxy, as companies have between their machines and the world: it connects (`CONNECT`) to the hosts that it
//! knows, for those who say the right password.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::fixture::Credential;

/// A running proxy on a loopback port of its own.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    credential: Credential,
    host: String,
    place: SocketAddr,
    heard: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Forward {
    /// Starts a proxy that knows one host, `HOST:PORT`, which is really at that address.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(credential: &Credential, host: &str, place: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            credential: credential.clone(),
            host: host.to_owned(),
            place,
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
                // Who goes away in the middle is nobody's fault.
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(Self { address, shared })
    }

    /// `127.0.0.1:PORT`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The heads of the requests so far, as they came.
    pub fn heard(&self) -> Vec<String> {
        let heard = self.shared.heard.lock();
        heard.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // So that it looks.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            client.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let heard = self.heard.lock();
        heard
            .unwrap_or_else(PoisonError::into_inner)
            .push(head.clone());
        let proof = format!(
            "\r\nProxy-Authorization: Basic {}\r\n",
            self.credential.auth()
        );
        let asked = format!("CONNECT {} HTTP/1.1\r\n", self.host);
        let status = match () {
            () if !head.contains(&proof) => "407 Proxy Authentication Required",
            () if !head.starts_with(&asked) => "403 Forbidden",
            () => "200 Connection established",
        };
        client.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes())?;
        if status.starts_with("200") {
            relay(client, TcpStream::connect(self.place)?)?;
        }
        Ok(())
    }
}

/// Both ways until both have ended.
fn relay(mut client: TcpStream, mut server: TcpStream) -> io::Result<()> {
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let upwards = std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Write);
    let _ = upwards.join();
    Ok(())
}
