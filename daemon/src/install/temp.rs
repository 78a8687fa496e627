//! The hidden file beside the target that becomes the target.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::Step;
use super::error::Failure;
use super::syscall::retry;

const PREFIX: &str = ".pullkeeper-";
const SUFFIX: &str = ".tmp";
const DIGITS: usize = 16;

/// How often a name that is taken is exchanged for another one; with 64 random bits, once is
/// already somebody's doing.
const ATTEMPTS: usize = 4;

/// A new, empty file that only its owner can read. It disappears with this value unless it was
/// renamed.
#[derive(Debug)]
pub(super) struct Temp<'a> {
    directory: &'a File,
    pub(super) name: OsString,
    armed: bool,
}

impl<'a> Temp<'a> {
    /// Makes one, and opens it for writing.
    pub(super) fn create(directory: &'a File) -> Result<(Self, File), Failure> {
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_EXCL
            | OFlag::O_NOFOLLOW
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let mut refusal = Errno::EEXIST;
        for _ in 0..ATTEMPTS {
            let name = random_name().map_err(|errno| Failure::call(Step::Create, errno))?;
            match retry(|| openat(directory, name.as_os_str(), flags, mode)) {
                Ok(descriptor) => {
                    let temp = Self {
                        directory,
                        name,
                        armed: true,
                    };
                    return Ok((temp, File::from(descriptor)));
                }
                Err(Errno::EEXIST) => {}
                Err(errno) => {
                    refusal = errno;
                    break;
                }
            }
        }
        Err(Failure::call(Step::Create, refusal))
    }

    /// The file has another name now: nothing is left to remove.
    pub(super) fn renamed(&mut self) {
        self.armed = false;
    }

    /// Removes the file. Where that fails its name is given back, so that it can be reported.
    pub(super) fn remove(mut self) -> Option<OsString> {
        self.armed = false;
        let removed = unlink(self.directory, &self.name);
        removed.err().map(|_| std::mem::take(&mut self.name))
    }
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        if self.armed {
            // Only a panic comes this way; the next sweep gets what this cannot remove.
            let _ = unlink(self.directory, &self.name);
        }
    }
}

/// Removes the temporary files that a killed process left in `directory`, and says how many.
///
/// Only a regular file with a name made here, a single link and one of `owners` is taken; anything
/// else with such a name stays. One that cannot be removed does not keep the others.
pub(super) fn sweep(directory: &File, owners: &[u32]) -> Result<usize, Failure> {
    let failed = |errno| Failure::call(Step::Sweep, errno);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing =
        retry(|| Dir::openat(directory, ".", flags, Mode::empty())).map_err(failed)?;
    let mut removed = 0;
    let mut trouble = None;
    for entry in listing.iter() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(failed(errno)),
        };
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if !is_temporary(name) {
            continue;
        }
        match sweep_one(directory, name, owners) {
            Ok(true) => removed += 1,
            Ok(false) | Err(Errno::ENOENT) => {}
            Err(errno) => trouble = Some(failed(errno)),
        }
    }
    trouble.map_or(Ok(removed), Err)
}

fn sweep_one(directory: &File, name: &OsStr, owners: &[u32]) -> nix::Result<bool> {
    let stat = retry(|| fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW))?;
    let regular = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
    if !regular || stat.st_nlink != 1 || !owners.contains(&stat.st_uid) {
        return Ok(false);
    }
    unlink(directory, name).map(|()| true)
}

fn unlink(directory: &File, name: &OsStr) -> nix::Result<()> {
    retry(|| unlinkat(directory, name, UnlinkatFlags::NoRemoveDir))
}

fn random_name() -> nix::Result<OsString> {
    let number = getrandom::u64()
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    Ok(format!("{PREFIX}{number:0width$x}{SUFFIX}", width = DIGITS).into())
}

fn is_temporary(name: &OsStr) -> bool {
    let digits = name
        .as_bytes()
        .strip_prefix(PREFIX.as_bytes())
        .and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    digits.is_some_and(|digits| {
        digits.len() == DIGITS
            && digits
                .iter()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use nix::unistd::geteuid;
    use tempfile::tempdir;

    use super::*;

    const NAME: &str = ".pullkeeper-0123456789abcdef.tmp";

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_temporary_file_is_private_and_gone_with_its_value() {
        let directory = tempdir().unwrap();
        let open = File::open(directory.path()).unwrap();
        let (temp, file) = Temp::create(&open).unwrap();
        assert!(is_temporary(&temp.name));
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(names(directory.path()).len(), 1);
        drop(temp);
        assert!(names(directory.path()).is_empty());

        assert_eq!(Temp::create(&open).unwrap().0.remove(), None);
        assert!(names(directory.path()).is_empty());

        let (mut temp, _) = Temp::create(&open).unwrap();
        temp.renamed();
        drop(temp);
        assert_eq!(names(directory.path()).len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_removed_is_named() {
        let directory = tempdir().unwrap();
        let open = File::open(directory.path()).unwrap();
        let (temp, _) = Temp::create(&open).unwrap();
        let name = temp.name.clone();
        std::fs::remove_file(directory.path().join(&name)).unwrap();
        assert_eq!(temp.remove(), Some(name));
    }

    #[test]
    fn only_names_made_here_are_temporary() {
        assert!(is_temporary(&random_name().unwrap()));
        assert!(is_temporary(OsStr::new(NAME)));
        for name in [
            "pullkeeper-0123456789abcdef.tmp",
            ".pullkeeper-.tmp",
            ".pullkeeper-0123456789abcde.tmp",
            ".pullkeeper-0123456789abcdef0.tmp",
            ".pullkeeper-0123456789ABCDEF.tmp",
            ".pullkeeper-0123456789abcdeg.tmp",
            ".pullkeeper-0123456789abcdef.tmp~",
            ".pullkeeper-0123456789abcdef",
            "config.json",
        ] {
            assert!(!is_temporary(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn sweeping_takes_our_regular_files_and_nothing_else() {
        let directory = tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let us = geteuid().as_raw();
        File::create(at("config.json")).unwrap();
        File::create(at(NAME)).unwrap();
        File::create(at(".pullkeeper-ffffffffffffffff.tmp")).unwrap();
        symlink("config.json", at(".pullkeeper-1111111111111111.tmp")).unwrap();
        std::fs::create_dir(at(".pullkeeper-2222222222222222.tmp")).unwrap();
        std::fs::hard_link(at("config.json"), at(".pullkeeper-3333333333333333.tmp")).unwrap();
        let stays = [
            ".pullkeeper-1111111111111111.tmp",
            ".pullkeeper-2222222222222222.tmp",
            ".pullkeeper-3333333333333333.tmp",
            "config.json",
        ];

        let open = File::open(directory.path()).unwrap();
        assert_eq!(
            sweep(&open, &[us + 1]),
            Ok(0),
            "files of others are left alone"
        );
        assert_eq!(sweep(&open, &[us + 1, us]), Ok(2));
        assert_eq!(names(directory.path()), stays);
        assert_eq!(sweep(&open, &[us]), Ok(0));
    }
}
