use super::super::super::policy::Drain;
use super::super::super::reservation::{Phase, Why};
use super::*;

mod available;
mod parked;

const DRAIN: Drain = Drain {
    settle: Duration::from_secs(30),
    deadline: Duration::from_mins(10),
    patience: Duration::from_mins(2),
    backoff: Duration::from_mins(5),
};

impl Cluster {
    /// In waves, with nodes that are drained.
    fn draining(names: &[&str]) -> Self {
        let mut cluster = Self::in_waves(&["canary"]);
        cluster.policy.strategy = Strategy::Drain(DRAIN);
        let nodes = names.iter().map(|name| ((*name).to_owned(), node(name)));
        cluster.fleet.nodes.extend(nodes);
        cluster.decide();
        cluster
    }

    /// What whoever evicts has seen.
    fn pods(&mut self, name: &str, left: usize, idle: Duration) {
        let serial = self.ledger.reservations[name].mark.unwrap();
        self.node(name).drain = Some(DrainView {
            serial,
            settled: DRAIN.settle,
            left,
            idle,
            ..DrainView::default()
        });
    }

    /// What evictions that change nothing have come to, before it is cordoned.
    fn inspected(&mut self, name: &str, blockers: &[&str]) {
        let serial = self.ledger.reservations[name].mark.unwrap();
        self.node(name).drain = Some(DrainView {
            serial,
            blockers: blockers.iter().map(|one| (*one).to_owned()).collect(),
            ..DrainView::default()
        });
    }

    /// No pod is left.
    fn empty(&mut self, name: &str) {
        self.pods(name, 0, Duration::ZERO);
        self.decide();
    }

    /// `kubectl uncordon`, or by somebody who takes our mark away as well.
    fn uncordon(&mut self, name: &str, with_mark: bool) {
        let node = self.node(name);
        let mark = node.mark().unwrap().clone();
        node.cordon = if with_mark {
            Cordon::None
        } else {
            Cordon::TakenOver {
                mark,
                schedulable: true,
            }
        };
    }

    fn stands(&self, name: &str) -> (&str, Option<Why>) {
        let reservation = &self.ledger.reservations[name];
        (reservation.stands().0, reservation.why())
    }

    /// Looks once, and writes the ledger.
    fn step(&mut self) -> Decision {
        let decision = self.look();
        if let Some(ledger) = &decision.ledger {
            self.ledger = ledger.clone();
        }
        decision
    }

    fn has_begun(&self, name: &str) -> bool {
        let permit = &self.ledger.reservations[name].permit;
        self.fleet.nodes[name].has_permit(permit)
    }
}

#[test]
fn a_node_is_cordoned_drained_permitted_looked_at_and_uncordoned() {
    let mut cluster = Cluster::draining(&["a"]);
    assert_eq!(cluster.stands("a"), ("Draining", None));
    assert!(matches!(cluster.look().orders["a"], Order::Drain { .. }));
    assert!(!cluster.has_begun("a"));
    cluster.empty("a");
    assert_eq!(cluster.stands("a"), ("Drained", None));
    assert!(cluster.has_begun("a") && cluster.look().orders.is_empty());
    cluster.reach("a");
    cluster.step();
    assert_eq!(cluster.stands("a"), ("Verifying", None));
    cluster.step();
    assert_eq!(cluster.stands("a"), ("Restoring", Some(Why::Done)));
    assert!(matches!(cluster.look().orders["a"], Order::Uncordon { .. }));
    // The slot comes back after the cordon has gone.
    cluster.step();
    assert_eq!(cluster.reserved(), ["a"]);
    assert_eq!(cluster.decide(), None);
    assert_eq!(cluster.fleet.nodes["a"].cordon, Cordon::None);
    assert!(cluster.reserved().is_empty());
}

