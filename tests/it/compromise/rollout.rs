//! What nobody can ask for: the definitions refuse it, and name the field.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::deploy::{ROLLOUTS, SECRET_NAMESPACE};
use support::http::{Method, StatusCode};

use super::scene::Scene;

fn rollout(name: &str, spec: &Value) -> Value {
    let mut all = json!({ "sources": [{ "namespace": SECRET_NAMESPACE }] });
    for (key, value) in spec.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    json!({
        "apiVersion": "pullkeeper.io/v1alpha1", "kind": "PullSecretRollout",
        "metadata": { "name": name }, "spec": all,
    })
}

#[tokio::test]
async fn a_rollout_that_makes_no_sense_is_refused_by_field() -> Result<()> {
    let scene = Scene::new("rollouts").await?;
    let limit = "must be a number of nodes such as 5, or a percentage from 0% to 100%";
    let window = |start: &str| json!({ "windows": [{ "start": start, "duration": "4h" }] });
    for (spec, field, why) in [
        (json!({ "maxParallel": -1 }), "spec.maxParallel", limit),
        (json!({ "maxParallel": "150%" }), "spec.maxParallel", limit),
        (json!({ "maxParallel": "abc" }), "spec.maxParallel", limit),
        (
            json!({ "maxParallelPerZone": "1.5" }),
            "spec.maxParallelPerZone",
            limit,
        ),
        (
            json!({ "strategy": "Yolo" }),
            "spec.strategy",
            "Unsupported value",
        ),
        (
            json!({ "canary": { "count": 1, "nodeSelector": { "a": "b" } } }),
            "spec.canary",
            "set count or nodeSelector, not both",
        ),
        (window("24:00"), "spec.windows[0].start", "should match"),
        (window("9:00"), "spec.windows[0].start", "should match"),
        (
            json!({ "sources": [] }),
            "spec.sources",
            "should have at least 1 items",
        ),
        (json!({ "soak": "-5m" }), "spec.soak", "should match"),
    ] {
        refused(&scene, &rollout("cluster", &spec), field, why).await?;
    }
    let second = rollout("second", &json!({}));
    refused(&scene, &second, "", "there is one rollout, named cluster").await
}

#[tokio::test]
async fn a_rollout_that_makes_sense_is_taken() -> Result<()> {
    let scene = Scene::new("rollouts-good").await?;
    for spec in [
        json!({}),
        json!({ "maxParallel": 0, "maxParallelPerZone": "100%", "strategy": "Immediate" }),
        json!({ "canary": { "nodeSelector": { "a": "b" } } }),
        json!({ "windows": [{ "days": ["Sat"], "start": "23:59", "duration": "90m" }] }),
    ] {
        let answer = create(&scene, &rollout("cluster", &spec)).await?;
        // That there is one already is found out after everything else.
        let taken = answer.status.is_success() || answer.status == StatusCode::CONFLICT;
        ensure!(taken, "{spec}: {} {}", answer.status, answer.text());
    }
    Ok(())
}

async fn refused(scene: &Scene<'_>, object: &Value, field: &str, why: &str) -> Result<()> {
    let answer = create(scene, object).await?;
    let text = answer.text();
    ensure!(
        answer.status == StatusCode::UNPROCESSABLE_ENTITY
            && text.contains(field)
            && text.contains(why),
        "{object}: {} {text}",
        answer.status
    );
    Ok(())
}

async fn create(scene: &Scene<'_>, object: &Value) -> Result<support::http::Answer> {
    let path = format!("{ROLLOUTS}?dryRun=All");
    scene.admin.request(Method::POST, &path, Some(object)).await
}
