//! The agent's own view of itself: what `/statusz` shows, what `/readyz` decides on, what the metrics count.

use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use pullkeeper_core::authfile::Finding;
use serde::Serialize;
use tokio::sync::watch;

use crate::admin::metrics::Metrics;
use crate::config::{HelperSettings, TargetSettings};
use crate::gate::{Standing as ItemStanding, Wish};
use crate::rollout::Standing;

/// The one place that knows how everything stands. Every change of it goes to the metrics as well.
#[derive(Debug)]
pub struct Board {
    metrics: Metrics,
    status: Mutex<Status>,
    changes: watch::Sender<()>,
}

/// How everything stands. It names sources, registries and files, and never a byte of a credential.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The agent's version.
    pub version: &'static str,
    /// The Kubernetes node that it runs on, when it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// When the process started.
    pub started: Timestamp,
    /// The configuration in force.
    pub configuration: ConfigurationStatus,
    /// One for each Secret or file.
    pub sources: Vec<SourceStatus>,
    /// What the sources have to say together.
    pub findings: Vec<Finding>,
    /// Whether writing is withheld, because a required registry is missing.
    pub withheld: bool,
    /// Whether something new waits for a rollout: `waiting`, `probing`, `refused`, or why not; absent where none is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<&'static str>,
    /// One for each file on the node.
    pub targets: Vec<TargetStatus>,
    /// The credential helper on the host; absent where none is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_helper: Option<HelperStatus>,
}

/// The configuration in force.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigurationStatus {
    /// When it was read.
    pub loaded: Timestamp,
    /// Why a newer one was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// One Secret or file, as seen from the node.
#[derive(Clone, Debug, Serialize)]
pub struct SourceStatus {
    /// The configured name.
    pub source: String,
    /// The namespace whose pods alone get what is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Which object or file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `pending`, `good`, `last-good` or `bad`.
    pub standing: &'static str,
    /// The newest revision seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The revision in use, when that is an older one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub good_revision: Option<String>,
    /// Usable entries in the revision in use.
    pub entries: usize,
    /// What there is to say about the newest revision, worst first.
    pub findings: Vec<Finding>,
}

/// One file on the node.
#[derive(Clone, Debug, Serialize)]
pub struct TargetStatus {
    /// `kubelet`, `containers` or `docker`.
    pub kind: &'static str,
    /// Where it is.
    pub path: String,
    /// How it stands.
    pub state: TargetState,
    /// Which wish of the sources it holds or was last compared with.
    pub generation: u64,
    /// Entries in it that come from the sources.
    pub entries: usize,
    /// When it was last replaced by this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_write: Option<Timestamp>,
    /// What went wrong, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TargetFailure>,
    /// What there is to say about the file.
    pub findings: Vec<Finding>,
}

/// The credential helper on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HelperStatus {
    /// Where it is.
    pub path: String,
    /// How it stands.
    pub state: HelperState,
    /// When it was last installed or updated by this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_write: Option<Timestamp>,
    /// What went wrong, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TargetFailure>,
}

/// How the credential helper on the host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HelperState {
    /// Not looked at yet.
    Pending,
    /// It is the agent's own.
    UpToDate,
    /// The last attempt failed; what was there stays.
    Failed,
}

/// A failure to read or replace a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetFailure {
    /// A stable word.
    pub kind: &'static str,
    /// One line with path, cause and remedy.
    pub message: String,
}

/// How a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetState {
    /// Not looked at yet, or nothing good is known to put there.
    Pending,
    /// It holds what the sources ask for.
    InSync,
    /// It differs, and is not Pullkeeper's to write.
    Observed,
    /// It differs, and writing is withheld or put off.
    Withheld,
    /// The last attempt failed; the last good file stays.
    Failed,
}

/// Why a target was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A source asked for something new.
    Source,
    /// Somebody else had changed the file.
    Drift,
}

impl HelperStatus {
    /// A helper that nobody has looked at yet.
    pub fn pending(settings: &HelperSettings) -> Self {
        Self {
            path: settings.path().display().to_string(),
            state: HelperState::Pending,
            last_write: None,
            error: None,
        }
    }
}

