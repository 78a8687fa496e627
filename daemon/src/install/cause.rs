//! The reasons that an operator can act on.

use nix::errno::Errno;

use super::Step;

/// Why a target could not be read or replaced: one variant for each thing that an operator would
/// do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The file is a mount point of its own; rename(2) answers EBUSY.
    BindMount,
    /// Somebody else wrote the file since it was read, or removed the temporary file.
    Changed,
    /// The process ran out of descriptors or memory.
    Exhausted,
    /// The file or its directory may not be changed by anybody: immutable or append-only attribute,
    /// or a sticky directory that belongs to somebody else.
    Immutable,
    /// The configured path is relative or names no file.
    InvalidPath,
    /// Any other failure of the filesystem.
    Io,
    /// The security label could not be read from the old file or set on the new one.
    LabelDenied,
    /// A symbolic link has the name of a file for which none is followed.
    Link,
    /// The directory of the file is not there.
    MissingDirectory,
    /// The mount lets nobody execute anything, and the file is a program.
    NoExec,
    /// No space or no inodes left.
    NoSpace,
    /// A parent in the path is not a directory.
    NotDirectory,
    /// The file is in place, but fsync(2) of its directory failed.
    NotDurable,
    /// A directory, FIFO, socket or device has the target's name.
    NotRegular,
    /// The new file cannot be given to its owner, or was and can no longer be given its mode.
    OwnerDenied,
    /// Permission denied by mode, ACL, capability or security module.
    Permission,
    /// The disk quota is used up.
    Quota,
    /// The filesystem or the mount is read-only.
    ReadOnly,
    /// A symbolic link leads out of the allowed root, or in a circle.
    Symlink,
    /// The content is beyond the limit.
    TooLarge,
    /// openat2(2) is missing or forbidden.
    Unsupported,
    /// What was written is not what is there.
    Verify,
}

impl Cause {
    /// Every cause, for the registration of metrics.
    pub const ALL: [Self; 22] = [
        Self::BindMount,
        Self::Changed,
        Self::Exhausted,
        Self::Immutable,
        Self::InvalidPath,
        Self::Io,
        Self::LabelDenied,
        Self::Link,
        Self::MissingDirectory,
        Self::NoExec,
        Self::NoSpace,
        Self::NotDirectory,
        Self::NotDurable,
        Self::NotRegular,
        Self::OwnerDenied,
        Self::Permission,
        Self::Quota,
        Self::ReadOnly,
        Self::Symlink,
        Self::TooLarge,
        Self::Unsupported,
        Self::Verify,
    ];

