//! What monitoring and the probes see of a coordinator.

use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use pullkeeper_core::drain::Answer;
use pullkeeper_core::rollout::HaltReason;
use serde::Serialize;

use crate::admin::Shown;
use crate::admin::metrics::{Counters, Gauges, add, count, describe};
use crate::cluster::Requests;
use crate::resource::{Blocked, Counts, Phase, PullSecretRolloutStatus};

describe! {
    BUILD = "pullkeeper_build_info", "info", "version", "Version of the running coordinator";
    LEADER = "pullkeeper_coordinator_leader", "gauge", "",
        "1 while this coordinator is the one that works";
    TERMS = "pullkeeper_coordinator_terms_total", "counter", "",
        "How often this coordinator became the one that works";
    GENERATION = "pullkeeper_rollout_generation", "gauge", "",
        "Counts what was rolled out";
    PHASE = "pullkeeper_rollout_phase", "gauge", "phase",
        "1 for the phase that the rollout is in, as in its status";
    NODES = "pullkeeper_rollout_nodes", "gauge", "state",
        "Nodes by how far they are: updated, updating, failed, parked, waiting; a failed or parked one is also one of the others";
    SLOTS = "pullkeeper_rollout_reserved", "gauge", "",
        "Nodes that have a slot";
    UNAVAILABLE = "pullkeeper_rollout_unavailable_nodes", "gauge", "",
        "Nodes that are not ready, are cordoned by anybody, or have a slot";
    DRAINED = "pullkeeper_rollout_drained_nodes_total", "counter", "",
        "Nodes that this coordinator has found to be drained";
    HALTED = "pullkeeper_rollout_halted", "gauge", "reason",
        "1 for the reason for which no new node starts until a human or a new version says otherwise, 0 for others";
    LEDGER_WRITES = "pullkeeper_rollout_ledger_writes_total", "counter", "result",
        "Writes of the rollout's status: written, conflict (somebody else was faster), failed";
    PERMITS = "pullkeeper_rollout_permits_total", "counter", "result",
        "Permits given to nodes: written, conflict (their record had changed), failed";
    CORDONS = "pullkeeper_rollout_cordons_total", "counter", "change,result",
        "Changes of nodes, cordoned or uncordoned: written, conflict (the node had changed), failed";
    BLOCKED = "pullkeeper_rollout_node_blocked_since_timestamp_seconds", "gauge", "node,reason",
        "Since when a node is not drained, and why; only those for which there is a reason";
    EVICTIONS = "pullkeeper_evictions_total", "counter", "answer",
        "Evictions by what the API server said: accepted, gone, replaced, budget, busy, many_budgets, raced, namespace_terminating, refused, unanswered";
    EVICTION_DRY_RUNS = "pullkeeper_eviction_dry_runs_total", "counter", "answer",
        "Evictions that were tried without effect, by the same answers";
    REQUESTS = "pullkeeper_api_requests_total", "counter", "verb,resource",
        "Requests to the API server, whatever it answered";
    EVENTS_DROPPED = "pullkeeper_events_dropped_total", "counter", "",
        "Kubernetes Events that could not be delivered";
}

/// The state that is shown, and what counts.
#[derive(Debug)]
pub(super) struct Desk {
    registry: Mutex<Registry>,
    standing: Mutex<Standing>,
    leader: Gauge,
    terms: Counter,
    generation: Gauge,
    phase: Gauges<1>,
    nodes: Gauges<1>,
    slots: Gauge,
    unavailable: Gauge,
    drained: Counter,
    halted: Gauges<1>,
    ledger_writes: Counters<1>,
    permits: Counters<1>,
    cordons: Counters<2>,
    blocked: Gauges<2>,
    evictions: Counters<1>,
    eviction_dry_runs: Counters<1>,
    requests: Requests,
    events_dropped: Counter,
}

/// `/statusz`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Standing {
    version: &'static str,
    identity: String,
    leader: bool,
    /// Why nobody can tell whether it is its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
    /// What it cannot do at present, and why.
    troubles: Vec<String>,
    /// The rollout, without the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<PullSecretRolloutStatus>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Taken,
    Conflict,
    Failed,
}

