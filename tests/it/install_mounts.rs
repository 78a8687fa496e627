//! What a node's mounts, attributes and capabilities do to a target, on the kernel itself: each
//! script runs in a mount namespace of its own.
//!
//! The scripts rely on `set -e`: a command that fails ends them, and the test with them.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};

use pullkeeper_daemon::install::{Cause, Options, Owner, Target};
use support::writer::{REFUSED, Scene, State, UID};
use xattr::FileExt;

#[test]
fn a_single_file_bind_mount_is_refused_before_anything_is_written() {
    let scene = scene();
    let refused = refuses(&scene, "bind_mount", "read");
    // On the same filesystem, where st_dev says nothing, and from another one.
    run(
        &scene,
        &format!(
            r#"
            cp -p "$T" "$D/../source"
            mount --bind "$D/../source" "$T"
            before=$(stat -c '%y %z' "$D")
            {refused}
            [ "$before" = "$(stat -c '%y %z' "$D")" ]
            "$W" read "$T" > /dev/null
            umount "$T"

            mount -t tmpfs tmpfs "$D/../other"
            cp -p "$T" "$D/../other/source"
            mount --bind "$D/../other/source" "$T"
            {refused}
            "#
        ),
    );
    assert_eq!(scene.state().unwrap(), State::Old);
}

#[test]
fn a_mounted_directory_is_the_remedy() {
    let scene = scene();
    run(
        &scene,
        r#"
        mount --bind "$D" "$D/../other"
        "$W" replace "$D/../other/config.json" "$NEW" mode=640
        cmp "$NEW" "$T"
        "#,
    );
    assert_eq!(scene.state().unwrap(), State::New);
}

#[test]
fn a_read_only_mount_is_refused_until_it_is_writable() {
    let scene = scene();
    let refused = refuses(&scene, "read_only", "create");
    run(
        &scene,
        &format!(
            r#"
            mount --bind "$D" "$D"
            mount -o remount,bind,ro "$D"
            {refused}
            mount -o remount,bind,rw "$D"
            "$W" replace "$T" "$NEW" mode=640
            "#
        ),
    );
    assert_eq!(scene.state().unwrap(), State::New);
}

#[test]
fn a_full_filesystem_keeps_the_old_file_and_no_other() {
    let scene = scene();
    let no_space = refuses(&scene, "no_space", "write");
    let no_inodes = refuses(&scene, "no_space", "create");
    run(
        &scene,
        &format!(
            r#"
            mount -t tmpfs -o size=64k tmpfs "$D"
            cp -p "$OLD" "$T"
            {no_space}
            mount -o remount,size=1m "$D"
            "$W" replace "$T" "$NEW"
            cmp "$NEW" "$T"
            umount "$D"

            mount -t tmpfs -o nr_inodes=2 tmpfs "$D"
            cp -p "$OLD" "$T"
            {no_inodes}
            "#
        ),
    );
}

#[test]
fn an_immutable_file_or_directory_is_refused() {
    let scene = scene();
    let file = refuses(&scene, "immutable", "rename");
    let directory = refuses(&scene, "immutable", "create");
    run(
        &scene,
        &format!(
            r#"
            trap 'chattr -ia "$D" "$T"' EXIT
            chattr +i "$T"
            {file}
            chattr -i "$T"
            chattr +a "$T"
            {file}
            chattr -a "$T"
            chattr +i "$D"
            {directory}
            "#
        ),
    );
    assert_eq!(scene.state().unwrap(), State::Old);
}

#[test]
fn missing_capabilities_are_named_by_what_they_deny() {
    let scene = scene();
    File::open(scene.target())
        .unwrap()
        .set_xattr(SELINUX, LABEL)
        .unwrap();
    for (without, mode, kind, step) in [
        ("-chown", 0o640, "owner_denied", "chown"),
        ("-fowner", 0o640, "owner_denied", "chmod"),
        // Who may set a label here: with SELinux and no policy the file's owner or CAP_FOWNER,
        // without SELinux CAP_SYS_ADMIN.
        ("-fowner,-sys_admin", 0o600, "label_denied", "label"),
        (
            "-dac_override,-dac_read_search",
            0o640,
            "permission",
            "create",
        ),
    ] {
        let refused = Refusal {
            without,
            mode,
            ..Refusal::new(kind, step)
        }
        .script(&scene);
        run(
            &scene,
            &format!("chmod 0555 \"$D\"\nchmod 0644 \"$T\"\n{refused}\nchmod 0640 \"$T\""),
        );
        assert_eq!(scene.state().unwrap(), State::Old, "{kind}");
    }
}

#[test]
fn an_agent_without_capabilities_writes_what_is_its_own() {
    let scene = scene();
    run(
        &scene,
        r#"
        chown -R 0:0 "$D"
        setpriv --bounding-set -all "$W" replace "$T" "$NEW" mode=640
        cmp "$NEW" "$T"
        "#,
    );
}

