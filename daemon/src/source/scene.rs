//! For tests: a source and an API server whose every word the test speaks, in virtual time.

use std::{io, time::Duration};

use futures_util::FutureExt;
use http_body_util::channel::{Channel, Sender};
use hyper::{Request, Response, StatusCode, body::Bytes};
use k8s_openapi::ByteString;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_test::mock::{self, Handle, SendResponse};

use crate::{
    cluster::Cluster,
    config::{Origin, SourceScope, SourceSettings},
    list_watch::Terms,
    resync::Resync,
    source::{self, Context, Observation, SourceError},
};

pub(crate) const WATCH_TIMEOUT: Duration = Duration::from_secs(45);
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const CONFIG_JSON: &str = "kubernetes.io/dockerconfigjson";
pub(crate) const DOCKER_CFG: &str = "kubernetes.io/dockercfg";

type Answer = Channel<Bytes, io::Error>;

/// A source and the API server it talks to.
pub(crate) struct Scene {
    pub(crate) server: Handle<Request<Body>, Response<Answer>>,
    pub(crate) observed: watch::Receiver<Vec<Observation>>,
    pub(crate) context: Context,
}

/// One request, to be answered.
pub(crate) struct Asked {
    pub(crate) target: String,
    pub(crate) answer: SendResponse<Response<Answer>>,
}

/// The server's end of a watch.
pub(crate) struct Watch {
    pub(crate) events: Sender<Bytes, io::Error>,
    /// When it should end.
    pub(crate) end: Instant,
}

impl Scene {
    pub(crate) fn of(origin: Origin) -> Self {
        let (service, server) = mock::pair();
        let context = Context {
            terms: Terms {
                cluster: Cluster::of_client(Client::new(service, "default")),
                watch_timeout: WATCH_TIMEOUT,
                request_timeout: REQUEST_TIMEOUT,
                resync: Resync::default(),
                cancel: CancellationToken::new(),
            },
            resync_interval: Duration::from_secs(60),
            tasks: TaskTracker::new(),
        };
        let settings = [SourceSettings {
            name: "global".into(),
            origin,
            scope: SourceScope::Node,
        }];
        let observed = source::spawn(&settings, &context);
        Self {
            server,
            observed,
            context,
        }
    }

    pub(crate) fn of_secret() -> Self {
        Self::of(Origin::Secret {
            namespace: "ns".into(),
            name: "pull".into(),
            key: None,
        })
    }

    /// A source that has listed the Secret in version 10 and watches it.
    pub(crate) async fn watching() -> (Self, Watch) {
        let mut scene = Self::of_secret();
        scene
            .asked()
            .await
            .list("10", &[secret("pull", "10", CONFIG_JSON, "one")]);
        let watch = scene.asked().await.watch();
        let now = scene.observation_when(|o| o.items.is_some()).await;
        assert_eq!(text(&now), "one");
        (scene, watch)
    }

    pub(crate) async fn asked(&mut self) -> Asked {
        let (request, answer) = self.server.next_request().await.unwrap();
        let target = request.uri().to_string();
        assert!(
            target.starts_with("/api/v1/namespaces/ns/secrets?"),
            "{target}"
        );
        Asked { target, answer }
    }

    pub(crate) async fn observation_when(
        &mut self,
        is: impl Fn(&Observation) -> bool,
    ) -> Observation {
        let waiting = self.observed.wait_for(|all| is(&all[0]));
        // Virtual time: this is reached when nothing at all goes on any more.
        let patience = Duration::from_secs(3600);
        let all = tokio::time::timeout(patience, waiting)
            .await
            .expect("in time")
            .unwrap();
        all[0].clone()
    }

    pub(crate) fn has_news(&mut self) -> bool {
        let news = self.observed.has_changed().unwrap();
        self.observed.mark_unchanged();
        news
    }
}

impl Asked {
    pub(crate) fn is_watch(&self) -> bool {
        self.target.contains("watch=true")
    }

    pub(crate) fn seconds(&self) -> u64 {
        let (_, seconds) = self.target.split_once("timeoutSeconds=").unwrap();
        seconds.split_once('&').unwrap().0.parse().unwrap()
    }

    pub(crate) fn list(self, version: &str, secrets: &[Value]) {
        self.page(version, None, secrets);
    }

    pub(crate) fn page(self, version: &str, next: Option<&str>, secrets: &[Value]) {
        assert!(!self.is_watch(), "{}", self.target);
        self.reply(
            StatusCode::OK,
            &json!({
                "apiVersion": "v1",
                "kind": "SecretList",
                "metadata": {"resourceVersion": version, "continue": next},
                "items": secrets,
            })
            .to_string(),
        );
    }

    pub(crate) fn watch(self) -> Watch {
        assert!(self.is_watch(), "{}", self.target);
        let (events, body) = Channel::new(64);
        let end = Instant::now() + Duration::from_secs(self.seconds());
        self.answer.send_response(Response::new(body));
        Watch { events, end }
    }

    pub(crate) fn refuse(self, code: u16, details: Value) {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "message": "words of the server", "code": code, "details": details,
        });
        self.reply(StatusCode::from_u16(code).unwrap(), &status.to_string());
    }

    pub(crate) fn reply(self, status: StatusCode, body: &str) {
        let (mut sender, answer) = Channel::new(1);
        let data = Bytes::copy_from_slice(body.as_bytes());
        sender
            .send_data(data)
            .now_or_never()
            .expect("there is room for it")
            .unwrap();
        self.answer
            .send_response(Response::builder().status(status).body(answer).unwrap());
    }

    pub(crate) fn break_off(self) {
        self.answer
            .send_error(io::Error::from(io::ErrorKind::ConnectionRefused));
    }
}

impl Watch {
    pub(crate) async fn tell(&mut self, kind: &str, object: Value) {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        self.events.send_data(Bytes::from(line)).await.unwrap();
    }

    /// Ends when the client asked it to.
    pub(crate) async fn run_out(self) {
        tokio::time::sleep_until(self.end).await;
    }

    pub(crate) fn break_off(self) {
        self.events
            .abort(io::Error::from(io::ErrorKind::ConnectionReset));
    }
}

pub(crate) fn secret(name: &str, version: &str, kind: &str, content: &str) -> Value {
    let key = if kind == DOCKER_CFG {
        ".dockercfg"
    } else {
        ".dockerconfigjson"
    };
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name, "namespace": "ns", "uid": "u", "resourceVersion": version,
            "managedFields": [{"manager": "kubectl"}],
        },
        "type": kind,
        "data": {key: ByteString(content.as_bytes().to_vec())},
    })
}

pub(crate) fn bookmark(version: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"resourceVersion": version}})
}

/// The content of the only item.
pub(crate) fn text(observation: &Observation) -> &str {
    let [item] = observation.items.as_deref().unwrap() else {
        panic!("{observation:?}")
    };
    std::str::from_utf8(&item.content.as_ref().unwrap().bytes).unwrap()
}

/// The error of the only item.
pub(crate) fn failure(observation: &Observation) -> Option<&SourceError> {
    let [item] = observation.items.as_deref()? else {
        panic!("{observation:?}")
    };
    item.content.as_ref().err()
}
