//! One replacement, step by step.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::renameat;
use nix::sys::stat::{FileStat, Mode, fchmod, fstat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fsync, unlinkat};

use super::content::Content;
use super::error::Failure;
use super::label::Attributes;
use super::place::{Place, create_directory, remove_directory};
use super::syscall::retry;
use super::temp::Temp;
use super::{Cause, Identity, Installed, Options, Owner, Step};

/// What has to be true of the old file when the new one takes its place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Basis<'a> {
    /// Nothing.
    Any,
    /// It is the one that was read, or there still is none.
    Seen(Option<&'a Identity>),
}

/// A replacement that did not happen or cannot be vouched for, and the temporary file that could
/// not be removed.
#[derive(Debug)]
pub(super) struct Aborted {
    pub(super) failure: Failure,
    pub(super) leftover: Option<OsString>,
}

impl From<Failure> for Aborted {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            leftover: None,
        }
    }
}

/// Replaces the file at `path` by one that holds `content`.
pub(super) fn replace(
    path: &Path,
    options: &Options,
    basis: Basis<'_>,
    content: Content<'_>,
) -> Result<Installed, Aborted> {
    if content.len() > options.limit as u64 {
        let what = "the new content is larger than the limit";
        return Err(Failure::found(Step::Write, Cause::TooLarge, what).into());
    }
    let (place, made) = find_or_create(path, options)?;
    let installed = replace_in(&place, path, options, basis, content);
    if made
        && installed
            .as_ref()
            .is_err_and(|aborted| !aborted.failure.renamed())
    {
        remove_directory(path);
    }
    installed
}

fn replace_in(
    place: &Place,
    path: &Path,
    options: &Options,
    basis: Basis<'_>,
    content: Content<'_>,
) -> Result<Installed, Aborted> {
    let old = place.open(true)?;
    let old_stat = old.as_ref().map(|(_, stat)| stat);
    basis.check(old_stat)?;
    let attributes = old
        .as_ref()
        .map(|(file, _)| Attributes::of(file))
        .transpose()?;

    let (mut temp, file) = Temp::create(&place.directory)?;
    let outcome = fill(file, options, old_stat, attributes.as_ref(), content)
        .and_then(|finished| rename(place, &temp, &finished, basis).map(|()| finished));
    let finished = match outcome {
        Ok(finished) => finished,
        Err(failure) => {
            return Err(Aborted {
                failure,
                leftover: temp.remove(),
            });
        }
    };
    temp.renamed();

    flush_directory(&place.directory)?;
    let identity = verify(path, options, &finished, content)?;
    Ok(Installed {
        identity,
        created: old.is_none(),
        other_links: old_stat.map_or(0, |stat| stat.st_nlink.saturating_sub(1)),
    })
}

/// Removes the file at `path`, if there is one.
pub(super) fn remove(path: &Path, options: &Options) -> Result<(), Failure> {
    let place = Place::find(path, options)?;
    if place.open(true)?.is_none() {
        return Ok(());
    }
    let name = place.name.as_os_str();
    match retry(|| unlinkat(&place.directory, name, UnlinkatFlags::NoRemoveDir)) {
        Ok(()) | Err(Errno::ENOENT) => flush_directory(&place.directory),
        Err(errno) => Err(Failure::call(Step::Rename, errno)),
    }
}

/// The place, and whether its directory was made for it.
fn find_or_create(path: &Path, options: &Options) -> Result<(Place, bool), Failure> {
    match (Place::find(path, options), options.create_directory) {
        (Err(failure), Some(mode)) if failure.cause() == Cause::MissingDirectory => {
            let made = create_directory(path, mode, options)?;
            Ok((Place::find(path, options)?, made))
        }
        (found, _) => Ok((found?, false)),
    }
}

impl Basis<'_> {
    fn check(self, stat: Option<&FileStat>) -> Result<(), Failure> {
        match self {
            Basis::Seen(seen) if stat.map(Identity::of).as_ref() != seen => Err(Failure::found(
                Step::Read,
                Cause::Changed,
                "the file is no longer the one that was read",
            )),
            Basis::Any | Basis::Seen(_) => Ok(()),
        }
    }
}

