//! The host's file system, which a container sees below a directory. Links in it lead where they lead on the host.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use pullkeeper_core::provider::config::Program;

/// Nothing that is read here is nearly as large.
const LIMIT: u64 = 1 << 20;

/// The host's root.
#[derive(Clone, Debug)]
pub(super) struct Root(PathBuf);

impl Root {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where a path of the host is seen, for whoever writes there and follows no link.
    pub(super) fn seen(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// What a regular file holds; `None` where there is none.
    pub(super) fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        // Not blocking, should it be a FIFO.
        let Some(file) = self.open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK)? else {
            return Ok(None);
        };
        if !is(&fstat(&file)?, SFlag::S_IFREG) {
            return Err(io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        File::from(file).take(LIMIT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LIMIT {
            return Err(io::Error::other("larger than 1 MiB"));
        }
        Ok(Some(bytes))
    }

    /// [`Root::read`] of what has to be text.
    pub(super) fn text(&self, path: &str) -> io::Result<Option<String>> {
        let bytes = self.read(path)?;
        let text = bytes.map(String::from_utf8).transpose();
        text.map_err(|_| io::Error::other("not UTF-8"))
    }

    /// Whether something is there.
    pub(super) fn has(&self, path: &str) -> bool {
        matches!(self.open(path, OFlag::O_PATH), Ok(Some(_)))
    }

    /// Whether a directory is there.
    pub(super) fn has_directory(&self, path: &str) -> bool {
        self.program(path) == Program::Directory
    }

    /// What somebody would find that executes it.
    pub(super) fn program(&self, path: &str) -> Program {
        let Ok(Some(found)) = self.open(path, OFlag::O_PATH) else {
            return Program::Missing;
        };
        match fstat(&found) {
            Err(_) => Program::Missing,
            Ok(stat) if is(&stat, SFlag::S_IFDIR) => Program::Directory,
            Ok(stat) if stat.st_mode & 0o111 == 0 => Program::NotExecutable,
            Ok(_) => Program::Executable,
        }
    }

    /// The names in a directory, in their order, and what is behind each, links followed; none where there is no directory.
    pub(super) fn list(&self, path: &str) -> io::Result<BTreeMap<String, Program>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let Some(directory) = self.open(path, flags)? else {
            return Ok(BTreeMap::new());
        };
        let mut entries = BTreeMap::new();
        for entry in Dir::from_fd(directory)?.iter() {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                let kind = self.program(&format!("{path}/{name}"));
                entries.insert(name, kind);
            }
        }
        Ok(entries)
    }

    fn open(&self, path: &str, flags: OFlag) -> io::Result<Option<std::os::fd::OwnedFd>> {
        let root = File::open(&self.0)?;
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_IN_ROOT);
        match openat2(root.as_fd(), path, how) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn write(path: &Path, text: &str) {
        use std::io::Write as _;
        File::create(path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    #[test]
    fn links_lead_where_they_lead_on_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for directory in ["etc", "usr", "usr/bin", "vendor"] {
            std::fs::create_dir(at(directory)).unwrap();
        }
        write(&at("usr/bin/real"), "program");
        write(&at("etc/os-release"), "ID=debian");
        std::fs::set_permissions(at("usr/bin/real"), PermissionsExt::from_mode(0o755)).unwrap();
        symlink("/usr/bin/real", at("vendor/link")).unwrap();
        symlink("/usr/bin/none", at("vendor/dangling")).unwrap();
        symlink("../../../../../etc/os-release", at("vendor/up")).unwrap();
        std::fs::create_dir(at("vendor/folder")).unwrap();

        let root = Root::new(folder.path());
        let expected = [
            ("dangling", Program::Missing),
            ("folder", Program::Directory),
            ("link", Program::Executable),
            ("up", Program::NotExecutable),
        ];
        let expected = expected.map(|(name, kind)| (name.to_owned(), kind));
        assert_eq!(root.list("/vendor").unwrap(), BTreeMap::from(expected));
        assert_eq!(root.list("/nothing").unwrap(), BTreeMap::new());
        assert_eq!(root.text("/vendor/up").unwrap().unwrap(), "ID=debian");
        assert_eq!(root.read("/vendor/none").unwrap(), None);
        assert!(root.read("/vendor/folder").is_err());
        assert!(root.has("/etc") && !root.has("/etc/none"));
        assert_eq!(root.seen("/etc/x"), at("etc/x"));
    }
}
