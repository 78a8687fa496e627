//! Which of several coordinators works: a Lease, held by whoever wrote it last in time.
//!
//! This is for peace and quiet only. Nothing that a coordinator does is safe *because* it leads: two that lead at once compete
//! on the ledger, and one of them loses every write.
//!
//! What is done about it is decided by [`pullkeeper_core::election`]; here are the requests.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use pullkeeper_core::election::{self, Answer, Candidate, Step};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use crate::cluster::{Cluster, describe};
use crate::config::CoordinatorSettings;

/// Until when this process leads; `None` while it does not.
pub(super) type Term = Option<Instant>;

/// Whether it is one, and not over.
pub(super) fn lasts(term: Term) -> bool {
    term.is_some_and(|end| Instant::now() < end)
}

/// The Lease, as far as the decision needs it.
fn read(lease: &Lease) -> election::Lease {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    election::Lease {
        version: lease.metadata.resource_version.clone(),
        holder: spec
            .and_then(|spec| spec.holder_identity.clone())
            .unwrap_or_default(),
        duration: Duration::from_secs(seconds.unwrap_or(0)),
    }
}

/// The candidate's Lease, in the place of the one that was read. Times in it are for people.
fn taken(candidate: &Candidate, former: Option<Lease>, wall: Timestamp) -> Lease {
    let Lease { metadata, spec } = former.unwrap_or_default();
    let former = spec.unwrap_or_default();
    let mine = former.holder_identity.as_deref() == Some(candidate.identity());
    let transitions = former.lease_transitions.unwrap_or(0);
    let spec = LeaseSpec {
        acquire_time: if mine {
            former.acquire_time.clone()
        } else {
            Some(MicroTime(wall))
        },
        holder_identity: Some(candidate.identity().to_owned()),
        lease_duration_seconds: i32::try_from(candidate.duration().as_secs()).ok(),
        lease_transitions: Some(transitions.saturating_add(i32::from(!mine))),
        renew_time: Some(MicroTime(wall)),
        ..former
    };
    Lease {
        metadata,
        spec: Some(spec),
    }
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
        let start = Instant::now();
        let mut candidate = Candidate::new(self.identity.clone(), self.settings.lease_duration);
        let mut complained = false;
        loop {
            let asked = start.elapsed();
            let looked = timeout(candidate.patience(), self.attempt(&mut candidate, asked)).await;
            let answer = match &looked {
                Ok(Ok(answer)) => *answer,
                Ok(Err(_)) | Err(_) => Answer::Unknown,
            };
            candidate.hears(asked, answer);
            let term = candidate.term().map(|end| start + end);
            terms.send_if_modified(|current| {
                let changed = lasts(*current) != lasts(term);
                *current = term;
                changed
            });
            match looked {
                Ok(Ok(_)) => {
                    complained = false;
                    self.desk.election(None);
                }
                failed => {
                    let error = match failed {
                        Ok(Err(error)) => error,
                        _ => "the API server does not answer in time".to_owned(),
                    };
                    self.desk
                        .election(Some(format!("cannot look at the Lease: {error}")));
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
            let again = tokio::time::sleep_until(start + candidate.again(asked));
            tokio::select! {
                () = cancel.cancelled() => break,
                () = again => {}
            }
        }
        let led = terms.send_replace(None).is_some();
        if led {
            let _given_back_or_run_out = timeout(candidate.patience(), self.release()).await;
        }
    }

    /// One look, and what it asks for.
    async fn attempt(&self, candidate: &mut Candidate, now: Duration) -> Result<Answer, String> {
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
        let step = candidate.step(lease.as_ref().map(read).as_ref(), now);
        let mut taken = taken(candidate, lease, Timestamp::now());
        let written = match step {
            Step::Wait => return Ok(Answer::Lost),
            Step::Create => {
                taken.metadata.name = Some(name.clone());
                leases.create(&params, &taken).await
            }
            Step::Replace => leases.replace(name, &params, &taken).await,
        };
        match written {
            Ok(_) => Ok(Answer::Won),
            // Something was faster: the next look says whose.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Answer::Unknown),
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
