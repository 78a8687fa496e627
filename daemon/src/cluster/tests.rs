//! Clients as they are really built, against servers on loopback.

use std::{
    convert::Infallible,
    fs::File,
    io::Write,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::AUTHORIZATION,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::*;
use crate::{
    config::{Origin, SourceScope, SourceSettings},
    list_watch::Terms,
    resync::Resync,
    source::{self, Context},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers every request through the function, after noting it.
async fn server(
    answer: impl Fn(&Request<Incoming>) -> (u16, String) + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (answer, noted) = (Arc::new(answer), Arc::clone(&requests));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
            let service = service_fn(move |request: Request<Incoming>| {
                let agent = request.headers().get(USER_AGENT).cloned();
                let line = format!("{} {:?}", request.uri(), agent);
                noted.lock().unwrap().push(line);
                let (status, body) = answer(&request);
                let body = Full::new(Bytes::from(body));
                std::future::ready(Ok::<_, Infallible>(
                    Response::builder().status(status).body(body).unwrap(),
                ))
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, requests)
}

fn write_kubeconfig(path: &Path, server: SocketAddr, token: &str) {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{{name: x, cluster: {{server: 'http://{server}'}}}}]\n\
         users: [{{name: x, user: {{token: {token}}}}}]\n\
         contexts: [{{name: x, context: {{cluster: x, user: x}}}}]\n"
    );
    File::create(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

fn settings(kubeconfig: &Path) -> KubernetesSettings {
    KubernetesSettings {
        kubeconfig: Some(kubeconfig.to_owned()),
        events: false,
        rollouts: false,
        watch_timeout: Duration::from_secs(45),
        request_timeout: PATIENCE,
    }
}

/// A Secret source on that cluster.
fn watched(
    cluster: Cluster,
    request_timeout: Duration,
) -> (
    tokio::sync::watch::Receiver<Vec<source::Observation>>,
    tokio_util::sync::DropGuard,
) {
    let origin = Origin::Secret {
        namespace: "ns".into(),
        name: "pull".into(),
        key: None,
    };
    let context = Context {
        terms: Terms {
            cluster,
            watch_timeout: Duration::from_secs(45),
            request_timeout,
            resync: Resync::default(),
            cancel: CancellationToken::new(),
        },
        resync_interval: Duration::from_secs(60),
        tasks: TaskTracker::new(),
    };
    let observed = source::spawn(
        &[SourceSettings {
            name: "global".into(),
            origin,
            scope: SourceScope::Node,
        }],
        &context,
    );
    (observed, context.terms.cancel.drop_guard())
}

#[tokio::test]
async fn a_kubeconfig_may_come_later_and_credentials_may_change() {
    let (address, requests) = server(|request| {
        let token = request
            .headers()
            .get(AUTHORIZATION)
            .map(|value| value.as_bytes().to_vec());
        match token.as_deref() {
            Some(b"Bearer new") => (
                200,
                r#"{"metadata":{"resourceVersion":"1"},"items":[]}"#.into(),
            ),
            _ => (
                401,
                r#"{"kind":"Status","code":401,"message":"Unauthorized"}"#.into(),
            ),
        }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let cluster = Cluster::new(&settings(&kubeconfig));
    let (mut observed, _guard) = watched(cluster, PATIENCE);

    let mut trouble = async |reason: &str, words: &str| {
        let is = |all: &Vec<source::Observation>| {
            all[0]
                .trouble
                .as_ref()
                .is_some_and(|t| t.reason().as_str() == reason && t.to_string().contains(words))
        };
        tokio::time::timeout(PATIENCE, observed.wait_for(is))
            .await
            .expect(words)
            .unwrap()
            .clone()
    };
    trouble("Unreachable", "kubeconfig").await;
    write_kubeconfig(&kubeconfig, address, "old");
    trouble("Unauthorized", "renew the token").await;
    write_kubeconfig(&kubeconfig, address, "new");
    let listed = |all: &Vec<source::Observation>| all[0].items.is_some();
    tokio::time::timeout(PATIENCE, observed.wait_for(listed))
        .await
        .unwrap()
        .unwrap();

    let requests = requests.lock().unwrap();
    assert!(
        requests.iter().all(|line| line.contains("\"pullkeeper/")),
        "{requests:?}"
    );
}

#[tokio::test]
async fn refusals_are_not_retried_behind_our_back() {
    let (address, requests) = server(|_| {
        (
            429,
            r#"{"kind":"Status","code":429,"message":"later"}"#.into(),
        )
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    write_kubeconfig(&kubeconfig, address, "x");
    let connection = Cluster::new(&settings(&kubeconfig))
        .connection()
        .await
        .unwrap();
    let request = Request::get("/version").body(Vec::new()).unwrap();
    let refused = tokio::time::timeout(PATIENCE, connection.client.request_text(request));
    let refused = refused.await.expect("no retries").unwrap_err();
    assert_eq!(describe(&refused), "later");
    assert_eq!(requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_unreachable_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    write_kubeconfig(&kubeconfig, address, "x");
    let cluster = Cluster::new(&settings(&kubeconfig));
    let (mut observed, _guard) = watched(cluster, Duration::from_millis(500));
    let troubled = |all: &Vec<source::Observation>| all[0].trouble.is_some();
    let all = tokio::time::timeout(PATIENCE, observed.wait_for(troubled))
        .await
        .unwrap()
        .unwrap();
    let words = all[0].trouble.as_ref().unwrap().to_string();
    assert!(words.contains("no answer to a list in time"), "{words}");
}

#[tokio::test]
async fn a_refused_connection_is_explained_to_its_root() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    write_kubeconfig(&kubeconfig, address, "x");
    let connection = Cluster::new(&settings(&kubeconfig))
        .connection()
        .await
        .unwrap();
    let request = Request::get("/version").body(Vec::new()).unwrap();
    let words = describe(&connection.client.request_text(request).await.unwrap_err());
    assert!(words.contains("Connection refused"), "{words}");
}

#[tokio::test]
async fn one_client_is_shared_until_it_is_renewed() {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    write_kubeconfig(&kubeconfig, "127.0.0.1:1".parse().unwrap(), "x");
    let cluster = Cluster::new(&settings(&kubeconfig));
    let (first, again) = (
        cluster.connection().await.unwrap(),
        cluster.connection().await.unwrap(),
    );
    assert_eq!(first.generation, again.generation);
    cluster.renew(&first).await;
    let second = cluster.connection().await.unwrap();
    assert_ne!(first.generation, second.generation);
    cluster.renew(&again).await;
    let third = cluster.connection().await.unwrap();
    assert_eq!(
        second.generation, third.generation,
        "an old failure says nothing about it"
    );
}

#[tokio::test]
async fn broken_kubeconfigs_are_explained_without_their_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    let cluster = Cluster::new(&settings(&path));
    for text in [
        "token: [hunter2",
        "hunter2",
        "apiVersion: v1\nkind: Config\nusers: [{name: x, user: {token: {hunter2: 1}}}]\n",
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{name: x, cluster: {server: 'https://127.0.0.1:1'}}]\n\
         users: [{name: x, user: {client-certificate-data: hunter2!, client-key-data: hunter2!}}]\n\
         contexts: [{name: x, context: {cluster: x, user: x}}]\n",
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{name: x, cluster: {server: 'https://127.0.0.1:1'}}]\n\
         users: [{name: x, user: {exec: {apiVersion: client.authentication.k8s.io/v1, \
         command: sh, args: [-c, 'echo hunter2; exit 1'], interactiveMode: Never}}}]\n\
         contexts: [{name: x, context: {cluster: x, user: x}}]\n",
    ] {
        File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let Err(error) = cluster.connection().await else {
            panic!("{text}")
        };
        let words = format!("{error} {error:?}");
        assert!(!words.contains("hunter2"), "{words}");
        assert!(words.contains("kubeconfig"), "{words}");
    }
}

#[tokio::test]
async fn a_plugin_that_hangs_is_waited_for_and_not_run_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, runs) = (
        directory.path().join("kubeconfig"),
        directory.path().join("runs"),
    );
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{{name: x, cluster: {{server: 'http://127.0.0.1:1'}}}}]\n\
         users: [{{name: x, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, \
         command: sh, args: [-c, 'echo run >> {}; sleep 2; exit 1'], interactiveMode: Never}}}}}}]\n\
         contexts: [{{name: x, context: {{cluster: x, user: x}}}}]\n",
        runs.display()
    );
    File::create(&path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let cluster = Cluster::with(
        Way::Settings(Some(path)),
        Duration::from_millis(300),
        Requests::default(),
    );
    let mut slow = 0;
    let end = loop {
        match cluster.connection().await {
            Err(ClusterError::Slow { .. }) => slow += 1,
            Err(other) => break other,
            Ok(_) => panic!("no client can come of it"),
        }
    };
    assert!(slow > 1);
    assert!(matches!(end, ClusterError::Kubeconfig { .. }), "{end}");
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "run\n");
}

#[tokio::test]
async fn neither_kubeconfig_nor_pod_is_said_plainly() {
    let cluster = Cluster::with(
        Way::Settings(None),
        Duration::from_secs(1),
        Requests::default(),
    );
    assert!(matches!(
        cluster.connection().await,
        Err(ClusterError::NotConfigured)
    ));
}

#[test]
fn details_are_one_short_line() {
    assert_eq!(clip("a\nb\tc"), "a b c");
    assert_eq!(clip(&"ä".repeat(300)).chars().count(), 300);
    let long = clip(&"ä".repeat(301));
    assert!(long.ends_with('…') && long.chars().count() == 301);
}
