//! What is rolled out, and from when on.

use super::super::provider::{ProviderRollout, wanted_by_most};
use super::super::reservation::{Phase, Reservation};
use super::super::revision::Revision;
use super::{Fleet, Ledger, Policy, Stage, Time};

/// A new generation. Nodes that are at work keep their slots, and go on with the new one; one that is drained is not drained
/// again.
///
/// It counts on from what the nodes have been told: a rollout that was deleted and made anew begins with an empty ledger, and
/// what answers its permits must not be what answered former ones.
pub(super) fn supersede(ledger: &mut Ledger, wanted: Revision, fleet: &Fleet, now: Time) {
    for node in fleet.nodes.values() {
        let record = node.record.as_ref();
        if let Some(told) = record.and_then(|record| record.permit.as_ref()) {
            ledger.generation = ledger.generation.max(told.generation);
            ledger.permits = ledger.permits.max(told.serial);
        }
        if let Some(mark) = node.mark() {
            ledger.permits = ledger.permits.max(mark.serial);
        }
    }
    ledger.generation += 1;
    ledger.revision = wanted;
    ledger.stage = Stage::Canary;
    ledger.canary.clear();
    ledger.failures.clear();
    ledger.parked.clear();
    ledger.halt = None;
    let names: Vec<_> = ledger.reservations.keys().cloned().collect();
    for name in names {
        let Some(former) = ledger.reservations.remove(&name) else {
            continue;
        };
        let next = match former.phase {
            // Its slot comes back, and then it is its turn again.
            Phase::Withdrawing { .. } | Phase::Restoring { .. } => former,
            phase => Reservation {
                permit: ledger.permit(&former.permit.uid),
                since: now,
                permitted: None,
                mark: former.mark,
                restart: former.restart,
                provider: former.provider,
                phase: match phase {
                    Phase::Verifying { .. } if former.mark.is_none() => Phase::Reserved,
                    Phase::Verifying { since } => Phase::Drained { since },
                    phase => phase,
                },
            },
        };
        ledger.reservations.insert(name, next);
    }
}

/// Somebody has said that it goes on: what went wrong so far is tried again.
pub(super) fn resume(ledger: &mut Ledger, policy: &Policy) {
    if ledger.resumes != policy.resumes {
        ledger.resumes = policy.resumes;
        ledger.halt = None;
        ledger.failures.clear();
        ledger.parked.clear();
        if let Some(provider) = &mut ledger.provider {
            provider.halt = None;
        }
    }
}

/// What most agents ask of kubelet, if that is something else than before.
pub(super) fn asked_of_kubelet(ledger: &Ledger, fleet: &Fleet) -> Option<String> {
    let former = ledger.provider.as_ref();
    let former = former.map(|provider| provider.wanted.as_str());
    wanted_by_most(former, fleet).filter(|wanted| former != Some(wanted))
}

/// Another wish begins anew; nodes that are at work for the former one go on.
pub(super) fn ask_of_kubelet(ledger: &mut Ledger, wanted: String) {
    ledger.provider = Some(ProviderRollout::of(wanted));
}
