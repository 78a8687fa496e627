//! What the audit log tells of a rollout that drains nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use support::cluster::AuditEvent;
use support::deploy::{COORDINATOR, NAMESPACE};

/// What stands for us on a node.
const MARK: &str = "/metadata/annotations/pullkeeper.io~1cordon";
const PRIOR: &str = "/metadata/annotations/pullkeeper.io~1cordon-prior";

/// Everything that counts, in order: writes by their version, of which etcd has one sequence for all objects, the rest by time.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(super) ledgers: Vec<Ledger>,
    pub(super) nodes: Vec<NodeWrite>,
    pub(super) evictions: Vec<Eviction>,
    pub(super) permits: Vec<Permit>,
    pub(super) lists: Vec<List>,
    pub(super) deletions: Vec<String>,
    /// By UID.
    pub(super) pods: BTreeMap<String, Pod>,
}

/// When a request was read, and when everybody could see what had come of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) received: Timestamp,
    pub(super) done: Timestamp,
}

/// One version of the ledger.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) span: Span,
    pub(super) version: u64,
    /// Whether nodes were to be drained then; where only files are replaced nobody becomes unavailable.
    pub(super) drains: bool,
    pub(super) slots: BTreeMap<String, Slot>,
}

/// A slot, with the parts that count here.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) uid: String,
    pub(super) serial: u64,
    pub(super) mark: Option<u64>,
    pub(super) phase: String,
}

/// A node, as one write has left it.
#[derive(Debug)]
pub(super) struct NodeWrite {
    pub(super) span: Span,
    pub(super) version: u64,
    pub(super) node: String,
    pub(super) uid: String,
    /// Whether the coordinator wrote it.
    pub(super) ours: bool,
    pub(super) uri: String,
    pub(super) sent: Value,
    pub(super) flag: bool,
    pub(super) mark: Option<Mark>,
    pub(super) prior: bool,
    pub(super) deleted: bool,
}

/// Our mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) generation: u64,
    pub(super) serial: u64,
    pub(super) uid: String,
}

/// An eviction that was asked for.
#[derive(Debug)]
pub(super) struct Eviction {
    pub(super) span: Span,
    pub(super) pod: String,
    pub(super) uid: Option<String>,
    pub(super) grace: Option<i64>,
    pub(super) dry: bool,
    pub(super) code: u16,
}

/// A permit in a node's record.
#[derive(Debug)]
pub(super) struct Permit {
    pub(super) span: Span,
    pub(super) version: u64,
    pub(super) node: String,
    pub(super) serial: u64,
}

/// A list that the coordinator made of one node's pods.
#[derive(Debug)]
pub(super) struct List {
    pub(super) span: Span,
    pub(super) node: String,
}

/// What is known of a pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Pod {
    pub(super) node: Option<String>,
    /// Why it must never be evicted, if so.
    pub(super) spared: Option<&'static str>,
}

impl Trace {
    /// Reads it out of the log.
    pub(crate) fn of(events: &[AuditEvent]) -> Self {
        let mut trace = Self::default();
        for event in events {
            trace.read(event);
        }
        trace.ledgers.sort_by_key(|ledger| ledger.version);
        trace.nodes.sort_by_key(|write| write.version);
        trace.permits.sort_by_key(|permit| permit.version);
        trace
            .evictions
            .sort_by_key(|eviction| eviction.span.received);
        trace
    }

    /// Names pods, by UID, that must not be evicted although they do not look like it.
    pub(crate) fn spare(&mut self, uids: impl IntoIterator<Item = String>) {
        for uid in uids {
            self.pods.entry(uid).or_default().spared = Some("was excluded");
        }
    }

    /// How often this node was cordoned by us.
    pub(crate) fn cordons(&self, node: &str) -> usize {
        let marks: BTreeSet<_> = self
            .nodes
            .iter()
            .filter(|write| write.node == node)
            .filter_map(|write| write.mark.as_ref().map(|mark| mark.serial))
            .collect();
        marks.len()
    }

    /// How often this pod's eviction was asked for in earnest.
    pub(crate) fn evictions(&self, uid: &str) -> usize {
        self.evictions_of(uid)
            .filter(|eviction| !eviction.dry)
            .count()
    }

