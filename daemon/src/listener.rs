//! Where endpoints listen: a TCP address, a Unix socket, or one that systemd opened.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net as std_net;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use listenfd::ListenFd;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::{Listen, Owner};

/// A bound listener; a Unix socket's file goes with it.
#[derive(Debug)]
pub enum Listener {
    /// A TCP address.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener, SocketFile),
    /// A Unix socket that systemd opened, and keeps open while the agent restarts.
    Inherited(UnixListener),
}

/// Who is at the other end of a connection, as the kernel says; `None` where it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub Option<Owner>);

/// Removes the socket's file when the listener goes.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

/// The endpoint cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; choose another `{key}` or `off`")]
pub struct ListenError {
    address: String,
    key: &'static str,
    #[source]
    source: io::Error,
}

impl Listener {
    /// Binds the address that the configuration has under `key`; `None` when it is off. `mode` is that of a Unix
    /// socket.
    pub async fn bind(
        to: &Listen,
        key: &'static str,
        mode: u32,
    ) -> Result<Option<Self>, ListenError> {
        let failed = |source| ListenError {
            address: to.to_string(),
            key,
            source,
        };
        match to {
            Listen::Off => Ok(None),
            Listen::Tcp(address) => TcpListener::bind(address)
                .await
                .map(Self::Tcp)
                .map(Some)
                .map_err(failed),
            Listen::Systemd => inherited().map(Some).map_err(failed),
            Listen::Unix(path) => {
                remove_stale(path).map_err(failed)?;
                let listener = bind_private(path, mode).map_err(failed)?;
                Ok(Some(Self::Unix(listener, SocketFile(path.clone()))))
            }
        }
    }

    /// The address in the form that `curl` or a person can use.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| "tcp".to_owned(), |a| format!("http://{a}")),
            Self::Unix(_, SocketFile(path)) => format!("unix:{}", path.display()),
            Self::Inherited(_) => Listen::Systemd.to_string(),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        let listener = match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                return Ok((Stream::Tcp(stream), Peer(None)));
            }
            Self::Unix(listener, _) | Self::Inherited(listener) => listener,
        };
        let (stream, _) = listener.accept().await?;
        let peer = stream.peer_cred().ok().map(|peer| Owner {
            uid: peer.uid(),
            gid: peer.gid(),
        });
        Ok((Stream::Unix(stream), Peer(peer)))
    }
}

/// The one Unix socket that systemd hands over (sd_listen_fds(3)).
fn inherited() -> io::Result<Listener> {
    let mut handed_over = ListenFd::from_env();
    let listener = handed_over.take_unix_listener(0)?.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "systemd handed no socket over; start the .socket unit",
        )
    })?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener).map(Listener::Inherited)
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Left behind, it is recognised as stale at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Gives the socket its mode before it has a name, so that there is no moment with a wider one.
fn bind_private(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let descriptor = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    fchmod(&descriptor, Mode::from_bits_truncate(0o600))?;
    bind(
        std::os::fd::AsRawFd::as_raw_fd(&descriptor),
        &UnixAddr::new(path)?,
    )?;
    listen(&descriptor, Backlog::new(128)?)?;
    // Wider only now, and not before: the umask would have its way with it.
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    UnixListener::from_std(std_net::UnixListener::from(descriptor))
}

/// Removes a socket that nobody listens on any more; anything else stays, and `bind` says so.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    match std_net::UnixStream::connect(path) {
        Err(error) if is_socket && error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Ok(()),
    }
}

/// One accepted connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
