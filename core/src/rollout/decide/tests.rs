use std::time::Duration;

use super::super::cordon::{Cordon, DrainView, Mark};
use super::super::fleet::{Outcome, Pool, Record, Report};
use super::super::ledger::HaltReason;
use super::super::limit::Limit;
use super::super::policy::{Canary, FailureBudget};
use super::super::revision::Revision;
use super::super::revision::{SecretRevision, SecretSource};
use super::*;

mod drain;
mod provider;
mod restart;
mod turns;

const MINUTE: u64 = 60_000;

pub(in super::super) fn policy() -> Policy {
    Policy {
        sources: vec![SecretSource {
            namespace: "ns".to_owned(),
            name: None,
        }],
        strategy: Strategy::FileOnly,
        canary: Canary::Count(1),
        soak: Duration::from_secs(60),
        slots: Limit::Count(2),
        slots_per_zone: None,
        slots_per_pool: None,
        max_unavailable: None,
        provider_slots: Limit::Count(1),
        failures: FailureBudget {
            count: 1,
            percent: 100,
        },
        deadline: Duration::from_secs(300),
        paused: false,
        open: true,
        resumes: 0,
    }
}

fn revision(version: u64) -> Revision {
    let secret = SecretRevision {
        namespace: "ns".to_owned(),
        name: "pull-secret".to_owned(),
        uid: "uid".to_owned(),
        resource_version: version.to_string(),
    };
    [secret].into_iter().collect()
}

pub(in super::super) fn node(name: &str) -> Node {
    Node {
        uid: format!("uid-of-{name}"),
        ready: true,
        record: Some(Record {
            seen: Some(revision(1)),
            ..Record::default()
        }),
        ..Node::default()
    }
}

/// A cluster whose nodes do what they are permitted to, and a ledger that nobody else writes.
struct Cluster {
    policy: Policy,
    ledger: Ledger,
    fleet: Fleet,
    now: Time,
}

impl Cluster {
    fn new(names: &[&str]) -> Self {
        let nodes = names.iter().map(|name| ((*name).to_owned(), node(name)));
        Self {
            policy: policy(),
            ledger: Ledger::default(),
            fleet: Fleet {
                nodes: nodes.collect(),
                fresh: true,
                ..Fleet::default()
            },
            now: Time(0),
        }
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.fleet.nodes.get_mut(name).unwrap()
    }

    /// The Secret changes, and every agent sees it.
    fn change(&mut self, version: u64) {
        for node in self.fleet.nodes.values_mut() {
            node.record.get_or_insert_default().seen = Some(revision(version));
        }
    }

    /// What is decided now, by somebody who looks up what he has to.
    fn look(&mut self) -> Decision {
        let before = decide(&self.policy, &self.ledger, &self.fleet, self.now);
        for name in before.unsure.values() {
            self.node(name).current = true;
        }
        let decision = decide(&self.policy, &self.ledger, &self.fleet, self.now);
        for node in self.fleet.nodes.values_mut() {
            node.current = false;
        }
        decision
    }

    /// Decides until nothing changes any more; gives permits, which nobody acts on, and cordons and uncordons.
    fn decide(&mut self) -> Option<Waiting> {
        for _ in 0..100 {
            let decision = self.look();
            for (name, permit) in &decision.permits {
                let record = self.node(name).record.get_or_insert_default();
                record.permit = Some(permit.clone());
            }
            let mut done = false;
            for (name, order) in &decision.orders {
                done |= self.node(name).obey(order);
            }
            match decision.ledger {
                Some(ledger) => self.ledger = ledger,
                None if decision.permits.is_empty() && !done => return decision.waiting,
                None => {}
            }
        }
        panic!("no end of decisions: {:?}", self.ledger);
    }

    /// What the node says about the permit that it has.
    fn report(&mut self, name: &str, outcome: Outcome) {
        let Record { permit, report, .. } = self.node(name).record.as_mut().unwrap();
        let permit = permit.clone().unwrap();
        let restarted = report.as_ref().and_then(|former| former.restarted);
        *report = Some(Report {
            permit,
            outcome,
            restarted,
        });
    }

    fn reach(&mut self, name: &str) {
        self.report(name, Outcome::Reached);
    }

    fn fail(&mut self, name: &str) {
        self.report(name, Outcome::Failed("why".to_owned()));
    }

    fn reserved(&self) -> Vec<&str> {
        self.ledger
            .reservations
            .keys()
            .map(String::as_str)
            .collect()
    }