impl TargetStatus {
    /// A target that nobody has looked at yet.
    pub fn pending(settings: &TargetSettings) -> Self {
        Self {
            kind: settings.kind.as_str(),
            path: settings.path.display().to_string(),
            state: TargetState::Pending,
            generation: 0,
            entries: 0,
            last_write: None,
            error: None,
            findings: Vec::new(),
        }
    }
}

impl Cause {
    /// The word used in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Drift => "drift",
        }
    }
}

impl Board {
    /// A board on which nothing stands yet.
    pub fn new(node_name: Option<String>) -> Self {
        let now = Timestamp::now();
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            node_name,
            started: now,
            configuration: ConfigurationStatus {
                loaded: now,
                refused: None,
            },
            sources: Vec::new(),
            findings: Vec::new(),
            withheld: false,
            rollout: None,
            targets: Vec::new(),
            credential_helper: None,
        };
        Self {
            metrics: Metrics::new(status.version),
            status: Mutex::new(status),
            changes: watch::Sender::new(()),
        }
    }

    /// Wakes whoever waits for news about targets.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The metrics behind the board.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How everything stands now.
    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    /// A configuration was taken (`None`) or refused with this explanation.
    pub fn configured(&self, refused: Option<String>) {
        self.metrics.reloaded(refused.is_none());
        let mut status = self.lock();
        if refused.is_none() {
            status.configuration.loaded = Timestamp::now();
        }
        status.configuration.refused = refused;
    }

    /// The sources have something new to say.
    pub fn wished(&self, wish: &Wish) {
        self.metrics.wished(wish);
        let mut status = self.lock();
        status.findings.clone_from(&wish.findings);
        status.withheld = wish.withheld;
        status.sources = wish
            .items
            .iter()
            .map(|item| {
                let good = item.good.as_ref();
                SourceStatus {
                    source: item.source.to_string(),
                    namespace: item.namespace.as_deref().map(str::to_owned),
                    id: item.id.clone(),
                    standing: item.standing.as_str(),
                    revision: item.revision.as_ref().map(ToString::to_string),
                    good_revision: good
                        .filter(|_| item.standing == ItemStanding::LastGood)
                        .and_then(|good| good.revision.as_ref())
                        .map(ToString::to_string),
                    entries: good.map_or(0, |good| good.document.entries().len()),
                    findings: item.findings.clone(),
                }
            })
            .collect();
    }

    /// How what is new stands to a rollout; `None` where none is followed.
    pub(crate) fn paced(&self, standing: Option<&Standing>) {
        let waits = standing.is_some_and(Standing::holds_back);
        self.metrics.held_back(waits);
        self.lock().rollout = standing.map(Standing::as_str);
    }

    /// The targets of a new configuration; those that were there before keep their status.
    pub fn targets(&self, targets: impl Iterator<Item = TargetStatus>) {
        let mut status = self.lock();
        let former = std::mem::take(&mut status.targets);
        status.targets = targets
            .map(|new| {
                former
                    .iter()
                    .find(|old| old.path == new.path)
                    .cloned()
                    .unwrap_or(new)
            })
            .collect();
        self.metrics.targets(&status.targets);
        drop(status);
        self.changes.send_replace(());
    }

    /// A target was looked at.
    pub fn target(&self, target: TargetStatus) {
        if let Some(failure) = &target.error {
            self.metrics.failed(&target, failure.kind);
        }
        let mut status = self.lock();
        match status
            .targets
            .iter_mut()
            .find(|known| known.path == target.path)
        {
            Some(known) => *known = target,
            None => status.targets.push(target),
        }
        self.metrics.targets(&status.targets);
        drop(status);
        self.changes.send_replace(());
    }

    /// A target was replaced; `propagation` is the time since the sources' newest revision was seen.
    pub fn written(&self, target: &TargetStatus, cause: Cause, propagation: Option<Duration>) {
        self.metrics.written(target, cause, propagation);
    }

    /// How the credential helper on the host stands; `None` where none is installed.
    pub(crate) fn helper(&self, helper: Option<HelperStatus>) {
        self.metrics.helper(helper.as_ref());
        self.lock().credential_helper = helper;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Status> {
        // A panic while it was held leaves plain data behind, which is better shown than lost.
        self.status
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
