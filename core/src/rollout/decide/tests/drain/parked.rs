//! Nodes that are given up for a while.

use super::*;

#[test]
fn a_drain_that_takes_too_long_is_given_up_for_a_while_that_grows() {
    let mut cluster = Cluster::draining(&["a", "b", "c"]);
    assert_eq!(cluster.reserved(), ["a", "b"]);
    cluster.policy.slots = Limit::Count(1);
    cluster.empty("b");
    cluster.reach("b");
    cluster.decide();
    cluster.pass(11);
    // Somebody else goes on.
    cluster.decide();
    assert_eq!(cluster.reserved(), ["c"]);
    assert_eq!(cluster.fleet.nodes["a"].cordon, Cordon::None);
    let parked = cluster.ledger.parked["uid-of-a"].clone();
    assert_eq!((parked.why, parked.times), (Why::Overdue, 1));
    cluster.empty("c");
    cluster.reach("c");
    assert_eq!(cluster.decide(), Some(Waiting::Parked));
    for times in 1..4 {
        cluster.pass(5 * (1 << (times - 1)) - 1);
        assert_eq!(cluster.decide(), Some(Waiting::Parked));
        cluster.pass(1);
        cluster.decide();
        assert_eq!(cluster.reserved(), ["a"]);
        cluster.pass(11);
        cluster.decide();
        assert_eq!(cluster.ledger.parked["uid-of-a"].times, times + 1);
    }
    assert_eq!(DRAIN.pause(99), DRAIN.backoff * Drain::LONGEST_BACKOFF);
    // Who gets there in the end has not failed.
    cluster.pass(100);
    cluster.decide();
    cluster.empty("a");
    cluster.reach("a");
    assert_eq!(cluster.decide(), None);
    assert!(cluster.ledger.parked.is_empty() && cluster.ledger.failures.is_empty());
}

#[test]
fn who_could_not_be_drained_is_not_cordoned_and_is_tried_again_later() {
    let mut cluster = Cluster::draining(&[]);
    for name in ["a", "b", "c"] {
        cluster.fleet.nodes.insert(name.to_owned(), node(name));
    }
    cluster.step();
    assert_eq!(cluster.reserved(), ["a", "b"]);
    cluster.inspected("a", &["web/front-0: a budget allows nothing"]);
    cluster.inspected("b", &[]);
    let decision = cluster.step();
    assert_eq!(cluster.stands("a"), ("Restoring", Some(Why::Blocked)));
    assert!(matches!(decision.orders["b"], Order::Cordon { .. }));
    assert!(!decision.orders.contains_key("a"));
    cluster.decide();
    assert_eq!(cluster.reserved(), ["b", "c"]);
    assert_eq!(cluster.fleet.nodes["a"].cordon, Cordon::None);
    assert_eq!(cluster.ledger.parked["uid-of-a"].why, Why::Blocked);
    for name in ["b", "c"] {
        cluster.empty(name);
        cluster.reach(name);
    }
    assert_eq!(cluster.decide(), Some(Waiting::Parked));
    // Nobody was harmed.
    assert!(!cluster.ledger.is_halted() && cluster.ledger.failures.is_empty());
    cluster.pass(5);
    cluster.decide();
    // What was seen for a former slot proves nothing for this one.
    assert_eq!(cluster.stands("a"), ("Draining", None));
}

#[test]
fn what_the_api_server_puts_off_is_not_held_against_the_pods_for_ever() {
    let mut cluster = Cluster::draining(&["a"]);
    let serial = cluster.ledger.reservations["a"].mark.unwrap();
    let mut seen = |throttled| {
        cluster.node("a").drain = Some(DrainView {
            serial,
            left: 1,
            throttled: Duration::from_mins(throttled),
            ..DrainView::default()
        });
        cluster.pass(7);
        cluster.decide();
        cluster.ledger.reservations.contains_key("a")
    };
    assert!(seen(0));
    assert!(seen(5));
    assert!(!seen(60));
}

#[test]
fn drains_that_take_too_long_count_as_failures_once_each() {
    let mut cluster = Cluster::draining(&["a", "b", "c"]);
    cluster.policy.slots = Limit::Count(1);
    cluster.empty("b");
    cluster.reach("b");
    cluster.decide();
    for _ in 0..2 {
        cluster.node("c").held = true;
        cluster.pass(11);
        cluster.decide();
        assert!(!cluster.ledger.is_halted());
        cluster.pass(100);
        cluster.decide();
    }
    cluster.node("a").held = true;
    cluster.node("c").held = false;
    cluster.decide();
    assert_eq!(cluster.reserved(), ["c"]);
    cluster.pass(11);
    assert_eq!(cluster.decide(), Some(Waiting::Halted));
    assert!(cluster.reserved().is_empty());
}

#[test]
fn of_two_nodes_without_progress_the_younger_one_yields() {
    let mut cluster = Cluster::draining(&["a", "b"]);
    cluster.pods("a", 1, DRAIN.patience);
    cluster.pods("b", 1, DRAIN.patience - Duration::from_secs(1));
    cluster.decide();
    assert_eq!(cluster.reserved(), ["a", "b"]);
    cluster.pods("b", 1, DRAIN.patience);
    cluster.step();
    assert_eq!(cluster.stands("b"), ("Restoring", Some(Why::Stuck)));
    cluster.decide();
    assert_eq!(cluster.stands("a"), ("Draining", None));
    assert_eq!(cluster.ledger.parked["uid-of-b"].why, Why::Stuck);
    assert_eq!(cluster.fleet.nodes["b"].cordon, Cordon::None);
}