    fn pass(&mut self, minutes: u64) {
        self.now = Time(self.now.0 + minutes * MINUTE);
    }

    /// Past canary and soak.
    fn in_waves(names: &[&str]) -> Self {
        let mut cluster = Self::new(names);
        cluster.decide();
        cluster.reach(names[0]);
        cluster.decide();
        cluster.pass(1);
        cluster.decide();
        cluster
    }
}

#[test]
fn canary_soak_and_waves_follow_each_other() {
    let mut cluster = Cluster::new(&["a", "b", "c", "d"]);
    assert_eq!(cluster.decide(), Some(Waiting::Canary));
    assert_eq!(cluster.reserved(), ["a"]);
    cluster.reach("a");
    assert_eq!(cluster.decide(), Some(Waiting::Soaking));
    cluster.now = Time(MINUTE - 1);
    assert_eq!(cluster.decide(), Some(Waiting::Soaking));
    cluster.now = Time(MINUTE);
    assert_eq!(cluster.decide(), Some(Waiting::Slots));
    assert_eq!(cluster.reserved(), ["b", "c"]);
    cluster.reach("b");
    cluster.reach("c");
    assert_eq!(cluster.decide(), None);
    assert_eq!(cluster.reserved(), ["d"]);
    cluster.reach("d");
    assert_eq!(cluster.decide(), None);
    assert!(cluster.reserved().is_empty());
}

#[test]
fn a_permit_is_given_for_what_was_persisted_and_not_for_what_was_just_decided() {
    let cluster = Cluster::new(&["a"]);
    let first = decide(
        &cluster.policy,
        &cluster.ledger,
        &cluster.fleet,
        cluster.now,
    );
    assert!(first.permits.is_empty());
    let ledger = first.ledger.unwrap();
    let second = decide(&cluster.policy, &ledger, &cluster.fleet, cluster.now);
    assert_eq!(second.ledger, None);
    assert_eq!(second.permits["a"], ledger.reservations["a"].permit);
    // To a node that was made anew it is not given.
    let mut fleet = cluster.fleet.clone();
    fleet.nodes.get_mut("a").unwrap().uid = "another".to_owned();
    assert!(
        decide(&cluster.policy, &ledger, &fleet, cluster.now)
            .permits
            .is_empty()
    );
}

#[test]
fn an_old_permit_takes_no_newer_ones_place_and_is_refused_when_it_comes_back() {
    let mut cluster = Cluster::new(&["a"]);
    cluster.decide();
    let old = cluster.ledger.clone();
    let first = cluster.ledger.reservations["a"].permit.clone();
    cluster.change(2);
    cluster.decide();
    let second = cluster.ledger.reservations["a"].permit.clone();
    assert!(second.serial > first.serial);
    cluster.fleet.fresh = false;
    let late = decide(&cluster.policy, &old, &cluster.fleet, cluster.now);
    assert!(late.permits.is_empty());

    let uid = cluster.node("a").uid.clone();
    let record = cluster.node("a").record.get_or_insert_default();
    assert_eq!(record.unanswered(&uid), Some(&second));
    assert_eq!(record.unanswered("another"), None);
    cluster.reach("a");
    let record = cluster.node("a").record.get_or_insert_default();
    assert_eq!(record.unanswered(&uid), None);
    record.permit = Some(first);
    assert_eq!(record.unanswered(&uid), None);
}

#[test]
fn a_canary_that_fails_halts_until_somebody_resumes() {
    let mut cluster = Cluster::new(&["a", "b"]);
    cluster.decide();
    cluster.fail("a");
    assert_eq!(cluster.decide(), Some(Waiting::Halted));
    let halt = cluster.ledger.halt.clone().unwrap();
    assert_eq!(halt.reason, HaltReason::CanaryFailed);
    cluster.pass(1000);
    assert_eq!(cluster.decide(), Some(Waiting::Halted));
    assert!(cluster.reserved().is_empty());
    // Resumed, it is tried again, and its former report is no answer.
    cluster.policy.resumes = 1;
    assert_eq!(cluster.decide(), Some(Waiting::Canary));
    assert_eq!(cluster.reserved(), ["a"]);
    cluster.reach("a");
    assert_eq!(cluster.decide(), Some(Waiting::Soaking));
}