#[test]
fn nobody_is_cordoned_or_evicted_before_that_is_persisted() {
    let mut cluster = Cluster::draining(&[]);
    cluster.fleet.nodes.insert("a".to_owned(), node("a"));
    assert!(cluster.step().orders.is_empty());
    let orders = cluster.step().orders;
    assert!(matches!(orders["a"], Order::Inspect { .. }));
    assert!(cluster.node("a").obey(&orders["a"]));
    let orders = cluster.step().orders;
    let serial = cluster.ledger.reservations["a"].mark.unwrap();
    assert!(cluster.node("a").obey(&orders["a"]));
    assert!(cluster.node("a").is_cordoned_for(serial));
    assert!(cluster.step().orders.is_empty());
    assert!(matches!(cluster.step().orders["a"], Order::Drain { .. }));
}

#[test]
fn a_list_of_pods_that_was_made_too_soon_proves_nothing() {
    let mut cluster = Cluster::draining(&["a"]);
    let serial = cluster.ledger.reservations["a"].mark.unwrap();
    let seen = |serial, settled, left| {
        Some(DrainView {
            serial,
            settled,
            left,
            ..DrainView::default()
        })
    };
    let soon = Duration::from_secs(29);
    for drain in [
        None,
        seen(serial, soon, 0),
        seen(serial, DRAIN.settle, 1),
        seen(serial + 1, DRAIN.settle, 0),
    ] {
        cluster.node("a").drain = drain;
        cluster.decide();
        assert_eq!(cluster.stands("a"), ("Draining", None));
    }
    cluster.empty("a");
    assert_eq!(cluster.stands("a"), ("Drained", None));
}

#[test]
fn who_uncordons_a_node_has_it_until_the_next_generation_or_a_resume() {
    for with_mark in [false, true] {
        let mut cluster = Cluster::draining(&["a"]);
        cluster.uncordon("a", with_mark);
        assert!(cluster.step().orders.is_empty());
        assert_eq!(cluster.stands("a"), ("Restoring", Some(Why::TakenOver)));
        assert_eq!(cluster.decide(), None);
        assert!(cluster.reserved().is_empty() && cluster.ledger.failures.is_empty());
        assert_eq!(cluster.fleet.nodes["a"].cordon, Cordon::None);
        cluster.pass(10_000);
        assert_eq!(cluster.decide(), None);
        assert!(cluster.reserved().is_empty());
        cluster.policy.resumes += 1;
        cluster.decide();
        assert_eq!(cluster.reserved(), ["a"]);
    }
}

#[test]
fn that_a_mark_is_not_seen_proves_nothing_before_the_node_was_read_anew() {
    let mut cluster = Cluster::draining(&["a"]);
    cluster.uncordon("a", true);
    let Cluster {
        policy,
        ledger,
        fleet,
        now,
    } = &cluster;
    let decision = decide(policy, ledger, fleet, *now);
    assert!(decision.ledger.is_none() && decision.orders.is_empty());
    assert_eq!(decision.unsure["uid-of-a"], "a");
}

#[test]
fn a_permit_that_may_be_on_its_way_is_called_back_before_the_slot_comes_back() {
    let mut cluster = Cluster::draining(&["a"]);
    cluster.pods("a", 0, Duration::ZERO);
    cluster.step();
    // Somebody gives the permit, and it does not arrive yet.
    let permit = cluster.step().permits["a"].clone();
    cluster.uncordon("a", false);
    cluster.step();
    assert_eq!(cluster.stands("a"), ("Withdrawing", Some(Why::TakenOver)));
    let void = cluster.step().permits["a"].clone();
    assert!(void.is_void() && void.serial > permit.serial);
    let withdrawing = cluster.ledger.clone();
    let record = cluster.node("a").record.get_or_insert_default();
    record.permit = Some(void);
    assert_eq!(record.unanswered("uid-of-a"), None);
    cluster.step();
    assert_eq!(cluster.stands("a"), ("Restoring", Some(Why::TakenOver)));
    // It did arrive: then the node acts, whatever became of the cordon, and keeps its slot.
    cluster.ledger = withdrawing;
    cluster.node("a").record.get_or_insert_default().permit = Some(permit);
    cluster.decide();
    assert_eq!(cluster.stands("a"), ("Drained", None));
    cluster.reach("a");
    cluster.decide();
    assert!(cluster.reserved().is_empty() && cluster.ledger.parked.is_empty());
}

