//! How far the nodes are that are drained, one step at a time.
//!
//! ```text
//! Reserved ─▶ Draining ─▶ Drained ─▶ Verifying ─▶ Restoring ─▶ its slot comes back
//!     │           │          ▼                        ▲
//!     │           │     Withdrawing ──────────────────┤
//!     └───────────┴───────────────────────────────────┘
//! ```
//!
//! Whatever stops a node before it may have a permit leads to the same clean-up. One that may have a permit acts on it, unless
//! it was called back.

use std::time::Duration;

use super::super::cordon::{Cordon, DrainView};
use super::super::fleet::Outcome;
use super::super::policy::Drain;
use super::super::reservation::{Phase, Reservation, Why};
use super::gates::Waiting;
use super::settle::{NOT_READY, is_late};
use super::{Fleet, Ledger, Node, Policy, Strategy, Time};

/// What is the same for all nodes.
pub(super) struct Situation<'p> {
    pub(super) policy: &'p Policy,
    pub(super) fleet: &'p Fleet,
    /// Why no node may take a step forward.
    pub(super) closed: Option<Waiting>,
    /// The mark of the one that yields to another.
    pub(super) yields: Option<u64>,
    pub(super) now: Time,
}

/// Takes the next step. False gives the slot back.
pub(super) fn step(
    ledger: &mut Ledger,
    situation: &Situation<'_>,
    name: &str,
    reservation: &mut Reservation,
    node: &Node,
    mark: u64,
) -> bool {
    let Situation { policy, now, .. } = *situation;
    let ours = node.is_cordoned_for(mark);
    let next = match &reservation.phase {
        Phase::Reserved => match situation.stops(node, reservation.since, mark) {
            Some(why) => restore(why, now),
            None if ours => Some(Phase::Draining { since: now }),
            None => match node.cordon {
                Cordon::TakenOver { .. } if node.mark().is_some_and(|own| own.serial == mark) => {
                    restore(Why::TakenOver, now)
                }
                Cordon::Foreign => restore(Why::Foreign, now),
                Cordon::None if seen(node, mark).is_some_and(|seen| !seen.blockers.is_empty()) => {
                    restore(Why::Blocked, now)
                }
                // One that is left of a former slot goes first.
                _ => None,
            },
        },
        Phase::Draining { since } => match situation.stops(node, *since, mark) {
            _ if !ours && node.is_taken_over(mark) => restore(Why::TakenOver, now),
            Some(why) => restore(why, now),
            None if situation.yields == Some(mark) => restore(Why::Stuck, now),
            None if ours && node.current && is_empty(policy, node, mark) => {
                Some(Phase::Drained { since: now })
            }
            None => None,
        },
        Phase::Drained { .. } => match node.outcome(&reservation.permit) {
            Some(Outcome::Reached) => Some(Phase::Verifying { since: now }),
            Some(Outcome::Failed(reason)) => {
                ledger.fail(&node.uid, name, reason, now);
                restore(Why::Failed, now)
            }
            // What it does, nobody can stop.
            None if node.may_be_acting() => {
                is_late(ledger, policy, name, reservation, node, now);
                None
            }
            None => {
                let why = if !ours && node.is_taken_over(mark) {
                    Some(Why::TakenOver)
                } else {
                    situation.interrupts(node)
                };
                why.map(|why| Phase::Withdrawing {
                    since: now,
                    why,
                    void: ledger.void(&node.uid),
                })
            }
        },
        Phase::Withdrawing { why, void, .. } => {
            // It, or one of a former generation, was given before: it cannot be called back any more.
            if node.may_be_acting() || node.outcome(&reservation.permit).is_some() {
                if reservation.permit.generation != ledger.generation {
                    reservation.permit = ledger.permit(&node.uid);
                    reservation.permitted = None;
                }
                Some(Phase::Drained { since: now })
            } else if node.has_permit(void) || node.has_newer_permit(void) {
                restore(*why, now)
            } else {
                None
            }
        }
        Phase::Verifying { since } => {
            if node.is_well(&reservation.permit) {
                restore(Why::Done, now)
            } else if now.since(*since) > policy.deadline {
                ledger.fail(&node.uid, name, NOT_READY, now);
                restore(Why::Failed, now)
            } else {
                None
            }
        }
        Phase::Restoring { .. } => {
            let released = node.mark().is_none_or(|own| own.serial != mark);
            return !(released && node.current);
        }
    };
    if let Some(next) = next {
        match next {
            Phase::Restoring { why: Why::Done, .. } => {
                ledger.parked.remove(&node.uid);
            }
            Phase::Restoring { why, .. } if why.parks() => {
                ledger.park(&node.uid, name, why, now);
            }
            _ => {}
        }
        reservation.phase = next;
    }
    true
}

fn restore(why: Why, since: Time) -> Option<Phase> {
    Some(Phase::Restoring { since, why })
}

impl Situation<'_> {
    /// Why a node that cannot have a permit yet goes no further.
    fn stops(&self, node: &Node, since: Time, mark: u64) -> Option<Why> {
        let Strategy::Drain(drain) = self.policy.strategy else {
            return Some(Why::Strategy);
        };
        // What the API server puts off is not the pods' fault; but even that has an end.
        let throttled = seen(node, mark).map_or(Duration::ZERO, |seen| seen.throttled);
        let patient = drain.deadline.saturating_add(throttled.min(drain.deadline));
        let overdue = self.now.since(since) > patient;
        self.interrupts(node)
            .or_else(|| overdue.then_some(Why::Overdue))
    }

    /// Why nobody wants it to go on now.
    fn interrupts(&self, node: &Node) -> Option<Why> {
        match self.closed {
            Some(Waiting::Halted) => Some(Why::Halted),
            Some(Waiting::Window) => Some(Why::Window),
            Some(_) => Some(Why::Paused),
            None => self.fleet.holds(node).then_some(Why::Held),
        }
    }
}

/// Whether no pod is left. A list that was made too soon after the cordon proves nothing.
pub(super) fn is_empty(policy: &Policy, node: &Node, mark: u64) -> bool {
    let Strategy::Drain(Drain { settle, .. }) = policy.strategy else {
        return false;
    };
    seen(node, mark).is_some_and(|seen| seen.left == 0 && seen.settled >= settle)
}

/// What is known of its pods, for the reservation with this mark.
pub(super) fn seen(node: &Node, mark: u64) -> Option<&DrainView> {
    node.drain.as_ref().filter(|seen| seen.serial == mark)
}

/// Of several nodes whose pods do not go, for each other's sake as far as anybody knows, the one that was last to get its
/// slot. One node yields at a time.
pub(super) fn who_yields(ledger: &Ledger, policy: &Policy, fleet: &Fleet) -> Option<u64> {
    let Strategy::Drain(Drain { patience, .. }) = policy.strategy else {
        return None;
    };
    let stuck = ledger
        .reservations
        .iter()
        .filter_map(|(name, reservation)| {
            let mark = reservation.mark?;
            let node = fleet.nodes.get(name)?;
            let seen = seen(node, mark).filter(|seen| seen.left > 0 && seen.idle >= patience)?;
            let draining = matches!(reservation.phase, Phase::Draining { .. })
                && node.is_cordoned_for(seen.serial)
                && node.uid == reservation.permit.uid;
            draining.then_some(mark)
        });
    let stuck: Vec<_> = stuck.collect();
    stuck.iter().max().copied().filter(|_| stuck.len() > 1)
}
