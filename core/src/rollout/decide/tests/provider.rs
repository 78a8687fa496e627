//! Kubelets that are restarted for their provider.

use super::super::super::provider::{Provider, ProviderState};
use super::*;

fn provider(wanted: &str, state: ProviderState) -> Option<Provider> {
    Some(Provider {
        wanted: wanted.to_owned(),
        state,
    })
}

/// A cluster whose nodes have the credential, and whose kubelets wait for their provider.
fn waiting(names: &[&str]) -> Cluster {
    let mut cluster = Cluster::new(names);
    cluster.policy.canary = Canary::Count(0);
    cluster.policy.soak = Duration::ZERO;
    cluster.policy.slots = Limit::Count(5);
    settle(&mut cluster);
    for name in names {
        assert!(cluster.node(name).has_reached(1), "{name}");
    }
    for name in names {
        say(&mut cluster, name, "a", ProviderState::Waiting);
    }
    cluster.policy.soak = Duration::from_secs(60);
    cluster
}

fn say(cluster: &mut Cluster, name: &str, wanted: &str, state: ProviderState) {
    cluster.node(name).record.as_mut().unwrap().provider = provider(wanted, state);
}

/// Every node that has a permit for a credential takes it.
fn settle(cluster: &mut Cluster) {
    for _ in 0..10 {
        cluster.decide();
        let names: Vec<_> = cluster.fleet.nodes.keys().cloned().collect();
        for name in names {
            let kubelet = at_work(cluster).contains(&name.as_str());
            if cluster.node(&name).may_be_acting() && !kubelet {
                cluster.reach(&name);
            }
        }
    }
}

/// Who is at work for the provider.
fn at_work(cluster: &Cluster) -> Vec<&str> {
    let reservations = cluster.ledger.reservations.iter();
    let ours = reservations.filter(|(_, one)| one.provider);
    ours.map(|(name, _)| name.as_str()).collect()
}

/// The node's kubelet comes back with it, or without.
fn restart(cluster: &mut Cluster, name: &str, outcome: Outcome) {
    let state = match outcome {
        Outcome::Reached => ProviderState::InEffect,
        Outcome::Failed(_) => ProviderState::Failed,
    };
    say(cluster, name, "a", state);
    cluster.report(name, outcome);
}

#[test]
fn one_goes_first_and_the_others_one_at_a_time_after_it_has_proved_itself() {
    let mut cluster = waiting(&["a", "b", "c"]);
    cluster.decide();
    assert_eq!(at_work(&cluster), ["a"]);
    assert!(cluster.node("a").may_be_acting(), "it has a permit");
    restart(&mut cluster, "a", Outcome::Reached);
    cluster.decide();
    assert_eq!(at_work(&cluster), [""; 0], "it soaks");
    cluster.pass(1);
    cluster.decide();
    assert_eq!(at_work(&cluster), ["b"], "one at a time");
    restart(&mut cluster, "b", Outcome::Reached);
    cluster.decide();
    assert_eq!(at_work(&cluster), ["c"]);
    restart(&mut cluster, "c", Outcome::Reached);
    cluster.decide();
    assert_eq!(at_work(&cluster), [""; 0]);
    assert!(cluster.ledger.failures.is_empty() && !cluster.ledger.is_halted());
}

#[test]
fn a_failure_halts_kubelets_and_no_credential() {
    let mut cluster = waiting(&["a", "b"]);
    cluster.decide();
    restart(
        &mut cluster,
        "a",
        Outcome::Failed("it did not come back".to_owned()),
    );
    settle(&mut cluster);
    let halt = cluster.ledger.provider.clone().unwrap().halt.unwrap();
    assert_eq!(
        (halt.node.as_str(), halt.reason.as_str()),
        ("a", "it did not come back")
    );
    assert_eq!(at_work(&cluster), [""; 0]);

    cluster.policy.soak = Duration::ZERO;
    cluster.change(2);
    settle(&mut cluster);
    assert!(cluster.node("a").has_reached(2) && cluster.node("b").has_reached(2));
    assert_eq!(
        at_work(&cluster),
        [""; 0],
        "a new credential does not undo the halt"
    );
    cluster.policy.resumes += 1;
    cluster.decide();
    assert_eq!(at_work(&cluster), ["b"], "the one that failed comes last");
}

#[test]
fn a_silent_agent_halts_kubelets_and_keeps_its_slot() {
    let mut cluster = waiting(&["a", "b"]);
    cluster.decide();
    cluster.pass(6);
    cluster.decide();
    let provider = cluster.ledger.provider.clone().unwrap();
    assert_eq!(provider.halt.unwrap().node, "a");
    assert_eq!(at_work(&cluster), ["a"]);
}

#[test]
fn nobody_starts_behind_a_closed_gate_or_where_somebody_else_is_at_work() {
    for close in [
        |cluster: &mut Cluster| cluster.policy.paused = true,
        |cluster: &mut Cluster| cluster.policy.open = false,
        |cluster: &mut Cluster| cluster.policy.strategy = Strategy::Immediate,
        |cluster: &mut Cluster| cluster.node("a").held = true,
        |cluster: &mut Cluster| cluster.node("a").cordon = Cordon::Foreign,
        |cluster: &mut Cluster| cluster.node("a").ready = false,
        |cluster: &mut Cluster| say(cluster, "a", "a", ProviderState::Impossible),
        |cluster: &mut Cluster| say(cluster, "a", "a", ProviderState::InEffect),
    ] {
        let mut cluster = waiting(&["a"]);
        close(&mut cluster);
        cluster.decide();
        assert_eq!(at_work(&cluster), [""; 0]);
    }
}

#[test]
fn a_wish_of_most_nodes_counts_and_a_new_one_begins_anew() {
    let mut cluster = waiting(&["a", "b", "c"]);
    say(&mut cluster, "b", "lie", ProviderState::Waiting);
    cluster.decide();
    assert_eq!(cluster.ledger.provider.clone().unwrap().wanted, "a");
    restart(&mut cluster, "a", Outcome::Failed("no".to_owned()));
    settle(&mut cluster);
    for name in ["a", "c"] {
        say(&mut cluster, name, "other", ProviderState::Waiting);
    }
    cluster.decide();
    let provider = cluster.ledger.provider.clone().unwrap();
    assert_eq!((provider.wanted.as_str(), provider.halt), ("other", None));
    assert_eq!(at_work(&cluster), ["a"]);
}

#[test]
fn the_control_plane_is_last_and_single() {
    let mut cluster = waiting(&["a", "b", "c"]);
    cluster.policy.provider_slots = Limit::Count(3);
    for name in ["a", "b"] {
        cluster.node(name).control_plane = true;
    }
    cluster.policy.soak = Duration::ZERO;
    cluster.decide();
    assert_eq!(at_work(&cluster), ["c"]);
    restart(&mut cluster, "c", Outcome::Reached);
    cluster.decide();
    assert_eq!(at_work(&cluster), ["a"]);
}