    /// How often it was asked for at all.
    pub(crate) fn asked(&self, uid: &str) -> usize {
        self.evictions_of(uid).count()
    }

    /// Pods that were evicted, for each of so many nodes.
    #[allow(clippy::cast_precision_loss, reason = "some hundred pods")]
    pub(crate) fn accepted_per(&self, nodes: usize) -> f64 {
        let evictions = self.evictions.iter();
        let accepted = evictions.filter(|eviction| !eviction.dry && eviction.code < 300);
        accepted.count() as f64 / nodes as f64
    }

    fn evictions_of(&self, uid: &str) -> impl Iterator<Item = &Eviction> {
        let theirs = self.evictions.iter();
        theirs.filter(move |eviction| eviction.uid.as_deref() == Some(uid))
    }

    fn read(&mut self, event: &AuditEvent) {
        let span = Span {
            received: event.received,
            done: event.done,
        };
        let written = (200..300).contains(&event.code()) && !event.uri.contains("dryRun=");
        let ours = by_coordinator(event);
        let changes = ["create", "update", "patch", "delete"].contains(&&*event.verb);
        if event.about("pods", "eviction") && ours {
            self.evictions.push(Eviction::read(event, span));
        } else if event.about("pods", "") && ours && event.verb.starts_with("delete") {
            self.deletions.push(event.uri.clone());
        } else if event.about("pods", "") && ours && event.verb == "list" {
            let node = node_of_list(&event.uri);
            self.lists.extend(node.map(|node| List { span, node }));
        } else if !written || !changes {
        } else if event.about("pullsecretrollouts", "")
            || event.about("pullsecretrollouts", "status")
        {
            self.ledgers.extend(Ledger::read(event, span));
        } else if event.about("nodes", "") {
            self.nodes.extend(NodeWrite::read(event, span, ours));
        } else if event.about("nodepullsecrets", "") && ours {
            self.permits.extend(Permit::read(event, span));
        } else if event.about("pods", "") {
            self.pod(event);
        } else if event.about("pods", "binding") {
            self.bind(event);
        }
    }

    fn pod(&mut self, event: &AuditEvent) {
        let Some(pod) = &event.response_object else {
            return;
        };
        let Some(uid) = text(pod, "/metadata/uid") else {
            return;
        };
        let owners = pod["metadata"]["ownerReferences"].as_array();
        let daemon = owners
            .into_iter()
            .flatten()
            .any(|owner| owner["kind"] == "DaemonSet");
        let mirror = pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror");
        let known = self.pods.entry(uid).or_default();
        if daemon {
            known.spared = Some("is a DaemonSet's");
        } else if mirror.is_some() {
            known.spared = Some("is a mirror pod");
        }
        if let Some(node) = text(pod, "/spec/nodeName") {
            known.node = Some(node);
        }
    }

    fn bind(&mut self, event: &AuditEvent) {
        let Some(binding) = &event.request_object else {
            return;
        };
        if let (Some(uid), Some(node)) = (
            text(binding, "/metadata/uid"),
            text(binding, "/target/name"),
        ) {
            self.pods.entry(uid).or_default().node = Some(node);
        }
    }

    /// The node as it was after everything up to this version.
    pub(super) fn node_at(&self, node: &str, version: u64) -> Option<&NodeWrite> {
        let mut writes = self.nodes.iter().rev();
        writes.find(|write| write.node == node && write.version <= version)
    }

    /// The node as it was before this version.
    pub(super) fn node_before(&self, node: &str, version: u64) -> Option<&NodeWrite> {
        self.node_at(node, version.saturating_sub(1))
    }
}

impl Span {
    /// Of versions, oldest first, each with its span: those that whoever sent a request at this time may have known as the
    /// newest, when news takes up to `slack`.
    pub(super) fn known<'t, T>(
        versions: &[&'t T],
        span: impl Fn(&T) -> Span,
        at: Timestamp,
        slack: Duration,
    ) -> Vec<&'t T> {
        let stale = |next: &&T| span(next).done + slack < at;
        let mut known = Vec::new();
        for (number, version) in versions.iter().enumerate() {
            let superseded = versions.get(number + 1).is_some_and(stale);
            if span(version).received <= at && !superseded {
                known.push(*version);
            }
        }
        known
    }
}

