//! System calls of the write path: none of them gives up on a signal.

use std::io;

use nix::errno::Errno;

/// Repeats `call` for as long as a signal interrupts it.
pub(super) fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
}

/// [`retry`] for calls that answer with the standard library's error.
pub(super) fn retry_io<T>(mut call: impl FnMut() -> io::Result<T>) -> nix::Result<T> {
    retry(|| call().map_err(|error| number(&error)))
}

/// The kernel's number of an error of the standard library.
pub(super) fn number(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_is_repeated_and_other_errors_are_not() {
        let mut answers = vec![Ok(7), Err(Errno::EINTR), Err(Errno::EINTR)];
        assert_eq!(retry(|| answers.pop().unwrap()), Ok(7));

        let mut answers = vec![Ok(7), Err(Errno::EIO), Err(Errno::EINTR)];
        assert_eq!(retry(|| answers.pop().unwrap()), Err(Errno::EIO));
        assert_eq!(answers, [Ok(7)]);
    }

    #[test]
    fn an_error_without_a_number_is_an_input_output_error() {
        let answer: nix::Result<()> = retry_io(|| Err(io::Error::other("no number")));
        assert_eq!(answer, Err(Errno::EIO));
        let answer: nix::Result<()> = retry_io(|| Err(io::Error::from_raw_os_error(28)));
        assert_eq!(answer, Err(Errno::ENOSPC));
    }
}
