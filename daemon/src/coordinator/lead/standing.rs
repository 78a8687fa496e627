//! What is written of the rollout itself: its status, with the ledger, and what people are told of it.

use k8s_openapi::jiff::Timestamp;
use pullkeeper_core::rollout::Ledger;

use super::super::desk::is_trouble;
use super::super::intent::Invalid;
use super::super::objects::RolloutObject;
use super::super::publish::{Situation, status};
use super::{Lead, Next, outcome};
use crate::cluster::RequestError;
use crate::resource::{Phase, PullSecretRolloutStatus};

impl Lead {
    pub(super) async fn refuse_spec(
        &self,
        rollout: &RolloutObject,
        former: &PullSecretRolloutStatus,
        error: &Invalid,
    ) -> Result<Next, RequestError> {
        self.refuse(rollout, former, "InvalidSpec", &error.to_string())
            .await
    }

    /// Says why the object cannot be followed, and does nothing else.
    pub(super) async fn refuse(
        &self,
        rollout: &RolloutObject,
        former: &PullSecretRolloutStatus,
        reason: &'static str,
        message: &str,
    ) -> Result<Next, RequestError> {
        self.rest();
        let situation = Situation::Invalid { reason, message };
        let generation = rollout.metadata.generation;
        let published = status(former, situation, generation, Timestamp::now());
        self.publish(rollout, former, published, None, 0).await?;
        Ok(Next::Wait)
    }

    /// Writes the status, if it or the ledger is new; whether it was written.
    pub(super) async fn publish(
        &self,
        rollout: &RolloutObject,
        former: &PullSecretRolloutStatus,
        mut published: PullSecretRolloutStatus,
        ledger: Option<&Ledger>,
        slots: usize,
    ) -> Result<bool, RequestError> {
        self.desk.stands(Some(&published), slots);
        if (ledger.is_none() && published == *former) || !self.leads() {
            return Ok(false);
        }
        published.ledger = None;
        let encode = |error: serde_json::Error| RequestError::Failed(error.to_string());
        let mut body = serde_json::to_value(&published).map_err(encode)?;
        // One that cannot be read stays as it is.
        body["ledger"] = match ledger {
            Some(ledger) => serde_json::to_value(ledger).map_err(encode)?,
            None => rollout.status["ledger"].clone(),
        };
        let written = self.store.put_status(rollout, &body).await;
        self.desk.ledger(outcome(&written));
        match written {
            Ok(object) => {
                self.view.wrote_rollout(object);
                self.tell(former, &published);
                Ok(true)
            }
            // Whoever was faster is told, and everything is looked at again.
            Err(RequestError::Conflict(_) | RequestError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Logs and Events for what is news to people.
    fn tell(&self, former: &PullSecretRolloutStatus, status: &PullSecretRolloutStatus) {
        let PullSecretRolloutStatus {
            phase,
            message,
            generation,
            ..
        } = status;
        if *generation != former.generation {
            tracing::info!(generation, "a new generation is rolled out");
            let secrets = status.revision.secrets().iter();
            let secrets: Vec<_> = secrets
                .map(|secret| format!("{}/{}", secret.namespace, secret.name))
                .collect();
            let note = format!("generation {generation}: {}", secrets.join(", "));
            self.events.tell("RolloutStarted", note);
        }
        if *phase == former.phase {
            return;
        }
        if is_trouble(*phase) {
            tracing::warn!(generation, phase = ?phase, why = message, "the rollout has stopped");
        } else {
            tracing::info!(generation, phase = ?phase, why = message, "the rollout has a new phase");
        }
        match phase {
            Phase::Halted => self.events.warn("RolloutHalted", message.clone()),
            Phase::Invalid => self.events.warn("RolloutInvalid", message.clone()),
            Phase::Complete => self.events.tell("RolloutComplete", message.clone()),
            _ if former.phase == Phase::Halted => {
                self.events.tell("RolloutResumed", message.clone());
            }
            _ => {}
        }
    }
}
