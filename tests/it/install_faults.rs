//! Every system call of the path fails once, with every error that a node's disk is known for.
//!
//! The calls are taken from a trace of an undisturbed run, not from a list, so a call that is
//! added to the path is covered without a change here.

use std::fs::{self, File};
use std::process::{Command, Output};

use pullkeeper_daemon::install::Cause;
use support::writer::{BEGIN, END, REFUSED, REFUSED_AFTER_RENAME, Scene, State};
use xattr::FileExt;

const ERRORS: [&str; 5] = ["EIO", "ENOSPC", "EBUSY", "EROFS", "EINTR"];

/// Not input or output: the allocator's calls. Their failure ends any program.
const MEMORY: [&str; 6] = ["brk", "mmap", "munmap", "mremap", "mprotect", "madvise"];

/// Calls of the path that cannot fail for real.
const INFALLIBLE: [&str; 1] = ["geteuid"];

/// Calls whose failure may change nothing that matters: the content is flushed before close(2),
/// the first getrandom(2) only asks whether the kernel has it, and the others look at a descriptor
/// or rewind a listing that is no longer needed.
const HARMLESS: [&str; 4] = ["close", "fcntl", "getrandom", "lseek"];

#[test]
fn a_failed_call_of_a_replacement_leaves_the_old_or_the_new_file() {
    let scene = scene();
    let report = fail_every_call(&scene, "replace", State::Old, || {
        scene.put_old().unwrap();
        let file = File::open(scene.target()).unwrap();
        file.set_xattr("security.selinux", LABEL).unwrap();
        file.set_xattr("system.posix_acl_access", ACL).unwrap();
    });
    // The order that makes it safe; also, a trace that had missed the path would show nothing.
    let mut calls = report.calls.iter().map(|call| &*call.name);
    for call in [
        "write",
        "fchown",
        "fsetxattr",
        "fchmod",
        "fsync",
        "renameat",
        "fsync",
        "openat2",
    ] {
        assert!(
            calls.any(|name| name == call),
            "no {call} in its place: {:?}",
            report.calls
        );
    }
    assert!(report.calls.len() >= 25, "{:?}", report.calls);
    assert!(
        report.refused > 50 && report.after_rename > 10,
        "{report:?}"
    );
}

#[test]
fn a_failed_call_of_a_creation_leaves_no_file_or_the_new_one() {
    let scene = scene();
    let report = fail_every_call(&scene, "replace", State::Absent, || {
        let _ = fs::remove_dir_all(scene.directory());
    });
    assert!(
        report.has("mkdirat") && report.has("renameat"),
        "{:?}",
        report.calls
    );
}

#[test]
fn a_failed_call_of_a_replacement_through_a_link_leaves_the_old_or_the_new_file() {
    let scene = scene();
    let real = scene.directory().join("real");
    let report = fail_every_call(&scene, "replace", State::Old, || {
        let _ = fs::remove_dir_all(&real);
        scene.put_old().unwrap();
        fs::create_dir(&real).unwrap();
        move_file(&scene.target(), &real.join("auth.json"));
        std::os::unix::fs::symlink("real/auth.json", scene.target()).unwrap();
    });
    assert!(
        report.has("readlinkat") && report.has("renameat"),
        "{:?}",
        report.calls
    );
}

#[test]
fn a_failed_call_of_an_update_of_what_was_read_leaves_the_old_or_the_new_file() {
    let scene = scene();
    let report = fail_every_call(&scene, "update", State::Old, || scene.put_old().unwrap());
    assert!(
        report.has("read") && report.has("renameat"),
        "{:?}",
        report.calls
    );
}

#[test]
fn a_failed_call_of_a_read_is_an_error() {
    let scene = scene();
    let report = fail_every_call(&scene, "read", State::Old, || scene.put_old().unwrap());
    assert!(
        report.has("openat2") && report.has("read"),
        "{:?}",
        report.calls
    );
}

