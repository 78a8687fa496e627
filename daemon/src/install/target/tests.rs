use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::{TempDir, tempdir};
use xattr::FileExt;

use super::*;

const OLD: &[u8] = b"{\"auths\":{}}\n";
const NEW: &[u8] = b"{\"auths\":{\"quay.io\":{\"auth\":\"dTpw\"}}}\n";

struct Sandbox(TempDir);

impl Sandbox {
    fn new() -> Self {
        Self(tempdir().unwrap())
    }

    fn with_old() -> Self {
        let sandbox = Self::new();
        sandbox.put("config.json", OLD);
        sandbox
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        File::create(self.at(name))
            .unwrap()
            .write_all(bytes)
            .unwrap();
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.at(name)).unwrap()
    }

    fn target(&self) -> Target {
        self.target_with(Options::default())
    }

    fn target_with(&self, options: Options) -> Target {
        Target::new(self.at("config.json"), options).unwrap()
    }

    /// Files in the directory, hidden ones too: a temporary file that stayed would be among them.
    fn count(&self) -> usize {
        fs::read_dir(self.0.path()).unwrap().count()
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn refused(target: &Target, cause: Cause) -> TargetError {
    let error = target.replace(NEW).unwrap_err();
    assert_eq!(error.cause(), cause, "{error}");
    assert!(!error.renamed(), "{error}");
    assert_eq!(error.leftover(), None);
    assert!(
        error
            .to_string()
            .contains(&target.path().display().to_string()),
        "{error}"
    );
    assert!(error.to_string().contains(error.remedy()), "{error}");
    error
}

#[test]
fn a_file_is_created_and_replaced() {
    let sandbox = Sandbox::new();
    let target = sandbox.target();
    assert_eq!(target.read().unwrap(), None);
    target.check().unwrap();

    assert!(target.replace(OLD).unwrap().created);
    let old = target.read().unwrap().unwrap();
    assert_eq!(**old.bytes, *OLD);

    let installed = target.replace(NEW).unwrap();
    assert!(!installed.created);
    assert_eq!(installed.other_links, 0);
    let new = target.read().unwrap().unwrap();
    assert_eq!(**new.bytes, *NEW);
    assert_eq!(new.identity, installed.identity);
    assert_ne!(new.identity, old.identity);
    assert_eq!(sandbox.count(), 1);

    target.replace(b"").unwrap();
    assert!(sandbox.bytes("config.json").is_empty());
}

#[test]
fn the_configured_mode_is_enforced_on_old_and_new_files() {
    for wanted in [0o600, 0o640, 0o644] {
        let sandbox = Sandbox::new();
        let target = sandbox.target_with(Options {
            mode: wanted,
            ..Options::default()
        });
        target.replace(OLD).unwrap();
        assert_eq!(mode(target.path()), wanted);

        fs::set_permissions(target.path(), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(!target.conforms(&target.read().unwrap().unwrap()));
        target.replace(OLD).unwrap();
        assert_eq!(mode(target.path()), wanted);
        assert!(target.conforms(&target.read().unwrap().unwrap()));
    }
}

#[test]
fn another_owner_does_not_conform() {
    let sandbox = Sandbox::with_old();
    let current = sandbox
        .target_with(Options {
            mode: 0o644,
            ..Options::default()
        })
        .read();
    let current = current.unwrap().unwrap();
    let with = |uid| {
        let owner = Some(Owner {
            uid,
            gid: current.owner.gid,
        });
        sandbox.target_with(Options {
            mode: current.mode,
            owner,
            ..Options::default()
        })
    };
    assert!(with(current.owner.uid).conforms(&current));
    assert!(!with(current.owner.uid + 1).conforms(&current));
}

#[test]
fn a_reader_keeps_the_file_that_it_has_open() {
    let sandbox = Sandbox::with_old();
    let open = File::open(sandbox.at("config.json")).unwrap();
    sandbox.target().replace(NEW).unwrap();
    assert_eq!(std::io::read_to_string(open).unwrap().as_bytes(), OLD);
}

#[test]
fn a_missing_directory_is_made_only_on_request() {
    let sandbox = Sandbox::new();
    let path = sandbox.at("sub/config.json");
    let target = Target::new(&path, Options::default()).unwrap();
    refused(&target, Cause::MissingDirectory);
    assert_eq!(target.check().unwrap_err().kind(), "missing_directory");
    assert_eq!(target.read().unwrap_err().kind(), "missing_directory");
    assert_eq!(target.sweep(), Ok(0));
    assert_eq!(sandbox.count(), 0);

    let options = Options {
        create_directory: Some(0o750),
        ..Options::default()
    };
    let target = Target::new(&path, options.clone()).unwrap();
    target.check().unwrap();
    assert_eq!(target.read().unwrap(), None);
    assert_eq!(sandbox.count(), 0, "looking makes nothing");
    target.replace(NEW).unwrap();
    assert_eq!(mode(&sandbox.at("sub")), 0o750);

    let deep = Target::new(sandbox.at("a/b/config.json"), options).unwrap();
    refused(&deep, Cause::MissingDirectory);
    assert!(!sandbox.at("a").exists());
}

#[test]
fn a_parent_that_is_a_file_is_refused() {
    let sandbox = Sandbox::with_old();
    let path = sandbox.at("config.json/auth.json");
    refused(
        &Target::new(path, Options::default()).unwrap(),
        Cause::NotDirectory,
    );
}

#[test]
fn only_absolute_paths_of_files_are_targets() {
    for path in ["config.json", "./config.json", "/", "/etc/..", ""] {
        let error = Target::new(path, Options::default()).unwrap_err();
        assert_eq!(error.kind(), "invalid_path", "{path}");
    }
}

#[test]
fn what_is_not_a_regular_file_is_refused() {
    let sandbox = Sandbox::new();
    let check = |what: &str| {
        let target = sandbox.target();
        let error = refused(&target, Cause::NotRegular);
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(target.read().unwrap_err().kind(), "not_regular");
        assert_eq!(target.check().unwrap_err().kind(), "not_regular");
        assert_eq!(sandbox.count(), 1);
    };

    fs::create_dir(sandbox.at("config.json")).unwrap();
    check("it is a directory");
    fs::remove_dir(sandbox.at("config.json")).unwrap();

    mkfifo(&sandbox.at("config.json"), Mode::S_IRWXU).unwrap();
    check("it is a FIFO");
    fs::remove_file(sandbox.at("config.json")).unwrap();

    let _socket = UnixListener::bind(sandbox.at("config.json")).unwrap();
    check("it is a socket");
    fs::remove_file(sandbox.at("config.json")).unwrap();

    symlink("/dev/null", sandbox.at("config.json")).unwrap();
    check("it is a device");
    fs::remove_file(sandbox.at("config.json")).unwrap();

    symlink("..", sandbox.at("config.json")).unwrap();
    check("it is a symbolic link to a directory");
}

#[test]
fn a_link_to_a_file_below_is_followed_and_stays() {
    for link in [
        "real/auth.json",
        "./real/../real/auth.json",
        "absolute",
        "chain",
    ] {
        let sandbox = Sandbox::new();
        fs::create_dir(sandbox.at("real")).unwrap();
        sandbox.put("real/auth.json", OLD);
        let to = match link {
            "absolute" => sandbox.at("real/auth.json"),
            "chain" => {
                symlink("../real/auth.json", sandbox.at("real/next")).unwrap();
                "real/next".into()
            }
            relative => relative.into(),
        };
        symlink(&to, sandbox.at("config.json")).unwrap();

        let target = sandbox.target();
        assert_eq!(**target.read().unwrap().unwrap().bytes, *OLD, "{link}");
        target.replace(NEW).unwrap();
        assert_eq!(sandbox.bytes("real/auth.json"), NEW, "{link}");
        assert_eq!(
            fs::read_link(sandbox.at("config.json")).unwrap(),
            to,
            "{link}"
        );
        assert_eq!(sandbox.count(), 2, "{link}");
    }
}

#[test]
fn a_link_to_nothing_below_makes_the_file_it_names() {
    let sandbox = Sandbox::new();
    symlink("auth.json", sandbox.at("config.json")).unwrap();
    let target = sandbox.target();
    assert_eq!(target.read().unwrap(), None);
    assert!(target.replace(NEW).unwrap().created);
    assert_eq!(sandbox.bytes("auth.json"), NEW);
    assert!(sandbox.at("config.json").is_symlink());
}

#[test]
fn a_link_that_leaves_its_root_is_refused() {
    let outside = Sandbox::with_old();
    let sandbox = Sandbox::new();
    let real = outside.at("config.json");
    symlink(&real, sandbox.at("config.json")).unwrap();

    let target = sandbox.target();
    refused(&target, Cause::Symlink);
    assert_eq!(target.read().unwrap_err().kind(), "symlink");
    assert_eq!(target.check().unwrap_err().kind(), "symlink");
    assert_eq!(outside.bytes("config.json"), OLD);
    assert_eq!((outside.count(), sandbox.count()), (1, 1));

    let elsewhere = Options {
        root: Some(sandbox.at(".")),
        ..Options::default()
    };
    refused(&sandbox.target_with(elsewhere), Cause::Symlink);

    for root in [outside.0.path(), Path::new("/")] {
        let options = Options {
            root: Some(root.to_owned()),
            ..Options::default()
        };
        sandbox.target_with(options).replace(NEW).unwrap();
        assert_eq!(outside.bytes("config.json"), NEW);
    }
}

#[test]
fn a_chain_of_links_is_judged_by_where_it_ends() {
    let outside = Sandbox::new();
    let sandbox = Sandbox::with_old();
    fs::create_dir(sandbox.at("sub")).unwrap();
    symlink(sandbox.at("config.json"), outside.at("back")).unwrap();
    symlink(outside.at("back"), sandbox.at("sub/first")).unwrap();
    let target = Target::new(sandbox.at("sub/first"), Options::default()).unwrap();
    refused(&target, Cause::Symlink);
    let root = Some(sandbox.0.path().to_owned());
    let target = Target::new(
        sandbox.at("sub/first"),
        Options {
            root,
            ..Options::default()
        },
    )
    .unwrap();
    target.replace(NEW).unwrap();
    assert_eq!(sandbox.bytes("config.json"), NEW);
}

#[test]
fn links_in_a_circle_are_refused() {
    let sandbox = Sandbox::new();
    symlink("other", sandbox.at("config.json")).unwrap();
    symlink("config.json", sandbox.at("other")).unwrap();
    refused(&sandbox.target(), Cause::Symlink);
}

#[test]
fn a_link_in_the_directory_part_is_followed() {
    let outside = Sandbox::with_old();
    let sandbox = Sandbox::new();
    symlink(outside.0.path(), sandbox.at("moved")).unwrap();
    let target = Target::new(sandbox.at("moved/config.json"), Options::default()).unwrap();
    target.replace(NEW).unwrap();
    assert_eq!(outside.bytes("config.json"), NEW);
}

#[test]
fn a_magic_link_in_the_directory_part_is_refused() {
    let sandbox = Sandbox::with_old();
    let open = File::open(sandbox.0.path()).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&open);
    let path = format!("/proc/self/fd/{number}/config.json");
    refused(
        &Target::new(path, Options::default()).unwrap(),
        Cause::Symlink,
    );
    assert_eq!(sandbox.bytes("config.json"), OLD);
}

#[test]
fn a_directory_that_was_replaced_is_seen() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.at("state")).unwrap();
    let target = Target::new(sandbox.at("state/config.json"), Options::default()).unwrap();
    target.replace(OLD).unwrap();
    fs::remove_dir_all(sandbox.at("state")).unwrap();
    fs::create_dir(sandbox.at("state")).unwrap();
    assert_eq!(target.read().unwrap(), None);
    target.replace(NEW).unwrap();
    assert_eq!(sandbox.bytes("state/config.json"), NEW);
}

