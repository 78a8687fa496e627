//! Which of several coordinators works: a Lease, held by whoever wrote it last in time.
//!
//! This is for peace and quiet only. Nothing that a coordinator does is safe *because* it leads: two that lead at once compete
//! on the ledger, and one of them loses every write.
//!
//! No clock of another machine counts. A holder is gone when its Lease has not changed for as long as it is to last, counted
//! here, on a clock that nobody sets, from when the last change was *seen*. A leader stops a third of that time before
//! others may begin, counted from when it *asked* for its last renewal.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use crate::cluster::{Cluster, describe};
use crate::config::CoordinatorSettings;

/// Until when this process leads; `None` while it does not.
pub(super) type Term = Option<Instant>;

/// One that wants to lead.
#[derive(Debug)]
pub(super) struct Candidate {
    identity: String,
    duration: Duration,
    seen: Option<Seen>,
}

/// The Lease as it was when it last changed.
#[derive(Debug)]
struct Seen {
    version: Option<String>,
    since: Instant,
}

/// What a candidate does about a Lease.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Makes it.
    Create(Lease),
    /// Replaces the one that was read, and no other.
    Replace(Lease),
    /// Nothing yet.
    Wait,
}

impl Candidate {
    fn new(identity: String, duration: Duration) -> Self {
        Self {
            identity,
            duration,
            seen: None,
        }
    }

    /// A term that was asked for then ends so long before others may begin.
    fn term(&self, asked: Instant) -> Instant {
        asked + self.duration * 2 / 3
    }

    /// Between two looks.
    fn pause(&self) -> Duration {
        self.duration / 6
    }

    /// One answer that is slow must not cost the term.
    fn patience(&self) -> Duration {
        (self.duration / 7).min(Duration::from_secs(8))
    }

    /// Decides what to do about the Lease as it is now.
    fn step(&mut self, lease: Option<&Lease>, now: Instant, wall: Timestamp) -> Step {
        let Some(lease) = lease else {
            let metadata = ObjectMeta::default();
            let spec = self.spec(None, wall);
            return Step::Create(Lease {
                metadata,
                spec: Some(spec),
            });
        };
        let version = lease.metadata.resource_version.clone();
        let seen = match self.seen.take() {
            Some(seen) if seen.version == version => seen,
            _ => Seen {
                version,
                since: now,
            },
        };
        let former = lease.spec.clone().unwrap_or_default();
        let holder = former.holder_identity.as_deref().unwrap_or_default();
        // Its own word counts where that is longer: it may be configured otherwise.
        let promised = former.lease_duration_seconds.unwrap_or(0);
        let promised = Duration::from_secs(u64::try_from(promised).unwrap_or(0));
        let over = now.duration_since(seen.since) >= self.duration.max(promised);
        let free = holder.is_empty() || holder == self.identity || over;
        self.seen = Some(seen);
        if !free {
            return Step::Wait;
        }
        Step::Replace(Lease {
            metadata: lease.metadata.clone(),
            spec: Some(self.spec(Some(former), wall)),
        })
    }

    fn spec(&self, former: Option<LeaseSpec>, wall: Timestamp) -> LeaseSpec {
        let former = former.unwrap_or_default();
        let mine = former.holder_identity.as_deref() == Some(&self.identity);
        let transitions = former.lease_transitions.unwrap_or(0);
        LeaseSpec {
            acquire_time: if mine {
                former.acquire_time.clone()
            } else {
                Some(MicroTime(wall))
            },
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            lease_transitions: Some(transitions + i32::from(!mine)),
            renew_time: Some(MicroTime(wall)),
            ..former
        }
    }
}

/// Whether it is one, and not over.
pub(super) fn lasts(term: Term) -> bool {
    term.is_some_and(|end| Instant::now() < end)
}

/// Where the Lease is, and how it is asked for.
pub(super) struct Election {
    pub(super) cluster: Cluster,
    pub(super) settings: CoordinatorSettings,
    pub(super) identity: String,
    /// Where it is told that it cannot be asked for.
    pub(super) desk: Arc<Desk>,
}

impl Election {
    /// Stands for election until cancelled, whatever happens; then gives the Lease back. Terms are told as they come.
    pub(super) async fn stand(self, terms: &watch::Sender<Term>, cancel: &CancellationToken) {
        let mut candidate = Candidate::new(self.identity.clone(), self.settings.lease_duration);
        let mut complained = false;
        loop {
            let asked = Instant::now();
            match timeout(candidate.patience(), self.attempt(&mut candidate, asked)).await {
                Ok(Ok(won)) => {
                    complained = false;
                    self.desk.election(None);
                    let term = won.then(|| candidate.term(asked));
                    terms.send_if_modified(|current| {
                        let changed = lasts(*current) != lasts(term);
                        *current = term;
                        changed
                    });
                }
                failed => {
                    let error = match failed {
                        Ok(Err(error)) => error,
                        _ => "the API server does not answer in time".to_owned(),
                    };
                    self.desk
                        .election(Some(format!("cannot look at the Lease: {error}")));
                    // A term that was won lasts, whatever one attempt comes to.
                    if complained {
                        tracing::debug!(error, "cannot look at the Lease");
                    } else {
                        let lease = format!(
                            "{}/{}",
                            self.settings.lease_namespace, self.settings.lease_name
                        );
                        tracing::warn!(error, lease, "cannot look at the Lease; trying on");
                        complained = true;
                    }
                }
            }
            let pause = tokio::time::sleep(candidate.pause());
            tokio::select! {
                () = cancel.cancelled() => break,
                () = pause => {}
            }
        }
        let led = terms.send_replace(None).is_some();
        if led {
            let _given_back_or_run_out = timeout(candidate.patience(), self.release()).await;
        }
    }

    /// One look, and what it asks for: whether this process leads.
    async fn attempt(&self, candidate: &mut Candidate, now: Instant) -> Result<bool, String> {
        let connection = self
            .cluster
            .connection()
            .await
            .map_err(|error| crate::exit::chain(&error))?;
        let name = &self.settings.lease_name;
        let leases = self.leases(&connection.client);
        let lease = match leases.get_opt(name).await {
            Ok(lease) => lease,
            Err(error) => {
                self.cluster.renew(&connection).await;
                return Err(describe(&error));
            }
        };
        let params = PostParams::default();
        let written = match candidate.step(lease.as_ref(), now, Timestamp::now()) {
            Step::Wait => return Ok(false),
            Step::Create(mut lease) => {
                lease.metadata.name = Some(name.clone());
                leases.create(&params, &lease).await
            }
            Step::Replace(lease) => leases.replace(name, &params, &lease).await,
        };
        match written {
            Ok(_) => Ok(true),
            // Somebody else was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(describe(&error)),
        }
    }

    /// Lets others begin at once.
    async fn release(&self) -> Option<()> {
        let connection = self.cluster.connection().await.ok()?;
        let leases = self.leases(&connection.client);
        let mut lease = leases.get_opt(&self.settings.lease_name).await.ok()??;
        let spec = lease.spec.as_mut()?;
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return None;
        }
        spec.holder_identity = Some(String::new());
        let name = &self.settings.lease_name;
        let released = leases.replace(name, &PostParams::default(), &lease).await;
        released.ok().map(drop)
    }

    fn leases(&self, client: &kube::Client) -> Api<Lease> {
        Api::namespaced(client.clone(), &self.settings.lease_namespace)
    }
}

#[cfg(test)]
mod tests;
