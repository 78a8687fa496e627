//! The bytes between client and proxy: passed on, held back, or cut off.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, split};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// What connections do; a change acts on the open ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wire {
    /// Nothing moves in either direction.
    pub(super) silent: bool,
    /// Counts the cuts: a connection that sees another number than at its start is reset.
    pub(super) cuts: u64,
    /// The proxy ends.
    pub(super) closed: bool,
}

/// Passes bytes between the client and the inside of the proxy until both have ended, or until a
/// cut resets the client.
pub(super) async fn relay(
    mut client: TcpStream,
    inside: DuplexStream,
    wire: watch::Receiver<Wire>,
) {
    let cuts = wire.borrow().cuts;
    let mut end = wire.clone();
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_inside, to_inside) = split(inside);
        let both = async {
            tokio::join!(
                pump(from_client, to_inside, wire.clone()),
                pump(from_inside, to_client, wire.clone()),
            )
        };
        tokio::select! {
            () = until(&mut end, |wire| wire.closed || wire.cuts != cuts) => true,
            _ = both => false,
        }
    };
    if cut {
        // With no time to linger, close sends a reset instead of an orderly end.
        let _ = client.set_zero_linger();
    }
}

/// Waits for a state of the wire.
pub(super) async fn until(wire: &mut watch::Receiver<Wire>, state: impl Fn(&Wire) -> bool) {
    // It fails only without a sender, which the proxy holds as long as it has connections.
    let _ = wire.wait_for(|wire| state(wire)).await;
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut wire: watch::Receiver<Wire>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or_default();
        until(&mut wire, |wire| !wire.silent).await;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}