#[test]
fn more_failures_than_may_be_halt_and_a_new_generation_begins_anew() {
    let mut cluster = Cluster::in_waves(&["a", "b", "c", "d", "e"]);
    cluster.fail("b");
    cluster.decide();
    assert!(!cluster.ledger.is_halted());
    cluster.fail("c");
    assert_eq!(cluster.decide(), Some(Waiting::Halted));
    let reason = cluster.ledger.halt.clone().unwrap().reason;
    assert_eq!(reason, HaltReason::FailureBudgetSpent);
    // Who was at work ends it, and its slot comes back.
    assert_eq!(cluster.reserved(), ["d"]);
    cluster.reach("d");
    assert_eq!(cluster.decide(), Some(Waiting::Halted));
    assert!(cluster.reserved().is_empty());
    cluster.change(2);
    assert_eq!(cluster.decide(), Some(Waiting::Canary));
    assert_eq!(cluster.reserved(), ["a"]);
}

#[test]
fn who_says_nothing_fails_once_and_keeps_its_slot() {
    let mut cluster = Cluster::in_waves(&["a", "b", "c", "d"]);
    cluster.policy.failures.count = 9;
    cluster.pass(6);
    assert_eq!(cluster.decide(), Some(Waiting::Slots));
    assert_eq!(
        (cluster.reserved(), cluster.ledger.failures.len()),
        (vec!["b", "c"], 2)
    );
    cluster.pass(60);
    cluster.decide();
    assert_eq!(cluster.ledger.failures.len(), 2);
    // Late is better than never, and a failure all the same.
    cluster.reach("b");
    cluster.decide();
    assert_eq!(
        (cluster.reserved(), cluster.ledger.failures.len()),
        (vec!["c", "d"], 2)
    );
}

#[test]
fn a_deadline_counts_from_the_permit() {
    let mut cluster = Cluster::in_waves(&["a"]);
    cluster.change(2);
    let reserved = decide(
        &cluster.policy,
        &cluster.ledger,
        &cluster.fleet,
        cluster.now,
    )
    .ledger;
    cluster.ledger = reserved.unwrap();
    cluster.policy.paused = true;
    cluster.pass(1000);
    assert_eq!(cluster.decide(), None);
    assert!(cluster.ledger.failures.is_empty());
    assert!(!cluster.fleet.nodes["a"].has_permit(&cluster.ledger.reservations["a"].permit));
    cluster.policy.paused = false;
    cluster.decide();
    cluster.pass(4);
    cluster.decide();
    assert!(cluster.ledger.failures.is_empty());
    cluster.pass(2);
    cluster.decide();
    assert_eq!(cluster.ledger.failures.len(), 1);
}

#[test]
fn a_window_that_closes_stops_who_has_not_begun_and_nobody_else() {
    let mut cluster = Cluster::in_waves(&["a", "b", "c", "d"]);
    cluster.policy.open = false;
    cluster.reach("b");
    assert_eq!(cluster.decide(), Some(Waiting::Window));
    assert_eq!(cluster.reserved(), ["c"]);
    cluster.reach("c");
    assert_eq!(cluster.decide(), Some(Waiting::Window));
    assert!(cluster.reserved().is_empty());
    // It goes on where it stopped.
    cluster.pass(600);
    cluster.policy.open = true;
    assert_eq!(cluster.decide(), None);
    assert_eq!(cluster.reserved(), ["d"]);
    // A credential that has leaked does not wait for one.
    cluster.change(2);
    cluster.policy.strategy = Strategy::Immediate;
    cluster.policy.open = false;
    assert_eq!(cluster.decide(), None);
    assert_eq!(cluster.reserved(), ["a", "b", "c", "d"]);
}

#[test]
fn a_slot_comes_back_when_its_node_is_known_to_be_gone_and_not_before() {
    let mut cluster = Cluster::in_waves(&["a", "b", "c", "d"]);
    cluster.fleet.nodes.remove("b");
    cluster.decide();
    assert_eq!(cluster.reserved(), ["b", "c"]);
    let missing = decide(
        &cluster.policy,
        &cluster.ledger,
        &cluster.fleet,
        cluster.now,
    )
    .missing;
    assert_eq!(missing["uid-of-b"], "b");
    // Its name alone is no proof either.
    let anew = Node {
        uid: "another".to_owned(),
        ..node("b")
    };
    cluster.fleet.nodes.insert("b".to_owned(), anew);
    cluster.decide();
    assert_eq!(cluster.ledger.reservations["b"].permit.uid, "uid-of-b");
    cluster.fleet.gone.insert("uid-of-b".to_owned());
    cluster.decide();
    assert_eq!(cluster.ledger.reservations["b"].permit.uid, "another");
}

