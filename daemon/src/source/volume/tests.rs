//! Volumes as the kubelet writes them.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
};

use pullkeeper_core::authfile::Shape;

use super::*;
use crate::source::place::{Place, Source};

/// What the kubelet's atomic writer does with a set of keys (kubernetes, pkg/volume/util/
/// atomic_writer.go), in its order.
fn swap(place: &Place, volume: &str, version: u32, keys: &[(&str, &str)]) {
    let old = fs::read_link(place.path(format!("{volume}/..data"))).ok();
    let set = format!("..2026_11_23_12_00_00.{version}");
    fs::create_dir(place.path(format!("{volume}/{set}"))).unwrap();
    for (key, text) in keys {
        place.write(format!("{volume}/{set}/{key}"), text);
    }
    symlink(&set, place.path(format!("{volume}/..data_tmp"))).unwrap();
    place.rename(&format!("{volume}/..data_tmp"), &format!("{volume}/..data"));
    for (key, _) in keys {
        let link = place.path(format!("{volume}/{key}"));
        if link.symlink_metadata().is_err() {
            symlink(format!("..data/{key}"), link).unwrap();
        }
    }
    for entry in fs::read_dir(place.path(volume)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with("..") && !keys.iter().any(|(key, _)| *key == name) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    if let Some(old) = old {
        fs::remove_dir_all(place.path(volume).join(old)).unwrap();
    }
}

fn follow_volume(place: &Place, volume: &str, key: Option<&str>) -> Source {
    let (directory, key) = (place.path(volume), key.map(str::to_owned));
    place.follow(|slot, context| Box::pin(follow(slot, directory, key, context)))
}

#[tokio::test]
async fn swapped_again_and_again() {
    let place = Place::new();
    let mut source = follow_volume(&place, "volume", None);
    let absent = source.failure("FileNotFound").await;
    assert!(absent.to_string().contains("volume"), "{absent}");

    fs::create_dir(place.path("volume")).unwrap();
    for version in 0..5 {
        let text = format!("[{version}]");
        swap(&place, "volume", version, &[(CONFIG_JSON_KEY, &text)]);
        let shown = source.content(&text).await;
        assert_eq!(
            shown.items.unwrap()[0].id,
            format!("volume:{}", place.path("volume").display())
        );
    }
}

#[tokio::test]
async fn keys_decide() {
    let place = Place::new();
    fs::create_dir(place.path("volume")).unwrap();
    swap(
        &place,
        "volume",
        0,
        &[(CONFIG_JSON_KEY, "{}"), (DOCKER_CFG_KEY, "[]")],
    );
    let mut source = follow_volume(&place, "volume", None);
    let shape_of =
        |o: crate::source::Observation| o.items.unwrap().remove(0).content.unwrap().shape;
    assert_eq!(
        shape_of(source.content("{}").await),
        pullkeeper_core::authfile::Shape::ConfigJson
    );

    swap(&place, "volume", 1, &[(DOCKER_CFG_KEY, "[1]")]);
    assert_eq!(
        shape_of(source.content("[1]").await),
        pullkeeper_core::authfile::Shape::DockerCfg
    );

    swap(&place, "volume", 2, &[("b", "{}"), ("a", "{}")]);
    let missing = source.failure("MissingKey").await;
    assert_eq!(
        missing,
        SourceError::missing_key(CONFIG_JSON_KEY, ["a".into(), "b".into()])
    );

    let mut named = follow_volume(&place, "volume", Some("b"));
    named.content("{}").await;
    let legacy = r#"{"quay.io": {"auth": "eDp5"}}"#;
    swap(&place, "volume", 3, &[("b", legacy)]);
    assert_eq!(
        shape_of(named.content(legacy).await),
        Shape::of_content(legacy.as_bytes())
    );
}

#[tokio::test]
async fn a_file_source_in_a_volume_sees_the_swap_too() {
    let place = Place::new();
    fs::create_dir(place.path("volume")).unwrap();
    swap(&place, "volume", 0, &[("auth.json", "[0]")]);
    let path = place.path("volume/auth.json");
    let mut source = place
        .follow(|slot, context| Box::pin(crate::source::file::follow(slot, path, None, context)));
    source.content("[0]").await;
    for version in 1..5 {
        let text = format!("[{version}]");
        swap(&place, "volume", version, &[("auth.json", &text)]);
        source.content(&text).await;
    }
}

#[tokio::test]
async fn a_plain_directory_serves_as_a_volume() {
    let place = Place::new();
    fs::create_dir(place.path("volume")).unwrap();
    place.write("volume/.dockercfg", "[0]");
    let mut source = follow_volume(&place, "volume", None);
    source.content("[0]").await;
    place.write("volume/.dockercfg", "[1]");
    source.content("[1]").await;

    place.write("file", "{}");
    follow_volume(&place, "file", None)
        .failure("FileNotFound")
        .await;
}

#[test]
fn a_read_never_falls_between_two_sets() {
    let place = Place::new();
    fs::create_dir(place.path("volume")).unwrap();
    let keys = [(CONFIG_JSON_KEY, "[0]"), (DOCKER_CFG_KEY, "[1]")];
    swap(&place, "volume", 0, &keys[..1]);
    let reader = VolumeReader {
        directory: place.path("volume"),
        keys: vec![CONFIG_JSON_KEY.to_owned(), DOCKER_CFG_KEY.to_owned()],
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Each set has the one key that its predecessor has not.
            for version in 1..500 {
                let one = keys[version as usize % 2];
                swap(&place, "volume", version, &[one]);
            }
            done.store(true, Ordering::Release);
        });
        let mut reads = 0;
        while !done.load(Ordering::Acquire) {
            let reading = reader.read();
            assert!(reading.content.is_ok(), "{reading:?} after {reads}");
            reads += 1;
        }
        assert!(reads > 100, "{reads}");
    });
}