#[test]
fn a_failed_call_of_a_sweep_leaves_the_target() {
    let scene = scene();
    let report = fail_every_call(&scene, "sweep", State::Old, || {
        scene.put_old().unwrap();
        File::create(scene.directory().join(".pullkeeper-0123456789abcdef.tmp")).unwrap();
    });
    assert!(
        report.has("getdents64") && report.has("unlinkat"),
        "{:?}",
        report.calls
    );
}

#[test]
fn causes_are_told_apart() {
    let scene = scene();
    for (call, error, kind) in [
        ("write", "EDQUOT", "quota"),
        ("fsync", "EDQUOT", "quota"),
        ("renameat", "EPERM", "immutable"),
        ("renameat", "EACCES", "permission"),
        ("renameat", "ENOENT", "changed"),
        ("fchown", "EPERM", "owner_denied"),
        ("fsetxattr", "EACCES", "label_denied"),
        ("fsetxattr", "EOPNOTSUPP", "label_denied"),
        ("openat2", "ENOSYS", "unsupported"),
        ("openat2", "EMFILE", "exhausted"),
    ] {
        scene.put_old().unwrap();
        File::open(scene.target())
            .unwrap()
            .set_xattr("security.selinux", LABEL)
            .unwrap();
        let (output, trace) = inject(&scene, "replace", &[(call, error, 1)]);
        assert!(trace.contains("(INJECTED)"), "{call}:{error} {trace}");
        assert_eq!(
            output.status.code(),
            Some(REFUSED.into()),
            "{call}:{error} {output:?}"
        );
        check_message(&scene, &output, kind);
        assert_eq!(scene.state().unwrap(), State::Old);
        assert!(scene.strangers().unwrap().is_empty());
    }
}

#[test]
fn a_filesystem_that_claims_what_it_does_not_do_is_caught_before_the_rename() {
    let scene = scene();
    for (call, claim) in [
        ("write", "70000"),
        ("write", "1000"),
        ("fchmod", "0"),
        ("fchown", "0"),
    ] {
        scene.put_old().unwrap();
        let inject = format!("inject={call}:retval={claim}:when=1");
        let (output, trace) = strace(&scene, "replace", &["-e", &inject]);
        assert!(trace.contains("(INJECTED)"), "{trace}");
        assert_eq!(
            output.status.code(),
            Some(REFUSED.into()),
            "{call} {output:?}"
        );
        check_message(&scene, &output, "verify");
        assert_eq!(scene.state().unwrap(), State::Old);
        assert!(scene.strangers().unwrap().is_empty());
    }
}

#[test]
fn a_filesystem_without_labels_is_not_a_denial() {
    let scene = scene();
    for call in ["fgetxattr", "fsync"] {
        scene.put_old().unwrap();
        // Of fsync(2) the second is the directory's, which some filesystems answer like this.
        let (error, nth) = if call == "fsync" {
            ("EINVAL", 2)
        } else {
            ("EOPNOTSUPP", 1)
        };
        let (output, trace) = inject(&scene, "replace", &[(call, error, nth)]);
        assert!(trace.contains("(INJECTED)"), "{trace}");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(scene.state().unwrap(), State::New);
    }
}

#[test]
fn a_temporary_file_that_cannot_be_removed_is_named_and_swept_later() {
    let scene = scene();
    scene.put_old().unwrap();
    let (output, trace) = inject(
        &scene,
        "replace",
        &[("renameat", "EIO", 1), ("unlinkat", "EIO", 1)],
    );
    assert_eq!(trace.matches("(INJECTED)").count(), 2, "{trace}");
    assert_eq!(output.status.code(), Some(REFUSED.into()), "{output:?}");
    assert_eq!(scene.state().unwrap(), State::Old);
    let strangers = scene.strangers().unwrap();
    let name = strangers[0].file_name().unwrap().to_str().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains(name), "{name} is not in {message}");

    let sweep = scene
        .writer()
        .arg("sweep")
        .arg(scene.target())
        .args(Scene::settings())
        .output();
    assert_eq!(sweep.unwrap().stdout, b"removed=1\n");
    assert!(scene.strangers().unwrap().is_empty());
}

