//! The node's agent, asked over its Unix socket.

use std::env;
use std::fmt;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, setsockopt, socket,
    sockopt::{PeerCredentials, SendTimeout},
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use nix::unistd::Uid;
use pullkeeper_core::wire::{self, WireError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::input::{self, left};

/// The environment's word for another socket than [`wire::DEFAULT_SOCKET`].
const SOCKET_VARIABLE: &str = "PULLKEEPER_BROKER_SOCKET";

/// Why there is no answer. Each says what to do.
#[derive(Debug)]
pub(crate) enum AskError {
    /// Nobody listens.
    Absent,
    /// Something else went wrong; nobody else can answer in its place.
    Failed(String),
}

/// Where the agent listens.
pub(crate) fn socket_path() -> String {
    let configured = env::var(SOCKET_VARIABLE).ok();
    configured
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| wire::DEFAULT_SOCKET.to_owned())
}

/// Asks, and waits for the answer until the deadline, again if the agent goes away meanwhile. Nothing is sent to a process that is neither root's nor the
/// caller's own.
pub(crate) fn ask<Q: Serialize, A: for<'a> Deserialize<'a>>(
    path: &str,
    body: Option<&Q>,
    deadline: Instant,
) -> Result<A, AskError> {
    let request = wire::http_request(path, body);
    let response = match round_trip(&request, deadline)? {
        // An agent that ends drops who waits in its queue. Nobody has begun to answer, so it may be asked for again: of the next agent,
        // or of whoever answers without one.
        Err(error) if is_hangup(&error) => round_trip(&request, deadline)?,
        once => once,
    };
    let response = response.map_err(|error| failure("ask", error))?;
    wire::read_response(&response).map_err(|error: WireError| AskError::Failed(error.to_string()))
}

/// One request and its whole response, which is not empty.
fn round_trip(
    request: &[u8],
    deadline: Instant,
) -> Result<io::Result<Zeroizing<Vec<u8>>>, AskError> {
    let mut stream = open(deadline)?;
    let sent = stream
        .set_write_timeout(Some(left(deadline)))
        .and_then(|()| stream.write_all(request));
    let response = sent.and_then(|()| input::to_end(&mut stream, deadline));
    Ok(response.and_then(|bytes| {
        if bytes.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }))
}

/// Whether the other side has gone. What it had begun to say is lost with such an error, but it says it in one piece.
fn is_hangup(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
    )
}

fn open(deadline: Instant) -> Result<UnixStream, AskError> {
    let path = socket_path();
    let descriptor = connected(&path, deadline).map_err(|errno| match errno {
        Errno::ENOENT | Errno::ECONNREFUSED | Errno::ENOTDIR => AskError::Absent,
        errno => failure("connect to", errno.into()),
    })?;
    let peer = getsockopt(&descriptor, PeerCredentials)
        .map_err(|errno| failure("identify", errno.into()))?;
    if peer.uid() != 0 && Uid::from_raw(peer.uid()) != Uid::effective() {
        return Err(AskError::Failed(format!(
            "the process that listens at {path} belongs to user {}, and is not asked; \
             only an agent of root or of the caller is",
            peer.uid()
        )));
    }
    Ok(UnixStream::from(descriptor))
}

/// A connection. The send timeout bounds connect(2) on a Unix socket as well, whose queue may be full.
fn connected(path: &str, deadline: Instant) -> nix::Result<OwnedFd> {
    let address = UnixAddr::new(path)?;
    let descriptor = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let left = i64::try_from(left(deadline).as_millis()).unwrap_or(i64::MAX);
    setsockopt(&descriptor, SendTimeout, &TimeVal::milliseconds(left))?;
    connect(std::os::fd::AsRawFd::as_raw_fd(&descriptor), &address)?;
    Ok(descriptor)
}

fn failure(verb: &str, error: io::Error) -> AskError {
    let path = socket_path();
    let words = match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "it did not answer in time".to_owned(),
        ErrorKind::PermissionDenied => {
            "permission denied; the agent's `broker.allowed_users` says who may ask".to_owned()
        }
        _ => error.to_string(),
    };
    AskError::Failed(format!("cannot {verb} the agent at {path}: {words}"))
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "no agent listens at {}", socket_path()),
            Self::Failed(words) => f.write_str(words),
        }
    }
}
