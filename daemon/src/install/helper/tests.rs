use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::{TempDir, tempdir};

use super::*;
use crate::config::HelperSettings;

const OLD: &[u8] = b"#!/bin/sh\n# old\n";
const NEW: &[u8] = b"#!/bin/sh\n# new\n";

fn put(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

/// A folder with a source, and a host's directory that has not got its last part yet.
struct Host(TempDir);

impl Host {
    fn new(program: &[u8]) -> Self {
        let host = Self(tempdir().unwrap());
        fs::create_dir(host.at("opt")).unwrap();
        host.release(program);
        host
    }

    fn installed(program: &[u8]) -> (Self, Helper) {
        let host = Self::new(program);
        let mut helper = host.helper();
        assert_eq!(helper.apply().result(), Some("installed"));
        (host, helper)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn path(&self) -> PathBuf {
        self.at("opt/bin/docker-credential-pullkeeper")
    }

    /// Another source, as an update of the package or of the image brings it.
    fn release(&self, program: &[u8]) {
        put(&self.at("next"), program);
        #[expect(clippy::disallowed_methods, reason = "plays the part of somebody else")]
        fs::rename(self.at("next"), self.at("source")).unwrap();
    }

    fn helper(&self) -> Helper {
        Helper::new(&HelperSettings {
            directory: self.at("opt/bin"),
            source: self.at("source"),
        })
    }

    /// Names in the host's directory, hidden ones too.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.at("opt/bin")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// The kind and the message of a failure.
    fn refused(&self, helper: &mut Helper) -> (&'static str, String) {
        let applied = helper.apply();
        assert_eq!(applied.result(), Some("failed"));
        assert_eq!(applied.status.state, HelperState::Failed);
        let failure = applied.status.error.unwrap();
        let message = failure.message.replace(self.0.path().to_str().unwrap(), "");
        (failure.kind, message)
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn state(path: &Path) -> (u64, i64, i64, i64, i64) {
    let stat = fs::symlink_metadata(path).unwrap();
    let (modified, changed) = (stat.mtime_nsec(), stat.ctime_nsec());
    (stat.ino(), stat.mtime(), modified, stat.ctime(), changed)
}

fn start(program: &Path, argument: &str) -> Child {
    loop {
        match Command::new(program).arg(argument).spawn() {
            // Another test's child has the descriptor for the moment between fork(2) and execve(2).
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {}
            started => return started.unwrap(),
        }
    }
}

#[test]
fn it_is_installed_with_its_directory() {
    let (host, _) = Host::installed(OLD);
    assert_eq!(fs::read(host.path()).unwrap(), OLD);
    assert_eq!(mode(&host.path()), 0o755);
    assert_eq!(mode(&host.at("opt/bin")), 0o755);
    assert_eq!(host.names(), ["docker-credential-pullkeeper"]);
}

#[test]
fn the_same_program_is_not_written_again() {
    let (host, mut helper) = Host::installed(OLD);
    let before = state(&host.path());
    // By what is remembered, by a look at the bytes, and with a source that is new and the same.
    let applied = helper.apply();
    assert_eq!(
        (applied.result(), applied.status.state),
        (None, HelperState::UpToDate)
    );
    assert_eq!(host.helper().apply().result(), None);
    host.release(OLD);
    assert_eq!(helper.apply().result(), None);
    assert_eq!(state(&host.path()), before);
}

#[test]
fn what_was_compared_is_not_read_again() {
    let (host, helper) = Host::installed(OLD);
    host.release(NEW);
    let original = Original::open(&host.at("source"), 1 << 20).unwrap();
    let target = helper.target().unwrap();
    let (_, installed) = helper.same.unwrap();
    let differs = Compared::Differs(Some(installed.clone()));
    assert_eq!(target.compare(&original, None).unwrap(), differs);
    // Only somebody who does not look can take these two for the same.
    let same = Compared::Same(installed.clone());
    assert_eq!(target.compare(&original, Some(&installed)).unwrap(), same);
}

#[test]
fn what_differs_is_put_right() {
    let (host, mut helper) = Host::installed(OLD);
    let mut updated = |program: &[u8]| {
        assert_eq!(helper.apply().result(), Some("updated"));
        assert_eq!(fs::read(host.path()).unwrap(), program);
        assert_eq!(mode(&host.path()), 0o755);
        assert_eq!(host.names().len(), 1);
    };
    host.release(NEW);
    updated(NEW);
    put(&host.path(), OLD);
    updated(NEW);
    fs::set_permissions(host.path(), fs::Permissions::from_mode(0o700)).unwrap();
    updated(NEW);
    let long = [NEW, &[b'#'; 200_000]].concat();
    host.release(&long);
    updated(&long);
    fs::remove_file(host.path()).unwrap();
    assert_eq!(helper.apply().result(), Some("installed"));
}

#[test]
fn a_running_program_goes_on_when_it_is_updated() {
    let sleep = fs::read("/bin/sleep").unwrap();
    let (host, mut helper) = Host::installed(&sleep);
    let mut running = start(&host.path(), "60");
    host.release(NEW);
    assert_eq!(helper.apply().result(), Some("updated"));
    assert_eq!(running.try_wait().unwrap(), None);
    let executed = fs::read(format!("/proc/{}/exe", running.id())).unwrap();
    assert!(executed == sleep, "it runs something else");
    assert!(start(&host.path(), "").wait().unwrap().success());
    running.kill().unwrap();
    running.wait().unwrap();
}

#[test]
fn what_a_killed_agent_left_is_swept() {
    let (host, _) = Host::installed(OLD);
    let left = host.at("opt/bin/.pullkeeper-0123456789abcdef.tmp");
    File::create(&left).unwrap();
    let mut helper = host.helper();
    assert_eq!(helper.apply().result(), None);
    assert_eq!(host.names().len(), 1);
    // At the start alone: later it would be another writer's.
    File::create(&left).unwrap();
    helper.apply();
    assert!(left.exists());
}

#[test]
fn a_source_that_is_no_program_changes_nothing() {
    let (host, mut helper) = Host::installed(OLD);
    let before = state(&host.path());
    let refused = |helper: &mut Helper, kind: &str, what: &str| {
        let message = format!(
            "cannot install /source: {what}; set `credential_helper.source` to the program that the agent's image \
             or package has"
        );
        let (is_kind, is_message) = host.refused(helper);
        assert_eq!((is_kind, is_message), (kind, message));
        assert_eq!(state(&host.path()), before);
        assert_eq!(host.names().len(), 1);
    };
    fs::remove_file(host.at("source")).unwrap();
    refused(&mut helper, "source_missing", "it is not there");
    fs::create_dir(host.at("source")).unwrap();
    refused(
        &mut helper,
        "source_not_regular",
        "it is not a regular file",
    );
    fs::remove_dir(host.at("source")).unwrap();
    host.release(b"");
    refused(&mut helper, "source_empty", "it is empty");
    let file = File::options().write(true).open(host.at("source")).unwrap();
    file.set_len(Options::DEFAULT_LIMIT as u64 + 1).unwrap();
    refused(
        &mut helper,
        "source_too_large",
        "it is larger than 16777216 bytes",
    );

    host.release(NEW);
    let applied = helper.apply();
    assert_eq!(
        (applied.result(), applied.status.error),
        (Some("updated"), None)
    );
}

#[test]
fn only_the_last_part_of_the_directory_is_made() {
    let host = Host::new(OLD);
    fs::remove_dir(host.at("opt")).unwrap();
    let (kind, message) = host.refused(&mut host.helper());
    assert_eq!(kind, "missing_directory");
    assert_eq!(
        message,
        "cannot replace /opt/bin/docker-credential-pullkeeper: open failed: No such file or directory; create the \
         directory of the file, or mount it into the agent's container"
    );
    assert!(!host.at("opt").exists());
}

#[test]
fn what_is_no_file_in_its_place_is_neither_replaced_nor_followed() {
    let host = Host::new(OLD);
    let mut helper = host.helper();
    fs::create_dir_all(host.path()).unwrap();
    let (kind, message) = host.refused(&mut helper);
    assert_eq!(kind, "not_regular");
    assert!(
        message.contains("it is a directory; remove what has the name"),
        "{message}"
    );
    assert!(host.path().is_dir());
    fs::remove_dir(host.path()).unwrap();

    for to in ["theirs", "nowhere"] {
        put(&host.at("opt/bin/theirs"), b"theirs");
        symlink(to, host.path()).unwrap();
        let (kind, message) = host.refused(&mut helper);
        assert_eq!(kind, "link");
        assert_eq!(
            message,
            "cannot replace /opt/bin/docker-credential-pullkeeper: open failed: it is a symbolic link; remove the \
             link, or configure the directory in which the file itself may be"
        );
        assert_eq!(fs::read_link(host.path()).unwrap(), Path::new(to));
        assert_eq!(fs::read(host.at("opt/bin/theirs")).unwrap(), b"theirs");
        assert_eq!(host.names().len(), 2);
        fs::remove_file(host.path()).unwrap();
    }
    assert_eq!(helper.apply().result(), Some("installed"));
}

#[test]
fn readers_see_one_program_or_the_other() {
    let programs = [b'a', b'b'].map(|byte| vec![byte; 300_000]);
    let (host, mut helper) = Host::installed(&programs[0]);
    let path = host.path();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let read = fs::read(&path).unwrap();
                assert!(programs.contains(&read), "{} bytes", read.len());
                assert_eq!(mode(&path), 0o755);
            }
        });
        for cycle in 1..=100 {
            host.release(&programs[cycle % 2]);
            assert_eq!(helper.apply().result(), Some("updated"));
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn a_source_that_changes_under_the_copy_is_not_installed() {
    let (host, helper) = Host::installed(OLD);
    let original = Original::open(&host.at("source"), 1 << 20).unwrap();
    put(&host.at("source"), NEW);
    let (_, installed) = helper.same.clone().unwrap();
    let error = helper
        .target()
        .unwrap()
        .copy_if(Some(&installed), &original)
        .unwrap_err();
    assert_eq!((error.kind(), error.renamed()), ("changed", false));
    assert!(
        error
            .to_string()
            .contains("read the source failed: it was changed while"),
        "{error}"
    );
    assert_eq!(fs::read(host.path()).unwrap(), OLD);
    assert_eq!(host.names().len(), 1);
}
