//! Kubernetes Events on the object that a process works for.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use prometheus_client::metrics::counter::Counter;

use crate::cluster::Cluster;

/// The way to the task that delivers Events. Without an object or an API server it leads nowhere.
#[derive(Clone, Debug)]
pub struct Events {
    queue: Option<mpsc::Sender<Event>>,
    action: &'static str,
    dropped: Counter,
}

/// Who writes Events, and about what.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The object.
    pub object: ObjectReference,
    /// The program, as `kubectl describe` shows it.
    pub controller: &'static str,
    /// The node or pod that it runs as.
    pub instance: String,
    /// What it does, in one word.
    pub action: &'static str,
}

/// More than a broken document with many bad entries fills.
const QUEUE: usize = 64;
/// The API server's limit for a note.
const LONGEST_NOTE: usize = 1024;
/// Attempts before an Event is given up; what it says is in the log and in `/statusz` anyway.
const ATTEMPTS: u32 = 4;

impl Events {
    /// Events that go nowhere.
    pub fn off() -> Self {
        Self {
            queue: None,
            action: "",
            dropped: Counter::default(),
        }
    }

    /// Events that a test hears.
    #[cfg(test)]
    pub(crate) fn heard() -> (Self, mpsc::Receiver<Event>) {
        let (queue, heard) = mpsc::channel(QUEUE);
        let events = Self {
            queue: Some(queue),
            ..Self::off()
        };
        (events, heard)
    }

    /// Events on an object, and the task that delivers them. What cannot be delivered is counted.
    pub fn on(
        subject: Subject,
        cluster: Cluster,
        request_timeout: Duration,
        dropped: Counter,
    ) -> (Self, impl Future<Output = ()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let action = subject.action;
        let deliver = deliver(waiting, subject, cluster, request_timeout, dropped.clone());
        let events = Self {
            queue: Some(queue),
            action,
            dropped,
        };
        (events, deliver)
    }

    /// Queues a Warning. The note must hold no secret.
    pub fn warn(&self, reason: &str, note: String) {
        self.send(EventType::Warning, reason, None, note);
    }

    /// Queues a Warning about one of many nodes. The note must hold no secret.
    pub(crate) fn warn_of(&self, node: &str, reason: &str, note: &str) {
        let note = format!("{node}: {note}");
        self.send(EventType::Warning, reason, Some(node), note);
    }

    /// Queues what is no trouble. The note must hold no secret.
    pub fn tell(&self, reason: &str, note: String) {
        self.send(EventType::Normal, reason, None, note);
    }

    /// The same about one of many nodes.
    pub(crate) fn tell_of(&self, node: &str, reason: &str, note: &str) {
        let note = format!("{node}: {note}");
        self.send(EventType::Normal, reason, Some(node), note);
    }

    fn send(&self, type_: EventType, reason: &str, node: Option<&str>, note: String) {
        let Some(queue) = &self.queue else { return };
        let end = note.floor_char_boundary(LONGEST_NOTE);
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note[..end].to_owned()),
            action: self.action.to_owned(),
            // Without it Events about two nodes would be one, with the note of the first.
            secondary: node.map(node_reference),
        };
        if queue.try_send(event).is_err() {
            self.dropped.inc();
        }
    }
}

impl Subject {
    /// An agent and its Node.
    pub fn node(name: &str) -> Self {
        Self {
            object: node_reference(name),
            controller: "pullkeeper-agent",
            instance: name.to_owned(),
            action: "SyncPullSecret",
        }
    }
}

fn node_reference(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(name.to_owned()),
        // kubelet and `kubectl describe node` take the name for the UID as well.
        uid: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

async fn deliver(
    mut waiting: mpsc::Receiver<Event>,
    subject: Subject,
    cluster: Cluster,
    request_timeout: Duration,
    dropped: Counter,
) {
    let reporter = Reporter {
        controller: subject.controller.to_owned(),
        instance: Some(subject.instance),
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
                let published = recorder.publish(&event, &subject.object);
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
            dropped.inc();
        }
    }
}
