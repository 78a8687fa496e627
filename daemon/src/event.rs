//! Kubernetes Events on this node's Node object.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use crate::cluster::Cluster;
use crate::status::Board;

/// The way to the task that delivers Events. Without a Node or an API server it leads nowhere.
#[derive(Clone, Debug)]
pub struct Events {
    queue: Option<mpsc::Sender<Event>>,
    board: Arc<Board>,
}

/// More than a broken document with many bad entries fills.
const QUEUE: usize = 64;
/// The API server's limit for a note.
const LONGEST_NOTE: usize = 1024;
/// Attempts before an Event is given up; what it says is in the log and in `/statusz` anyway.
const ATTEMPTS: u32 = 4;

impl Events {
    /// Events that go nowhere.
    pub fn off(board: Arc<Board>) -> Self {
        Self { queue: None, board }
    }

    /// Events on a Node, and the task that delivers them.
    pub fn on(
        node_name: String,
        cluster: Cluster,
        request_timeout: Duration,
        board: Arc<Board>,
    ) -> (Self, impl Future<Output = ()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let deliver = deliver(
            waiting,
            node_name,
            cluster,
            request_timeout,
            Arc::clone(&board),
        );
        (
            Self {
                queue: Some(queue),
                board,
            },
            deliver,
        )
    }

    /// Queues a Warning. The note must hold no secret.
    pub fn warn(&self, reason: &str, note: String) {
        let Some(queue) = &self.queue else { return };
        let end = note.floor_char_boundary(LONGEST_NOTE);
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(note[..end].to_owned()),
            action: "SyncPullSecret".to_owned(),
            secondary: None,
        };
        if queue.try_send(event).is_err() {
            self.board.metrics().event_dropped();
        }
    }
}

async fn deliver(
    mut waiting: mpsc::Receiver<Event>,
    node_name: String,
    cluster: Cluster,
    request_timeout: Duration,
    board: Arc<Board>,
) {
    let reporter = Reporter {
        controller: "pullkeeper-agent".to_owned(),
        instance: Some(node_name.clone()),
    };
    // kubelet and `kubectl describe node` take the name for the UID as well.
    let node = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(node_name.clone()),
        uid: Some(node_name),
        ..ObjectReference::default()
    };
    // Kept across Events: it counts repetitions instead of sending them one by one.
    let mut recorder: Option<Recorder> = None;
    while let Some(event) = waiting.recv().await {
        let mut pause = Duration::from_secs(1);
        let mut delivered = false;
        for _ in 0..ATTEMPTS {
            if recorder.is_none() {
                let connection = cluster.connection().await.ok();
                recorder = connection.map(|c| Recorder::new(c.client, reporter.clone()));
            }
            if let Some(recorder) = &recorder {
                let published = recorder.publish(&event, &node);
                match tokio::time::timeout(request_timeout, published).await {
                    Ok(Ok(())) => {
                        delivered = true;
                        break;
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "an Event was not taken"),
                    Err(_) => tracing::debug!("the API server did not answer to an Event"),
                }
            }
            recorder = None;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        if !delivered {
            board.metrics().event_dropped();
        }
    }
}
