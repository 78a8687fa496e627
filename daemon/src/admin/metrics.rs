//! What monitoring sees: names, labels and help texts, and the places that change them.

mod helper;

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::gate::{Standing, Wish};
use crate::status::{Cause, TargetState, TargetStatus};

/// One row of the reference page.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// The name as it is scraped.
    pub name: &'static str,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: &'static str,
    /// Label names, joined by commas.
    pub labels: &'static str,
    /// The help text.
    pub help: &'static str,
}

impl Description {
    /// The name without the suffix that the library adds by itself.
    pub(crate) fn base(&self) -> &'static str {
        let suffix = match self.kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
}

macro_rules! describe {
    ($($name:ident = $full:literal, $kind:literal, $labels:literal, $help:literal;)+) => {
        $(const $name: $crate::admin::metrics::Description = $crate::admin::metrics::Description { name: $full, kind: $kind, labels: $labels, help: $help };)+
        /// Every metric that is served.
        pub const ALL: &[$crate::admin::metrics::Description] = &[$($name,)+];
    };
}
pub(crate) use describe;

describe! {
    BUILD = "pullkeeper_build_info", "info", "version", "Version of the running agent";
    RELOADS = "pullkeeper_config_reloads_total", "counter", "result",
        "Reloads of the configuration; a refused one leaves the former in force";
    SOURCE_GOOD = "pullkeeper_source_good", "gauge", "source",
        "1 when the newest revision of every item of the source is good, else 0";
    SOURCE_ENTRIES = "pullkeeper_source_entries", "gauge", "source",
        "Usable registry entries in the source's good state";
    SOURCE_ITEMS = "pullkeeper_source_items", "gauge", "source,standing",
        "Secrets or files of the source by how they stand: pending, good, last-good, bad";
    SOURCE_SEEN = "pullkeeper_source_last_change_timestamp_seconds", "gauge", "source",
        "When a new revision of the source was last seen";
    FINDINGS = "pullkeeper_findings", "gauge", "source,reason,severity",
        "Findings about the newest revisions; the source is empty for what concerns all of them together";
    TARGET_IN_SYNC = "pullkeeper_target_in_sync", "gauge", "kind,path",
        "1 when the file holds what the sources' good states ask for, else 0";
    TARGET_ENTRIES = "pullkeeper_target_managed_entries", "gauge", "kind,path",
        "Entries in the file that come from the sources";
    TARGET_FINDINGS = "pullkeeper_target_findings", "gauge", "kind,path,reason,severity",
        "Findings about the file on the node";
    TARGET_WRITES = "pullkeeper_target_writes_total", "counter", "kind,path,cause",
        "Replacements of the file, by cause: source or drift";
    TARGET_FAILURES = "pullkeeper_target_write_failures_total", "counter", "kind,path,error",
        "Failed attempts to read or replace the file, by kind of error";
    TARGET_WRITTEN = "pullkeeper_target_last_write_timestamp_seconds", "gauge", "kind,path",
        "When the file was last replaced";
    PROPAGATION = "pullkeeper_propagation_seconds", "histogram", "kind,path",
        "From seeing a new revision of a source to the file in place";
    HELD_BACK = "pullkeeper_rollout_held_back", "gauge", "",
        "1 while a new version waits for the coordinator's permit, or nobody knows whether it may go on; 0 where none is followed";
    UNIT_RESTARTS = "pullkeeper_unit_restarts_total", "counter", "unit,outcome",
        "Restarts of units by what came of them: back, down, flapping, slow, lost (systemd does not answer any more), refused (not touched)";
    UNIT_RESTART_SECONDS = "pullkeeper_unit_restart_seconds", "histogram", "unit",
        "From asking systemd for a restart until it has done so or given up, or until the time limit";
    ACTIVATIONS = "pullkeeper_activations_total", "counter", "outcome",
        "Permits for which units were restarted, by what came of all of it: restarted, rolled-back, not-rolled-back (files or units are not as before), refused (systemd cannot be reached, or refuses)";
    HELPER_INSTALLS = "pullkeeper_credential_helper_installs_total", "counter", "result",
        "Attempts to put the credential helper on the host, by result: installed, updated, failed";
    HELPER_UP_TO_DATE = "pullkeeper_credential_helper_up_to_date", "gauge", "path",
        "1 when the credential helper on the host is the agent's own, else 0; absent where none is installed";
    BROKER_ANSWERS = "pullkeeper_broker_answers_total", "counter", "client,outcome",
        "Answers to helpers, by client (docker, kubelet) and outcome (found, not-ours, unavailable)";
    EXCHANGES = "pullkeeper_exchanges_total", "counter", "delegation,outcome",
        "Exchanges of delegations with registries and token services, by outcome: obtained or failed";
    EXCHANGE_SECONDS = "pullkeeper_exchange_seconds", "histogram", "delegation",
        "How long exchanges took, failed ones too";
    EXCHANGE_SUCCESS = "pullkeeper_exchange_last_success_timestamp_seconds", "gauge", "delegation",
        "When an exchange last obtained something";
    EXCHANGES_IN_FLIGHT = "pullkeeper_exchanges_in_flight", "gauge", "delegation",
        "Exchanges under way";
    EXCHANGE_CACHE_AGE = "pullkeeper_exchange_cache_age_seconds", "histogram", "delegation",
        "How old what was handed out from memory was; its count is that of the exchanges that were spared";
    EVENTS_DROPPED = "pullkeeper_events_dropped_total", "counter", "",
        "Kubernetes Events that could not be delivered";
}

