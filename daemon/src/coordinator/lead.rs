//! The work of the coordinator that leads: look, decide, write, and again.
//!
//! ```text
//! view ─▶ intent ─▶ decide ─┬▶ status with the next ledger, by compare-and-swap
//!              ▲            ├▶ permits, for what the ledger that was read has reserved
//!              └── store ◀──┴▶ what has to be looked up first
//! ```

mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::jiff::Timestamp;
use pullkeeper_core::rollout::{Decision, Fleet, Ledger, Policy, Stage, Time, decide};
use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::desk::{Desk, Written, is_trouble};
use super::election::{Term, lasts};
use super::intent::{Intent, Invalid};
use super::objects::{NodeObject, RecordObject, RolloutObject};
use super::publish::{Situation, status};
use super::store::{Store, StoreError};
use super::view::{Known, View};
use crate::event::Events;
use crate::resource::{Phase, PullSecretRolloutStatus, ROLLOUT};

/// Between two looks when everything changes all the time: reports of many nodes are answered together.
const BREATH: Duration = Duration::from_millis(250);
/// Between two looks when nothing changes: windows open, soaking ends, deadlines pass.
const TICK: Duration = Duration::from_secs(2);
/// Looks in a row: what was written is read back and followed at once.
const AT_ONCE: u32 = 4;
/// What is to be done after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The ledger is another one now.
    Look,
    /// Nothing, until something changes.
    Wait,
}

/// A coordinator that leads.
pub(super) struct Lead {
    pub(super) view: Arc<View>,
    pub(super) store: Store,
    pub(super) term: watch::Receiver<Term>,
    pub(super) desk: Arc<Desk>,
    pub(super) events: Events,
    /// UIDs of nodes that were looked up and are gone.
    pub(super) gone: BTreeSet<String>,
}

type Nodes = BTreeMap<String, Arc<NodeObject>>;
type Records = BTreeMap<String, Arc<RecordObject>>;

impl Lead {
    /// Works until its term is over.
    pub(super) async fn work(mut self) {
        loop {
            if !self.leads() {
                return;
            }
            let began = Instant::now();
            for _ in 0..AT_ONCE {
                match self.look().await {
                    Ok(Next::Look) => {}
                    Ok(Next::Wait) => break,
                    Err(error) => {
                        tracing::warn!(%error, "cannot go on with the rollout now; trying again");
                        self.desk.troubled(vec![error.to_string()]);
                        break;
                    }
                }
            }
            tokio::select! {
                () = self.view.changed() => {}
                () = tokio::time::sleep(TICK) => {}
                () = over(&mut self.term) => return,
            }
            tokio::time::sleep_until(began + BREATH).await;
        }
    }

    /// Whether its term lasts. Looked at before everything that is written.
    fn leads(&self) -> bool {
        lasts(*self.term.borrow())
    }

    /// One look at everything, and what follows from it.
    async fn look(&mut self) -> Result<Next, StoreError> {
        let known = self.view.known();
        let (Some(rollouts), Some(nodes), Some(records)) =
            (known.rollouts.all(), known.nodes.all(), known.records.all())
        else {
            self.desk.troubled(troubles(&known, true));
            return Ok(Next::Wait);
        };
        self.desk.troubled(troubles(&known, false));
        let Some(rollout) = rollouts.get(ROLLOUT) else {
            self.desk.stands(None, 0);
            // Nobody paces anything any more: every node may take what there is.
            self.name_sources(records, &[]).await;
            return Ok(Next::Wait);
        };
        let former = PullSecretRolloutStatus::deserialize(&rollout.status).unwrap_or_default();
        let ledger = match read_ledger(&rollout.status) {
            Ok(ledger) => ledger,
            Err(message) => {
                return self
                    .refuse(rollout, &former, "LedgerUnreadable", &message)
                    .await;
            }
        };
        let intent = match Intent::read(&rollout.spec) {
            Ok(intent) => intent,
            Err(error) => return self.refuse_spec(rollout, &former, &error).await,
        };
        self.keep_records(nodes, records, intent.sources()).await;
        let now = now();
        let policy = match intent.policy(nodes, now) {
            Ok(policy) => policy,
            Err(error) => return self.refuse_spec(rollout, &former, &error).await,
        };
        let fleet = self.fleet(&intent, nodes, records);
        let (decision, fleet) = self
            .decide(&policy, &ledger, fleet, &intent, nodes, now)
            .await?;
        let next = decision.ledger.as_ref().unwrap_or(&ledger);
        let situation = Situation::Decided {
            ledger: next,
            fleet: &fleet,
            waiting: decision.waiting,
        };
        let published = status(
            &former,
            situation,
            rollout.metadata.generation,
            Timestamp::now(),
        );
        let slots = next.reservations.len();
        self.publish(rollout, &former, published, decision.ledger.as_ref(), slots)
            .await?;
        let promised: BTreeSet<_> = ledger
            .reservations
            .values()
            .map(|reservation| &reservation.permit.uid)
            .chain(ledger.canary.keys())
            .cloned()
            .collect();
        self.gone.retain(|uid| promised.contains(uid));
        if decision.ledger.is_some() {
            return Ok(Next::Look);
        }
        // All nodes would ask the registries at once otherwise.
        let probe = intent.probes() && ledger.stage == Stage::Canary;
        self.give(rollout, records, &decision, &ledger, probe)
            .await?;
        Ok(Next::Wait)
    }

