use std::collections::BTreeMap;

use pullkeeper_core::rollout::{
    self, Failure, Halt, HaltReason, Node, Outcome, Parked, Permit, Record, Report, Reservation,
};

use super::*;

fn node(reached: Option<u64>) -> Node {
    let uid = "u".to_owned();
    let report = reached.map(|generation| Report {
        permit: Permit {
            uid: uid.clone(),
            generation,
            serial: 1,
        },
        restarted: None,
        outcome: Outcome::Reached,
    });
    Node {
        uid,
        record: Some(Record {
            report,
            ..Record::default()
        }),
        ..Node::default()
    }
}

fn fleet() -> Fleet {
    let nodes = [("a", Some(2)), ("b", Some(1)), ("c", None)];
    Fleet {
        nodes: nodes
            .map(|(name, reached)| (name.to_owned(), node(reached)))
            .into(),
        ..Fleet::default()
    }
}

fn ledger(at_work: &[&str], failed: &[&str]) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.generation = 2;
    ledger.stage = Stage::Waves;
    for name in at_work {
        let permit = Permit {
            uid: "u".to_owned(),
            generation: 2,
            serial: 9,
        };
        let reservation = Reservation {
            permit,
            since: Time(0),
            restart: false,
            provider: false,
            permitted: None,
            mark: None,
            phase: rollout::Phase::Reserved,
        };
        ledger.reservations.insert((*name).to_owned(), reservation);
    }
    for name in failed {
        let failure = Failure {
            node: (*name).to_owned(),
            reason: "the disk is full".to_owned(),
            since: Time(0),
        };
        ledger.failures.insert(format!("uid-of-{name}"), failure);
    }
    ledger
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn published(ledger: &Ledger, waiting: Option<Waiting>) -> PullSecretRolloutStatus {
    let situation = Situation::Decided {
        ledger,
        fleet: &fleet(),
        waiting,
    };
    status(&PullSecretRolloutStatus::default(), situation, 7, at(1))
}

fn conditions(status: &PullSecretRolloutStatus) -> BTreeMap<&str, (&str, &str)> {
    let all = status.conditions.iter();
    all.map(|one| {
        (
            one.type_.as_str(),
            (one.status.as_str(), one.reason.as_str()),
        )
    })
    .collect()
}

#[test]
fn every_phase_says_what_it_waits_for() {
    let idle = ledger(&[], &[]);
    let busy = ledger(&["b"], &[]);
    for (ledger, waiting, phase) in [
        (&idle, Some(Waiting::Revision), Phase::Unknown),
        (&idle, Some(Waiting::Paused), Phase::Paused),
        (&idle, Some(Waiting::Window), Phase::Waiting),
        (&busy, Some(Waiting::Window), Phase::Waves),
        (&idle, Some(Waiting::Nodes), Phase::Waiting),
        (&busy, Some(Waiting::Slots), Phase::Waves),
        (&busy, None, Phase::Waves),
        (&idle, None, Phase::Complete),
    ] {
        let status = published(ledger, waiting);
        assert_eq!(status.phase, phase, "{waiting:?}");
        assert!(!status.message.is_empty());
        assert_eq!(status.since, Some(KubeTime(at(1))));
    }
    let status = published(&busy, None);
    assert_eq!(status.message, "1 of 3 nodes have it, 1 are at work");
    assert_eq!(
        status.nodes,
        Counts {
            total: 3,
            updated: 1,
            updating: 1,
            failed: 0,
            parked: 0,
            waiting: 1
        }
    );
}

#[test]
fn a_halt_names_nodes_reason_and_remedy() {
    let mut halted = ledger(&[], &["b", "c"]);
    halted.halt = Some(Halt {
        reason: HaltReason::FailureBudgetSpent,
        since: Time(60_000),
    });
    // Whether somebody is left who could go on, or the harm was done to all.
    for waiting in [Some(Waiting::Halted), None] {
        let status = published(&halted, waiting);
        assert_eq!(status.phase, Phase::Halted);
        for part in ["b, c failed", "the disk is full", "spec.resumes"] {
            assert!(status.message.contains(part), "{}", status.message);
        }
        let halt = status.halt.clone().unwrap();
        assert_eq!(
            (halt.since, halt.nodes),
            (Some(KubeTime(at(60))), vec!["b".to_owned(), "c".to_owned()])
        );
        let conditions = conditions(&status);
        assert_eq!(conditions["Degraded"], ("True", "FailureBudgetSpent"));
        assert_eq!(conditions["Progressing"], ("False", "Halted"));
        assert_eq!(conditions["Accepted"], ("True", "Accepted"));
    }
}