impl Ledger {
    fn read(event: &AuditEvent, span: Span) -> Option<Self> {
        let rollout = event.response_object.as_ref()?;
        let reservations = rollout["status"]["ledger"]["reservations"].as_object();
        let slots = reservations.into_iter().flatten().map(|(node, slot)| {
            let phase = text(slot, "/phase/name").unwrap_or_else(|| "Reserved".to_owned());
            let slot = Slot {
                uid: text(slot, "/permit/uid").unwrap_or_default(),
                serial: slot["permit"]["serial"].as_u64().unwrap_or(0),
                mark: slot["mark"].as_u64(),
                phase,
            };
            (node.clone(), slot)
        });
        Some(Self {
            span,
            version: version(rollout)?,
            drains: rollout["spec"]["strategy"] == "Drain",
            slots: slots.collect(),
        })
    }
}

impl NodeWrite {
    fn read(event: &AuditEvent, span: Span, ours: bool) -> Option<Self> {
        let node = event.response_object.as_ref()?;
        let mark = text(node, MARK).and_then(|mark| Mark::read(&mark));
        Some(Self {
            span,
            version: version(node)?,
            node: text(node, "/metadata/name")?,
            uid: text(node, "/metadata/uid").unwrap_or_default(),
            ours,
            uri: event.uri.clone(),
            sent: event.request_object.clone().unwrap_or_default(),
            flag: node["spec"]["unschedulable"] == true,
            mark,
            prior: text(node, PRIOR).as_deref() == Some("true"),
            deleted: event.verb == "delete",
        })
    }

    /// Whether what was sent has our mark.
    pub(super) fn sends_mark(&self) -> bool {
        self.sent.pointer(MARK).is_some_and(Value::is_string)
    }
}

impl Mark {
    fn read(text: &str) -> Option<Self> {
        let mark: Value = serde_json::from_str(text).ok()?;
        Some(Self {
            generation: mark["generation"].as_u64()?,
            serial: mark["serial"].as_u64()?,
            uid: mark["uid"].as_str()?.to_owned(),
        })
    }
}

impl Eviction {
    fn read(event: &AuditEvent, span: Span) -> Self {
        let object = event.object_ref.clone().unwrap_or_default();
        let options = event.request_object.as_ref();
        let options = options.map_or(&Value::Null, |body| &body["deleteOptions"]);
        let dry = options["dryRun"].as_array();
        Self {
            span,
            pod: format!("{}/{}", object.namespace, object.name),
            uid: text(options, "/preconditions/uid"),
            grace: options["gracePeriodSeconds"].as_i64(),
            dry: event.uri.contains("dryRun=") || dry.is_some_and(|all| !all.is_empty()),
            code: event.code(),
        }
    }
}

impl Permit {
    fn read(event: &AuditEvent, span: Span) -> Option<Self> {
        // Other things of the record are written too.
        let permit = &event.request_object.as_ref()?["spec"]["permit"];
        let record = event.response_object.as_ref()?;
        // Of generation 0 is one that allows nothing.
        let given = permit["generation"].as_u64()? > 0;
        given.then_some(Self {
            span,
            version: version(record)?,
            node: text(record, "/metadata/name")?,
            serial: permit["serial"].as_u64()?,
        })
    }
}

/// Whether the coordinator itself asked. Others try its rights with its account.
fn by_coordinator(event: &AuditEvent) -> bool {
    let account = format!("system:serviceaccount:{NAMESPACE}:{COORDINATOR}");
    event.user.username == account && event.user_agent.starts_with("pullkeeper")
}

fn version(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().map(str::to_owned)
}

/// The node that a list of pods is for.
fn node_of_list(uri: &str) -> Option<String> {
    let (_, query) = uri.split_once('?')?;
    let pairs = form_urlencoded::parse(query.as_bytes());
    let selector = pairs.into_iter().find(|(key, _)| key == "fieldSelector")?.1;
    let node = selector.strip_prefix("spec.nodeName=")?;
    Some(node.trim_start_matches('=').to_owned())
}
