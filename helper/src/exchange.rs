//! Without an agent: `pullkeeper exchange` answers in its place.

use std::env;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::sys::memfd::{MFdFlags, memfd_create};

/// Becomes `pullkeeper exchange`, with the same standard input. Returns only when that cannot be executed, and why.
///
/// The input goes through memory that has no name: it may hold a token, which must not be in an argument or a file.
pub(crate) fn become_exchange(protocol: &str, input: &[u8]) -> io::Error {
    let stdin = match stdin_of(input) {
        Ok(stdin) => stdin,
        Err(error) => return error,
    };
    // Beside this program first: what was installed together belongs together.
    let beside = env::current_exe()
        .map(|path| path.with_file_name("pullkeeper"))
        .ok()
        .filter(|path| path.is_file());
    let program = beside.unwrap_or_else(|| "pullkeeper".into());
    Command::new(program)
        .args(["exchange", "--protocol", protocol])
        .stdin(stdin)
        .exec()
}

fn stdin_of(input: &[u8]) -> io::Result<Stdio> {
    let mut memory = File::from(memfd_create(c"request", MFdFlags::MFD_CLOEXEC)?);
    memory.write_all(input)?;
    memory.rewind()?;
    Ok(memory.into())
}