#[test]
fn no_permit_is_given_to_a_node_that_is_not_cordoned_now() {
    let mut cluster = Cluster::draining(&["a"]);
    cluster.pods("a", 0, Duration::ZERO);
    cluster.step();
    let old = decide(
        &cluster.policy,
        &cluster.ledger,
        &cluster.fleet,
        cluster.now,
    );
    assert!(old.permits.is_empty() && old.unsure.contains_key("uid-of-a"));
    assert!(cluster.look().permits.contains_key("a"));
}

#[test]
fn what_others_cordoned_is_left_alone() {
    let mut cluster = Cluster::draining(&[]);
    for name in ["a", "b"] {
        cluster.fleet.nodes.insert(name.to_owned(), node(name));
    }
    cluster.node("a").cordon = Cordon::Foreign;
    // A mark that names another node is none.
    cluster.node("b").cordon = Cordon::Ours(Mark {
        uid: "another".to_owned(),
        serial: 1,
        prior: false,
    });
    assert_eq!(cluster.decide(), Some(Waiting::Nodes));
    assert!(cluster.reserved().is_empty() && cluster.look().orders.is_empty());
    // One who cordons between the slot and our cordon keeps the node, too.
    cluster.node("a").cordon = Cordon::None;
    cluster.step();
    cluster.node("a").cordon = Cordon::Foreign;
    assert!(cluster.step().orders.is_empty());
    assert_eq!(cluster.stands("a"), ("Restoring", Some(Why::Foreign)));
    cluster.decide();
    assert!(cluster.reserved().is_empty());
    assert_eq!(cluster.fleet.nodes["a"].cordon, Cordon::Foreign);
}

#[test]
fn who_is_to_stay_cordoned_stays_so() {
    let mut cluster = Cluster::draining(&["a"]);
    let mark = cluster.node("a").mark().unwrap().clone();
    cluster.node("a").cordon = Cordon::Ours(Mark {
        prior: true,
        ..mark
    });
    cluster.empty("a");
    cluster.reach("a");
    cluster.decide();
    assert!(cluster.reserved().is_empty());
    assert_eq!(cluster.fleet.nodes["a"].cordon, Cordon::Foreign);
}

#[test]
fn who_has_no_permit_when_a_gate_closes_is_uncordoned_and_who_has_goes_on() {
    for (why, close) in [
        (
            Why::Paused,
            (|cluster| cluster.policy.paused = true) as fn(&mut Cluster),
        ),
        (Why::Window, |cluster| cluster.policy.open = false),
        (Why::Held, |cluster| cluster.node("b").held = true),
        (Why::Strategy, |cluster| {
            cluster.policy.strategy = Strategy::FileOnly;
            cluster.node("b").held = true;
        }),
        (Why::Halted, |cluster| {
            cluster.ledger.halt = Some(super::super::super::ledger::Halt {
                reason: HaltReason::FailureBudgetSpent,
                since: cluster.now,
            });
        }),
    ] {
        let mut cluster = Cluster::draining(&["a", "b"]);
        cluster.empty("a");
        close(&mut cluster);
        cluster.step();
        assert_eq!(cluster.stands("b"), ("Restoring", Some(why)));
        cluster.decide();
        assert_eq!(cluster.reserved(), ["a"], "{why:?}");
        assert_eq!(cluster.fleet.nodes["b"].cordon, Cordon::None);
        assert!(cluster.ledger.parked.is_empty() && cluster.ledger.failures.is_empty());
        // Clean-up waits for nothing.
        cluster.reach("a");
        cluster.decide();
        assert!(cluster.reserved().is_empty(), "{why:?}");
        assert_eq!(cluster.fleet.nodes["a"].cordon, Cordon::None);
    }
}