#[test]
fn zones_pools_and_the_control_plane_have_limits_of_their_own() {
    let mut cluster = Cluster::in_waves(&["a", "b", "c", "d", "e", "m1", "m2", "m3"]);
    cluster.policy.slots = Limit::Count(9);
    cluster.policy.slots_per_zone = Some(Limit::Count(1));
    for (name, zone) in [("b", "z1"), ("c", "z1"), ("d", "z2"), ("e", "z2")] {
        cluster.node(name).zone = Some(zone.to_owned());
    }
    for name in ["m1", "m2", "m3"] {
        cluster.node(name).control_plane = true;
        cluster.node(name).zone = Some(name.to_owned());
    }
    cluster.ledger.reservations.clear();
    // Slots are left, but not in these zones; and the control plane waits for whoever else does.
    assert_eq!(cluster.decide(), Some(Waiting::Slots));
    assert_eq!(cluster.reserved(), ["b", "d"]);
    cluster.reach("b");
    cluster.decide();
    assert_eq!(cluster.reserved(), ["c", "d"]);
    cluster.reach("d");
    cluster.decide();
    assert_eq!(cluster.reserved(), ["c", "e", "m1"]);
    cluster.reach("m1");
    cluster.node("m3").ready = false;
    assert_eq!(cluster.decide(), Some(Waiting::Slots));
    assert_eq!(cluster.reserved(), ["c", "e"]);
    cluster.node("m3").ready = true;
    cluster.policy.slots_per_pool = Some(Limit::Count(2));
    assert_eq!(cluster.decide(), Some(Waiting::Slots));
    assert_eq!(cluster.reserved(), ["c", "e"]);
    cluster.reach("c");
    cluster.decide();
    assert_eq!(cluster.reserved(), ["e", "m2"]);
}

#[test]
fn a_leaked_credential_waits_for_nothing_but_a_pause() {
    let mut cluster = Cluster::new(&["a", "b", "c"]);
    cluster.policy.strategy = Strategy::Immediate;
    cluster.policy.paused = true;
    assert_eq!(cluster.decide(), Some(Waiting::Paused));
    cluster.policy.paused = false;
    cluster.policy.slots = Limit::Count(0);
    assert_eq!(cluster.decide(), None);
    assert_eq!(cluster.reserved(), ["a", "b", "c"]);
    for name in ["a", "b"] {
        cluster.fail(name);
    }
    cluster.decide();
    assert!(!cluster.ledger.is_halted());
    assert_eq!(cluster.reserved(), ["c"]);
}

#[test]
fn who_is_not_ready_or_held_is_left_alone_and_holds_up_nobody() {
    let mut cluster = Cluster::new(&["a", "b", "c"]);
    cluster.node("a").ready = false;
    cluster.node("b").held = true;
    assert_eq!(cluster.decide(), Some(Waiting::Canary));
    assert_eq!(cluster.reserved(), ["c"]);
    cluster.reach("c");
    cluster.decide();
    cluster.pass(1);
    assert_eq!(cluster.decide(), Some(Waiting::Nodes));
    cluster.node("b").held = false;
    cluster.decide();
    assert_eq!(cluster.reserved(), ["b"]);
}

#[test]
fn a_canary_that_has_not_begun_and_cannot_is_replaced() {
    let mut cluster = Cluster::new(&["a", "b"]);
    cluster.policy.paused = true;
    cluster.decide();
    assert!(cluster.ledger.canary.contains_key("uid-of-a"));
    cluster.node("a").ready = false;
    cluster.policy.paused = false;
    cluster.decide();
    assert_eq!(cluster.reserved(), ["b"]);
    // Who has begun stays one of them, whatever becomes of it.
    cluster.node("b").ready = false;
    cluster.node("a").ready = true;
    cluster.decide();
    assert_eq!(cluster.reserved(), ["b"]);
    cluster.fail("b");
    cluster.decide();
    assert!(cluster.ledger.is_halted() && cluster.ledger.canary.contains_key("uid-of-b"));
}