/// All metrics of the process and their registry.
#[derive(Debug)]
pub struct Metrics {
    /// Held while gauges are replaced too, so that a scrape never sees half of it.
    registry: Mutex<Registry>,
    reloads: Counters<1>,
    source_good: Gauges<1>,
    source_entries: Gauges<1>,
    source_standing: Gauges<2>,
    source_seen: Times<1>,
    findings: Gauges<3>,
    target_in_sync: Gauges<2>,
    target_entries: Gauges<2>,
    target_findings: Gauges<4>,
    target_writes: Counters<3>,
    target_failures: Counters<3>,
    target_written: Times<2>,
    propagation: Family<Labels<2>, Histogram>,
    held_back: Gauge,
    unit_restarts: Counters<2>,
    unit_restart_seconds: Family<Labels<1>, Histogram>,
    activations: Counters<1>,
    helper_installs: Counters<1>,
    helper_up_to_date: Gauges<1>,
    broker_answers: Family<BrokerLabels, Counter>,
    exchanges: Counters<2>,
    exchange_seconds: Family<Labels<1>, Histogram>,
    exchange_success: Times<1>,
    exchanges_in_flight: Gauges<1>,
    exchange_cache_age: Family<Labels<1>, Histogram>,
    events_dropped: Counter,
}