impl Written {
    fn label(self) -> [(&'static str, String); 1] {
        let word = match self {
            Self::Taken => "written",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
        };
        [("result", word.to_owned())]
    }
}

impl Desk {
    pub(super) fn new(identity: String) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let mut registry = Registry::default();
        registry.register(BUILD.base(), BUILD.help, Info::new([("version", version)]));
        let standing = Standing {
            version,
            identity,
            ..Standing::default()
        };
        Self {
            leader: add(&mut registry, LEADER, Gauge::default()),
            terms: add(&mut registry, TERMS, Counter::default()),
            generation: add(&mut registry, GENERATION, Gauge::default()),
            phase: add(&mut registry, PHASE, Family::default()),
            nodes: add(&mut registry, NODES, Family::default()),
            slots: add(&mut registry, SLOTS, Gauge::default()),
            unavailable: add(&mut registry, UNAVAILABLE, Gauge::default()),
            drained: add(&mut registry, DRAINED, Counter::default()),
            halted: add(&mut registry, HALTED, Family::default()),
            ledger_writes: add(&mut registry, LEDGER_WRITES, Family::default()),
            permits: add(&mut registry, PERMITS, Family::default()),
            cordons: add(&mut registry, CORDONS, Family::default()),
            blocked: add(&mut registry, BLOCKED, Family::default()),
            evictions: add(&mut registry, EVICTIONS, Family::default()),
            eviction_dry_runs: add(&mut registry, EVICTION_DRY_RUNS, Family::default()),
            requests: add(&mut registry, REQUESTS, Family::default()),
            events_dropped: add(&mut registry, EVENTS_DROPPED, Counter::default()),
            registry: Mutex::new(registry),
            standing: Mutex::new(standing),
        }
    }

    /// Counts Events that could not be delivered.
    pub(super) fn events_dropped(&self) -> Counter {
        self.events_dropped.clone()
    }

    /// Counts requests to the API server.
    pub(super) fn requests(&self) -> Requests {
        self.requests.clone()
    }

    /// Whether it is the one that works.
    pub(super) fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
        if leads {
            self.terms.inc();
        }
        let mut standing = lock(&self.standing);
        standing.leader = leads;
        standing.troubles.clear();
        if !leads {
            // What a leader said last is nobody's word any more.
            standing.rollout = None;
            self.phase.clear();
            self.nodes.clear();
            self.blocked.clear();
            self.halted.clear();
            self.slots.set(0);
            self.unavailable.set(0);
        }
    }

    /// Why the Lease cannot be looked at, if it cannot.
    pub(super) fn election(&self, trouble: Option<String>) {
        lock(&self.standing).lease = trouble;
    }

    /// What it cannot do at present.
    pub(super) fn troubled(&self, troubles: Vec<String>) {
        lock(&self.standing).troubles = troubles;
    }

    /// How the rollout stands; `None` where there is none.
    pub(super) fn stands(&self, status: Option<&PullSecretRolloutStatus>, slots: usize) {
        let _consistent = lock(&self.registry);
        self.phase.clear();
        self.nodes.clear();
        self.halted.clear();
        self.slots.set(count(slots));
        if let Some(status) = status {
            let halt = status.halt.as_ref().map(|halt| &*halt.reason);
            let reasons = [HaltReason::CanaryFailed, HaltReason::FailureBudgetSpent];
            for reason in reasons.iter().map(HaltReason::as_str) {
                let label = [("reason", reason.to_owned())];
                let halted = halt == Some(reason);
                self.halted.get_or_create(&label).set(halted.into());
            }
            let generation = i64::try_from(status.generation).unwrap_or(i64::MAX);
            self.generation.set(generation);
            let phase = [("phase", format!("{:?}", status.phase))];
            self.phase.get_or_create(&phase).set(1);
            let Counts {
                updated,
                updating,
                failed,
                parked,
                waiting,
                ..
            } = status.nodes;
            for (state, count) in [
                ("updated", updated),
                ("updating", updating),
                ("failed", failed),
                ("parked", parked),
                ("waiting", waiting),
            ] {
                let label = [("state", state.to_owned())];
                self.nodes.get_or_create(&label).set(count.into());
            }
        }
        lock(&self.standing).rollout = status.map(|status| PullSecretRolloutStatus {
            ledger: None,
            ..status.clone()
        });
    }

    /// How many nodes are unavailable.
    pub(super) fn unavailable(&self, nodes: usize) {
        self.unavailable.set(count(nodes));
    }

    /// No pod is left on a node that had to go.
    pub(super) fn drained(&self) {
        self.drained.inc();
    }

    /// A write of the rollout's status.
    pub(super) fn ledger(&self, written: Written) {
        self.ledger_writes.get_or_create(&written.label()).inc();
    }

    /// A change of a node.
    pub(super) fn node(&self, change: &'static str, written: Written) {
        let [result] = written.label();
        let labels = [("change", change.to_owned()), result];
        self.cordons.get_or_create(&labels).inc();
    }

    /// Which nodes are not drained, and why.
    pub(super) fn blocked<'b>(&self, nodes: impl Iterator<Item = (&'b str, &'b Blocked)>) {
        let _consistent = lock(&self.registry);
        self.blocked.clear();
        for (node, blocked) in nodes {
            let labels = [
                ("node", node.to_owned()),
                ("reason", blocked.reason.clone()),
            ];
            let since = blocked
                .since
                .as_ref()
                .map_or(0, |since| since.0.as_second());
            self.blocked.get_or_create(&labels).set(since);
        }
    }

    /// A permit.
    pub(super) fn permit(&self, written: Written) {
        self.permits.get_or_create(&written.label()).inc();
    }

    /// An eviction, or one without effect.
    pub(super) fn eviction(&self, answer: &Answer, dry_run: bool) {
        let family = if dry_run {
            &self.eviction_dry_runs
        } else {
            &self.evictions
        };
        let label = [("answer", answer.label().to_owned())];
        family.get_or_create(&label).inc();
    }
}

