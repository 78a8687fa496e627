//! An engine, and an API server that has pods and budgets, in virtual time.

use std::collections::VecDeque;
use std::io;

use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use hyper::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower_test::mock::{self, SendResponse};

use super::super::*;
use crate::cluster::Cluster;
use crate::list_watch::{Told, Trouble};
use crate::resync::Resync;

type Answer = Channel<Bytes, io::Error>;

/// What the API server has, and what it was asked.
#[derive(Default)]
pub(super) struct World {
    version: u64,
    pods: BTreeMap<String, Value>,
    budgets: BTreeMap<String, Value>,
    watches: Vec<(bool, Sender<Bytes, io::Error>)>,
    /// Answers to evictions; without one they are accepted.
    pub(super) answers: VecDeque<(u16, Value)>,
    /// Names of pods that were evicted, with the bodies.
    pub(super) evictions: Vec<(String, Value)>,
    /// The same for those without effect.
    pub(super) dry_runs: Vec<String>,
    /// Whether budgets may not be looked at.
    pub(super) hides_budgets: bool,
    /// How often pods were listed.
    pub(super) lists: usize,
}

pub(super) struct Scene {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) engine: Arc<Engine>,
    pub(super) view: Arc<View>,
    pub(super) desk: Arc<Desk>,
    pub(super) term: watch::Sender<Term>,
    pub(super) options: Options,
}

/// The node `n1`, with this as the serial number of its mark.
fn node(mark: Option<u64>) -> NodeObject {
    let labels = mark.map(|serial| json!({"mark": serial.to_string()}));
    let metadata = json!({"name": "n1", "uid": "uid-n1", "labels": labels.unwrap_or(json!({}))});
    serde_json::from_value(json!({"metadata": metadata})).unwrap()
}

fn is_cordoned(node: &NodeObject, _uid: &str, serial: u64) -> bool {
    node.has_labels(&[("mark".to_owned(), serial.to_string())].into())
}

impl Scene {
    /// A node that is cordoned with the serial number 7, and has these pods.
    pub(super) fn of(pods: &[&str]) -> Self {
        let (service, mut server) = mock::pair::<Request<Body>, Response<Answer>>();
        let world = Arc::new(Mutex::new(World::default()));
        for name in pods {
            lock(&world).put_pod(name, json!({}));
        }
        let serving = Arc::clone(&world);
        tokio::spawn(async move {
            while let Some((request, answer)) = server.next_request().await {
                serve(&serving, request, answer).await;
            }
        });
        let view = Arc::new(View::default());
        view.hear_of_nodes(Told::Listed(vec![node(Some(7))]));
        let (term, terms) = watch::channel(Some(Instant::now() + Duration::from_secs(100_000)));
        let desk = Arc::new(Desk::new("test".to_owned()));
        let engine = Engine::new(
            Terms {
                cluster: Cluster::of_client(Client::new(service, "default")),
                watch_timeout: Duration::from_secs(300),
                request_timeout: Duration::from_secs(10),
                resync: Resync::default(),
                cancel: CancellationToken::new(),
            },
            Arc::clone(&view),
            terms,
            Arc::clone(&desk),
            is_cordoned,
        );
        let engine = Arc::new(engine);
        let running = Arc::clone(&engine);
        tokio::spawn(async move { running.run().await });
        let settle = Duration::from_secs(10);
        let pods = drain::Options::default();
        let options = Options { pods, settle };
        Self {
            world,
            engine,
            view,
            desk,
            term,
            options,
        }
    }

    /// The node's mark is another one now.
    pub(super) fn mark(&self, mark: Option<u64>) {
        self.view.hear_of_nodes(Told::Applied(node(mark)));
    }

    pub(super) fn trouble(&self) {
        let trouble = Trouble::Unreachable("x".to_owned());
        self.view.hear_of_nodes(Told::Trouble(trouble));
    }

