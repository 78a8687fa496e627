use serde_json::json;

use super::*;
use crate::{
    config::Origin,
    source::scene::{CONFIG_JSON, DOCKER_CFG, Scene, secret},
};

#[tokio::test(start_paused = true)]
async fn selected_secrets_come_in_order_each_with_its_own_content_or_error() {
    let mut scene = Scene::of(Origin::Selector {
        namespace: "ns".into(),
        labels: "pull=yes,!old".into(),
    });
    let page = scene.asked().await;
    assert!(
        page.target.contains("labelSelector=pull%3Dyes%2C%21old"),
        "{}",
        page.target
    );
    page.page("10", Some("more"), &[secret("c", "9", CONFIG_JSON, "c1")]);
    let page = scene.asked().await;
    assert!(page.target.contains("continue=more"), "{}", page.target);
    page.list(
        "10",
        &[
            secret("b", "8", "Opaque", "x"),
            secret("a", "7", DOCKER_CFG, "a1"),
        ],
    );
    let watch = scene.asked().await;
    assert!(
        watch.target.ends_with("resourceVersion=10"),
        "{}",
        watch.target
    );
    let mut watch = watch.watch();

    let summary = |observation: &Observation| -> Vec<String> {
        let items = observation.items.as_deref().unwrap_or_default();
        let content = |item: &Item| match &item.content {
            Ok(payload) => String::from_utf8(payload.bytes.to_vec()).unwrap(),
            Err(error) => error.reason().as_str().to_owned(),
        };
        items
            .iter()
            .map(|item| format!("{} {}", item.id, content(item)))
            .collect()
    };
    let all = scene.observation_when(|o| o.items.is_some()).await;
    assert_eq!(
        summary(&all),
        ["secret:ns/a a1", "secret:ns/b WrongType", "secret:ns/c c1"]
    );

    watch
        .tell("DELETED", secret("b", "11", "Opaque", "x"))
        .await;
    watch
        .tell("MODIFIED", secret("c", "12", CONFIG_JSON, "c2"))
        .await;
    watch
        .tell("ADDED", secret("0", "13", CONFIG_JSON, "z1"))
        .await;
    let all = scene
        .observation_when(|o| summary(o).first().is_some_and(|s| s.ends_with("z1")))
        .await;
    assert_eq!(
        summary(&all),
        ["secret:ns/0 z1", "secret:ns/a a1", "secret:ns/c c2"]
    );

    scene.context.terms.resync.request();
    scene.asked().await.list("20", &[]);
    let none = scene
        .observation_when(|o| o.items.as_ref().is_some_and(Vec::is_empty))
        .await;
    assert_eq!(none.trouble, None);
}

#[tokio::test(start_paused = true)]
async fn a_selector_that_the_server_rejects_says_so() {
    let mut scene = Scene::of(Origin::Selector {
        namespace: "ns".into(),
        labels: "a==b==c".into(),
    });
    scene.asked().await.refuse(400, json!({}));
    let trouble = scene
        .observation_when(|o| o.trouble.is_some())
        .await
        .trouble
        .unwrap();
    assert_eq!(trouble.reason().as_str(), "Rejected");
    assert!(trouble.to_string().contains("a==b==c"), "{trouble}");
}