/// The writer's verbs that end in a new file.
const WRITING: [&str; 2] = ["replace", "update"];

const LABEL: &[u8] = b"system_u:object_r:container_var_lib_t:s0\0";

/// User 1000 may read as well (linux/posix_acl_xattr.h).
const ACL: &[u8] = &[
    2, 0, 0, 0, // version
    1, 0, 6, 0, 255, 255, 255, 255, // owner rw
    2, 0, 4, 0, 232, 3, 0, 0, // user 1000 r
    4, 0, 4, 0, 255, 255, 255, 255, // group r
    16, 0, 4, 0, 255, 255, 255, 255, // mask r
    32, 0, 0, 0, 255, 255, 255, 255, // others
];

/// A call of the path: its name, and its number among the process's calls of that name.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    name: String,
    nth: usize,
}

#[derive(Debug)]
struct Report {
    calls: Vec<Call>,
    refused: usize,
    after_rename: usize,
}

impl Report {
    fn has(&self, name: &str) -> bool {
        self.calls.iter().any(|call| call.name == name)
    }
}

fn scene() -> Scene {
    let program = env!("CARGO_BIN_EXE_install-writer");
    Scene::new(env!("CARGO_TARGET_TMPDIR"), program, 3_000, 70_000).unwrap()
}

/// Runs the writer's `verb` once for each of its calls and each error, from the state that
/// `prepare` makes, and checks each outcome. `before` is the state that an error may leave.
fn fail_every_call(scene: &Scene, verb: &str, before: State, prepare: impl Fn()) -> Report {
    prepare();
    let (output, trace) = strace(scene, verb, &["-e", "trace=all"]);
    assert!(output.status.success(), "{output:?}");
    let mut report = Report {
        calls: calls_of_the_path(&trace),
        refused: 0,
        after_rename: 0,
    };
    assert!(
        !report.calls.is_empty(),
        "no calls between the marks in {trace}"
    );

    let writes = WRITING.contains(&verb);
    let done = if writes { State::New } else { before };
    for call in &report.calls {
        for error in ERRORS {
            prepare();
            let (output, trace) = inject(scene, verb, &[(&call.name, error, call.nth)]);
            let context = format!("{verb} with {error} at {call:?}: {output:?}\n{trace}");
            assert_in_path(&trace, &context);
            let state = scene
                .state()
                .unwrap_or_else(|error| panic!("{error}: {context}"));
            match output
                .status
                .code()
                .and_then(|code| u8::try_from(code).ok())
            {
                Some(0) => {
                    let may_pass = error == "EINTR" || HARMLESS.contains(&&*call.name);
                    assert!(may_pass, "unnoticed: {context}");
                    assert_eq!(state, done, "{context}");
                }
                Some(REFUSED) => {
                    assert_ne!(error, "EINTR", "not repeated: {context}");
                    assert_eq!(state, before, "{context}");
                    check_message(scene, &output, kind(call, error, &output));
                    report.refused += 1;
                }
                Some(REFUSED_AFTER_RENAME) => {
                    assert_ne!(error, "EINTR", "not repeated: {context}");
                    assert_eq!(state, done, "{context}");
                    check_message(scene, &output, kind(call, error, &output));
                    report.after_rename += 1;
                }
                _ => panic!("no orderly end: {context}"),
            }
            if writes {
                let temporary =
                    |path: &std::path::PathBuf| path.to_string_lossy().ends_with(".tmp");
                let mut left = scene.strangers().unwrap_or_default();
                left.retain(temporary);
                assert!(left.is_empty(), "{left:?} stayed: {context}");
            }
        }
    }
    println!(
        "{verb}: {} calls, {} refused, {} after the rename",
        report.calls.len(),
        report.refused,
        report.after_rename
    );
    report
}

