//! Whose kubelet is restarted for its provider.

use super::super::cordon::Cordon;
use super::super::provider::ProviderState;
use super::super::reservation::{Phase, Reservation};
use super::super::slots::Slots;
use super::admit::order;
use super::gates::{Waiting, closed};
use super::obstacle::obstacle;
use super::{Fleet, Ledger, Node, Policy, Stage, Strategy, Time};

/// Gives slots to nodes whose kubelet needs a restart: once no node waits for a credential that could have it, one before all
/// others, and the others when that has been well for as long as a credential soaks.
pub(super) fn admit(
    ledger: &mut Ledger,
    policy: &Policy,
    fleet: &Fleet,
    credentials: Option<Waiting>,
    now: Time,
) {
    let Some(provider) = ledger.provider.clone() else {
        return;
    };
    let quiet = matches!(credentials, None | Some(Waiting::Nodes | Waiting::Parked));
    if !quiet
        || policy.strategy == Strategy::Immediate
        || ledger.stage != Stage::Waves
        || closed(policy, ledger).is_some()
        || provider.halt.is_some()
    {
        return;
    }
    let at_work = ledger.reservations.values().filter(|one| one.provider);
    match provider.proved {
        None if at_work.count() > 0 => return,
        Some(since) if now.since(since) < policy.soak => return,
        None | Some(_) => {}
    }
    let may = |(name, node): &(&String, &Node)| {
        provider.needs(node)
            && !ledger.reservations.contains_key(*name)
            && !ledger.failures.contains_key(&node.uid)
            && obstacle(policy, fleet, node).is_none()
            // Whoever else cordons it is at work there.
            && !fleet.holds(node)
            && node.cordon == Cordon::None
    };
    let mut candidates: Vec<_> = fleet.nodes.iter().filter(may).collect();
    candidates.sort_by_key(|(name, node)| (has_failed(node), order(name, node)));
    let mut slots = Slots::new(policy, ledger, fleet);
    let first = if provider.proved.is_none() {
        1
    } else {
        usize::MAX
    };
    let mut chosen = Vec::new();
    for (name, node) in candidates {
        // The control plane is last: while another node before it waits, it does too.
        if chosen.len() == first || slots.take_for_provider(node).is_err() {
            break;
        }
        chosen.push((name, node));
    }
    for (name, node) in chosen {
        let reservation = Reservation {
            permit: ledger.permit(&node.uid),
            since: now,
            permitted: None,
            mark: None,
            restart: true,
            provider: true,
            phase: Phase::Reserved,
        };
        ledger.reservations.insert(name.clone(), reservation);
    }
}

/// Those that have failed come last, after a human has said that it goes on.
fn has_failed(node: &Node) -> bool {
    let told = node
        .record
        .as_ref()
        .and_then(|record| record.provider.as_ref());
    told.is_some_and(|told| told.state == ProviderState::Failed)
}
