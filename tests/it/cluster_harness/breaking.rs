//! Control planes that are broken and mended.

use std::time::Duration;

use anyhow::Result;
use support::cluster::Cluster;
use support::eventually;

use super::{namespace_with_reader, secret, update, version, watch_from};

#[tokio::test]
async fn an_api_server_comes_back_with_the_same_data() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let (namespace, reader) = namespace_with_reader(&cluster, "api").await?;
    let api = cluster.api(&reader)?;
    let before = api.get(&secret(&namespace)).await?;

    let mut watch = api
        .watch(&watch_from(&namespace, &version(&before)?))
        .await?;
    cluster.apiserver.stop().await?;
    assert_eq!(
        watch.next().await?,
        None,
        "an orderly stop ends a watch in good order"
    );
    let error = api.get(&secret(&namespace)).await.unwrap_err();
    assert!(
        format!("{error:#}").contains("Connection refused"),
        "{error:#}"
    );
    cluster.apiserver.start().await?;
    // The token was made before the stop and is still good.
    assert_eq!(api.get(&secret(&namespace)).await?, before);

    let mut watch = api.watch(&watch_from(&namespace, "0")).await?;
    assert_eq!(watch.next().await?.unwrap()["type"], "ADDED");
    cluster.apiserver.kill()?;
    watch
        .next()
        .await
        .expect_err("a kill leaves a watch in the middle of its body");
    assert!(cluster.apiserver.process().is_err());
    cluster.apiserver.start().await?;
    assert_eq!(api.get(&secret(&namespace)).await?, before);
    Ok(())
}

#[tokio::test]
async fn a_hanging_api_server_accepts_and_says_nothing_until_it_is_resumed() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let (namespace, reader) = namespace_with_reader(&cluster, "hang").await?;
    let api = cluster.api(&reader)?;
    let path = secret(&namespace);
    cluster.apiserver.hang()?;
    let silence = tokio::time::timeout(Duration::from_millis(500), api.get(&path)).await;
    assert!(silence.is_err(), "{silence:?}");
    cluster.apiserver.resume()?;
    api.get(&path).await?;
    Ok(())
}

#[tokio::test]
async fn a_watch_outlives_a_restart_and_a_kill_of_etcd() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let (namespace, reader) = namespace_with_reader(&cluster, "etcd").await?;
    let api = cluster.api(&reader)?;
    let start = version(&api.get(&secret(&namespace)).await?)?;
    let mut watch = api.watch(&watch_from(&namespace, &start)).await?;

    cluster.etcd.restart().await?;
    let updated = eventually("writes work", async || update(&api, &namespace, "1").await).await?;
    let event = watch.next().await?.expect("the watch goes on");
    assert_eq!(version(&event["object"])?, updated);

    cluster.etcd.kill()?;
    let down =
        tokio::time::timeout(Duration::from_millis(500), update(&api, &namespace, "2")).await;
    assert!(!matches!(down, Ok(Ok(_))), "a write without etcd: {down:?}");
    cluster.etcd.start().await?;
    eventually("writes work again", async || {
        update(&api, &namespace, "3").await
    })
    .await?;
    let event = watch.next().await?.expect("the watch goes on");
    assert_eq!(event["type"], "MODIFIED");
    Ok(())
}

#[tokio::test]
async fn expired_history_ends_watches_and_answers_410_to_old_versions() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let (namespace, reader) = namespace_with_reader(&cluster, "gone").await?;
    let api = cluster.api(&reader)?;
    let old = version(&api.get(&secret(&namespace)).await?)?;
    let newest = update(&api, &namespace, "1").await?;

    // The API server still tells what etcd has forgotten.
    cluster.compact().await?;
    let mut watch = api.watch(&watch_from(&namespace, &old)).await?;
    let event = watch.next().await?.expect("an event");
    assert_eq!(version(&event["object"])?, newest);

    cluster.expire_history().await?;
    assert_eq!(watch.next().await?, None, "the open watch is ended");
    for stale in [&old, &newest] {
        let mut watch = api.watch(&watch_from(&namespace, stale)).await?;
        let event = watch.next().await?.expect("an event");
        assert_eq!(event["type"], "ERROR", "{event}");
        assert_eq!(event["object"]["code"], 410, "{event}");
        assert_eq!(event["object"]["reason"], "Expired", "{event}");
    }
    // Whoever begins anew gets the object as it is, and what follows.
    let mut watch = api.watch(&watch_from(&namespace, "0")).await?;
    assert_eq!(
        version(&watch.next().await?.expect("an event")["object"])?,
        newest
    );
    let updated = update(&api, &namespace, "2").await?;
    assert_eq!(
        version(&watch.next().await?.expect("an event")["object"])?,
        updated
    );
    Ok(())
}