#[test]
fn what_cannot_be_followed_keeps_what_was_known_and_names_the_field() {
    let before = published(&ledger(&["b"], &[]), None);
    let situation = Situation::Invalid {
        reason: "InvalidSpec",
        message: "spec.maxParallel must be at most 100%",
    };
    let status = status(&before, situation, 8, at(5));
    assert_eq!((status.phase, status.nodes), (Phase::Invalid, before.nodes));
    assert!(status.message.contains("spec.maxParallel"));
    assert_eq!(conditions(&status)["Accepted"], ("False", "InvalidSpec"));
    let accepted = &status.conditions[0];
    assert_eq!(accepted.last_transition_time, KubeTime(at(5)));
    assert_eq!(accepted.observed_generation, Some(8));
}

#[test]
fn former_generations_are_remembered_and_not_for_ever() {
    let mut last = published(&ledger(&["b"], &[]), None);
    for generation in 3..=20 {
        let mut next = ledger(&["b"], &[]);
        next.generation = generation;
        let situation = Situation::Decided {
            ledger: &next,
            fleet: &fleet(),
            waiting: None,
        };
        last = status(&last, situation, 7, at(1));
    }
    let generations: Vec<_> = last.history.iter().map(|past| past.generation).collect();
    assert_eq!(generations, (10..=19).rev().collect::<Vec<_>>());
    assert_eq!(last.history[0].phase, Phase::Waves);
}

#[test]
fn what_is_not_new_is_not_said_again() {
    let ledger = ledger(&["b"], &[]);
    let before = published(&ledger, None);
    let situation = Situation::Decided {
        ledger: &ledger,
        fleet: &fleet(),
        waiting: Some(Waiting::Slots),
    };
    assert_eq!(status(&before, situation, 7, at(100)), before);
}

#[test]
fn what_is_read_back_is_not_new() {
    let mut ledger = ledger(&["b"], &["c"]);
    let odd = Time(1_790_000_000_123);
    ledger.reservations.get_mut("b").unwrap().since = odd;
    ledger.halt = Some(Halt {
        reason: HaltReason::CanaryFailed,
        since: odd,
    });
    let parked = Parked {
        node: "d".to_owned(),
        why: Why::Overdue,
        since: odd,
        times: 1,
    };
    ledger.parked.insert("uid-of-d".to_owned(), parked);
    let written = serde_json::to_value(published(&ledger, None)).unwrap();
    let before: PullSecretRolloutStatus = serde_json::from_value(written).unwrap();
    let situation = Situation::Decided {
        ledger: &ledger,
        fleet: &fleet(),
        waiting: None,
    };
    assert_eq!(status(&before, situation, 7, at(100)), before);
    assert_eq!(
        (&*before.at_work[0].node, &*before.parked[0].node),
        ("b", "d")
    );
    let halted = before.halt.unwrap();
    assert_eq!(halted.nodes, ["c", "d"]);
}

#[test]
fn a_drained_node_is_at_work_until_it_is_given_back() {
    let mut ledger = ledger(&["a"], &[]);
    let of = |ledger: &Ledger| published(ledger, None).nodes;
    assert_eq!((of(&ledger).updated, of(&ledger).updating), (1, 0));
    ledger.reservations.get_mut("a").unwrap().mark = Some(9);
    assert_eq!((of(&ledger).updated, of(&ledger).updating), (0, 1));
    let parked = Parked {
        node: "b".to_owned(),
        why: Why::Blocked,
        since: Time(0),
        times: 1,
    };
    ledger.parked.insert("uid-of-b".to_owned(), parked);
    let message = published(&ledger, None).message;
    assert!(
        message.ends_with("1 were not drained and are tried again"),
        "{message}"
    );
}

#[test]
fn who_is_unavailable_counts_once() {
    let mut fleet = fleet();
    for node in fleet.nodes.values_mut() {
        node.ready = true;
    }
    assert_eq!(unavailable(&ledger(&[], &[]), &fleet), 0);
    fleet.nodes.get_mut("a").unwrap().ready = false;
    fleet.nodes.get_mut("b").unwrap().cordon = rollout::Cordon::Foreign;
    assert_eq!(unavailable(&ledger(&[], &[]), &fleet), 2);
    assert_eq!(unavailable(&ledger(&["a", "c"], &[]), &fleet), 3);
}

#[test]
fn a_node_is_drained_once() {
    let since = Time(0);
    let at = |phase| {
        let mut ledger = ledger(&["a"], &[]);
        ledger.reservations.get_mut("a").unwrap().phase = phase;
        ledger
    };
    let draining = at(rollout::Phase::Draining { since });
    let is_drained = at(rollout::Phase::Drained { since });
    let names = |former, next| {
        drained(former, next)
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&draining, &is_drained), ["a"]);
    for (former, next) in [
        (&draining, &draining),
        (&is_drained, &is_drained),
        (&is_drained, &at(rollout::Phase::Verifying { since })),
    ] {
        assert!(names(former, next).is_empty());
    }
}