/// Writes the content and everything that belongs to the inode, and makes both durable.
///
/// The owner comes before the mode, so that nobody is let in before the file is its owner's, and
/// fsync(2) comes last, so that a power failure cannot leave the new bytes with the wrong owner or
/// mode under the target's name. The file is closed before it gets that name: nobody can execute what
/// somebody has open for writing.
fn fill(
    file: File,
    options: &Options,
    old: Option<&FileStat>,
    attributes: Option<&Attributes>,
    content: Content<'_>,
) -> Result<FileStat, Failure> {
    let file = &file;
    content.write_to(file)?;

    let created = stat(file, Step::Chown)?;
    let owner = match (options.owner, old) {
        (Some(owner), _) => owner,
        (None, Some(old)) => Owner {
            uid: old.st_uid,
            gid: old.st_gid,
        },
        (None, None) => Owner {
            uid: created.st_uid,
            gid: created.st_gid,
        },
    };
    if (created.st_uid, created.st_gid) != (owner.uid, owner.gid) {
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        retry(|| fchown(file, Some(uid), Some(gid)))
            .map_err(|errno| Failure::call(Step::Chown, errno))?;
    }
    let listed = attributes.map_or(Ok(false), |attributes| attributes.set_acl(file))?;
    // Without a need for it no call: only CAP_FOWNER may change the mode of what was given away.
    if listed || created.st_mode & 0o7777 != options.mode() {
        retry(|| fchmod(file, Mode::from_bits_truncate(options.mode())))
            .map_err(|errno| Failure::call(Step::Chmod, errno))?;
    }
    if let Some(attributes) = attributes {
        attributes.set_label(file)?;
    }

    let finished = stat(file, Step::Chmod)?;
    let kept = |step, what| Failure::found(step, Cause::Verify, what);
    if u64::try_from(finished.st_size) != Ok(content.len()) {
        return Err(kept(
            Step::Write,
            "the file is not as long as what was written",
        ));
    }
    if (finished.st_uid, finished.st_gid) != (owner.uid, owner.gid) {
        return Err(kept(Step::Chown, "the filesystem does not keep the owner"));
    }
    if finished.st_mode & 0o7777 != options.mode() {
        return Err(kept(Step::Chmod, "the filesystem does not keep the mode"));
    }

    retry(|| fsync(file)).map_err(|errno| Failure::call(Step::Fsync, errno))?;
    Ok(finished)
}

fn rename(
    place: &Place,
    temp: &Temp<'_>,
    written: &FileStat,
    basis: Basis<'_>,
) -> Result<(), Failure> {
    if let Basis::Seen(_) = basis {
        let there = place
            .stat()
            .map_err(|errno| Failure::call(Step::Read, errno))?;
        basis.check(there.as_ref())?;
    }
    let directory = &place.directory;
    let answer = retry(|| {
        renameat(
            directory,
            temp.name.as_os_str(),
            directory,
            place.name.as_os_str(),
        )
    });
    match answer {
        Ok(()) => Ok(()),
        // A network filesystem may have renamed the file and lost the answer.
        Err(_) if has_landed(place, written) => Ok(()),
        Err(errno) => Err(Failure::call(Step::Rename, errno)),
    }
}

fn has_landed(place: &Place, written: &FileStat) -> bool {
    let there = place.stat().ok().flatten();
    there.is_some_and(|there| (there.st_dev, there.st_ino) == (written.st_dev, written.st_ino))
}

fn flush_directory(directory: &File) -> Result<(), Failure> {
    match retry(|| fsync(directory)) {
        // The filesystem flushes no directories; there is nothing to wait for.
        Ok(()) | Err(Errno::EINVAL) => Ok(()),
        Err(errno) => Err(Failure::call(Step::FsyncDirectory, errno)),
    }
}

/// Reads the target back the way a reader finds it, by its configured path.
fn verify(
    path: &Path,
    options: &Options,
    written: &FileStat,
    content: Content<'_>,
) -> Result<Identity, Failure> {
    let found = Place::find(path, options).and_then(|place| place.open(false));
    let Some((file, stat)) = found.map_err(Failure::verifying)? else {
        return Err(Failure::found(
            Step::Verify,
            Cause::Verify,
            "the file is gone",
        ));
    };
    let differs = |what| Err(Failure::found(Step::Verify, Cause::Verify, what));
    if (stat.st_dev, stat.st_ino) != (written.st_dev, written.st_ino) {
        return differs("another file has its name");
    }
    if (stat.st_mode, stat.st_uid, stat.st_gid) != (written.st_mode, written.st_uid, written.st_gid)
    {
        return differs("its mode or owner is not as it was set");
    }
    match content.is_in(&file) {
        Ok(true) => Ok(Identity::of(&stat)),
        Ok(false) => differs("it holds other bytes than were written"),
        Err(failure) => Err(failure.verifying()),
    }
}

fn stat(file: &File, step: Step) -> Result<FileStat, Failure> {
    retry(|| fstat(file)).map_err(|errno| Failure::call(step, errno))
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn a_rename_whose_answer_was_lost_is_recognized() {
        let directory = tempdir().unwrap();
        File::create(directory.path().join("config.json")).unwrap();
        let path = directory.path().join("config.json");
        let place = Place::find(&path, &Options::default()).unwrap();
        let (mut temp, file) = Temp::create(&place.directory).unwrap();
        let written = fstat(&file).unwrap();
        assert!(!has_landed(&place, &written));

        rename(&place, &temp, &written, Basis::Any).unwrap();
        temp.renamed();
        assert!(has_landed(&place, &written));
        // The second rename(2) answers ENOENT, as one does that is repeated after a lost answer.
        assert_eq!(rename(&place, &temp, &written, Basis::Any), Ok(()));

        std::fs::remove_file(&path).unwrap();
        assert!(!has_landed(&place, &written));
        let failure = rename(&place, &temp, &written, Basis::Any).unwrap_err();
        assert_eq!(failure, Failure::call(Step::Rename, Errno::ENOENT));
    }
}
