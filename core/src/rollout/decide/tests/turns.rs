//! Whose turn it is, where not everybody has had one.

use super::super::super::policy::Drain;
use super::*;

#[test]
fn who_never_becomes_empty_is_tried_again_after_everybody_else() {
    let mut cluster = Cluster::in_waves(&["canary"]);
    cluster.policy.strategy = Strategy::Drain(Drain {
        settle: Duration::from_secs(30),
        deadline: Duration::from_mins(10),
        patience: Duration::from_mins(2),
        backoff: Duration::from_mins(1),
    });
    cluster.policy.slots = Limit::Count(1);
    cluster.policy.failures.count = 9;
    for name in ["a", "b", "c"] {
        cluster.fleet.nodes.insert(name.to_owned(), node(name));
    }
    for next in ["a", "b", "c", "a"] {
        cluster.decide();
        assert_eq!(cluster.reserved(), [next]);
        cluster.pass(11);
    }
}

#[test]
fn whom_a_generation_did_not_come_to_goes_first_in_the_next() {
    let mut cluster = Cluster::in_waves(&["a", "b"]);
    cluster.policy.slots = Limit::Count(1);
    cluster.reach("b");
    cluster.decide();
    for name in ["c", "d"] {
        cluster.fleet.nodes.insert(name.to_owned(), node(name));
    }
    cluster.change(2);
    cluster.decide();
    assert_eq!(cluster.reserved(), ["a"]);
    cluster.reach("a");
    cluster.decide();
    cluster.pass(1);
    for next in ["c", "d", "b"] {
        cluster.decide();
        assert_eq!(cluster.reserved(), [next]);
        cluster.reach(next);
    }
}

#[test]
fn the_control_plane_stays_last_when_a_generation_did_not_come_to_it_but_not_for_ever() {
    let mut cluster = Cluster::in_waves(&["canary"]);
    cluster.policy.slots = Limit::Count(1);
    for name in ["cp", "w"] {
        cluster.fleet.nodes.insert(name.to_owned(), node(name));
    }
    cluster.node("cp").control_plane = true;
    for version in 2..6 {
        cluster.decide();
        assert_eq!(cluster.reserved(), ["w"], "{version}");
        cluster.reach("w");
        cluster.policy.paused = true;
        cluster.decide();
        cluster.policy.paused = false;
        cluster.change(version);
        cluster.decide();
        assert_eq!(cluster.reserved(), ["canary"], "{version}");
        cluster.reach("canary");
        cluster.decide();
        cluster.pass(1);
    }
    cluster.decide();
    assert_eq!(cluster.reserved(), ["cp"]);
}
