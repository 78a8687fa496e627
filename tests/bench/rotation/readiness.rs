//! When something was Ready and when it was not, as the API server told whoever watched.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use support::cluster::Api;
use tokio::task::JoinHandle;

/// A watch of the condition of one object.
pub(super) struct Readiness {
    changes: Arc<Mutex<Changes>>,
    task: JoinHandle<Result<()>>,
}

#[derive(Default)]
struct Changes {
    ready: bool,
    since: Option<Instant>,
    /// How long each time lasted in which it was not.
    lapses: Vec<f64>,
}

impl Readiness {
    /// Watches an object of a list until this is dropped.
    pub(super) async fn watch(api: &Api, list: &str, name: &str) -> Result<Self> {
        let changes = Arc::<Mutex<Changes>>::default();
        let path = format!("{list}?fieldSelector=metadata.name%3D{name}");
        let task = tokio::spawn(follow(api.clone(), path, changes.clone()));
        Ok(Self { changes, task })
    }

    /// Whether it is Ready now.
    pub(super) fn now(&self) -> Result<bool> {
        if self.task.is_finished() {
            bail!("the watch has ended");
        }
        Ok(locked(&self.changes).ready)
    }

    /// How long each time lasted in which it was not Ready, in seconds.
    pub(super) fn lapses(&self) -> Vec<f64> {
        locked(&self.changes).lapses.clone()
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(api: Api, path: String, changes: Arc<Mutex<Changes>>) -> Result<()> {
    loop {
        let list = api.get(&path).await?;
        locked(&changes).hear(&list["items"][0]);
        let version = list["metadata"]["resourceVersion"].as_str();
        let version = version.context("a list without a version")?;
        let watch = format!("{path}&watch=1&resourceVersion={version}");
        let mut watch = api.watch(&watch).await?;
        // An error is the end of patience: there was nothing to tell.
        while let Ok(Some(event)) = watch.next().await {
            locked(&changes).hear(&event["object"]);
        }
    }
}

impl Changes {
    fn hear(&mut self, object: &Value) {
        let conditions = object["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let ready = conditions.any(|one| one["type"] == "Ready" && one["status"] == "True");
        if ready == self.ready {
            return;
        }
        self.ready = ready;
        let now = Instant::now();
        // Not the time before it was Ready at first.
        if let Some(since) = self.since.replace(now)
            && ready
        {
            self.lapses.push(now.duration_since(since).as_secs_f64());
        }
    }
}

fn locked(changes: &Mutex<Changes>) -> std::sync::MutexGuard<'_, Changes> {
    changes.lock().unwrap_or_else(PoisonError::into_inner)
}
