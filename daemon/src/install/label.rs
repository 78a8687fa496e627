//! What a new inode does not inherit from the file it replaces: its SELinux label and its access
//! control list.
//!
//! Only what decides who may read the file is carried over. Attributes that describe the old bytes
//! (`security.ima`, `security.evm`), that belong to another subsystem (`trusted.*`,
//! `user.overlay.*`) or that nobody enforces (`user.*`) are not: a copy would be wrong or useless.

use std::fs::File;

use nix::errno::Errno;
use xattr::FileExt;

use super::Step;
use super::error::Failure;
use super::syscall::retry_io;

const SELINUX: &str = "security.selinux";
const POSIX_ACL: &str = "system.posix_acl_access";

/// The attributes of an old file that its successor must have.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    label: Option<Vec<u8>>,
    acl: Option<Vec<u8>>,
}

impl Attributes {
    pub(super) fn of(file: &File) -> Result<Self, Failure> {
        Ok(Self {
            label: get(file, Step::Label, SELINUX)?,
            acl: get(file, Step::Acl, POSIX_ACL)?,
        })
    }

    /// Gives `file` this access control list, or none, whatever its directory's default says, and
    /// says whether that changed anything.
    ///
    /// If so the mode must be set after it: the list and the mode share the group bits, and the
    /// configured mode has the last word.
    pub(super) fn set_acl(&self, file: &File) -> Result<bool, Failure> {
        if get(file, Step::Acl, POSIX_ACL)? == self.acl {
            return Ok(false);
        }
        match &self.acl {
            Some(acl) => retry_io(|| file.set_xattr(POSIX_ACL, acl)),
            None => retry_io(|| file.remove_xattr(POSIX_ACL)),
        }
        .map(|()| true)
        .map_err(|errno| Failure::call(Step::Acl, errno))
    }

    /// Gives `file` this label, if it has not got it from its directory already.
    ///
    /// Comparing first means that an agent without the right to relabel still works wherever the
    /// policy labels new files like the old one, and on mounts with one label for everything,
    /// where setting it is not supported. Without an old label the directory's default stands.
    pub(super) fn set_label(&self, file: &File) -> Result<(), Failure> {
        let Some(label) = &self.label else {
            return Ok(());
        };
        if get(file, Step::Label, SELINUX)?.as_ref() == Some(label) {
            return Ok(());
        }
        retry_io(|| file.set_xattr(SELINUX, label))
            .map_err(|errno| Failure::call(Step::Label, errno))
    }
}

/// One attribute; `None` also where the filesystem or the kernel has no such thing.
fn get(file: &File, step: Step, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    match retry_io(|| file.get_xattr(name)) {
        Ok(value) => Ok(value),
        Err(Errno::ENOTSUP) => Ok(None),
        Err(errno) => Err(Failure::call(step, errno)),
    }
}
