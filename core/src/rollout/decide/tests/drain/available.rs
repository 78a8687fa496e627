//! Nodes that are unavailable, whoever is the reason.

use super::*;

#[test]
fn unavailable_nodes_count_once_whatever_the_reason() {
    let mut cluster = Cluster::draining(&[]);
    for name in ["a", "b", "c", "d", "e"] {
        cluster.fleet.nodes.insert(name.to_owned(), node(name));
    }
    cluster.policy.slots = Limit::Count(9);
    cluster.policy.max_unavailable = Some(Limit::Count(3));
    cluster.node("d").ready = false;
    cluster.node("e").cordon = Cordon::Foreign;
    assert_eq!(cluster.decide(), Some(Waiting::Unavailable));
    assert_eq!(cluster.reserved(), ["a"]);
    cluster.node("a").ready = false;
    assert_eq!(cluster.decide(), Some(Waiting::Unavailable));
    assert_eq!(cluster.reserved(), ["a"]);
    cluster.node("d").ready = true;
    cluster.decide();
    assert_eq!(cluster.reserved(), ["a", "b"]);
    // Files make nobody unavailable.
    cluster.policy.strategy = Strategy::FileOnly;
    cluster.decide();
    assert!(cluster.reserved().contains(&"e"));
}

#[test]
fn a_pool_that_others_manage_is_shared_with_them() {
    let mut cluster = Cluster::draining(&[]);
    let pool = Pool {
        busy: false,
        max_unavailable: Some(Limit::Count(1)),
    };
    cluster.fleet.pools.insert("worker".to_owned(), pool);
    for name in ["a", "b", "c", "d"] {
        let managed = (name != "d").then(|| "worker".to_owned());
        cluster.fleet.nodes.insert(
            name.to_owned(),
            Node {
                managed,
                ..node(name)
            },
        );
    }
    // One of them is cordoned by somebody else.
    cluster.node("a").cordon = Cordon::Foreign;
    cluster.decide();
    assert_eq!(cluster.reserved(), ["d"]);
    cluster.node("a").cordon = Cordon::None;
    assert_eq!(cluster.decide(), Some(Waiting::Slots));
    assert_eq!(cluster.reserved(), ["a", "d"]);
    // Files are replaced whatever others do.
    cluster.policy.strategy = Strategy::FileOnly;
    cluster.policy.slots = Limit::Count(4);
    cluster.decide();
    assert_eq!(cluster.reserved(), ["a", "b", "c", "d"]);
}

#[test]
fn nobody_is_drained_in_a_pool_that_others_are_at_work_in() {
    let mut cluster = Cluster::draining(&["a", "b"]);
    cluster.node("a").managed = Some("worker".to_owned());
    cluster.empty("b");
    assert_eq!(cluster.reserved(), ["a", "b"]);
    let busy = Pool {
        busy: true,
        max_unavailable: None,
    };
    cluster.fleet.pools.insert("worker".to_owned(), busy);
    cluster.step();
    assert_eq!(cluster.stands("a"), ("Restoring", Some(Why::Held)));
    cluster.decide();
    assert_eq!(cluster.reserved(), ["b"]);
    cluster.fleet.pools.clear();
    cluster.decide();
    assert_eq!(cluster.reserved(), ["a", "b"]);
}

#[test]
fn the_control_plane_waits_while_one_of_its_nodes_is_cordoned() {
    let mut cluster = Cluster::draining(&[]);
    for name in ["m1", "m2", "m3"] {
        cluster.fleet.nodes.insert(name.to_owned(), node(name));
        cluster.node(name).control_plane = true;
    }
    cluster.node("m1").cordon = Cordon::Foreign;
    assert_eq!(cluster.decide(), Some(Waiting::Slots));
    assert!(cluster.reserved().is_empty());
    cluster.node("m1").cordon = Cordon::None;
    cluster.decide();
    assert_eq!(cluster.reserved(), ["m1"]);
}
