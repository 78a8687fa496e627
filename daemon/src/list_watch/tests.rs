//! Conversations with the API server, each written down word for word.

use std::time::Duration;

use hyper::StatusCode;
use pullkeeper_core::authfile::Shape;
use serde_json::json;
use tokio::time::Instant;

use crate::source::scene::{
    CONFIG_JSON, REQUEST_TIMEOUT, Scene, WATCH_TIMEOUT, bookmark, secret, text,
};

#[tokio::test(start_paused = true)]
async fn lists_then_watches_then_resumes() {
    let mut scene = Scene::of_secret();
    let first = scene.observed.borrow()[0].clone();
    assert_eq!((first.items, first.trouble), (None, None));

    let list = scene.asked().await;
    assert!(
        list.target.contains("fieldSelector=metadata.name%3Dpull"),
        "{}",
        list.target
    );
    assert!(
        !list.target.contains("resourceVersion"),
        "the latest: {}",
        list.target
    );
    list.list("10", &[secret("pull", "9", CONFIG_JSON, "one")]);

    let watch = scene.asked().await;
    assert!(
        watch.target.contains("fieldSelector=metadata.name%3Dpull"),
        "{}",
        watch.target
    );
    assert!(
        watch.target.contains("allowWatchBookmarks=true"),
        "{}",
        watch.target
    );
    assert!(
        watch.target.ends_with("resourceVersion=10"),
        "{}",
        watch.target
    );
    assert!((40..=50).contains(&watch.seconds()), "{}", watch.target);
    let mut watch = watch.watch();

    let one = scene.observation_when(|o| o.items.is_some()).await;
    let item = &one.items.as_ref().unwrap()[0];
    assert_eq!(item.id, "secret:ns/pull");
    assert_eq!(
        item.revision.as_ref().unwrap().to_string(),
        "uid u resourceVersion 9"
    );
    assert_eq!(item.content.as_ref().unwrap().shape, Shape::ConfigJson);
    assert_eq!((text(&one), &one.trouble), ("one", &None));

    watch
        .tell("MODIFIED", secret("pull", "11", CONFIG_JSON, "two"))
        .await;
    let two = scene.observation_when(|o| text(o) == "two").await;
    assert_eq!(two.trouble, None);

    watch.tell("BOOKMARK", bookmark("20")).await;
    watch.run_out().await;
    let watch = scene.asked().await;
    assert!(
        watch.is_watch() && watch.target.ends_with("resourceVersion=20"),
        "{}",
        watch.target
    );
    assert!(!scene.has_news());
}

#[tokio::test(start_paused = true)]
async fn a_resync_that_finds_nothing_new_wakes_nobody() {
    let (mut scene, _watch) = Scene::watching().await;
    let before = scene.observed.borrow_and_update()[0].clone();
    scene.context.terms.resync.request();
    scene
        .asked()
        .await
        .list("30", &[secret("pull", "10", CONFIG_JSON, "one")]);
    let watch = scene.asked().await;
    assert!(
        watch.target.ends_with("resourceVersion=30"),
        "{}",
        watch.target
    );
    let mut watch = watch.watch();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!scene.has_news());
    assert_eq!(
        scene.observed.borrow()[0].items.as_ref().unwrap()[0].seen,
        before.items.unwrap()[0].seen
    );

    watch
        .tell("MODIFIED", secret("pull", "31", CONFIG_JSON, "two"))
        .await;
    scene.observation_when(|o| text(o) == "two").await;
}

#[tokio::test(start_paused = true)]
async fn expired_history_is_listed_anew_at_once_and_is_no_trouble() {
    let (mut scene, mut watch) = Scene::watching().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    scene.has_news();
    let expired = Instant::now();
    watch
        .tell(
            "ERROR",
            json!({"kind": "Status", "code": 410, "reason": "Expired"}),
        )
        .await;
    scene
        .asked()
        .await
        .list("40", &[secret("pull", "39", CONFIG_JSON, "two")]);
    assert_eq!(expired.elapsed(), Duration::ZERO);
    let two = scene.observation_when(|o| text(o) == "two").await;
    assert_eq!(two.trouble, None);

    // The same as the answer to the request itself.
    scene.asked().await.refuse(410, json!({}));
    scene
        .asked()
        .await
        .list("50", &[secret("pull", "49", CONFIG_JSON, "three")]);
    let _watch = scene.asked().await.watch();
    scene.observation_when(|o| text(o) == "three").await;
}

