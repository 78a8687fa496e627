//! Where a target really is: the directory, held open, and the name in it.
//!
//! Every operation looks its place up anew. A descriptor kept for the life of the agent would go
//! on writing into a directory that a package update or a mount has replaced in the meantime, and
//! no reader would ever see those files.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};

use super::error::Failure;
use super::syscall::retry;
use super::{Cause, Options, Step};

/// As many links as the kernel itself follows in one path.
const MAX_LINKS: usize = 40;

/// The directory of a target and its name there. That name is not a symbolic link, or was not one
/// a moment ago.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: File,
    pub(super) name: OsString,
}

impl Place {
    /// Finds the file that `path` leads to; it need not exist.
    ///
    /// Links in the directory part are followed wherever they lead: systems move whole directories
    /// that way (`/root` is a link on image-mode hosts) and only an administrator can. A link in
    /// the place of the file itself must lead to a file below the root: by default the configured
    /// directory, else [`Options::root`]. Without [`Options::follow`] it is refused.
    pub(super) fn find(path: &Path, options: &Options) -> Result<Self, Failure> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Failure::found(
                Step::Open,
                Cause::InvalidPath,
                "it names no file",
            ));
        };
        let mut place = Self {
            directory: open_directory(AT_FDCWD, parent)?,
            name: name.to_owned(),
        };
        let mut followed = None;
        for _ in 0..MAX_LINKS {
            match place.kind()? {
                Kind::Link if !options.follow => {
                    return Err(Failure::found(
                        Step::Open,
                        Cause::Link,
                        "it is a symbolic link",
                    ));
                }
                Kind::Link => {
                    let root = match followed.take() {
                        Some(root) => root,
                        None => identity(&place.root(options)?)?,
                    };
                    place = place.follow()?;
                    followed = Some(root);
                }
                Kind::Other(what) => {
                    return Err(Failure::found(Step::Open, Cause::NotRegular, what));
                }
                Kind::Absent | Kind::File => {
                    return match followed {
                        Some(root) if !is_beneath(&place.directory, root)? => Err(Failure::found(
                            Step::Open,
                            Cause::Symlink,
                            "it is a symbolic link that leaves the allowed directory",
                        )),
                        _ => {
                            if options.is_executable() {
                                check_executable(&place.directory)?;
                            }
                            Ok(place)
                        }
                    };
                }
            }
        }
        Err(Failure::call(Step::Open, Errno::ELOOP))
    }

    /// Opens the file for reading, `None` when there is none.
    ///
    /// With `alone` a file that is a mount point by itself is refused: it could be read, but
    /// rename(2) cannot replace it. The kernel answers that in the same call, so it also holds for
    /// bind mounts within one filesystem, which st_dev does not reveal.
    pub(super) fn open(&self, alone: bool) -> Result<Option<(File, FileStat)>, Failure> {
        let mut resolve = ResolveFlag::RESOLVE_NO_MAGICLINKS | ResolveFlag::RESOLVE_NO_SYMLINKS;
        if alone {
            resolve |= ResolveFlag::RESOLVE_NO_XDEV;
        }
        // Not blocking: should a FIFO have taken the name since it was looked at, nobody waits.
        let how = OpenHow::new()
            .flags(
                OFlag::O_RDONLY
                    | OFlag::O_NOFOLLOW
                    | OFlag::O_NONBLOCK
                    | OFlag::O_NOCTTY
                    | OFlag::O_CLOEXEC,
            )
            .resolve(resolve);
        let file = match retry(|| openat2(&self.directory, self.name.as_os_str(), how)) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::EXDEV) => {
                return Err(Failure::found(
                    Step::Read,
                    Cause::BindMount,
                    "the file is a mount point by itself",
                ));
            }
            Err(errno) => return Err(Failure::call(Step::Read, errno)),
        };
        let stat = retry(|| fstat(&file)).map_err(|errno| Failure::call(Step::Read, errno))?;
        match kind_of(&stat) {
            Kind::Other(what) => Err(Failure::found(Step::Read, Cause::NotRegular, what)),
            _ => Ok(Some((file, stat))),
        }
    }

    /// The state of whatever has the name now, links not followed.
    pub(super) fn stat(&self) -> nix::Result<Option<FileStat>> {
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        match retry(|| fstatat(&self.directory, self.name.as_os_str(), flags)) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn kind(&self) -> Result<Kind, Failure> {
        let stat = self
            .stat()
            .map_err(|errno| Failure::call(Step::Open, errno))?;
        Ok(stat.map_or(Kind::Absent, |stat| kind_of(&stat)))
    }

    fn follow(&self) -> Result<Self, Failure> {
        let link = retry(|| readlinkat(&self.directory, self.name.as_os_str()))
            .map_err(|errno| Failure::call(Step::Open, errno))?;
        let link = Path::new(&link);
        let (Some(parent), Some(name)) = (link.parent(), link.file_name()) else {
            return Err(Failure::found(
                Step::Open,
                Cause::NotRegular,
                "it is a symbolic link to a directory",
            ));
        };
        Ok(Self {
            directory: open_directory(&self.directory, parent)?,
            name: name.to_owned(),
        })
    }

    fn root(&self, options: &Options) -> Result<File, Failure> {
        match &options.root {
            Some(root) => open_directory(AT_FDCWD, root),
            None => open_directory(&self.directory, Path::new("")),
        }
    }
}

