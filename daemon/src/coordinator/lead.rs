//! The work of the coordinator that leads: look, decide, write, and again.
//!
//! ```text
//! view ─▶ intent ─▶ decide ─┬▶ status with the next ledger, by compare-and-swap
//!              ▲            ├▶ permits and cordons, for what the ledger that was read has reserved
//!              │            ├▶ drain: pods to be evicted, and what has become of them
//!              └── store ◀──┴▶ what has to be looked up first
//! ```

mod blocked;
mod conditions;
mod nodes;
mod records;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::jiff::Timestamp;
use pullkeeper_core::rollout::{
    Decision, DrainView, Fleet, Ledger, Order, Policy, Stage, Time, decide,
};
use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

pub(super) use self::blocked::LastBlockers;
pub(super) use self::conditions::Shown;
pub(super) use self::nodes::Current;
use super::desk::{Desk, Written};
use super::drain::{DrainSeen, Engine, Options, Task, What};
use super::election::{Term, lasts};
use super::fleet::fleet;
use super::intent::Intent;
use super::objects::{NodeObject, RecordObject};
use super::publish::{Situation, status, unavailable};
use super::store::Store;
use super::view::{Known, View};
use crate::cluster::RequestError;
use crate::event::Events;
use crate::resource::{PullSecretRolloutStatus, ROLLOUT};

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
    pub(super) engine: Arc<Engine>,
    /// UIDs of nodes that were looked up and are gone.
    pub(super) gone: BTreeSet<String>,
    pub(super) current: Current,
    pub(super) blockers: LastBlockers,
    pub(super) shown: Shown,
}

/// Everything that a decision is made for.
struct Sight {
    nodes: Nodes,
    records: Records,
    drained: BTreeMap<String, DrainSeen>,
    fleet: Fleet,
    decision: Decision,
}

