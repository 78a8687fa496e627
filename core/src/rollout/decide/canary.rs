//! Who goes first, and when the others do.

use std::collections::BTreeMap;

use super::super::limit::Limit;
use super::super::policy::Canary;
use super::admit::order;
use super::{Fleet, Ledger, Node, Policy, Stage, Strategy, Time, may_start};

/// The nodes that go first: those that were chosen and are still there, and others in place of the rest.
pub(super) fn choose(ledger: &mut Ledger, policy: &Policy, fleet: &Fleet, now: Time) {
    match &policy.canary {
        Canary::Nodes(names) => {
            let there = names
                .iter()
                .filter_map(|name| fleet.nodes.get_key_value(name));
            ledger.canary = there
                .map(|(name, node)| (node.uid.clone(), name.clone()))
                .collect();
        }
        Canary::Count(_) => {
            ledger.canary = first_ones(ledger, policy, fleet, now);
            let mut others: Vec<_> = fleet
                .nodes
                .iter()
                .filter(|(_, node)| may_start(policy, ledger, fleet, node, now))
                .collect();
            others.sort_by_key(|(name, node)| order(name, node));
            for (name, node) in others {
                if ledger.canary.len() < canary_size(policy, fleet) {
                    ledger.canary.insert(node.uid.clone(), name.clone());
                }
            }
        }
    }
}

/// Those that were chosen, but for who is gone, and who has not begun and cannot: it would hold everybody up.
fn first_ones(
    ledger: &Ledger,
    policy: &Policy,
    fleet: &Fleet,
    now: Time,
) -> BTreeMap<String, String> {
    let stays = |(uid, name): &(&String, &String)| {
        let reserved = ledger.reservations.get(*name);
        let begun = reserved.is_some_and(|reserved| reserved.permit.uid == **uid)
            || ledger.failures.contains_key(*uid);
        let node = fleet.nodes.get(*name).filter(|node| node.uid == **uid);
        // Whom the list does not have may be newer than that.
        let could = node.is_none_or(|node| {
            may_start(policy, ledger, fleet, node, now) || node.has_reached(ledger.generation)
        });
        !fleet.gone.contains(*uid) && (begun || could)
    };
    let chosen = ledger.canary.iter().filter(stays);
    chosen
        .map(|(uid, name)| (uid.clone(), name.clone()))
        .collect()
}

/// How many nodes have to have gone first. One at least, if any are wanted: a list without nodes proves nothing.
fn canary_size(policy: &Policy, fleet: &Fleet) -> usize {
    match &policy.canary {
        Canary::Nodes(names) => names.len(),
        Canary::Count(count) => Limit::Count(*count).of(fleet.nodes.len().max(1)),
    }
}

/// Goes on to the next stage when this one is over.
pub(super) fn advance(ledger: &mut Ledger, policy: &Policy, fleet: &Fleet, now: Time) {
    if policy.strategy == Strategy::Immediate {
        ledger.stage = Stage::Waves;
    }
    if ledger.is_halted() || ledger.generation == 0 {
        return;
    }
    let at_work = |name: &str| {
        let reserved = ledger.reservations.get(name);
        reserved.is_some_and(|reserved| reserved.mark.is_some() || reserved.restart)
    };
    // Who is drained or restarts services is done once it is ready, and uncordoned, again.
    let done = |(name, node): &(&String, &Node)| {
        ledger.canary.contains_key(&node.uid)
            && node.has_reached(ledger.generation)
            && !at_work(name)
    };
    let reached = fleet.nodes.iter().filter(done).count();
    ledger.stage = match ledger.stage {
        Stage::Canary if reached >= canary_size(policy, fleet) => Stage::Soak { since: now },
        Stage::Soak { since } if now.since(since) >= policy.soak => Stage::Waves,
        stage => stage,
    };
}