    /// Decides, having looked up what the decision asks for.
    async fn decide(
        &mut self,
        policy: &Policy,
        ledger: &Ledger,
        mut fleet: Fleet,
        intent: &Intent,
        nodes: &Nodes,
        now: Time,
    ) -> Result<(Decision, Fleet), StoreError> {
        let mut decision = decide(policy, ledger, &fleet, now);
        if decision.outdated {
            let records = self.store.records().await?;
            let named = records
                .into_iter()
                .map(|record| (record.metadata.name.clone(), Arc::new(record)));
            fleet = self.fleet(intent, nodes, &named.collect());
            fleet.fresh = true;
            decision = decide(policy, ledger, &fleet, now);
        }
        if !decision.missing.is_empty() {
            for (uid, name) in &decision.missing {
                if self.store.is_gone(name, uid).await? {
                    tracing::info!(node = name, uid, "a node that has a slot is gone");
                    self.gone.insert(uid.clone());
                }
            }
            fleet.gone.clone_from(&self.gone);
            decision = decide(policy, ledger, &fleet, now);
        }
        Ok((decision, fleet))
    }

    fn fleet(&self, intent: &Intent, nodes: &Nodes, records: &Records) -> Fleet {
        let node = |(name, node): (&String, &Arc<NodeObject>)| {
            let record = records.get(name).map(|record| &**record);
            (name.clone(), node.node(record, intent.pool_label()))
        };
        Fleet {
            nodes: nodes.iter().map(node).collect(),
            gone: self.gone.clone(),
            fresh: false,
        }
    }

    async fn refuse_spec(
        &self,
        rollout: &RolloutObject,
        former: &PullSecretRolloutStatus,
        error: &Invalid,
    ) -> Result<Next, StoreError> {
        self.refuse(rollout, former, "InvalidSpec", &error.to_string())
            .await
    }

    /// Says why the object cannot be followed, and does nothing else.
    async fn refuse(
        &self,
        rollout: &RolloutObject,
        former: &PullSecretRolloutStatus,
        reason: &'static str,
        message: &str,
    ) -> Result<Next, StoreError> {
        let situation = Situation::Invalid { reason, message };
        let generation = rollout.metadata.generation;
        let published = status(former, situation, generation, Timestamp::now());
        self.publish(rollout, former, published, None, 0).await?;
        Ok(Next::Wait)
    }

    /// Writes the status, if it or the ledger is new.
    async fn publish(
        &self,
        rollout: &RolloutObject,
        former: &PullSecretRolloutStatus,
        mut published: PullSecretRolloutStatus,
        ledger: Option<&Ledger>,
        slots: usize,
    ) -> Result<(), StoreError> {
        self.desk.stands(Some(&published), slots);
        if (ledger.is_none() && published == *former) || !self.leads() {
            return Ok(());
        }
        published.ledger = None;
        let encode = |error: serde_json::Error| StoreError::Failed(error.to_string());
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
                Ok(())
            }
            // Whoever was faster is told, and everything is looked at again.
            Err(StoreError::Conflict | StoreError::NotFound) => Ok(()),
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
            tracing::warn!(generation, phase = ?phase, message, "the rollout has stopped");
        } else {
            tracing::info!(generation, phase = ?phase, message, "the rollout has a new phase");
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

/// Reads the ledger. What is there and is none is never taken for an empty one.
fn read_ledger(status: &Value) -> Result<Ledger, String> {
    let written = status.get("ledger").filter(|ledger| !ledger.is_null());
    Ledger::read(written).map_err(|error| format!("status.ledger: {}", crate::exit::chain(&error)))
}

fn outcome<T>(written: &Result<T, StoreError>) -> Written {
    match written {
        Ok(_) => Written::Taken,
        Err(StoreError::Conflict | StoreError::NotFound) => Written::Conflict,
        Err(StoreError::Failed(_)) => Written::Failed,
    }
}

/// What is not followed at present.
fn troubles(known: &Known, incomplete: bool) -> Vec<String> {
    let troubles = [
        ("pullsecretrollouts", &known.rollouts.trouble),
        ("nodes", &known.nodes.trouble),
        ("nodepullsecrets", &known.records.trouble),
    ];
    let mut troubles: Vec<_> = troubles
        .into_iter()
        .filter_map(|(what, trouble)| Some(format!("cannot watch {what}: {}", trouble.as_ref()?)))
        .collect();
    if troubles.is_empty() && incomplete {
        troubles.push("not everything was listed yet".to_owned());
    }
    troubles
}

async fn over(term: &mut watch::Receiver<Term>) {
    let _ended = term.wait_for(|term| !lasts(*term)).await;
}

fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
