//! The agent's part: it tells how kubelet stands, and changes it under a permit of the coordinator, and never without.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use pullkeeper_core::placement::plan::Plan;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

use super::Node;
use super::error::ChangeError;
use super::identity::{Known, Registered};
use super::record::Record;
use super::survey::Stopped;
use crate::cluster::Cluster;
use crate::config::{Management, Settings};
use crate::event::Events;
use crate::exit::chain;
use crate::resource::{KubeletProviderStatus, NodePermit, ProviderWord};
use crate::rollout::{Passed, Standing, clipped};
use crate::service::Systemd;

/// For so long what the API server said of the node counts.
const FRESH: Duration = Duration::from_hours(1);

/// How kubelet's provider stands, and what came of the last permit about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Provided {
    pub(crate) status: KubeletProviderStatus,
    pub(crate) done: Option<Answer>,
    /// When kubelet was restarted last for it.
    pub(crate) restarted: Option<Time>,
}

/// What came of a permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) serial: u64,
    pub(crate) outcome: Result<(), String>,
}

/// Keeps one node's kubelet as it is wanted.
#[derive(Debug)]
pub(crate) struct Keeper {
    settings: Settings,
    registered: Registered,
    wanted: String,
    events: Events,
    /// What the API server said of the node, and when: it is asked again after [`FRESH`].
    known: Option<(Instant, Known)>,
}

/// What there is to do.
enum Work {
    Install(Box<Plan>),
    Remove,
}

impl Keeper {
    /// One for these settings, if they ask for anything.
    pub(crate) fn of(
        settings: &Settings,
        node_name: &str,
        cluster: &Cluster,
        events: &Events,
    ) -> Option<Self> {
        let wanted = match settings.kubelet_provider.management {
            Management::Unmanaged => return None,
            Management::Managed => digest(&Node::new(settings)),
            Management::Removed => "removed".to_owned(),
        };
        Some(Self {
            settings: settings.clone(),
            registered: Registered {
                cluster: cluster.clone(),
                name: node_name.to_owned(),
            },
            wanted,
            events: events.clone(),
            known: None,
        })
    }

    /// Tells, and acts, until cancelled. Cancelled half-way, the record says how to go on, and systemd how to go back.
    pub(crate) async fn keep(
        mut self,
        mut passed: watch::Receiver<Passed>,
        told: watch::Sender<Option<Provided>>,
    ) {
        let mut done: Option<Answer> = None;
        loop {
            self.ask().await;
            let (provided, work) = self.survey(done.take()).await;
            done.clone_from(&provided.done);
            let current = passed.borrow_and_update().clone();
            let asked = owed(&current, done.as_ref());
            told.send_if_modified(|former| {
                let changed = former.as_ref() != Some(&provided);
                *former = Some(provided.clone());
                changed
            });
            if let Some(permit) = asked {
                let outcome = match work {
                    Some(work) if permit.kubelet_provider.as_ref() == Some(&self.wanted) => {
                        self.act(permit.serial, work).await
                    }
                    // It has it, or cannot have it, or wants something else by now: the status says which.
                    _ => Ok(()),
                };
                done = Some(Answer {
                    serial: permit.serial,
                    outcome,
                });
                continue;
            }
            tokio::select! {
                changed = passed.changed() => if changed.is_err() { return },
                () = sleep(self.settings.resync_interval) => {}
            }
        }
    }

    /// Version and owner change seldom, and there are many nodes.
    async fn ask(&mut self) {
        let fresh = self
            .known
            .as_ref()
            .is_some_and(|(since, _)| since.elapsed() < FRESH);
        if !fresh {
            // Why there is no answer is told by whoever asks next.
            let answer = self.registered.ask().await.ok();
            self.known = answer.map(|known| (Instant::now(), known));
        }
    }

