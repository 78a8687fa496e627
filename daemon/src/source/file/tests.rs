//! Real files in real time, through the whole source.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    time::Duration,
};

use nix::{sys::stat::Mode, unistd::mkfifo};

use super::*;
use crate::source::{SourceError, place::Place};

#[tokio::test]
async fn replaced_and_rewritten() {
    let place = Place::new();
    place.write("auth.json", "{\"n\":0}");
    let mut source = place.follow_file("auth.json");
    let first = source.content("{\"n\":0}").await;
    let item = &first.items.as_ref().unwrap()[0];
    assert_eq!(
        item.id,
        format!("file:{}", place.path("auth.json").display())
    );
    assert!(
        item.revision
            .as_ref()
            .unwrap()
            .to_string()
            .ends_with("size 7")
    );
    assert_eq!(first.trouble, None);

    place.replace("auth.json", "{\"n\":1}");
    source.content("{\"n\":1}").await;
    place.write("auth.json", "{\"n\":2}");
    source.content("{\"n\":2}").await;
    place.replace("auth.json", "{\"n\":3}");
    source.content("{\"n\":3}").await;
    assert_eq!(
        source.story(),
        ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]
    );
}

#[tokio::test]
async fn half_written_content_is_not_reported() {
    let place = Place::new();
    place.write("auth.json", "{\"n\":0}");
    let mut source = place.follow_file("auth.json");
    source.content("{\"n\":0}").await;

    let mut file = OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(place.path("auth.json"))
        .unwrap();
    for part in ["{\"n\"", ":", "1", "}"] {
        tokio::time::sleep(Duration::from_millis(40)).await;
        file.write_all(part.as_bytes()).unwrap();
    }
    // Still open: nobody says that this is the end.
    source.content("{\"n\":1}").await;
    assert_eq!(source.story(), ["{\"n\":0}", "{\"n\":1}"]);

    place.write("auth.json", "{\"n\":");
    source.content("{\"n\":").await;
    assert_eq!(
        source.story().len(),
        3,
        "what stays broken is a fact after a while"
    );
}

#[tokio::test]
async fn moved_away_and_written_anew() {
    let place = Place::new();
    place.write("auth.json", "{\"n\":0}");
    let mut source = place.follow_file("auth.json");
    source.content("{\"n\":0}").await;

    place.rename("auth.json", "auth.json~");
    tokio::time::sleep(Duration::from_millis(50)).await;
    place.write("auth.json", "{\"n\":1}");
    fs::remove_file(place.path("auth.json~")).unwrap();
    source.content("{\"n\":1}").await;
    assert_eq!(source.story(), ["{\"n\":0}", "{\"n\":1}"]);
}

#[tokio::test]
async fn touched_or_rewritten_with_the_same_bytes_is_no_news() {
    let place = Place::new();
    place.write("auth.json", "{}");
    let mut source = place.follow_file("auth.json");
    source.content("{}").await;
    File::open(place.path("auth.json"))
        .unwrap()
        .set_modified(std::time::SystemTime::now())
        .unwrap();
    place.write("auth.json", "{}");
    place.replace("auth.json", "{}");
    // Notifications keep their order: once the next change is known, these are done with.
    place.replace("auth.json", "[1]");
    source.content("[1]").await;
    assert_eq!(source.story(), ["{}", "[1]"]);
}

#[tokio::test]
async fn deleted_and_recreated() {
    let place = Place::new();
    let mut source = place.follow_file("auth.json");
    let absent = source.failure("FileNotFound").await;
    assert!(absent.to_string().contains("auth.json"), "{absent}");
    for n in 0..3 {
        place.write("auth.json", &format!("[{n}]"));
        source.content(&format!("[{n}]")).await;
        fs::remove_file(place.path("auth.json")).unwrap();
        source.failure("FileNotFound").await;
    }
}

#[tokio::test]
async fn its_directory_comes_and_goes() {
    let place = Place::new();
    let mut source = place.follow_file("a/b/auth.json");
    source.failure("FileNotFound").await;
    for n in 0..3 {
        fs::create_dir_all(place.path("a/b")).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        place.write("a/b/auth.json", &format!("[{n}]"));
        source.content(&format!("[{n}]")).await;
        place.write("a/b/auth.json", &format!("[{n}, 1]"));
        source.content(&format!("[{n}, 1]")).await;
        fs::remove_dir_all(place.path("a")).unwrap();
        source.failure("FileNotFound").await;
    }
}

#[tokio::test]
async fn its_directory_is_recreated_before_anybody_looks() {
    let place = Place::new();
    fs::create_dir(place.path("d")).unwrap();
    place.write("d/auth.json", "[0]");
    let mut source = place.follow_file("d/auth.json");
    source.content("[0]").await;
    for n in 1..5 {
        // Often with the same inode number.
        fs::remove_dir_all(place.path("d")).unwrap();
        fs::create_dir(place.path("d")).unwrap();
        place.write("d/auth.json", &format!("[{n}]"));
        source.content(&format!("[{n}]")).await;
        place.write("d/auth.json", &format!("[{n}, 1]"));
        source.content(&format!("[{n}, 1]")).await;
    }
}