/// Words that need no copy: this counter is on the path of every pull.
type BrokerLabels = [(&'static str, &'static str); 2];
pub(crate) type Labels<const N: usize> = [(&'static str, String); N];
/// An exchange under way.
#[derive(Debug)]
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

pub(crate) type Counters<const N: usize> = Family<Labels<N>, Counter>;
pub(crate) type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Times<const N: usize> = Family<Labels<N>, Gauge<f64, AtomicU64>>;

impl Metrics {
    /// Registers everything.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::default();
        registry.register(BUILD.base(), BUILD.help, Info::new([("version", version)]));
        Self {
            reloads: add(&mut registry, RELOADS, Family::default()),
            source_good: add(&mut registry, SOURCE_GOOD, Family::default()),
            source_entries: add(&mut registry, SOURCE_ENTRIES, Family::default()),
            source_standing: add(&mut registry, SOURCE_ITEMS, Family::default()),
            source_seen: add(&mut registry, SOURCE_SEEN, Family::default()),
            findings: add(&mut registry, FINDINGS, Family::default()),
            target_in_sync: add(&mut registry, TARGET_IN_SYNC, Family::default()),
            target_entries: add(&mut registry, TARGET_ENTRIES, Family::default()),
            target_findings: add(&mut registry, TARGET_FINDINGS, Family::default()),
            target_writes: add(&mut registry, TARGET_WRITES, Family::default()),
            target_failures: add(&mut registry, TARGET_FAILURES, Family::default()),
            target_written: add(&mut registry, TARGET_WRITTEN, Family::default()),
            propagation: add(
                &mut registry,
                PROPAGATION,
                Family::new_with_constructor(|| Histogram::new(PROPAGATION_BUCKETS)),
            ),
            held_back: add(&mut registry, HELD_BACK, Gauge::default()),
            unit_restarts: add(&mut registry, UNIT_RESTARTS, Family::default()),
            unit_restart_seconds: add(
                &mut registry,
                UNIT_RESTART_SECONDS,
                Family::new_with_constructor(|| Histogram::new(RESTART_BUCKETS)),
            ),
            activations: add(&mut registry, ACTIVATIONS, Family::default()),
            helper_installs: add(&mut registry, HELPER_INSTALLS, Family::default()),
            helper_up_to_date: add(&mut registry, HELPER_UP_TO_DATE, Family::default()),
            broker_answers: add(&mut registry, BROKER_ANSWERS, Family::default()),
            exchanges: add(&mut registry, EXCHANGES, Family::default()),
            exchange_seconds: add(
                &mut registry,
                EXCHANGE_SECONDS,
                Family::new_with_constructor(|| Histogram::new(EXCHANGE_BUCKETS)),
            ),
            exchange_success: add(&mut registry, EXCHANGE_SUCCESS, Family::default()),
            exchanges_in_flight: add(&mut registry, EXCHANGES_IN_FLIGHT, Family::default()),
            exchange_cache_age: add(
                &mut registry,
                EXCHANGE_CACHE_AGE,
                Family::new_with_constructor(|| Histogram::new(AGE_BUCKETS)),
            ),
            events_dropped: add(&mut registry, EVENTS_DROPPED, Counter::default()),
            registry: Mutex::new(registry),
        }
    }

    /// The OpenMetrics text.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.lock())?;
        Ok(text)
    }

    /// Counts Events that could not be delivered.
    pub fn events_dropped(&self) -> Counter {
        self.events_dropped.clone()
    }

    pub(crate) fn held_back(&self, held_back: bool) {
        self.held_back.set(held_back.into());
    }

    /// Begins to count at zero: what appears with its first increment is no increase to Prometheus.
    pub(crate) fn restarts(&self, units: &[String]) {
        for unit in units {
            for outcome in UNIT_OUTCOMES {
                let labels = [("unit", unit.clone()), ("outcome", outcome.to_owned())];
                let _at_zero = self.unit_restarts.get_or_create(&labels);
            }
            let labels = [("unit", unit.clone())];
            let _empty = self.unit_restart_seconds.get_or_create(&labels);
        }
        for outcome in ACTIVATION_OUTCOMES {
            let labels = [("outcome", outcome.to_owned())];
            let _at_zero = self.activations.get_or_create(&labels);
        }
    }

    pub(crate) fn unit_restarted(&self, unit: &str, outcome: &'static str) {
        let labels = [("unit", unit.to_owned()), ("outcome", outcome.to_owned())];
        self.unit_restarts.get_or_create(&labels).inc();
    }

    pub(crate) fn unit_restart_took(&self, unit: &str, took: Duration) {
        self.unit_restart_seconds
            .get_or_create(&[("unit", unit.to_owned())])
            .observe(took.as_secs_f64());
    }

    pub(crate) fn activated(&self, outcome: &'static str) {
        self.activations
            .get_or_create(&[("outcome", outcome.to_owned())])
            .inc();
    }

    pub(crate) fn broker_answered(&self, client: &'static str, outcome: &'static str) {
        self.broker_answers
            .get_or_create(&[("client", client), ("outcome", outcome)])
            .inc();
    }

    /// Counts an exchange as under way until what is returned goes away, as it does when nobody waits any more.
    pub(crate) fn exchange_begins(&self, delegation: &str) -> InFlight {
        let labels = [("delegation", delegation.to_owned())];
        let gauge = self.exchanges_in_flight.get_or_create_owned(&labels);
        gauge.inc();
        InFlight(gauge)
    }

    pub(crate) fn exchange_spared(&self, delegation: &str, age: Duration) {
        self.exchange_cache_age
            .get_or_create(&[("delegation", delegation.to_owned())])
            .observe(age.as_secs_f64());
    }

    pub(crate) fn exchanged(&self, delegation: &str, obtained: bool, took: Duration) {
        let delegation = ("delegation", delegation.to_owned());
        let outcome = if obtained { "obtained" } else { "failed" };
        self.exchanges
            .get_or_create(&[delegation.clone(), ("outcome", outcome.to_owned())])
            .inc();
        let labels = [delegation];
        self.exchange_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if obtained {
            self.exchange_success
                .get_or_create(&labels)
                .set(unix(SystemTime::now()));
        }
    }

    pub(crate) fn reloaded(&self, taken: bool) {
        let result = if taken { "taken" } else { "refused" };
        self.reloads
            .get_or_create(&[("result", result.to_owned())])
            .inc();
    }

    pub(crate) fn wished(&self, wish: &Wish) {
        let _consistent = self.lock();
        self.source_good.clear();
        self.source_entries.clear();
        self.source_standing.clear();
        self.findings.clear();
        for item in &wish.items {
            let source = || [("source", item.source.to_string())];
            let good = i64::from(item.standing == Standing::Good);
            let so_far = self.source_good.get(&source()).map(|gauge| gauge.get());
            self.source_good
                .get_or_create(&source())
                .set(so_far.unwrap_or(1).min(good));
            let entries = item
                .good
                .as_ref()
                .map_or(0, |good| good.document.entries().len());
            self.source_entries
                .get_or_create(&source())
                .inc_by(count(entries));
            let standing = item.standing.as_str().to_owned();
            let labels = [("source", item.source.to_string()), ("standing", standing)];
            self.source_standing.get_or_create(&labels).inc();
            if let Some(seen) = item.seen {
                let gauge = self.source_seen.get_or_create_owned(&source());
                gauge.set(gauge.get().max(unix(seen)));
            }
        }
        for (source, finding) in wish.findings() {
            let labels = [
                ("source", source.to_owned()),
                ("reason", finding.reason.as_str().to_owned()),
                ("severity", finding.severity.as_str().to_owned()),
            ];
            self.findings.get_or_create(&labels).inc();
        }
    }

    pub(crate) fn targets(&self, targets: &[TargetStatus]) {
        let _consistent = self.lock();
        self.target_in_sync.clear();
        self.target_entries.clear();
        self.target_findings.clear();
        for target in targets {
            let labels = of(target);
            let in_sync = i64::from(target.state == TargetState::InSync);
            self.target_in_sync.get_or_create(&labels).set(in_sync);
            self.target_entries
                .get_or_create(&labels)
                .set(count(target.entries));
            for finding in &target.findings {
                let [kind, path] = of(target);
                let reason = ("reason", finding.reason.as_str().to_owned());
                let severity = ("severity", finding.severity.as_str().to_owned());
                self.target_findings
                    .get_or_create(&[kind, path, reason, severity])
                    .inc();
            }
        }
    }

    pub(crate) fn written(
        &self,
        target: &TargetStatus,
        cause: Cause,
        propagation: Option<Duration>,
    ) {
        let [kind, path] = of(target);
        let cause = ("cause", cause.as_str().to_owned());
        self.target_writes.get_or_create(&[kind, path, cause]).inc();
        self.target_written
            .get_or_create(&of(target))
            .set(unix(SystemTime::now()));
        if let Some(propagation) = propagation {
            self.propagation
                .get_or_create(&of(target))
                .observe(propagation.as_secs_f64());
        }
    }

    pub(crate) fn failed(&self, target: &TargetStatus, error: &'static str) {
        let [kind, path] = of(target);
        self.target_failures
            .get_or_create(&[kind, path, ("error", error.to_owned())])
            .inc();
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What may come of a unit's restart.
const UNIT_OUTCOMES: [&str; 6] = ["back", "down", "flapping", "slow", "lost", "refused"];
/// What may come of all restarts for one permit.
const ACTIVATION_OUTCOMES: [&str; 4] = ["restarted", "rolled-back", "not-rolled-back", "refused"];

/// From a fast local write to a slow disk behind a resync.
const PROPAGATION_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];

/// From a service that does nothing when it starts to one that needs the longest time limit.
const RESTART_BUCKETS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// From what was just obtained to a whole day.
const AGE_BUCKETS: [f64; 8] = [1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];

/// From a token service beside the node to its time limit.
const EXCHANGE_BUCKETS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

pub(crate) fn add<M>(registry: &mut Registry, description: Description, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register(description.base(), description.help, metric.clone());
    metric
}

fn of(target: &TargetStatus) -> Labels<2> {
    [
        ("kind", target.kind.to_owned()),
        ("path", target.path.clone()),
    ]
}

pub(crate) fn count(entries: usize) -> i64 {
    i64::try_from(entries).unwrap_or(i64::MAX)
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