#[test]
fn other_names_of_the_old_file_keep_it_and_are_counted() {
    let sandbox = Sandbox::with_old();
    fs::hard_link(sandbox.at("config.json"), sandbox.at("backup")).unwrap();
    assert_eq!(sandbox.target().read().unwrap().unwrap().links, 2);
    assert_eq!(sandbox.target().replace(NEW).unwrap().other_links, 1);
    assert_eq!(sandbox.bytes("config.json"), NEW);
    assert_eq!(sandbox.bytes("backup"), OLD);
    assert_eq!(sandbox.target().replace(NEW).unwrap().other_links, 0);
}

#[test]
fn too_large_is_neither_read_nor_written() {
    let sandbox = Sandbox::with_old();
    let target = sandbox.target_with(Options {
        limit: NEW.len() - 1,
        ..Options::default()
    });
    refused(&target, Cause::TooLarge);
    assert_eq!(sandbox.bytes("config.json"), OLD);
    sandbox.put("config.json", NEW);
    assert_eq!(target.read().unwrap_err().kind(), "too_large");
    target.replace(OLD).unwrap();
    assert_eq!(**target.read().unwrap().unwrap().bytes, *OLD);
}

#[test]
fn a_file_that_somebody_else_wrote_is_not_replaced_unseen() {
    let sandbox = Sandbox::new();
    let target = sandbox.target();
    let absent = target.read().unwrap().map(|current| current.identity);
    let installed = target.replace_if(absent.as_ref(), OLD).unwrap();

    let error = target.replace_if(None, NEW).unwrap_err();
    assert_eq!((error.kind(), error.renamed()), ("changed", false));

    sandbox.put("config.json", b"theirs");
    let error = target
        .replace_if(Some(&installed.identity), NEW)
        .unwrap_err();
    assert_eq!(error.kind(), "changed");
    assert_eq!(sandbox.bytes("config.json"), b"theirs");

    let theirs = target.read().unwrap().unwrap();
    fs::set_permissions(target.path(), fs::Permissions::from_mode(0o666)).unwrap();
    let error = target.replace_if(Some(&theirs.identity), NEW).unwrap_err();
    assert_eq!(error.kind(), "changed", "a change of mode is a change");

    let theirs = target.read().unwrap().unwrap();
    target.replace_if(Some(&theirs.identity), NEW).unwrap();
    fs::remove_file(target.path()).unwrap();
    let error = target.replace_if(Some(&theirs.identity), NEW).unwrap_err();
    assert_eq!(error.kind(), "changed");
    assert_eq!(sandbox.count(), 0);
}

