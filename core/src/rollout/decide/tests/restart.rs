use super::super::super::reservation::Phase;
use super::*;

impl Cluster {
    /// In waves, with nodes that restart services.
    fn restarting(names: &[&str]) -> Self {
        let mut cluster = Self::in_waves(&["canary"]);
        cluster.policy.strategy = Strategy::Restart;
        let nodes = names.iter().map(|name| ((*name).to_owned(), node(name)));
        cluster.fleet.nodes.extend(nodes);
        cluster.decide();
        cluster
    }

    /// What the node says, having restarted services then.
    fn restarts(&mut self, name: &str, outcome: Outcome, at: Time) {
        self.report(name, outcome);
        let record = self.node(name).record.as_mut().unwrap();
        record.report.as_mut().unwrap().restarted = Some(at);
    }

    fn stage_of(&self, name: &str) -> Phase {
        self.ledger.reservations[name].phase.clone()
    }
}

#[test]
fn a_slot_comes_back_when_the_node_was_ready_after_it_restarted_services() {
    let mut cluster = Cluster::restarting(&["a", "b"]);
    assert!(cluster.ledger.reservations["a"].restart);
    cluster.node("a").heartbeat = Some(Time(1000));
    for outcome in [Outcome::Reached, Outcome::Failed("why".to_owned())] {
        let mut cluster = cluster_of(&cluster);
        cluster.restarts("a", outcome, Time(1000));
        cluster.decide();
        // It says that it is ready; but it said so before.
        assert!(cluster.node("a").ready);
        assert!(matches!(cluster.stage_of("a"), Phase::Verifying { .. }));
        cluster.node("a").heartbeat = None;
        cluster.decide();
        assert_eq!(cluster.reserved(), ["a", "b"]);
        cluster.node("a").heartbeat = Some(Time(1001));
        cluster.node("a").ready = false;
        cluster.decide();
        assert_eq!(cluster.reserved(), ["a", "b"]);
        cluster.node("a").ready = true;
        cluster.decide();
        assert_eq!(cluster.reserved(), ["b"]);
    }
}

fn cluster_of(cluster: &Cluster) -> Cluster {
    Cluster {
        policy: cluster.policy.clone(),
        ledger: cluster.ledger.clone(),
        fleet: cluster.fleet.clone(),
        now: cluster.now,
    }
}

#[test]
fn where_nothing_was_restarted_ready_is_enough_once_it_was_read_after_the_ledger() {
    let mut cluster = Cluster::restarting(&["a"]);
    cluster.reach("a");
    let next = cluster.look().ledger.unwrap();
    assert!(matches!(
        next.reservations["a"].phase,
        Phase::Verifying { .. }
    ));
    cluster.ledger = next;
    let Cluster {
        policy,
        ledger,
        fleet,
        now,
    } = &cluster;
    let unread = decide(policy, ledger, fleet, *now);
    assert_eq!(unread.ledger, None);
    assert_eq!(unread.unsure["uid-of-a"], "a");
    cluster.decide();
    assert!(cluster.reserved().is_empty());
}

#[test]
fn who_does_not_come_back_fails_at_the_deadline() {
    let mut cluster = Cluster::restarting(&["a", "b"]);
    cluster.policy.failures.count = 9;
    cluster.restarts("a", Outcome::Reached, Time(1000));
    cluster.decide();
    cluster.pass(5);
    cluster.decide();
    assert!(cluster.ledger.failures.is_empty());
    cluster.pass(1);
    cluster.decide();
    assert!(cluster.ledger.failures.contains_key("uid-of-a"));
    assert!(!cluster.reserved().contains(&"a"));
}

#[test]
fn a_canary_that_restarts_services_has_not_succeeded_before_it_is_well() {
    let mut cluster = Cluster::new(&["a", "b"]);
    cluster.policy.strategy = Strategy::Restart;
    cluster.decide();
    cluster.restarts("a", Outcome::Reached, Time(1000));
    assert_eq!(cluster.decide(), Some(Waiting::Canary));
    cluster.node("a").heartbeat = Some(Time(2000));
    assert_eq!(cluster.decide(), Some(Waiting::Soaking));
}

#[test]
fn who_is_unavailable_counts_where_services_are_restarted() {
    let mut cluster = Cluster::in_waves(&["canary"]);
    cluster.policy.strategy = Strategy::Restart;
    cluster.policy.max_unavailable = Some(Limit::Count(2));
    cluster.policy.slots = Limit::Count(3);
    for name in ["a", "b", "c", "d"] {
        cluster.fleet.nodes.insert(name.to_owned(), node(name));
    }
    cluster.node("d").ready = false;
    assert_eq!(cluster.decide(), Some(Waiting::Unavailable));
    assert_eq!(cluster.reserved(), ["a"]);
    // Where only files are replaced nobody is.
    cluster.policy.strategy = Strategy::FileOnly;
    cluster.decide();
    assert_eq!(cluster.reserved(), ["a", "b", "c"]);
    assert!(!cluster.ledger.reservations["b"].restart);
}

#[test]
fn who_is_looked_at_when_something_newer_comes_begins_with_that() {
    let mut cluster = Cluster::restarting(&["a"]);
    cluster.restarts("a", Outcome::Reached, Time(1000));
    cluster.decide();
    cluster.change(2);
    cluster.decide();
    let reservation = &cluster.ledger.reservations["a"];
    assert!(reservation.phase == Phase::Reserved && reservation.restart);
    assert!(cluster.fleet.nodes["a"].has_permit(&reservation.permit));
    // The former restart is not forgotten: the agent tells it again.
    cluster.reach("a");
    cluster.decide();
    assert!(matches!(cluster.stage_of("a"), Phase::Verifying { .. }));
}

#[test]
fn a_record_that_is_older_than_the_answer_proves_nothing() {
    let mut cluster = Cluster::restarting(&["a"]);
    let before = cluster.node("a").record.clone();
    cluster.restarts("a", Outcome::Reached, Time(1000));
    cluster.decide();
    cluster.node("a").record = before;
    cluster.decide();
    assert_eq!(cluster.reserved(), ["a"]);
}

#[test]
fn who_is_in_a_group_that_somebody_else_works_on_is_left_alone() {
    let mut cluster = Cluster::in_waves(&["canary"]);
    cluster.policy.strategy = Strategy::Restart;
    cluster.fleet.nodes.insert("a".to_owned(), node("a"));
    cluster.node("a").managed = Some("worker".to_owned());
    let busy = Pool {
        busy: true,
        ..Pool::default()
    };
    cluster.fleet.pools.insert("worker".to_owned(), busy);
    assert_eq!(cluster.decide(), Some(Waiting::Nodes));
    cluster.fleet.pools.clear();
    cluster.decide();
    assert_eq!(cluster.reserved(), ["a"]);
}