#[tokio::test]
async fn its_directory_is_exchanged() {
    let place = Place::new();
    for (name, text) in [("d", "[0]"), ("e", "[1]")] {
        fs::create_dir(place.path(name)).unwrap();
        place.write(format!("{name}/auth.json"), text);
    }
    let mut source = place.follow_file("d/auth.json");
    source.content("[0]").await;
    place.rename("d", "f");
    place.rename("e", "d");
    source.content("[1]").await;
    place.write("d/auth.json", "[2]");
    source.content("[2]").await;
    place.write("f/auth.json", "[3]");
    place.write("d/auth.json", "[4]");
    source.content("[4]").await;
    assert!(!source.story().contains(&"[3]".to_owned()));
}

#[tokio::test]
async fn links_are_followed_and_watched() {
    let place = Place::new();
    for name in ["here", "there"] {
        fs::create_dir(place.path(name)).unwrap();
        place.write(format!("{name}/auth.json"), &format!("[\"{name}\"]"));
    }
    symlink("here/auth.json", place.path("middle")).unwrap();
    symlink(place.path("middle"), place.path("auth.json")).unwrap();
    let mut source = place.follow_file("auth.json");
    source.content("[\"here\"]").await;
    place.write("here/auth.json", "[1]");
    source.content("[1]").await;

    symlink("there/auth.json", place.path("new")).unwrap();
    place.rename("new", "middle");
    source.content("[\"there\"]").await;
    place.write("there/auth.json", "[2]");
    source.content("[2]").await;
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused_without_waiting() {
    let place = Place::new();
    mkfifo(&place.path("pipe"), Mode::S_IRWXU).unwrap();
    fs::create_dir(place.path("directory")).unwrap();
    let _socket = UnixListener::bind(place.path("socket")).unwrap();
    symlink("/dev/zero", place.path("device")).unwrap();
    for (name, kind) in [
        ("pipe", "named pipe"),
        ("directory", "directory"),
        ("socket", "socket"),
        ("device", "device"),
    ] {
        let mut source = place.follow_file(name);
        let words = source.failure("Unreadable").await.to_string();
        assert!(
            words.contains(&format!("{name}: it is a {kind};")),
            "{words}"
        );
    }

    let mut source = place.follow_file("pipe");
    source.failure("Unreadable").await;
    place.replace("pipe", "{}");
    source.content("{}").await;
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    let place = Place::new();
    symlink("loop", place.path("loop")).unwrap();
    let mut source = place.follow_file("loop");
    let error = source.failure("Unreadable").await;
    assert!(chain(&error).contains("ELOOP"), "{error}");

    // Root may open anything, but nobody can read this at its beginning.
    let mut source = place.follow(|slot, context| {
        Box::pin(super::follow(slot, "/proc/self/mem".into(), None, context))
    });
    let error = source.failure("Unreadable").await;
    assert!(chain(&error).contains("EIO"), "{error}");

    File::create(place.path("huge"))
        .unwrap()
        .set_len(regular::LIMIT + 1)
        .unwrap();
    let mut source = place.follow_file("huge");
    let error = source.failure("TooLarge").await;
    assert!(error.to_string().contains("4194304 bytes"), "{error}");
}

#[test]
fn a_file_that_lies_about_its_size_is_read_to_its_end_or_the_limit() {
    // Files in /proc have size 0.
    let read = regular::read(AT_FDCWD, Path::new("/proc/self/status"), Path::new("x")).unwrap();
    assert!(read.bytes.starts_with(b"Name:") && read.bytes.ends_with(b"\n"));
    assert!(read.bytes.len() > 500, "{}", read.bytes.len());
}

fn chain(error: &SourceError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

#[tokio::test]
async fn shapes() {
    let legacy = r#"{"quay.io": {"auth": "eDp5"}}"#;
    for (name, configured, text, expected) in [
        ("config.json", None, "{\"auths\": {}}", Shape::ConfigJson),
        ("config.json", None, legacy, Shape::DockerCfg),
        (".dockercfg", None, "{}", Shape::DockerCfg),
        (".dockerconfigjson", None, legacy, Shape::ConfigJson),
        (
            ".dockercfg",
            Some(Shape::ConfigJson),
            legacy,
            Shape::ConfigJson,
        ),
    ] {
        let place = Place::new();
        place.write(name, text);
        let path = place.path(name);
        let mut source =
            place.follow(|slot, context| Box::pin(super::follow(slot, path, configured, context)));
        let shown = source.content(text).await;
        let shape = shown.items.unwrap().remove(0).content.unwrap().shape;
        assert_eq!(shape, expected, "{name} {text}");
    }
}

#[test]
fn places_of_a_plain_file_are_few() {
    let reader = FileReader {
        path: "/etc/pull/auth.json".into(),
        shape: None,
    };
    let names: Vec<_> = reader
        .places()
        .iter()
        .map(|p| p.file_name().map(OsStr::to_owned))
        .collect();
    assert_eq!(names, [Some("auth.json".into()), Some("..data".into())]);
}
