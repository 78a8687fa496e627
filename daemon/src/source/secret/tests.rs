use pullkeeper_core::authfile::Shape;
use serde_json::json;

use super::*;
use crate::source::scene::{CONFIG_JSON, DOCKER_CFG, Scene, failure, secret};

#[tokio::test(start_paused = true)]
async fn deleted_and_recreated_with_other_types() {
    let (mut scene, mut watch) = Scene::watching().await;
    watch
        .tell("DELETED", secret("pull", "11", CONFIG_JSON, "one"))
        .await;
    let gone = scene.observation_when(|o| failure(o).is_some()).await;
    let not_found = SourceError::SecretNotFound {
        namespace: "ns".into(),
        name: "pull".into(),
    };
    assert_eq!((failure(&gone), &gone.trouble), (Some(&not_found), &None));

    watch
        .tell("ADDED", secret("pull", "12", DOCKER_CFG, "old"))
        .await;
    let old = scene.observation_when(|o| failure(o).is_none()).await;
    let content = old.items.unwrap().remove(0).content.unwrap();
    assert_eq!(
        (content.shape, content.bytes.as_slice()),
        (Shape::DockerCfg, &b"old"[..])
    );

    watch
        .tell("ADDED", secret("pull", "13", "Opaque", "x"))
        .await;
    let opaque = scene.observation_when(|o| failure(o).is_some()).await;
    assert_eq!(failure(&opaque).unwrap().reason().as_str(), "WrongType");

    let mut empty = secret("pull", "14", CONFIG_JSON, "x");
    empty["data"] = json!({"config.json": "e30="});
    watch.tell("MODIFIED", empty).await;
    let empty = scene
        .observation_when(|o| failure(o) != failure(&opaque))
        .await;
    let text = failure(&empty).unwrap().to_string();
    assert!(
        text.contains(".dockerconfigjson (present: config.json)"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn absent_from_the_list_is_a_fact() {
    let mut scene = Scene::of_secret();
    scene.asked().await.list("10", &[]);
    let absent = scene.observation_when(|o| o.items.is_some()).await;
    assert_eq!(
        failure(&absent).unwrap().reason().as_str(),
        "SecretNotFound"
    );
    assert_eq!(absent.trouble, None);
}