#[test]
fn a_filesystem_without_attributes_is_written() {
    let scene = scene();
    run(
        &scene,
        r#"
        mount -t ramfs ramfs "$D"
        cp -p "$OLD" "$T"
        "$W" replace "$T" "$NEW" mode=640 owner=65534:65533
        cmp "$NEW" "$T"
        [ "$(stat -c '%a %u %g' "$T")" = "640 65534 65533" ]
        "#,
    );
}

#[test]
fn the_label_is_carried_over_and_other_attributes_are_not() {
    let scene = scene();
    let old = File::open(scene.target()).unwrap();
    old.set_xattr(SELINUX, LABEL).unwrap();
    old.set_xattr("user.comment", b"about the old bytes")
        .unwrap();
    old.set_xattr("trusted.overlay.origin", b"theirs").unwrap();
    let target = Target::new(
        scene.target(),
        Options {
            mode: 0o640,
            ..Options::default()
        },
    );
    target.unwrap().replace(&scene.new).unwrap();
    assert_eq!(scene.state().unwrap(), State::New);

    let new = File::open(scene.target()).unwrap();
    assert_ne!(new.metadata().unwrap().ino(), old.metadata().unwrap().ino());
    assert_eq!(new.get_xattr(SELINUX).unwrap().as_deref(), Some(LABEL));
    let names: Vec<_> = new.list_xattr().unwrap().collect();
    assert_eq!(names, [SELINUX]);
}

#[test]
fn the_owner_is_carried_over_unless_one_is_configured() {
    let scene = scene();
    let owner = |options| {
        let target = Target::new(scene.target(), options).unwrap();
        target.replace(&scene.new).unwrap();
        let metadata = fs::metadata(scene.target()).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    chown(scene.target(), Some(4321), Some(1234)).unwrap();
    assert_eq!(owner(Options::default()), (4321, 1234, 0o600));
    let configured = Some(Owner { uid: UID, gid: 12 });
    assert_eq!(
        owner(Options {
            owner: configured,
            ..Options::default()
        }),
        (UID, 12, 0o600)
    );

    fs::remove_file(scene.target()).unwrap();
    assert_eq!(
        owner(Options::default()),
        (0, 0, 0o600),
        "a new file belongs to the agent"
    );
    fs::remove_file(scene.target()).unwrap();
    assert_eq!(
        owner(Options {
            owner: configured,
            ..Options::default()
        }),
        (UID, 12, 0o600)
    );
}

const SELINUX: &str = "security.selinux";
const LABEL: &[u8] = b"system_u:object_r:container_var_lib_t:s0\0";

fn scene() -> Scene {
    let program = env!("CARGO_BIN_EXE_install-writer");
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), program, 3_000, 70_000).unwrap();
    fs::create_dir(scene.path("other")).unwrap();
    scene.put_old().unwrap();
    scene
}

fn run(scene: &Scene, script: &str) {
    let output = scene.in_mount_namespace(script).unwrap();
    assert!(output.status.success(), "{script}\n{output:#?}");
}

/// A replacement that has to be refused.
struct Refusal<'a> {
    kind: &'a str,
    step: &'a str,
    mode: u32,
    /// Capabilities that the writer lacks, as setpriv(1) has them.
    without: &'a str,
}

impl<'a> Refusal<'a> {
    fn new(kind: &'a str, step: &'a str) -> Self {
        Self {
            kind,
            step,
            mode: 0o640,
            without: "",
        }
    }

    /// Shell commands that try it and fail unless it is refused like this, with the remedy and the
    /// path in the message, and nothing but the old file in the directory.
    fn script(&self, scene: &Scene) -> String {
        let Self {
            kind,
            step,
            mode,
            without,
        } = self;
        let cause = Cause::ALL
            .into_iter()
            .find(|cause| cause.as_str() == *kind)
            .unwrap();
        let remedy = cause.remedy();
        let target = scene.target();
        let target = target.display();
        let wrapper = match *without {
            "" => String::new(),
            capabilities => format!("setpriv --bounding-set {capabilities}"),
        };
        format!(
            r#"
            status=0
            said=$({wrapper} "$W" replace "$T" "$NEW" mode={mode:o} 2> "$D/../message") || status=$?
            message=$(cat "$D/../message")
            echo "$status $said: $message"
            [ "$status" = {REFUSED} ]
            [ "$said" = "kind={kind} step={step}" ]
            [ "${{message#cannot replace {target}: {step} failed: }}" != "$message" ]
            [ "${{message%; {remedy}}}" != "$message" ]
            [ "$(ls -A "$D")" = config.json ]
            cmp "$OLD" "$T"
            "#
        )
    }
}

fn refuses(scene: &Scene, kind: &str, step: &str) -> String {
    Refusal::new(kind, step).script(scene)
}