/// Makes the directory of `path`, not the ones above it, and makes that durable. One that exists
/// is left as it is; says whether it did not.
pub(super) fn create_directory(path: &Path, mode: u32, options: &Options) -> Result<bool, Failure> {
    let failed = |errno| Failure::call(Step::CreateDirectory, errno);
    let Some((parent, name)) = parent_of_directory(path)? else {
        return Ok(false);
    };
    if options.is_executable() {
        check_executable(&parent)?;
    }
    match retry(|| mkdirat(&parent, name, Mode::S_IRWXU)) {
        Ok(()) => {}
        Err(Errno::EEXIST) => return Ok(false),
        Err(errno) => return Err(failed(errno)),
    }
    let finished = open_directory(&parent, Path::new(name)).and_then(|directory| {
        let mode = Mode::from_bits_truncate(mode & 0o7777);
        retry(|| fchmod(&directory, mode)).map_err(failed)?;
        retry(|| fsync(&parent)).map_err(failed)
    });
    if finished.is_err() {
        remove_empty(&parent, name);
    }
    finished.map(|()| true)
}

/// Takes back [`create_directory`], if nobody has put anything there.
pub(super) fn remove_directory(path: &Path) {
    if let Ok(Some((parent, name))) = parent_of_directory(path) {
        remove_empty(&parent, name);
    }
}

fn remove_empty(parent: &File, name: &OsStr) {
    // What failed before is what is told; an empty directory that stays is in nobody's way.
    let _ = retry(|| unlinkat(parent, name, UnlinkatFlags::RemoveDir));
}

/// The directory above that of `path`, open, and the name there; `None` for the root's own files.
fn parent_of_directory(path: &Path) -> Result<Option<(File, &OsStr)>, Failure> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    match (directory.parent(), directory.file_name()) {
        (Some(parent), Some(name)) => Ok(Some((open_directory(AT_FDCWD, parent)?, name))),
        _ => Ok(None),
    }
}

/// Refuses a mount from which the kernel executes nothing.
fn check_executable(directory: &File) -> Result<(), Failure> {
    let stat = retry(|| fstatvfs(directory)).map_err(|errno| Failure::call(Step::Open, errno))?;
    if stat.flags().contains(FsFlags::ST_NOEXEC) {
        let what = "it is on a mount from which nothing may be executed (noexec)";
        return Err(Failure::found(Step::Open, Cause::NoExec, what));
    }
    Ok(())
}

enum Kind {
    Absent,
    File,
    Link,
    /// Nothing that can be replaced; says what it is.
    Other(&'static str),
}

fn kind_of(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFLNK => Kind::Link,
        SFlag::S_IFDIR => Kind::Other("it is a directory"),
        SFlag::S_IFIFO => Kind::Other("it is a FIFO"),
        SFlag::S_IFSOCK => Kind::Other("it is a socket"),
        _ => Kind::Other("it is a device"),
    }
}

/// Opens a directory to read it and to flush it; an empty path is `at` itself.
fn open_directory<Fd: std::os::fd::AsFd>(at: Fd, path: &Path) -> Result<File, Failure> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    retry(|| openat2(at.as_fd(), path, how))
        .map(File::from)
        .map_err(|errno| Failure::call(Step::Open, errno))
}

/// Whether `directory` is the one that `root` identifies or lies below it, by walking up rather
/// than by comparing paths.
fn is_beneath(directory: &File, root: (u64, u64)) -> Result<bool, Failure> {
    let mut here = open_directory(directory, Path::new(""))?;
    loop {
        let inode = identity(&here)?;
        if inode == root {
            return Ok(true);
        }
        let above = open_directory(&here, Path::new(OsStr::from_bytes(b"..")))?;
        if identity(&above)? == inode {
            return Ok(false);
        }
        here = above;
    }
}

fn identity(directory: &File) -> Result<(u64, u64), Failure> {
    let stat = retry(|| fstat(directory)).map_err(|errno| Failure::call(Step::Open, errno))?;
    Ok((stat.st_dev, stat.st_ino))
}