impl Shown for Desk {
    fn metrics(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &lock(&self.registry))?;
        Ok(text)
    }

    fn readiness(&self) -> (bool, String) {
        let standing = lock(&self.standing);
        let mut report = format!(
            "[+] {}\n",
            if standing.leader {
                "leading"
            } else {
                "standing by"
            }
        );
        let troubles: Vec<_> = standing.lease.iter().chain(&standing.troubles).collect();
        for trouble in &troubles {
            report.push_str("[-] ");
            report.push_str(trouble);
            report.push('\n');
        }
        // Invalid wishes are for whoever wrote them; another coordinator could follow them no better.
        (troubles.is_empty(), report)
    }

    fn status(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&*lock(&self.standing))
    }
}

/// Whether somebody has to look at it.
pub(super) fn is_trouble(phase: Phase) -> bool {
    matches!(phase, Phase::Halted | Phase::Invalid)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::HaltStatus;

    #[test]
    fn who_cannot_tell_whether_it_is_its_turn_is_not_ready() {
        let desk = Desk::new("one".to_owned());
        assert_eq!(desk.readiness(), (true, "[+] standing by\n".to_owned()));
        desk.election(Some("cannot look at the Lease: no route".to_owned()));
        let (ready, report) = desk.readiness();
        assert!(!ready && report.contains("[-] cannot look at the Lease: no route"));
        desk.election(None);
        desk.leads(true);
        desk.troubled(vec!["cannot watch nodes: no route".to_owned()]);
        assert!(!desk.readiness().0);
        // What kept it from working is over with its term.
        desk.leads(false);
        assert!(desk.readiness().0);
    }

    #[test]
    fn the_status_has_no_ledger_and_the_metrics_have_the_phase() {
        let desk = Desk::new("one".to_owned());
        let status = PullSecretRolloutStatus {
            phase: Phase::Waves,
            ledger: Some(serde_json::json!({"version": "1"})),
            ..PullSecretRolloutStatus::default()
        };
        desk.stands(Some(&status), 3);
        assert!(!desk.status().unwrap().contains("ledger"));
        let metrics = desk.metrics().unwrap();
        assert!(
            metrics.contains("pullkeeper_rollout_phase{phase=\"Waves\"} 1"),
            "{metrics}"
        );
        assert!(
            metrics.contains("pullkeeper_rollout_reserved 3"),
            "{metrics}"
        );
        desk.leads(false);
        assert!(!desk.metrics().unwrap().contains("Waves"));
    }

    #[test]
    fn a_halt_shows_its_reason_until_it_is_over() {
        let desk = Desk::new("one".to_owned());
        let mut status = PullSecretRolloutStatus::default();
        let shows = |line: &str| desk.metrics().unwrap().lines().any(|one| one == line);
        let canary = "pullkeeper_rollout_halted{reason=\"CanaryFailed\"}";
        let budget = "pullkeeper_rollout_halted{reason=\"FailureBudgetSpent\"}";
        desk.stands(Some(&status), 0);
        assert!(shows(&format!("{canary} 0")) && shows(&format!("{budget} 0")));
        status.halt = Some(HaltStatus {
            reason: "CanaryFailed".to_owned(),
            since: None,
            nodes: Vec::new(),
        });
        desk.stands(Some(&status), 0);
        assert!(shows(&format!("{canary} 1")) && shows(&format!("{budget} 0")));
        desk.leads(false);
        assert!(!desk.metrics().unwrap().contains("CanaryFailed"));
    }

    #[test]
    fn what_a_drain_costs_can_be_computed() {
        let desk = Desk::new("one".to_owned());
        desk.leads(true);
        desk.unavailable(4);
        desk.drained();
        let labels = [
            ("verb", "patch".to_owned()),
            ("resource", "nodes".to_owned()),
        ];
        desk.requests().get_or_create(&labels).inc_by(2);
        desk.leads(false);
        let metrics = desk.metrics().unwrap();
        for line in [
            "pullkeeper_rollout_unavailable_nodes 0",
            "pullkeeper_rollout_drained_nodes_total 1",
            "pullkeeper_api_requests_total{verb=\"patch\",resource=\"nodes\"} 2",
        ] {
            assert!(metrics.lines().any(|one| one == line), "{metrics}");
        }
    }
}
