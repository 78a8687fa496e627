//! The proxy between product and API server, in all its moods.

use std::time::{Duration, Instant};

use anyhow::Result;
use support::cluster::{Api, Cluster};
use support::http::{Method, StatusCode};
use support::proxy::{Mode, Proxy, Refusal};
use tokio::time::timeout;

use super::{namespace_with_reader, secret, update, version, watch_from};

struct Scene {
    cluster: &'static Cluster,
    namespace: String,
    proxy: Proxy,
    /// Straight to the API server.
    direct: Api,
    /// Through the proxy.
    api: Api,
    kubeconfig: std::path::PathBuf,
}

impl Scene {
    async fn new(name: &str) -> Result<Self> {
        let cluster = Cluster::shared().await?;
        let (namespace, reader) = namespace_with_reader(cluster, name).await?;
        let proxy = cluster.proxy()?;
        let direct = cluster.api(&reader)?;
        let api = cluster.api_through(&proxy, &reader)?;
        let kubeconfig = cluster.kubeconfig_through(&proxy, &reader)?;
        Ok(Self {
            cluster,
            namespace,
            proxy,
            direct,
            api,
            kubeconfig,
        })
    }

    async fn get(&self) -> Result<StatusCode> {
        Ok(self
            .api
            .request(Method::GET, &secret(&self.namespace), None)
            .await?
            .status)
    }
}

#[tokio::test]
async fn it_passes_requests_and_watches_on_with_the_clients_token() -> Result<()> {
    let scene = Scene::new("pass").await?;
    let kubectl = scene.cluster.kubectl_with(&scene.kubeconfig)?;
    let namespace = scene.namespace.as_str();
    kubectl
        .run(&["get", "secret", "pull-secret", "-n", namespace])
        .await?;
    let error = kubectl
        .run(&["delete", "secret", "pull-secret", "-n", namespace])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("(Forbidden)"), "{error:#}");

    let begin = version(&scene.api.get(&secret(namespace)).await?)?;
    let mut watch = scene.api.watch(&watch_from(namespace, &begin)).await?;
    let updated = update(&scene.direct, namespace, "1").await?;
    assert_eq!(
        version(&watch.next().await?.expect("an event")["object"])?,
        updated
    );

    let seen = scene.proxy.seen();
    assert!(
        seen.iter()
            .any(|s| s.method == Method::DELETE && s.uri == secret(namespace))
    );
    assert!(
        seen.iter().any(|s| s.uri == watch_from(namespace, &begin)),
        "{seen:?}"
    );
    Ok(())
}

#[tokio::test]
async fn it_delays() -> Result<()> {
    let scene = Scene::new("delay").await?;
    scene.proxy.set(Mode::Delay(Duration::from_millis(300)));
    let begun = Instant::now();
    assert_eq!(scene.get().await?, StatusCode::OK);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    Ok(())
}

#[tokio::test]
async fn it_refuses_every_request_or_the_next_ones() -> Result<()> {
    let scene = Scene::new("refuse").await?;
    let busy = Refusal::TooManyRequests { retry_after: 1 };
    scene.proxy.set(Mode::Refuse(busy));
    for _ in 0..3 {
        let answer = scene
            .api
            .request(Method::GET, &secret(&scene.namespace), None)
            .await?;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers["retry-after"], "1");
    }
    scene.proxy.set(Mode::Pass);
    scene.proxy.refuse_next(2, Refusal::InternalError);
    let statuses = [scene.get().await?, scene.get().await?, scene.get().await?];
    assert_eq!(statuses.map(|status| status.as_u16()), [500, 500, 200]);
    Ok(())
}

#[tokio::test]
async fn a_real_client_understands_the_429_and_comes_again() -> Result<()> {
    let scene = Scene::new("again").await?;
    let kubectl = scene.cluster.kubectl_with(&scene.kubeconfig)?;
    let get = ["get", "--raw", &secret(&scene.namespace)];
    scene
        .proxy
        .refuse_next(1, Refusal::TooManyRequests { retry_after: 1 });
    let begun = Instant::now();
    kubectl.run(&get).await?;
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(scene.proxy.seen().len(), 2, "{:?}", scene.proxy.seen());
    Ok(())
}

#[tokio::test]
async fn it_cuts_open_connections_and_takes_new_ones() -> Result<()> {
    let scene = Scene::new("cut").await?;
    let mut watch = scene.api.watch(&watch_from(&scene.namespace, "0")).await?;
    watch.next().await?.expect("the object as it is");
    assert_eq!(scene.proxy.open_connections(), 1);
    scene.proxy.cut();
    watch
        .next()
        .await
        .expect_err("a reset is an error, not an orderly end");
    assert_eq!(scene.get().await?, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn it_cuts_answers_in_the_middle() -> Result<()> {
    let scene = Scene::new("middle").await?;
    let path = secret(&scene.namespace);
    let whole = scene
        .api
        .request(Method::GET, &path, None)
        .await?
        .body
        .len();
    scene.proxy.set(Mode::CutBody(whole - 1));
    scene
        .api
        .request(Method::GET, &path, None)
        .await
        .expect_err("one byte is missing");
    scene.proxy.set(Mode::CutBody(whole));
    scene.api.request(Method::GET, &path, None).await?;

    // A watch: the first event comes whole, the second one breaks off.
    let list = watch_from(&scene.namespace, "0");
    let first = scene
        .direct
        .watch(&list)
        .await?
        .next()
        .await?
        .expect("an event")
        .to_string()
        .len();
    scene.proxy.set(Mode::CutBody(first + 20));
    let mut watch = scene.api.watch(&list).await?;
    watch.next().await?.expect("the object as it is");
    update(&scene.direct, &scene.namespace, "1").await?;
    watch
        .next()
        .await
        .expect_err("it breaks in the second event");
    Ok(())
}

#[tokio::test]
async fn a_black_hole_swallows_what_is_open_and_what_is_new() -> Result<()> {
    let scene = Scene::new("hole").await?;
    let namespace = scene.namespace.as_str();
    let begin = version(&scene.api.get(&secret(namespace)).await?)?;
    let mut watch = scene.api.watch(&watch_from(namespace, &begin)).await?;
    let moment = Duration::from_millis(300);

    scene.proxy.set(Mode::BlackHole);
    let updated = update(&scene.direct, namespace, "1").await?;
    assert!(
        timeout(moment, watch.next()).await.is_err(),
        "an event came through"
    );
    assert!(
        timeout(moment, scene.get()).await.is_err(),
        "an answer came through"
    );

    scene.proxy.set(Mode::Pass);
    assert_eq!(
        version(&watch.next().await?.expect("the event")["object"])?,
        updated
    );
    assert_eq!(scene.get().await?, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn who_has_no_token_is_not_let_through_unnoticed() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let proxy = cluster.proxy()?;
    let error = cluster
        .kubeconfig_through(&proxy, cluster.admin())
        .unwrap_err();
    assert!(
        error.to_string().contains("admin has no token"),
        "{error:#}"
    );
    Ok(())
}