    /// The cause as a label of metrics and status; it never changes between releases.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BindMount => "bind_mount",
            Self::Changed => "changed",
            Self::Exhausted => "exhausted",
            Self::Immutable => "immutable",
            Self::InvalidPath => "invalid_path",
            Self::Io => "io",
            Self::LabelDenied => "label_denied",
            Self::Link => "link",
            Self::MissingDirectory => "missing_directory",
            Self::NoExec => "no_exec",
            Self::NoSpace => "no_space",
            Self::NotDirectory => "not_directory",
            Self::NotDurable => "not_durable",
            Self::NotRegular => "not_regular",
            Self::OwnerDenied => "owner_denied",
            Self::Permission => "permission",
            Self::Quota => "quota",
            Self::ReadOnly => "read_only",
            Self::Symlink => "symlink",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Verify => "verify",
        }
    }

    /// What an operator can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::BindMount => {
                "mount the directory that holds the file instead of the file alone \
                 (a hostPath volume of type Directory, without subPath)"
            }
            Self::Changed => {
                "another program writes here: let only one own the file; \
                 the next attempt starts from what is there now"
            }
            Self::Exhausted => "raise the agent's limit of open files (LimitNOFILE) or of memory",
            Self::Immutable => {
                "clear the immutable and append-only attributes of the file and its directory \
                 (lsattr, chattr -i -a); in a sticky directory the agent must own the file"
            }
            Self::InvalidPath => "configure an absolute path that ends in a file name",
            Self::Io => "check the filesystem and the kernel log of this node",
            Self::LabelDenied => {
                "let the agent relabel files in this directory (SELinux: container type spc_t), \
                 or give the old file its default label with restorecon"
            }
            Self::Link => {
                "remove the link, or configure the directory in which the file itself may be"
            }
            Self::MissingDirectory => {
                "create the directory of the file, or mount it into the agent's container"
            }
            Self::NoExec => {
                "remount it without noexec, or configure a directory on another filesystem"
            }
            Self::NoSpace => "free space or inodes on this filesystem",
            Self::NotDirectory => "correct the path: one of its parents is not a directory",
            Self::NotDurable => {
                "the new file is in place but may be lost in a power failure: \
                 check the filesystem and the kernel log of this node"
            }
            Self::NotRegular => "remove what has the name of the file, or configure another path",
            Self::OwnerDenied => {
                "run the agent as root or with CAP_CHOWN and CAP_FOWNER, \
                 or configure an owner that it may set"
            }
            Self::Permission => {
                "let the agent write in this directory \
                 (owner, mode, capabilities; SELinux: container type spc_t)"
            }
            Self::Quota => "free or raise the disk quota that applies to this directory",
            Self::ReadOnly => {
                "mount the directory read-write; \
                 if the kernel made it read-only, check the filesystem for errors"
            }
            Self::Symlink => {
                "configure the path that the link leads to, \
                 or allow the directory that holds it as the root of this target"
            }
            Self::TooLarge => "find out who fills this path: no auth file is that large",
            Self::Unsupported => "allow openat2 in the seccomp profile, and use Linux 5.6 or newer",
            Self::Verify => {
                "another program may have replaced the file: let only one own it; \
                 otherwise check that the filesystem keeps bytes, modes and owners"
            }
        }
    }

    /// Reads an error number in the light of the step it came from: EBUSY is a mount point only at
    /// rename(2), EPERM an attribute only where the agent could otherwise write.
    pub(super) fn of(step: Step, errno: Errno) -> Self {
        match (step, errno) {
            (Step::FsyncDirectory, _) => Self::NotDurable,
            (Step::Verify, _) => Self::Verify,
            (_, Errno::ENOSPC) => Self::NoSpace,
            (_, Errno::EDQUOT) => Self::Quota,
            (_, Errno::EROFS) => Self::ReadOnly,
            (_, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => Self::Exhausted,
            (Step::Rename, Errno::EBUSY) => Self::BindMount,
            (Step::Rename, Errno::ENOENT) => Self::Changed,
            (Step::Rename, Errno::EISDIR | Errno::ENOTDIR) => Self::NotRegular,
            (Step::Open | Step::Read, Errno::ELOOP) => Self::Symlink,
            (Step::Open | Step::CreateDirectory | Step::Create, Errno::ENOENT) => {
                Self::MissingDirectory
            }
            (Step::Open | Step::Read, Errno::ENOSYS) => Self::Unsupported,
            (_, Errno::ENOTDIR) => Self::NotDirectory,
            (Step::Create | Step::Rename | Step::Sweep, Errno::EPERM) => Self::Immutable,
            (Step::Chown, Errno::EPERM | Errno::EACCES | Errno::EINVAL)
            | (Step::Acl | Step::Chmod, Errno::EPERM) => Self::OwnerDenied,
            (Step::Label, Errno::EPERM | Errno::EACCES | Errno::EINVAL | Errno::ENOTSUP) => {
                Self::LabelDenied
            }
            (_, Errno::EPERM | Errno::EACCES) => Self::Permission,
            _ => Self::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_cause_has_a_label_of_its_own_and_a_remedy() {
        let labels: HashSet<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        assert_eq!(labels.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            let label = cause.as_str();
            assert!(
                label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{label}"
            );
            assert!(cause.remedy().len() > 20, "{label}");
            assert!(
                !cause.remedy().ends_with('.') && !cause.remedy().contains("  "),
                "{label}"
            );
        }
    }

    #[test]
    fn an_error_number_is_read_in_the_light_of_its_step() {
        let cases = [
            (Step::Rename, Errno::EBUSY, Cause::BindMount),
            (Step::Fsync, Errno::EBUSY, Cause::Io),
            (Step::Create, Errno::EPERM, Cause::Immutable),
            (Step::Rename, Errno::EPERM, Cause::Immutable),
            (Step::Chown, Errno::EPERM, Cause::OwnerDenied),
            (Step::Label, Errno::EACCES, Cause::LabelDenied),
            (Step::Label, Errno::ENOSPC, Cause::NoSpace),
            (Step::Chmod, Errno::EPERM, Cause::OwnerDenied),
            (Step::Create, Errno::EACCES, Cause::Permission),
            (Step::Write, Errno::ENOSPC, Cause::NoSpace),
            (Step::Fsync, Errno::EDQUOT, Cause::Quota),
            (Step::Create, Errno::EROFS, Cause::ReadOnly),
            (Step::Open, Errno::ENOENT, Cause::MissingDirectory),
            (Step::Rename, Errno::ENOENT, Cause::Changed),
            (Step::Open, Errno::ENOTDIR, Cause::NotDirectory),
            (Step::Rename, Errno::EISDIR, Cause::NotRegular),
            (Step::Open, Errno::ELOOP, Cause::Symlink),
            (Step::Open, Errno::ENOSYS, Cause::Unsupported),
            (Step::Create, Errno::EMFILE, Cause::Exhausted),
            (Step::FsyncDirectory, Errno::ENOSPC, Cause::NotDurable),
            (Step::Verify, Errno::EIO, Cause::Verify),
            (Step::Write, Errno::EIO, Cause::Io),
        ];
        for (step, errno, cause) in cases {
            assert_eq!(Cause::of(step, errno), cause, "{step:?} {errno:?}");
        }
    }
}
