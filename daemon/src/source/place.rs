//! For tests: real files in real time, and a source that follows them.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Context, Observation, SourceError, file, join::Slot};
use crate::{cluster::Cluster, config::KubernetesSettings, list_watch::Terms, resync::Resync};

/// What must happen soon, happens within this time even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory to play in.
pub(super) struct Place {
    directory: TempDir,
}

/// A source under observation.
pub(super) struct Source {
    pub(super) observed: watch::Receiver<Vec<Observation>>,
    pub(super) context: Context,
    /// Everything that was observed, in order.
    history: watch::Receiver<Vec<Observation>>,
}

impl Place {
    pub(super) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// As a shell's `>` does it: truncate and fill.
    pub(super) fn write(&self, name: impl AsRef<Path>, text: &str) {
        File::create(self.path(name))
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    /// As careful programs do it: write beside and rename.
    pub(super) fn replace(&self, name: &str, text: &str) {
        let beside = format!(".{name}.tmp");
        self.write(&beside, text);
        self.rename(&beside, name);
    }

    #[expect(clippy::disallowed_methods, reason = "plays the part of somebody else")]
    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn follow(
        &self,
        follow: impl FnOnce(Slot, Context) -> BoxFuture<'static, ()>,
    ) -> Source {
        let context = context();
        let (all, observed) = watch::channel(vec![Observation::none_yet("global", None)]);
        context.tasks.spawn(follow(Slot::of(all), context.clone()));

        let (record, history) = watch::channel(Vec::new());
        let mut all = observed.clone();
        tokio::spawn(async move {
            while all.changed().await.is_ok() {
                let now = all.borrow_and_update()[0].clone();
                record.send_modify(|history| history.push(now));
            }
        });
        Source {
            observed,
            context,
            history,
        }
    }

    pub(super) fn follow_file(&self, name: &str) -> Source {
        let path = self.path(name);
        self.follow(|slot, context| Box::pin(file::follow(slot, path, None, context)))
    }
}

impl Source {
    pub(super) async fn when(&mut self, is: impl Fn(&Observation) -> bool) -> Observation {
        let waiting = timeout(PATIENCE, self.observed.wait_for(|all| is(&all[0]))).await;
        let found = waiting.map(|all| all.unwrap()[0].clone());
        found.unwrap_or_else(|_| panic!("still {:?}", self.observed.borrow()[0]))
    }

    pub(super) async fn content(&mut self, text: &str) -> Observation {
        self.when(|o| content(o).is_some_and(|now| now == Ok(text)))
            .await
    }

    pub(super) async fn failure(&mut self, reason: &str) -> SourceError {
        let o = self
            .when(|o| content(o).is_some_and(|now| now == Err(reason)))
            .await;
        o.items.unwrap().remove(0).content.unwrap_err()
    }

    /// All contents and failures so far.
    pub(super) fn story(&self) -> Vec<String> {
        let tell = |o: &Observation| match content(o) {
            Some(Ok(text)) => text.to_owned(),
            Some(Err(reason)) => reason.to_owned(),
            None => "-".to_owned(),
        };
        self.history.borrow().iter().map(tell).collect()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.context.terms.cancel.cancel();
    }
}

/// Text or reason of the only item.
fn content(observation: &Observation) -> Option<Result<&str, &'static str>> {
    let item = observation.items.as_ref()?.first()?;
    Some(match &item.content {
        Ok(payload) => Ok(std::str::from_utf8(&payload.bytes).unwrap()),
        Err(error) => Err(error.reason().as_str()),
    })
}

fn context() -> Context {
    let kubernetes = KubernetesSettings {
        kubeconfig: None,
        events: false,
        rollouts: false,
        watch_timeout: Duration::from_secs(45),
        request_timeout: Duration::from_secs(10),
    };
    Context {
        terms: Terms::of(
            &kubernetes,
            &Cluster::new(&kubernetes),
            &Resync::default(),
            &CancellationToken::new(),
        ),
        // Never within a test: what arrives was noticed.
        resync_interval: Duration::from_secs(3600),
        tasks: TaskTracker::new(),
    }
}