type Nodes = BTreeMap<String, Arc<NodeObject>>;
pub(super) type Records = BTreeMap<String, Arc<RecordObject>>;

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
    async fn look(&mut self) -> Result<Next, RequestError> {
        let known = self.view.known();
        let (Some(rollouts), Some(nodes), Some(records)) =
            (known.rollouts.all(), known.nodes.all(), known.records.all())
        else {
            self.desk.troubled(troubles(&known, true));
            return Ok(Next::Wait);
        };
        let mut troubles = troubles(&known, false);
        troubles.extend(self.engine.troubles());
        self.desk.troubled(troubles.clone());
        let Some(rollout) = rollouts.get(ROLLOUT) else {
            self.desk.stands(None, 0);
            self.rest();
            self.let_go(nodes, records).await?;
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
        if intent.disturbs_nodes()
            && let Some(trouble) = &known.pools.trouble
        {
            troubles.push(format!("cannot watch machineconfigpools: {trouble}"));
            self.desk.troubled(troubles);
        }
        self.current.since(&rollout.metadata.resource_version);
        let Sight {
            nodes,
            records,
            drained,
            fleet,
            decision,
        } = self.decide(&policy, &ledger, &intent, now).await?;
        self.remember(&drained, &ledger);
        self.engine.heed(tasks(&decision.orders), intent.drains());
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
        self.desk.unavailable(unavailable(next, &fleet));
        let written = self
            .publish(rollout, &former, published, decision.ledger.as_ref(), slots)
            .await?;
        if written {
            self.tell_of_drains(&ledger, next);
        }
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
        let cordons = |order: &Order| matches!(order, Order::Cordon { .. });
        let due = !decision.permits.is_empty() || decision.orders.values().any(cordons);
        if due && self.is_unchanged(rollout).await? {
            // All nodes would ask the registries at once otherwise.
            let probe = intent.probes() && ledger.stage == Stage::Canary;
            self.give(&records, &decision, &ledger, probe).await;
            self.cordon(&decision.orders, &nodes, &ledger).await;
        }
        self.uncordon(&decision.orders, &nodes).await;
        self.say_what_blocks(&records, &drained, &ledger).await;
        self.show_work(&ledger).await;
        Ok(Next::Wait)
    }

    /// Nobody is drained now.
    fn rest(&self) {
        self.engine.heed(BTreeMap::new(), Options::default());
    }

    /// There is no rollout: nobody paces anything any more, every node may take what there is, and none stays cordoned by us.
    async fn let_go(&mut self, nodes: &Nodes, records: &Records) -> Result<(), RequestError> {
        self.name_sources(records, &[]).await;
        let marked = nodes
            .values()
            .filter(|node| node.node(None, None).mark().is_some());
        let marked: Vec<_> = marked.cloned().collect();
        // What is told late is no proof that there is none.
        if !marked.is_empty() && matches!(self.store.rollout().await, Err(RequestError::NotFound)) {
            self.release(marked.iter()).await;
        }
        self.show_no_work().await;
        Ok(())
    }

    /// Decides, having looked up what the decision asks for.
    async fn decide(
        &mut self,
        policy: &Policy,
        ledger: &Ledger,
        intent: &Intent,
        now: Time,
    ) -> Result<Sight, RequestError> {
        let mut fresh = None;
        let mut sight = self.sight(policy, ledger, intent, None, now);
        if sight.decision.outdated {
            let records = self.store.records().await?.into_iter();
            let named = records.map(|record| (record.metadata.name.clone(), Arc::new(record)));
            fresh = Some(named.collect());
            sight = self.sight(policy, ledger, intent, fresh.as_ref(), now);
        }
        if !sight.decision.missing.is_empty() {
            for (uid, name) in &sight.decision.missing {
                if self.store.is_gone(name, uid).await? {
                    tracing::info!(node = name, uid, "a node that has a slot is gone");
                    self.gone.insert(uid.clone());
                }
            }
            sight = self.sight(policy, ledger, intent, fresh.as_ref(), now);
        }
        if !sight.decision.unsure.is_empty() {
            self.read_nodes(&sight.decision.unsure).await;
            sight = self.sight(policy, ledger, intent, fresh.as_ref(), now);
        }
        Ok(sight)
    }

    /// What is known now, and what follows from it. `fresh` are records that were listed after the ledger was read.
    fn sight(
        &self,
        policy: &Policy,
        ledger: &Ledger,
        intent: &Intent,
        fresh: Option<&Records>,
        now: Time,
    ) -> Sight {
        let known = self.view.known();
        let nodes = known.nodes.all().cloned().unwrap_or_default();
        let records = known.records.all().cloned().unwrap_or_default();
        let drained = self.engine.views();
        let current = self.current.uids();
        let mut fleet = fleet(&known, fresh.unwrap_or(&records), intent);
        fleet.gone.clone_from(&self.gone);
        fleet.fresh = fresh.is_some();
        for (name, node) in &mut fleet.nodes {
            node.current = current.contains(&node.uid);
            node.drain = drained.get(name).map(drain_view);
        }
        let decision = decide(policy, ledger, &fleet, now);
        Sight {
            nodes,
            records,
            drained,
            fleet,
            decision,
        }
    }
}

/// What the engine is to do: to see whether pods would go, until the node is cordoned, and then to evict them.
fn tasks(orders: &BTreeMap<String, Order>) -> BTreeMap<String, Task> {
    let task = |(name, order): (&String, &Order)| {
        let (uid, serial, what) = match order {
            Order::Inspect { uid, serial } | Order::Cordon { uid, serial } => {
                (uid, serial, What::Inspect)
            }
            Order::Drain { uid, serial } => (uid, serial, What::Drain),
            Order::Uncordon { .. } => return None,
        };
        let task = Task {
            uid: uid.clone(),
            serial: *serial,
            what,
        };
        Some((name.clone(), task))
    };
    orders.iter().filter_map(task).collect()
}

fn drain_view(seen: &DrainSeen) -> DrainView {
    DrainView {
        serial: seen.serial,
        settled: seen.settled,
        left: seen.left,
        idle: seen.idle,
        throttled: seen.throttled,
        blockers: seen.blockers.iter().map(|one| one.pod.clone()).collect(),
    }
}

/// Reads the ledger. What is there and is none is never taken for an empty one.
fn read_ledger(status: &Value) -> Result<Ledger, String> {
    let written = status.get("ledger").filter(|ledger| !ledger.is_null());
    Ledger::read(written).map_err(|error| format!("status.ledger: {}", crate::exit::chain(&error)))
}

fn outcome<T>(written: &Result<T, RequestError>) -> Written {
    match written {
        Ok(_) => Written::Taken,
        Err(RequestError::Conflict(_) | RequestError::NotFound) => Written::Conflict,
        Err(_) => Written::Failed,
    }
}

/// What is not followed at present.
pub(super) fn troubles(known: &Known, incomplete: bool) -> Vec<String> {
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

pub(super) fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
