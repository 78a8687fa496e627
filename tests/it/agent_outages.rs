//! The agent while the control plane is broken. Each test has a control plane of its own.

use std::time::Duration;

use anyhow::{Result, ensure};
use support::cluster::Cluster;
use support::eventually;
use support::fixture::{Credential, config_json};
use support::http::StatusCode;
use support::proxy::{Mode, Refusal};

use crate::agent_cluster::Scene;

#[tokio::test]
async fn the_watch_survives_what_happens_to_the_control_plane() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let credentials: Vec<_> = (0..5).map(|_| Credential::new()).collect();
    let document = |number: usize| config_json([("a.example", &credentials[number])]);
    let scene = Scene::new(&cluster, "outage").await?;
    scene.pull_secret(&document(0)).await?;
    let agent = scene.start(None).await?;
    scene.site.holds(&[("a.example", &credentials[0])]).await?;
    let (site, namespace) = (scene.site, scene.namespace);
    let pid = agent.process().id();

    // The API server is dead for a minute, and does not come back earlier for anybody.
    cluster.apiserver.kill()?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    cluster.apiserver.start().await?;
    let scene = Scene::resume(&cluster, site, namespace)?;
    scene.pull_secret(&document(1)).await?;
    scene.site.holds(&[("a.example", &credentials[1])]).await?;

    let (site, namespace) = (scene.site, scene.namespace);
    cluster.etcd.restart().await?;
    let scene = Scene::resume(&cluster, site, namespace)?;
    eventually("the API server has its etcd again", async || {
        scene.pull_secret(&document(2)).await
    })
    .await?;
    scene.site.holds(&[("a.example", &credentials[2])]).await?;

    // The revision that the watch would resume from is gone: 410.
    let (site, namespace) = (scene.site, scene.namespace);
    cluster.expire_history().await?;
    let scene = Scene::resume(&cluster, site, namespace)?;
    scene.pull_secret(&document(3)).await?;
    scene.site.holds(&[("a.example", &credentials[3])]).await?;

    // The API server hangs without closing a connection.
    let (site, namespace) = (scene.site, scene.namespace);
    cluster.apiserver.hang()?;
    tokio::time::sleep(Duration::from_secs(15)).await;
    cluster.apiserver.resume()?;
    let scene = Scene::resume(&cluster, site, namespace)?;
    eventually("the API server answers again", async || {
        scene.pull_secret(&document(4)).await
    })
    .await?;
    scene.site.holds(&[("a.example", &credentials[4])]).await?;

    ensure!(
        agent.process().is_running() && agent.process().id() == pid,
        "the agent was restarted"
    );
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_that_starts_without_an_api_server_serves_what_is_on_disk() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let (first, second) = (Credential::new(), Credential::new());
    let scene = Scene::new(&cluster, "cold").await?;
    scene
        .pull_secret(&config_json([("a.example", &first)]))
        .await?;
    let agent = scene.start(None).await?;
    scene.site.holds(&[("a.example", &first)]).await?;
    agent.stop().await?;

    let (site, namespace) = (scene.site, scene.namespace);
    cluster.apiserver.stop().await?;
    let agent = site.start().await?;
    eventually("it is ready with what is on disk", async || {
        let ready = agent.endpoint().get("/readyz").await?;
        ensure!(ready.status == StatusCode::OK, "{}", ready.text());
        Ok(())
    })
    .await?;
    eventually("it says that nobody answers", async || {
        ensure!(
            agent
                .source_reasons()
                .await?
                .contains(&"Unreachable".to_owned())
        );
        Ok(())
    })
    .await?;
    cluster.apiserver.start().await?;
    let scene = Scene::resume(&cluster, site, namespace)?;
    scene.site.holds(&[("a.example", &first)]).await?;
    scene
        .pull_secret(&config_json([("a.example", &second)]))
        .await?;
    scene.site.holds(&[("a.example", &second)]).await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_bad_network_delays_and_does_not_stop() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let scene = Scene::new(cluster, "network").await?;
    let credentials: Vec<_> = (0..6).map(|_| Credential::new()).collect();
    let document = |number: usize| config_json([("a.example", &credentials[number])]);
    scene.pull_secret(&document(0)).await?;
    let proxy = cluster.proxy()?;
    let identity = scene.identity().await?;
    scene
        .configure(&cluster.kubeconfig_through(&proxy, &identity)?, None)
        .await?;
    let agent = scene.site.start().await?;
    scene.site.holds(&[("a.example", &credentials[0])]).await?;

    let bad = [
        Mode::Delay(Duration::from_millis(500)),
        Mode::CutBody(200),
        Mode::Refuse(Refusal::TooManyRequests { retry_after: 1 }),
        Mode::Refuse(Refusal::InternalError),
        Mode::BlackHole,
    ];
    for (number, mode) in bad.into_iter().enumerate() {
        proxy.set(mode);
        proxy.cut();
        scene.pull_secret(&document(number + 1)).await?;
        if mode == Mode::BlackHole {
            // Longer than one watch may last, so that the silence has been noticed.
            tokio::time::sleep(Duration::from_secs(15)).await;
        }
        proxy.set(Mode::Pass);
        scene
            .site
            .holds(&[("a.example", &credentials[number + 1])])
            .await?;
    }
    agent.stop().await?;
    Ok(())
}
