//! Mistakes of coordinators, to see that each is noticed.

use std::collections::BTreeMap;
use std::time::Duration;

use pullkeeper_core::rollout::{
    Cordon, Decision, Fleet, Ledger, Limit, Order, Phase, Policy, Strategy, Time,
};

/// A mistake that a coordinator makes, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Writes the ledger whatever is there now.
    NoCompareAndSwap,
    /// Gives permits for what it has decided, before that is persisted.
    PermitsFirst,
    /// Takes a node that its list does not have for one that is gone.
    BelievesTheList,
    /// Takes old records for fresh ones.
    BelievesOldRecords,
    /// Forgets halts.
    Unhalts,
    /// Has no patience.
    SkipsTheSoak,
    /// Counts every node twice.
    CountsTwice,
    /// Gives no slot back.
    KeepsSlots,
    /// Lets control-plane nodes go like all others.
    NoControlPlane,
    /// Cordons for what it has decided, before that is persisted.
    CordonsFirst,
    /// Cordons whatever has become of the node since it was seen.
    CordonsBlindly,
    /// Cordons whoever has a slot, whether its pods would go or not.
    SkipsInspection,
    /// Cordons for a ledger that was not read again.
    CordonsUnread,
    /// Gives slots back before nodes are uncordoned.
    ReleasesFirst,
    /// Uncordons whoever is cordoned.
    UncordonsAll,
    /// Takes a list that was made at once for proof that a node is empty.
    TrustsTheFirstList,
    /// Takes a node that a human has uncordoned for one that is cordoned.
    IgnoresHumans,
    /// Takes an old look at a node for one of now.
    BelievesOldNodes,
    /// Goes on while it is paused.
    IgnoresPauses,
    /// Drains again for every generation.
    DrainsAgain,
    /// Takes what waits for each other for progress.
    NeverYields,
    /// Drains for ever.
    NeverGivesUp,
    /// Does not uncordon while it is paused.
    PausesCleanUp,
    /// Does not mind who is unavailable already.
    CountsItsOwnOnly,
    /// Takes what a node said before it restarted services for what it says now.
    TrustsOldReadiness,
    /// Takes a permit that may be on its way for one that never was.
    ForgetsPermits,
}

impl Flaw {
    /// What a coordinator that makes the mistake takes for the truth.
    pub(crate) fn mistakes(self, policy: &mut Policy, ledger: &mut Ledger, fleet: &mut Fleet) {
        match self {
            Self::BelievesTheList => {
                let reserved = ledger.reservations.values().map(|one| &one.permit.uid);
                let known = |uid: &&String| fleet.nodes.values().any(|node| node.uid == **uid);
                let missing: Vec<_> = reserved.filter(|uid| !known(uid)).cloned().collect();
                fleet.gone.extend(missing);
            }
            Self::BelievesOldRecords => fleet.fresh = true,
            Self::Unhalts => {
                ledger.halt = None;
                policy.failures.count = u32::MAX;
                policy.failures.percent = 100;
                ledger.canary.clear();
            }
            Self::SkipsTheSoak => policy.soak = Duration::ZERO,
            Self::CountsTwice if policy.strategy != Strategy::Immediate => {
                let twice = policy.slots.of(fleet.nodes.len()) * 2;
                policy.slots = Limit::Count(u32::try_from(twice).unwrap_or(u32::MAX));
            }
            Self::NoControlPlane => {
                for node in fleet.nodes.values_mut() {
                    node.control_plane = false;
                }
            }
            Self::ReleasesFirst => {
                for (name, reservation) in &ledger.reservations {
                    if let (Phase::Restoring { .. }, Some(node)) =
                        (&reservation.phase, fleet.nodes.get_mut(name))
                    {
                        node.current = true;
                        node.cordon = Cordon::None;
                    }
                }
            }
            Self::IgnoresHumans => {
                for node in fleet.nodes.values_mut() {
                    if let Cordon::TakenOver { mark, .. } = &node.cordon {
                        node.cordon = Cordon::Ours(mark.clone());
                    }
                }
            }
            Self::BelievesOldNodes => {
                for node in fleet.nodes.values_mut() {
                    node.current = true;
                }
            }
            Self::IgnoresPauses => policy.paused = false,
            Self::NeverYields => {
                for node in fleet.nodes.values_mut() {
                    if let Some(seen) = &mut node.drain {
                        seen.idle = Duration::ZERO;
                    }
                }
            }
            Self::TrustsOldReadiness => {
                for node in fleet.nodes.values_mut() {
                    node.heartbeat = Some(Time(u64::MAX));
                }
            }
            Self::CountsItsOwnOnly => policy.max_unavailable = None,
            Self::ForgetsPermits => {
                for (name, reservation) in &ledger.reservations {
                    if let (Phase::Withdrawing { void, .. }, Some(node)) =
                        (&reservation.phase, fleet.nodes.get_mut(name))
                    {
                        node.record.get_or_insert_default().permit = Some(void.clone());
                    }
                }
            }
            _ => {}
        }
        if let Strategy::Drain(drain) = &mut policy.strategy {
            match self {
                Self::TrustsTheFirstList => drain.settle = Duration::ZERO,
                Self::NeverGivesUp => drain.deadline = Duration::MAX,
                _ => {}
            }
        }
    }

    /// What it makes of a decision.
    pub(crate) fn spoils(
        self,
        decision: &mut Decision,
        policy: &Policy,
        ledger: &Ledger,
        fleet: &Fleet,
    ) {
        let orders = &mut decision.orders;
        match (self, &mut decision.ledger) {
            (Self::KeepsSlots, Some(next)) => {
                next.reservations.extend(ledger.reservations.clone());
            }
            (Self::PermitsFirst, Some(next)) => {
                let promised = next.reservations.iter();
                let permits = promised.map(|(name, one)| (name.clone(), one.permit.clone()));
                decision.permits.extend(permits);
            }
            (Self::CordonsFirst, Some(next)) => {
                let promised = next.reservations.iter();
                let first = promised.filter(|(name, _)| !ledger.reservations.contains_key(*name));
                let cordons = first.filter_map(|(name, one)| {
                    let (uid, serial) = (one.permit.uid.clone(), one.mark?);
                    Some((name.clone(), Order::Cordon { uid, serial }))
                });
                orders.extend(cordons.collect::<BTreeMap<_, _>>());
            }
            (Self::DrainsAgain, Some(next)) if next.generation != ledger.generation => {
                for reservation in next
                    .reservations
                    .values_mut()
                    .filter(|one| one.mark.is_some())
                {
                    reservation.mark = Some(reservation.permit.serial);
                    reservation.phase = Phase::Reserved;
                }
            }
            (Self::SkipsInspection, _) => {
                for order in orders.values_mut() {
                    if let Order::Inspect { uid, serial } = order {
                        let (uid, serial) = (uid.clone(), *serial);
                        *order = Order::Cordon { uid, serial };
                    }
                }
            }
            (Self::PausesCleanUp, _) if policy.paused => {
                orders.retain(|_, order| !matches!(order, Order::Uncordon { .. }));
            }
            (Self::UncordonsAll, _) => {
                for (name, node) in &fleet.nodes {
                    if node.cordon == Cordon::Foreign {
                        let uid = node.uid.clone();
                        let order = Order::Uncordon { uid, serial: 0 };
                        orders.insert(name.clone(), order);
                    }
                }
            }
            _ => {}
        }
    }
}