#[test]
fn a_sweep_is_where_the_file_is() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.at("real")).unwrap();
    symlink("real/auth.json", sandbox.at("config.json")).unwrap();
    sandbox.put("real/.pullkeeper-0123456789abcdef.tmp", NEW);
    sandbox.put(".pullkeeper-0123456789abcdef.tmp", NEW);
    assert_eq!(sandbox.target().sweep(), Ok(1));
    assert!(!sandbox.at("real/.pullkeeper-0123456789abcdef.tmp").exists());
    assert_eq!(
        sandbox.count(),
        3,
        "the other directory is not this target's"
    );
}

#[test]
fn the_access_control_list_is_carried_over_and_the_mode_has_the_last_word() {
    let sandbox = Sandbox::with_old();
    let acl = acl_for(1000, 0o4);
    File::open(sandbox.at("config.json"))
        .unwrap()
        .set_xattr(ACL, &acl)
        .unwrap();

    let read = || {
        File::open(sandbox.at("config.json"))
            .unwrap()
            .get_xattr(ACL)
            .unwrap()
    };
    sandbox
        .target_with(Options {
            mode: 0o640,
            ..Options::default()
        })
        .replace(NEW)
        .unwrap();
    assert_eq!(read(), Some(acl), "user 1000 may still read");
    assert_eq!(mode(&sandbox.at("config.json")), 0o640);

    sandbox.target().replace(NEW).unwrap();
    assert_eq!(
        mode(&sandbox.at("config.json")),
        0o600,
        "the mask now takes the right away"
    );
}