#[tokio::test(start_paused = true)]
async fn forbidden_names_the_rule_and_is_tried_again() {
    let mut scene = Scene::of_secret();
    scene.asked().await.refuse(403, json!({}));
    let forbidden = scene.observation_when(|o| o.trouble.is_some()).await;
    assert_eq!(forbidden.items, None);
    let trouble = forbidden.trouble.unwrap();
    assert_eq!(trouble.reason().as_str(), "Forbidden");
    let words = trouble.to_string();
    for part in [
        "list and watch secrets",
        "ns",
        "resourceNames: [pull]",
        "words of the server",
    ] {
        assert!(words.contains(part), "{words}");
    }

    scene
        .asked()
        .await
        .list("10", &[secret("pull", "9", CONFIG_JSON, "one")]);
    let _watch = scene.asked().await.watch();
    let well = scene.observation_when(|o| o.trouble.is_none()).await;
    assert_eq!(text(&well), "one");
}

#[tokio::test(start_paused = true)]
async fn a_rule_for_list_but_not_for_watch_is_lasting_trouble() {
    let mut scene = Scene::of_secret();
    let mut news = 0;
    for _ in 0..10 {
        scene
            .asked()
            .await
            .list("10", &[secret("pull", "9", CONFIG_JSON, "one")]);
        scene.asked().await.refuse(403, json!({}));
        tokio::task::yield_now().await;
        news += u32::from(scene.has_news());
    }
    let now = scene.observed.borrow()[0].clone();
    assert_eq!(text(&now), "one");
    assert_eq!(now.trouble.unwrap().reason().as_str(), "Forbidden");
    assert!(news <= 2, "the content, then the trouble: {news}");
}

#[tokio::test(start_paused = true)]
async fn starts_without_a_server_and_is_there_soon_after_it() {
    let mut scene = Scene::of_secret();
    let mut waits = Vec::new();
    for _ in 0..10 {
        let asked = scene.asked().await;
        asked.break_off();
        let now = Instant::now();
        let down = scene.observation_when(|o| o.trouble.is_some()).await;
        assert_eq!(
            (down.items, down.trouble.unwrap().reason().as_str()),
            (None, "Unreachable")
        );
        waits.push(now);
    }
    let pauses: Vec<_> = waits.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] <= Duration::from_millis(501), "{pauses:?}");
    assert!(
        pauses
            .iter()
            .all(|pause| *pause <= Duration::from_millis(8_001)),
        "{pauses:?}"
    );
    assert!(
        pauses[8] >= Duration::from_secs(4),
        "no hammering: {pauses:?}"
    );

    scene
        .asked()
        .await
        .list("10", &[secret("pull", "9", CONFIG_JSON, "one")]);
    let _watch = scene.asked().await.watch();
    let up = scene
        .observation_when(|o| o.items.is_some() && o.trouble.is_none())
        .await;
    assert_eq!(text(&up), "one");
}

