//! Reading to the end, bounded in length and time.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use zeroize::Zeroizing;

/// More than any client or agent sends: a service-account token, and annotations of at most 256 KiB.
const LONGEST: usize = 1 << 20;
/// Enough for nearly every request and answer.
const USUAL: usize = 4 << 10;

/// Standard input to its end.
pub(crate) fn stdin(deadline: Instant) -> io::Result<Zeroizing<Vec<u8>>> {
    to_end(&mut io::stdin().lock(), deadline)
}

/// Reads to the end. The bytes may hold a token: what is outgrown is wiped, and so is the result.
pub(crate) fn to_end(
    from: &mut (impl Read + AsFd),
    deadline: Instant,
) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; USUAL]);
    let mut filled = 0;
    loop {
        wait(from, deadline)?;
        match from.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if filled > LONGEST {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "more than 1 MiB"));
        }
        if filled == bytes.len() {
            // Not by growing, which would leave a copy behind.
            let mut larger = Zeroizing::new(vec![0; filled * 4]);
            larger[..filled].copy_from_slice(&bytes);
            bytes = larger;
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The time that is left; never zero, which means "for ever" to sockets.
pub(crate) fn left(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.max(Duration::from_millis(1))
}

fn wait(from: &impl AsFd, deadline: Instant) -> io::Result<()> {
    loop {
        let timeout = PollTimeout::try_from(left(deadline)).unwrap_or(PollTimeout::MAX);
        let mut from = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        match poll(&mut from, timeout) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