/// What the error is called, by the step that it was reported for.
fn kind(call: &Call, error: &str, output: &Output) -> &'static str {
    let said = String::from_utf8_lossy(&output.stdout);
    let step = said.trim().rsplit("step=").next().unwrap_or_default();
    match (step, error) {
        ("fsync directory", _) => "not_durable",
        ("verify", _) => "verify",
        (_, "ENOSPC") => "no_space",
        (_, "EROFS") => "read_only",
        ("rename", "EBUSY") if call.name.starts_with("renameat") => "bind_mount",
        _ => "io",
    }
}

/// The message is one line that names the path, the kind's remedy, and no content.
fn check_message(scene: &Scene, output: &Output, kind: &str) {
    let message = String::from_utf8(output.stderr.clone()).unwrap();
    let cause = Cause::ALL
        .into_iter()
        .find(|cause| cause.as_str() == kind)
        .unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        said.contains(&format!("kind={kind} ")),
        "{kind} expected: {output:?}"
    );
    assert!(message.contains(cause.remedy()), "{output:?}");
    assert!(
        message.contains(&scene.target().display().to_string()),
        "{output:?}"
    );
    assert!(message.contains(" failed: "), "{output:?}");
    assert_eq!(message.lines().count(), 1, "{output:?}");
    assert!(!message.contains("panicked"), "{output:?}");
}

fn inject(scene: &Scene, verb: &str, faults: &[(&str, &str, usize)]) -> (Output, String) {
    let mut options = vec!["-e".to_owned(), "trace=?readlink,readlinkat".to_owned()];
    for (call, error, nth) in faults {
        options[1] += &format!(",{call}");
        options.push("-e".to_owned());
        options.push(format!("inject={call}:error={error}:when={nth}"));
    }
    strace(
        scene,
        verb,
        &options.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

fn strace(scene: &Scene, verb: &str, options: &[&str]) -> (Output, String) {
    let trace = scene.path("trace");
    let log = trace.to_str().unwrap();
    let wrapper = [&["strace", "-f", "-o", log], options].concat();
    let mut command: Command = scene.writer_under(&wrapper);
    command.arg(verb).arg(scene.target());
    if WRITING.contains(&verb) {
        command.arg(scene.new_path()).arg("directory=0700");
    }
    let output = command
        .args(Scene::settings())
        .output()
        .expect("cannot run timeout and strace");
    let trace = fs::read_to_string(trace).expect("strace left no trace: install strace");
    (output, trace)
}

fn calls_of_the_path(trace: &str) -> Vec<Call> {
    let mut counts = std::collections::HashMap::new();
    let mut calls = Vec::new();
    let mut inside = false;
    for line in trace.lines() {
        let Some(name) = name_of_call(line) else {
            continue;
        };
        let nth: &mut usize = counts.entry(name).or_default();
        *nth += 1;
        if line.contains(BEGIN) {
            inside = true;
        } else if line.contains(END) {
            inside = false;
        } else if inside && !MEMORY.contains(&name) && !INFALLIBLE.contains(&name) {
            calls.push(Call {
                name: name.to_owned(),
                nth: *nth,
            });
        }
    }
    calls
}

/// "1234  openat2(3, …" is a call; signals and exits are not.
fn name_of_call(line: &str) -> Option<&str> {
    let line = line
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .trim_start();
    let (name, _) = line.split_once('(')?;
    name.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_')
        .then_some(name)
}

/// The fault happened, once, and between the marks.
fn assert_in_path(trace: &str, context: &str) {
    assert_eq!(trace.matches("(INJECTED)").count(), 1, "{context}");
    let (begin, fault) = (trace.find(BEGIN), trace.find("(INJECTED)"));
    assert!(begin < fault, "before the path: {context}");
    assert!(
        trace.find(END).is_none_or(|end| fault < Some(end)),
        "after the path: {context}"
    );
}

fn move_file(from: &std::path::Path, to: &std::path::Path) {
    fs::hard_link(from, to).unwrap();
    fs::remove_file(from).unwrap();
}