#[tokio::test(start_paused = true)]
async fn one_broken_connection_is_no_trouble_and_two_are() {
    let (mut scene, watch) = Scene::watching().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    scene.has_news();

    watch.break_off();
    let broken = Instant::now();
    scene
        .asked()
        .await
        .list("20", &[secret("pull", "10", CONFIG_JSON, "one")]);
    assert!(
        broken.elapsed() <= Duration::from_millis(501),
        "{:?}",
        broken.elapsed()
    );
    let watch = scene.asked().await.watch();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!scene.has_news());

    watch.break_off();
    scene.asked().await.break_off();
    let trouble = scene.observation_when(|o| o.trouble.is_some()).await;
    assert_eq!(text(&trouble), "one");
    assert_eq!(trouble.trouble.unwrap().reason().as_str(), "Unreachable");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_early_is_followed_by_a_list() {
    let (mut scene, watch) = Scene::watching().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    drop(watch);
    // As from a backup: the version is lower than the one that the watch would go on from.
    scene
        .asked()
        .await
        .list("5", &[secret("pull", "4", CONFIG_JSON, "zero")]);
    let watch = scene.asked().await;
    assert!(
        watch.target.ends_with("resourceVersion=5"),
        "{}",
        watch.target
    );
    let zero = scene.observation_when(|o| text(o) == "zero").await;
    assert_eq!(zero.trouble, None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_dies_silently_is_noticed() {
    let (mut scene, _watch) = Scene::watching().await;
    let silent = Instant::now();
    let list = scene.asked().await;
    assert!(silent.elapsed() <= WATCH_TIMEOUT.mul_f64(1.1) + Duration::from_secs(5));
    list.list("20", &[secret("pull", "19", CONFIG_JSON, "two")]);
    let two = scene.observation_when(|o| text(o) == "two").await;
    assert_eq!(two.trouble, None);

    // And one whose request is not even answered.
    let _watch = scene.asked().await;
    let silent = Instant::now();
    let list = scene.asked().await;
    assert!(!list.is_watch());
    assert_eq!(silent.elapsed().as_secs(), REQUEST_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_list_without_an_answer_is_trouble_in_time() {
    let mut scene = Scene::of_secret();
    let started = Instant::now();
    let _list = scene.asked().await;
    let trouble = scene
        .observation_when(|o| o.trouble.is_some())
        .await
        .trouble
        .unwrap();
    assert_eq!(trouble.reason().as_str(), "Unreachable");
    assert_eq!(started.elapsed().as_secs(), REQUEST_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_as_it_begins_does_not_spin() {
    let mut scene = Scene::of_secret();
    let started = Instant::now();
    for _ in 0..20 {
        scene
            .asked()
            .await
            .list("10", &[secret("pull", "9", CONFIG_JSON, "one")]);
        drop(scene.asked().await.watch());
    }
    assert!(
        started.elapsed() > Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
    let trouble = scene.observed.borrow()[0].trouble.clone();
    assert_eq!(trouble.unwrap().reason().as_str(), "Unreachable");
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_answer_is_trouble_without_its_content() {
    let mut scene = Scene::of_secret();
    for body in [
        r#"{"metadata":{"resourceVersion":"1"},"items":["hunter2"#,
        r#"{"hunter2":1}"#,
    ] {
        scene.asked().await.reply(StatusCode::OK, body);
        let trouble = scene
            .observation_when(|o| o.trouble.is_some())
            .await
            .trouble
            .unwrap();
        assert_eq!(trouble.reason().as_str(), "Unreachable");
        assert!(
            !format!("{trouble} {trouble:?}").contains("hunter2"),
            "{trouble}"
        );
    }
    let html = format!("<html>{}", "x".repeat(100_000));
    scene.asked().await.reply(StatusCode::BAD_GATEWAY, &html);
    let trouble = scene
        .observation_when(|o| {
            o.trouble
                .as_ref()
                .is_some_and(|t| t.to_string().contains("502"))
        })
        .await
        .trouble
        .unwrap();
    assert!(trouble.to_string().len() < 500);
}

#[tokio::test(start_paused = true)]
async fn waits_as_long_as_the_server_asks() {
    let mut scene = Scene::of_secret();
    for (asked_for, least, most) in [(12, 12, 12), (100_000, 30, 30)] {
        scene
            .asked()
            .await
            .refuse(429, json!({"retryAfterSeconds": asked_for}));
        let refused = Instant::now();
        let again = scene.asked().await;
        let waited = refused.elapsed().as_secs();
        assert!((least..=most).contains(&waited), "{waited}");
        again.refuse(429, json!({"retryAfterSeconds": 0}));
        let trouble = scene
            .observation_when(|o| o.trouble.is_some())
            .await
            .trouble
            .unwrap();
        assert!(trouble.to_string().contains("429"), "{trouble}");
    }
}

#[tokio::test(start_paused = true)]
async fn lists_now_and_then_even_if_all_is_well() {
    let (mut scene, mut watch) = Scene::watching().await;
    let started = Instant::now();
    let list = loop {
        watch.run_out().await;
        let asked = scene.asked().await;
        if !asked.is_watch() {
            break asked;
        }
        watch = asked.watch();
    };
    assert!(
        (13..=18).contains(&(started.elapsed().as_secs() / 60)),
        "{:?}",
        started.elapsed()
    );
    list.list("90", &[secret("pull", "89", CONFIG_JSON, "missed")]);
    scene.observation_when(|o| text(o) == "missed").await;
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_the_conversation() {
    let (scene, _watch) = Scene::watching().await;
    let Scene {
        context,
        mut observed,
        ..
    } = scene;
    context.terms.cancel.cancel();
    context.tasks.close();
    context.tasks.wait().await;
    observed.mark_unchanged();
    assert!(observed.changed().await.is_err(), "the channel is closed");
}
