//! The decision.
//!
//! ```text
//! generation ─▶ canary ─▶ settle{drain} ─▶ harm ─▶ canary ─▶ admit{slots}, providers ─▶ next ledger
//!                                                     look_up, orders ◀── the ledger that was read, where the next agrees
//! ```

use std::collections::BTreeMap;

use super::fleet::{Fleet, Node, Permit};
use super::ledger::{Ledger, Stage};
use super::policy::{Policy, Strategy};
use super::revision::seen_by_most;
use super::time::Time;

mod admit;
mod canary;
mod drain;
mod gates;
mod generation;
mod harm;
mod look_up;
mod obstacle;
mod orders;
mod providers;
mod settle;

pub use self::gates::Waiting;
pub use self::obstacle::Obstacle;
pub(super) use self::obstacle::obstacle;
pub use self::orders::Order;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The ledger that has to take the place of the one that was read, and of no other; `None` where it stays.
    pub ledger: Option<Ledger>,
    /// Permits that nodes have not been given yet, for reservations of the ledger that was read. Some of them call a former
    /// one back. A record gets one only in the place of what was seen there.
    pub permits: BTreeMap<String, Permit>,
    /// What is to be done to nodes, for reservations of the ledger that was read. It is said again until it is seen done, and
    /// done to a node only as it was seen.
    pub orders: BTreeMap<String, Order>,
    /// Names, by UID, of nodes that something was promised to and that the list does not have: each is to be looked up at the
    /// API server itself, and told as [`Fleet::gone`] if there is none of this UID.
    pub missing: BTreeMap<String, String>,
    /// Names, by UID, of nodes whose next step depends on what they are like now: each is to be read at the API server
    /// itself, and told as [`Node::current`].
    pub unsure: BTreeMap<String, String>,
    /// Whether agents see something new, according to records that may be old: they are to be listed anew, and that is to be
    /// told as [`Fleet::fresh`].
    pub outdated: bool,
    /// Why no further node got a slot; `None` where nobody is left that could have one.
    pub waiting: Option<Waiting>,
}

/// Decides what a rollout does now.
///
/// Clean-up comes first and is never held up: slots of nodes that are done or gone are given back, and nodes are uncordoned,
/// even while the rollout is halted or paused.
pub fn decide(policy: &Policy, ledger: &Ledger, fleet: &Fleet, now: Time) -> Decision {
    let mut next = ledger.clone();
    let wanted = seen_by_most(&policy.sources, &ledger.revision, fleet);
    let superseded = wanted != ledger.revision;
    if superseded && fleet.fresh {
        generation::supersede(&mut next, wanted, fleet, now);
    }
    let asked = generation::asked_of_kubelet(ledger, fleet);
    let changes = superseded || asked.is_some();
    if let Some(wanted) = asked.filter(|_| fleet.fresh) {
        generation::ask_of_kubelet(&mut next, wanted);
    }
    generation::resume(&mut next, policy);
    if next.stage == Stage::Canary && next.generation > 0 {
        canary::choose(&mut next, policy, fleet, now);
    }
    settle::settle(&mut next, policy, fleet, now);
    harm::judge(&mut next, policy, fleet, now);
    canary::advance(&mut next, policy, fleet, now);
    let waiting = admit::admit(&mut next, policy, fleet, now);
    providers::admit(&mut next, policy, fleet, waiting, now);
    Decision {
        permits: orders::permits(policy, ledger, &next, fleet),
        orders: orders::orders(policy, ledger, &next, fleet),
        missing: look_up::missing(&next, fleet),
        unsure: look_up::unsure(policy, ledger, &next, fleet),
        outdated: changes && !fleet.fresh,
        ledger: (next != *ledger).then_some(next),
        waiting,
    }
}

/// Whether the node may be given a slot at all.
fn may_start(policy: &Policy, ledger: &Ledger, fleet: &Fleet, node: &Node, now: Time) -> bool {
    obstacle(policy, fleet, node).is_none()
        && match policy.strategy {
            Strategy::Drain(drain) => !admit::is_parked(drain, ledger, node, now),
            Strategy::FileOnly | Strategy::Restart | Strategy::Immediate => true,
        }
}

#[cfg(test)]
pub(super) mod tests;