#[test]
fn a_default_list_of_the_directory_does_not_open_a_file_that_had_none() {
    let sandbox = Sandbox::with_old();
    File::open(sandbox.0.path())
        .unwrap()
        .set_xattr(DEFAULT_ACL, &acl_for(1000, 0o4))
        .unwrap();
    sandbox
        .target_with(Options {
            mode: 0o640,
            ..Options::default()
        })
        .replace(NEW)
        .unwrap();
    let file = File::open(sandbox.at("config.json")).unwrap();
    assert_eq!(file.get_xattr(ACL).unwrap(), None);
    assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o640);
}

#[test]
fn content_is_never_printed() {
    let sandbox = Sandbox::new();
    sandbox.target().replace(NEW).unwrap();
    let current = sandbox.target().read().unwrap().unwrap();
    let printed = format!("{current:?}");
    assert!(
        printed.contains("length: 38") && printed.contains("0600"),
        "{printed}"
    );
    for secret in ["dTpw", "quay", "100, 84"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

const ACL: &str = "system.posix_acl_access";
const DEFAULT_ACL: &str = "system.posix_acl_default";

/// An access control list as the kernel stores it (linux/posix_acl_xattr.h): version 2, then tag,
/// permissions and id of each entry: owner, `uid`, group, mask, others.
fn acl_for(uid: u32, permissions: u16) -> Vec<u8> {
    let nobody = u32::MAX;
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in [
        (0x01u16, 0o6, nobody),
        (0x02, permissions, uid),
        (0x04, 0o4, nobody),
        (0x10, 0o4, nobody),
        (0x20, 0, nobody),
    ] {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(u16::to_le_bytes(permissions));
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

#[test]
fn a_file_is_removed_whole_and_one_that_is_not_there_is_no_error() {
    let sandbox = Sandbox::with_old();
    sandbox.target().remove().unwrap();
    assert_eq!(sandbox.count(), 0);
    sandbox.target().remove().unwrap();

    // What a link in its place leads to goes, the link stays; a folder is never taken for the file.
    sandbox.put("real.json", OLD);
    symlink("real.json", sandbox.at("config.json")).unwrap();
    sandbox.target().remove().unwrap();
    assert!(!sandbox.at("real.json").exists() && sandbox.count() == 1);
    fs::remove_file(sandbox.at("config.json")).unwrap();
    fs::create_dir(sandbox.at("config.json")).unwrap();
    let error = sandbox.target().remove().unwrap_err();
    assert!(error.to_string().starts_with("cannot remove "), "{error}");
    assert!(sandbox.at("config.json").is_dir());
}
