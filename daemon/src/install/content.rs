//! What a file holds or is to hold: read bounded, and wiped from memory when it is dropped.

use std::fs::File;

use nix::errno::Errno;
use nix::unistd::{read, write};
use zeroize::Zeroizing;

use super::error::Failure;
use super::original::Original;
use super::syscall::retry;
use super::{Cause, Step};

/// What a file is to hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// What is in another file, which is never held in memory as a whole.
    Copy(&'a Original),
}

impl Content<'_> {
    /// Its length in bytes.
    pub(super) fn len(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Copy(original) => original.len(),
        }
    }

    /// Writes all of it to `file`.
    pub(super) fn write_to(self, file: &File) -> Result<(), Failure> {
        match self {
            Self::Bytes(bytes) => write_all(file, bytes),
            Self::Copy(original) => original.pieces(|_, piece| write_all(file, piece)),
        }
    }

    /// Whether `file`, which was just opened, holds this and nothing else.
    pub(super) fn is_in(self, file: &File) -> Result<bool, Failure> {
        match self {
            Self::Bytes(bytes) => {
                read_all(file, bytes.len(), bytes.len()).map(|read| **read == *bytes)
            }
            Self::Copy(original) => original.is_in(file),
        }
    }
}

fn write_all(file: &File, mut bytes: &[u8]) -> Result<(), Failure> {
    while !bytes.is_empty() {
        match retry(|| write(file, bytes)) {
            Ok(0) => return Err(Failure::call(Step::Write, Errno::EIO)),
            Ok(count) => bytes = &bytes[count..],
            Err(errno) => return Err(Failure::call(Step::Write, errno)),
        }
    }
    Ok(())
}

/// Reads `file` to its end, which must come at `limit` or before it.
///
/// `size` is the length to expect; a file that is longer is read all the same. No copy of the
/// bytes is left behind by a growing buffer.
pub(super) fn read_all(
    file: &File,
    size: usize,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // One byte more than expected, so that the end of the file is seen without growing.
    let mut buffer = Zeroizing::new(vec![0; size.min(limit) + 1]);
    let mut filled = 0;
    loop {
        if filled > limit {
            return Err(Failure::found(
                Step::Read,
                Cause::TooLarge,
                "it is larger than the limit",
            ));
        }
        if filled == buffer.len() {
            let mut larger = Zeroizing::new(vec![0; (filled * 2).min(limit + 1)]);
            larger[..filled].copy_from_slice(&buffer);
            buffer = larger;
        }
        match retry(|| read(file, &mut buffer[filled..])) {
            Ok(0) => {
                buffer.truncate(filled);
                return Ok(buffer);
            }
            Ok(count) => filled += count,
            Err(errno) => return Err(Failure::call(Step::Read, errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn reads_whatever_size_was_expected() {
        let bytes: Vec<u8> = (0..70_000u32).map(|i| i as u8).collect();
        for size in [0, 1, 69_999, 70_000, 200_000] {
            let read = read_all(&file(&bytes), size, 1 << 20).unwrap();
            assert_eq!(*read, bytes, "expected size {size}");
        }
        assert!(read_all(&file(b""), 0, 10).unwrap().is_empty());
    }

    #[test]
    fn the_limit_is_the_last_length_that_is_read() {
        for size in [0, 5, 6, 7] {
            assert_eq!(**read_all(&file(b"123456"), size, 6).unwrap(), *b"123456");
            let failure = read_all(&file(b"1234567"), size, 6).unwrap_err();
            assert_eq!(failure.cause(), Cause::TooLarge, "expected size {size}");
        }
    }

    #[test]
    fn a_directory_is_an_error() {
        let directory = File::open(tempfile::tempdir().unwrap().path()).unwrap();
        assert_eq!(read_all(&directory, 0, 6).unwrap_err().cause(), Cause::Io);
    }
}