#[test]
fn a_new_generation_does_not_drain_again() {
    let mut cluster = Cluster::draining(&["a", "b"]);
    cluster.empty("b");
    cluster.reach("b");
    cluster.step();
    assert_eq!(cluster.stands("b"), ("Verifying", None));
    let before = cluster.ledger.clone();
    cluster.change(2);
    cluster.step();
    for (name, phase) in [("a", "Draining"), ("b", "Drained")] {
        let (former, next) = (
            &before.reservations[name],
            &cluster.ledger.reservations[name],
        );
        assert_eq!((cluster.stands(name).0, next.mark), (phase, former.mark));
        assert_eq!(next.permit.generation, before.generation + 1);
    }
    cluster.decide();
    assert!(cluster.has_begun("b") && !cluster.has_begun("a"));
}

#[test]
fn who_is_done_is_seen_ready_after_its_answer_or_has_failed() {
    let mut cluster = Cluster::draining(&["a"]);
    cluster.empty("a");
    cluster.reach("a");
    cluster.node("a").ready = false;
    cluster.decide();
    assert_eq!(cluster.stands("a"), ("Verifying", None));
    assert!(cluster.node("a").mark().is_some());
    cluster.pass(6);
    cluster.decide();
    assert!(cluster.reserved().is_empty());
    assert!(cluster.ledger.failures.contains_key("uid-of-a"));
    assert_eq!(cluster.fleet.nodes["a"].cordon, Cordon::None);
}

#[test]
fn a_canary_is_done_when_it_is_uncordoned_and_replaced_when_it_cannot_be_drained() {
    let mut cluster = Cluster::new(&["a", "b"]);
    cluster.policy.strategy = Strategy::Drain(DRAIN);
    cluster.decide();
    cluster.pass(11);
    cluster.decide();
    assert_eq!(cluster.reserved(), ["b"]);
    cluster.empty("b");
    cluster.reach("b");
    cluster.step();
    assert_eq!(cluster.ledger.stage, Stage::Canary);
    assert_eq!(cluster.decide(), Some(Waiting::Soaking));
}

#[test]
fn a_mark_that_a_late_write_left_goes_and_a_newer_one_stays() {
    let mut cluster = Cluster::draining(&[]);
    cluster.fleet.nodes.insert("a".to_owned(), node("a"));
    let permits = cluster.ledger.permits;
    let marked = |serial| {
        Cordon::Ours(Mark {
            uid: "uid-of-a".to_owned(),
            serial,
            prior: false,
        })
    };
    // Whoever set it knows more.
    cluster.node("a").cordon = marked(permits + 1);
    assert_eq!(cluster.decide(), Some(Waiting::Nodes));
    assert!(cluster.look().orders.is_empty());
    cluster.policy.paused = true;
    cluster.node("a").cordon = marked(permits);
    assert_eq!(cluster.decide(), Some(Waiting::Paused));
    assert_eq!(cluster.fleet.nodes["a"].cordon, Cordon::None);
    // A rollout that was made anew counts on from it.
    cluster.policy.paused = false;
    cluster.node("a").cordon = marked(99);
    cluster.ledger = Ledger::default();
    cluster.decide();
    assert_eq!(cluster.fleet.nodes["a"].cordon, Cordon::None);
    assert!(cluster.ledger.permits > 99);
}

#[test]
fn a_slot_of_a_node_that_is_gone_comes_back_from_every_phase() {
    let mut cluster = Cluster::draining(&["a"]);
    cluster.fleet.nodes.remove("a");
    assert_eq!(cluster.look().missing["uid-of-a"], "a");
    cluster.fleet.gone.insert("uid-of-a".to_owned());
    cluster.decide();
    assert!(cluster.reserved().is_empty());
    // One of its name inherits nothing.
    cluster.fleet.nodes.insert(
        "a".to_owned(),
        Node {
            uid: "another".to_owned(),
            ..node("a")
        },
    );
    cluster.decide();
    assert_eq!(cluster.ledger.reservations["a"].permit.uid, "another");
    let serial = cluster.ledger.permits;
    assert!(cluster.node("a").is_cordoned_for(serial));
}

