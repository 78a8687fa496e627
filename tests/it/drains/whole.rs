//! Twelve nodes with everything that pods can be.

use anyhow::{Result, ensure};
use serde_json::json;
use support::workloads::{STAYS, Workloads, pod, stubborn, uid, with_data};

use super::scene::Scene;

const NODES: usize = 12;

#[tokio::test]
async fn every_node_is_drained_within_the_limits_and_comes_back() -> Result<()> {
    let mut scene = Scene::new(NODES, 3, 3).await?;
    let shop = Workloads::new(&scene.fleet.cluster, "shop").await?;
    shop.controller("Deployment", 12, &pod("web")).await?;
    let web = json!({"app": "web"});
    shop.budget("web", &web, &json!({"maxUnavailable": 2}))
        .await?;
    shop.controller("StatefulSet", 6, &stubborn("db", 2))
        .await?;
    let db = json!({"app": "db"});
    shop.budget("db", &db, &json!({"minAvailable": 4})).await?;
    shop.controller("Deployment", 6, &with_data("cache"))
        .await?;
    let mut critical = pod("critical");
    critical["spec"]["priorityClassName"] = "system-node-critical".into();
    shop.controller("Deployment", 3, &critical).await?;
    shop.controller("DaemonSet", 0, &pod("log")).await?;
    shop.controller("Deployment", 4, &pod(STAYS)).await?;
    let counts = [
        ("web", 12),
        ("db", 6),
        ("cache", 6),
        ("critical", 3),
        ("log", NODES),
    ];
    for (app, count) in counts {
        shop.run(app, count).await?;
    }
    let mut staying = Vec::new();
    for pod in shop
        .run(STAYS, 4)
        .await?
        .iter()
        .chain(&shop.run("log", NODES).await?)
    {
        staying.push(uid(pod)?);
    }
    staying.push(shop.mirror("mirror", "node-004").await?);
    staying.push(shop.finished("finished", "node-005").await?);
    shop.bare("alone", "node-006", &pod("alone")).await?;
    scene.spared.clone_from(&staying);

    let coordinator = scene.coordinated().await?;
    scene.drain(&json!({})).await?;
    scene.completes().await?;

    for app in [STAYS, "log", "mirror", "finished"] {
        for pod in shop.pods(app).await? {
            let uid = uid(&pod)?;
            ensure!(staying.contains(&uid), "{app} has a new pod {uid}");
            staying.retain(|one| *one != uid);
        }
    }
    ensure!(staying.is_empty(), "{staying:?} are gone");
    ensure!(shop.pods("alone").await?.is_empty(), "it was not evicted");
    for (app, count) in counts {
        shop.run(app, count).await?;
    }
    scene.judge(&[]).await?;
    coordinator.stop().await?;
    Ok(())
}