    fn node(&self) -> Node<'_> {
        let mut node = Node::new(&self.settings);
        node.registered = Some(self.registered.clone());
        node.known = self.known.as_ref().map(|(_, known)| known.clone());
        node
    }

    async fn act(&self, serial: u64, work: Work) -> Result<(), String> {
        let mut node = self.node();
        node.permit = Some(serial);
        let systemd = Systemd::connect(None)
            .await
            .map_err(|error| chain(&error))?;
        let outcome = match work {
            Work::Install(plan) => node.install(&systemd, &plan).await,
            Work::Remove => node.remove(&systemd).await,
        };
        match outcome {
            Ok(_) => {
                self.events.tell(
                    "KubeletProviderChanged",
                    "kubelet was restarted once, and is back".to_owned(),
                );
                Ok(())
            }
            Err(error) => {
                let why = chain(&error);
                tracing::error!(why, "cannot change kubelet's provider");
                self.events.warn("KubeletProviderFailed", why.clone());
                Err(why)
            }
        }
    }

    /// How it stands, and what would have to be done.
    async fn survey(&self, done: Option<Answer>) -> (Provided, Option<Work>) {
        let node = self.node();
        let surveyed = self.look(&node).await;
        let record = Record::load(&node.root, node.directory()).unwrap_or_default();
        let failed = record.failure.as_ref().map(|failure| failure.why.clone());
        let mut status = KubeletProviderStatus {
            wanted: self.wanted.clone(),
            state: ProviderWord::InEffect,
            message: String::new(),
            profile: None,
            config_hash: None,
            restarts: record.restarts,
        };
        let work = match surveyed {
            Ok((plan, in_effect)) => {
                if let Some(plan) = &plan {
                    status.profile = Some(plan.profile.as_str().to_owned());
                    status.config_hash = in_effect.then(|| plan.loaded.hash.clone());
                }
                if in_effect {
                    None
                } else {
                    let (state, message) = match failed {
                        Some(why) => (ProviderWord::Failed, why),
                        None => (
                            ProviderWord::Waiting,
                            "kubelet waits for a permit to be restarted".to_owned(),
                        ),
                    };
                    status.state = state;
                    status.message = message;
                    Some(plan.map_or(Work::Remove, |plan| Work::Install(Box::new(plan))))
                }
            }
            Err(error) => {
                status.state = ProviderWord::Impossible;
                status.message = chain(&error);
                None
            }
        };
        status.message = clipped(status.message);
        // What an earlier process did for a permit is told of it.
        let failure = record.failure.as_ref();
        let earlier = failure.and_then(|failure| {
            Some(Answer {
                serial: failure.permit?,
                outcome: Err(failure.why.clone()),
            })
        });
        let provided = Provided {
            status,
            done: done.or(earlier),
            restarted: record.last_restart,
        };
        (provided, work)
    }

    /// The plan, where there is to be one, and whether all is as it is to be.
    async fn look(&self, node: &Node<'_>) -> Result<(Option<Plan>, bool), Stopped> {
        let systemd = Systemd::connect(None).await.map_err(ChangeError::from)?;
        if let Err(error) = node.end_former(&systemd).await {
            // It is told by the record.
            tracing::warn!(error = chain(&error), "kubelet has its former flags");
        }
        let record = Record::load(&node.root, node.directory()).map_err(ChangeError::from)?;
        match self.settings.kubelet_provider.management {
            Management::Managed => {
                let (_, plan) = node.plan(&systemd).await?;
                let in_effect = node.has(&record, &plan).map_err(ChangeError::from)?;
                Ok((Some(plan), in_effect))
            }
            Management::Removed | Management::Unmanaged => Ok((None, record.installed.is_none())),
        }
    }
}

/// The permit about kubelet's provider that nothing has come of yet.
fn owed(passed: &Passed, done: Option<&Answer>) -> Option<NodePermit> {
    let Standing::Taken(permit) = &passed.standing else {
        return None;
    };
    let open = permit.kubelet_provider.is_some()
        && permit.serial > passed.answered
        && done.is_none_or(|done| done.serial != permit.serial);
    open.then(|| permit.clone())
}

/// The same word for the same wish. What differs from node to node is no part of it.
fn digest(node: &Node<'_>) -> String {
    let mut digest = Sha256::new();
    for part in [
        node.wish.directory.as_bytes(),
        node.wish.helper.as_bytes(),
        &node.wish.config,
    ] {
        digest.update(part);
        digest.update([0]);
    }
    let digest = digest.finalize();
    let hex: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("managed-{hex}")
}