#[test]
fn named_canaries_have_to_be_there() {
    let mut cluster = Cluster::new(&["a", "b"]);
    cluster.policy.canary = Canary::Nodes(["b", "c"].map(str::to_owned).into());
    cluster.decide();
    assert_eq!(cluster.reserved(), ["b"]);
    cluster.reach("b");
    assert_eq!(cluster.decide(), Some(Waiting::Canary));
    cluster.fleet.nodes.insert("c".to_owned(), node("c"));
    cluster.decide();
    cluster.reach("c");
    assert_eq!(cluster.decide(), Some(Waiting::Soaking));
    // No node at all is no canary that succeeded.
    let mut empty = Cluster::new(&[]);
    empty.decide();
    assert_eq!(empty.ledger.stage, Stage::Canary);
}

#[test]
fn a_ledger_of_another_time_is_not_an_empty_one() {
    let ledger = Cluster::in_waves(&["a", "b"]).ledger;
    let written = serde_json::to_value(&ledger).unwrap();
    assert_eq!(Ledger::read(Some(&written)).unwrap(), ledger);
    assert_eq!(Ledger::read(None).unwrap(), Ledger::default());
    let change = |key: &str, value: Option<serde_json::Value>| {
        let mut changed = written.clone();
        let fields = changed.as_object_mut().unwrap();
        match value {
            Some(value) => fields.insert(key.to_owned(), value),
            None => fields.remove(key),
        };
        changed
    };
    for bad in [
        change("version", Some("2".into())),
        change("version", None),
        change("surplus", Some(1.into())),
        change("permits", None),
        change("permits", Some((-1).into())),
        change("stage", Some("Waves".into())),
        serde_json::Value::Null,
        "".into(),
        serde_json::json!({}),
        serde_json::json!([]),
    ] {
        assert!(Ledger::read(Some(&bad)).is_err(), "{bad}");
    }
}

#[test]
fn a_ledger_in_which_a_newer_version_says_more_is_none() {
    let written = serde_json::to_value(Cluster::in_waves(&["a", "b", "c"]).ledger).unwrap();
    let names = written["reservations"].as_object().unwrap();
    let name = names.keys().next().unwrap();
    for place in [
        "/stage".to_owned(),
        "/revision/0".to_owned(),
        format!("/reservations/{name}"),
        format!("/reservations/{name}/permit"),
    ] {
        let mut newer = written.clone();
        newer.pointer_mut(&place).unwrap()["newer"] = true.into();
        assert!(Ledger::read(Some(&newer)).is_err(), "{place}");
    }
}

#[test]
fn what_old_records_say_begins_no_generation() {
    let mut cluster = Cluster::in_waves(&["a", "b", "c"]);
    cluster.fleet.fresh = false;
    cluster.change(2);
    let Cluster {
        policy,
        ledger,
        fleet,
        now,
    } = &cluster;
    let decision = decide(policy, ledger, fleet, *now);
    assert!(decision.outdated && decision.ledger.is_none());
    cluster.fleet.fresh = true;
    // Those at work go on with it.
    assert_eq!(cluster.decide(), Some(Waiting::Slots));
    let ledger = &cluster.ledger;
    assert_eq!((ledger.generation, &ledger.revision), (2, &revision(2)));
}

#[test]
fn nothing_happens_before_agents_have_said_what_there_is() {
    let mut cluster = Cluster::new(&["a", "b"]);
    for name in ["a", "b"] {
        cluster.node(name).record = None;
    }
    assert_eq!(cluster.decide(), Some(Waiting::Revision));
    assert_eq!(cluster.ledger, Ledger::default());
    // One of two is not most of them; both are.
    cluster.node("a").record = node("a").record;
    cluster.node("b").record = Some(Record {
        seen: Some(revision(7)),
        ..Record::default()
    });
    assert_eq!(cluster.decide(), Some(Waiting::Revision));
    cluster.change(7);
    assert_eq!(cluster.decide(), Some(Waiting::Canary));
    assert_eq!(cluster.ledger.revision, revision(7));
}

#[test]
fn a_rollout_made_anew_counts_on_from_what_nodes_were_told() {
    let mut cluster = Cluster::in_waves(&["a", "b"]);
    cluster.change(2);
    cluster.decide();
    cluster.reach("a");
    cluster.reach("b");
    cluster.decide();
    let former = std::mem::take(&mut cluster.ledger);
    cluster.decide();
    let ledger = &cluster.ledger;
    assert_eq!(ledger.generation, former.generation + 1);
    assert_eq!(ledger.reservations["a"].permit.serial, former.permits + 1);
    // What it was told before is no answer to what it is told now.
    let uid = cluster.node("a").uid.clone();
    let record = cluster.node("a").record.get_or_insert_default();
    assert!(record.unanswered(&uid).is_some());
}