    /// Says for so many seconds what is wanted.
    pub(super) async fn want(&self, what: What, seconds: u64) {
        for _ in 0..seconds {
            let task = Task {
                uid: "uid-n1".to_owned(),
                serial: 7,
                what,
            };
            let wanted = [("n1".to_owned(), task)].into();
            self.engine.heed(wanted, self.options.clone());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    pub(super) fn seen(&self) -> Option<DrainSeen> {
        self.engine.views().remove("n1")
    }

    /// Names of pods that were evicted so far.
    pub(super) fn evicted(&self) -> Vec<String> {
        let world = lock(&self.world);
        world.evictions.iter().map(|one| one.0.clone()).collect()
    }
}

impl World {
    pub(super) fn put_pod(&mut self, name: &str, more: Value) {
        self.version += 1;
        let app = name.split('-').next().unwrap();
        let mut pod = json!({
            "metadata": {
                "namespace": "web", "name": name, "uid": format!("uid-{name}"),
                "resourceVersion": self.version.to_string(), "labels": {"app": app},
                "ownerReferences": [{"kind": "ReplicaSet", "controller": true}],
            },
            "spec": {"nodeName": "n1"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        for (key, value) in more.as_object().unwrap() {
            pod["metadata"][key] = value.clone();
        }
        self.pods.insert(name.to_owned(), pod.clone());
        self.tell(false, "MODIFIED", pod);
    }

    /// The pod has ended.
    pub(super) fn end(&mut self, name: &str) {
        self.version += 1;
        let mut pod = self.pods.remove(name).unwrap();
        pod["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.tell(false, "DELETED", pod);
    }

    /// A budget for the pods of an app.
    pub(super) fn put_budget(&mut self, app: &str, allowed: i64) {
        self.version += 1;
        let budget = json!({
            "metadata": {
                "namespace": "web", "name": app, "uid": format!("uid-{app}"), "generation": 1,
                "resourceVersion": self.version.to_string(),
            },
            "spec": {"selector": {"matchLabels": {"app": app}}},
            "status": {
                "observedGeneration": 1, "disruptionsAllowed": allowed,
                "currentHealthy": 2 + allowed, "desiredHealthy": 2,
            },
        });
        self.budgets.insert(app.to_owned(), budget.clone());
        self.tell(true, "MODIFIED", budget);
    }

    /// Cuts all watches off.
    pub(super) fn cut(&mut self) {
        self.watches.clear();
    }

    fn tell(&mut self, of_budgets: bool, kind: &str, object: Value) {
        let line = Bytes::from(format!("{}\n", json!({"type": kind, "object": object})));
        self.watches.retain_mut(|(budgets, sender)| {
            let mut sent = || sender.send_data(line.clone()).now_or_never();
            *budgets != of_budgets || sent().is_some_and(|sent| sent.is_ok())
        });
    }
}

async fn serve(
    world: &Mutex<World>,
    request: Request<Body>,
    answer: SendResponse<Response<Answer>>,
) {
    let target = request.uri().to_string();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut world = lock(world);
    let of_budgets = target.contains("poddisruptionbudgets");
    if target.contains("watch=true") {
        let (sender, body) = Channel::new(64);
        world.watches.push((of_budgets, sender));
        answer.send_response(Response::new(body));
        return;
    }
    let (code, text) = if of_budgets && world.hides_budgets {
        (
            403,
            json!({"code": 403, "message": "poddisruptionbudgets is forbidden"}),
        )
    } else if let Some((path, query)) = target.split_once("/eviction?") {
        let name = path.rsplit('/').next().unwrap();
        evict(&mut world, name, query, &body)
    } else {
        let items: Vec<_> = if of_budgets {
            world.budgets.values().cloned().collect()
        } else {
            assert!(target.contains("fieldSelector=spec.nodeName%3Dn1"));
            world.lists += 1;
            world.pods.values().cloned().collect()
        };
        let version = world.version.to_string();
        (
            200,
            json!({"metadata": {"resourceVersion": version}, "items": items}),
        )
    };
    let (mut sender, body) = Channel::new(1);
    let data = Bytes::from(text.to_string());
    sender.send_data(data).now_or_never().unwrap().unwrap();
    let status = StatusCode::from_u16(code).unwrap();
    answer.send_response(Response::builder().status(status).body(body).unwrap());
}

fn evict(world: &mut World, name: &str, query: &str, body: &[u8]) -> (u16, Value) {
    let dry_run = query.contains("dryRun=All");
    if dry_run {
        world.dry_runs.push(name.to_owned());
    } else {
        let body = serde_json::from_slice(body).unwrap();
        world.evictions.push((name.to_owned(), body));
    }
    if let Some((code, mut status)) = world.answers.pop_front() {
        status["code"] = code.into();
        return (code, status);
    }
    if !dry_run {
        world.put_pod(name, json!({"deletionTimestamp": "2999-01-01T00:00:00Z"}));
    }
    (201, json!({"kind": "Status", "status": "Success"}))
}
