//! The way of pods to what listens on loopback.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Passes what arrives at a port of every address of this machine on to one server.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens until it is dropped.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn to(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await;
        let listener = listener.context("cannot listen")?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    // Who goes away in the middle is nobody's fault.
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        let _ended = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Ok(Self { port, task })
    }

    /// The port, at every address.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