#[test]
fn a_ledger_says_how_far_a_drain_is_and_one_of_before_drains_is_read() {
    let mut cluster = Cluster::draining(&["a", "b"]);
    cluster.empty("a");
    cluster.pass(11);
    cluster.step();
    let written = serde_json::to_value(&cluster.ledger).unwrap();
    assert_eq!(Ledger::read(Some(&written)).unwrap(), cluster.ledger);
    let phase = &written["reservations"]["b"]["phase"];
    assert_eq!(phase["name"], "Restoring");
    assert_eq!(phase["why"], "Overdue");
    assert_eq!(written["parked"]["uid-of-b"]["times"], 1);
    let mut surplus = written.clone();
    surplus["reservations"]["b"]["phase"]["more"] = 1.into();
    assert!(Ledger::read(Some(&surplus)).is_err());
    // Where only files are replaced, nothing of it is written.
    let files = serde_json::to_string(&Cluster::in_waves(&["a", "b"]).ledger).unwrap();
    for word in ["phase", "mark", "parked"] {
        assert!(!files.contains(word), "{files}");
    }
    let reservation = &cluster.ledger.reservations["a"];
    assert!(matches!(reservation.phase, Phase::Drained { .. }));
}

#[test]
fn what_was_seen_before_the_ledger_was_read_moves_nothing() {
    let mut cluster = Cluster::draining(&["a"]);
    cluster.pods("a", 0, Duration::ZERO);
    for phase in ["Draining", "Drained", "Verifying", "Restoring"] {
        assert_eq!(cluster.stands("a").0, phase);
        let Cluster {
            policy,
            ledger,
            fleet,
            now,
        } = &cluster;
        let old = decide(policy, ledger, fleet, *now);
        assert!(old.ledger.is_none() && old.permits.is_empty(), "{phase}");
        assert_eq!(old.unsure["uid-of-a"], "a");
        if phase == "Drained" {
            let permit = cluster.step().permits["a"].clone();
            cluster.node("a").record.get_or_insert_default().permit = Some(permit);
            cluster.reach("a");
        }
        cluster.step();
        if phase == "Verifying" {
            cluster.uncordon("a", true);
        }
    }
    assert!(cluster.reserved().is_empty());
}

#[test]
fn who_acts_goes_on_with_a_new_generation_whatever_became_of_its_cordon() {
    let mut cluster = Cluster::draining(&["a"]);
    cluster.empty("a");
    assert!(cluster.has_begun("a"));
    let unseen = cluster.fleet.nodes["a"].record.clone();
    cluster.change(2);
    cluster.uncordon("a", false);
    let acting = cluster.ledger.clone();
    cluster.decide();
    assert!(cluster.has_begun("a"));
    // Somebody who had not seen the first permit has begun to call the second one back, and a third generation came.
    cluster.ledger = acting;
    cluster.node("a").record.as_mut().unwrap().permit = None;
    cluster.step();
    cluster.step();
    assert_eq!(cluster.stands("a"), ("Withdrawing", Some(Why::TakenOver)));
    let permit = unseen.unwrap().permit;
    cluster.node("a").record.as_mut().unwrap().permit = permit;
    cluster.change(3);
    cluster.step();
    cluster.decide();
    let reservation = &cluster.ledger.reservations["a"];
    assert_eq!(reservation.permit.generation, cluster.ledger.generation);
    assert!(cluster.has_begun("a"));
}

#[test]
fn who_was_drained_is_well_when_it_says_so_after_it_restarted_services() {
    let mut cluster = Cluster::draining(&["a"]);
    assert!(cluster.ledger.reservations["a"].restart);
    cluster.empty("a");
    cluster.reach("a");
    let record = cluster.node("a").record.as_mut().unwrap();
    record.report.as_mut().unwrap().restarted = Some(Time(1000));
    cluster.node("a").heartbeat = Some(Time(1000));
    cluster.decide();
    assert_eq!(cluster.stands("a"), ("Verifying", None));
    cluster.node("a").heartbeat = Some(Time(1001));
    cluster.decide();
    assert!(cluster.reserved().is_empty());
}
