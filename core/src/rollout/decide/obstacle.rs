//! Why a node gets no slot, whatever the limits are.

use super::super::cordon::Cordon;
use super::{Fleet, Node, Policy, Strategy};

/// Why a node gets no slot, as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It does not say that it is ready.
    NotReady,
    /// Somebody wants it to be left alone, or maintains it otherwise: it, or all of its group.
    Held,
    /// Its agent has said nothing: nobody would act on a permit, and nobody is drained for that.
    NoAgent,
    /// It is cordoned, by whomever.
    Cordoned,
}

impl Obstacle {
    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotReady => "NotReady",
            Self::Held => "Held",
            Self::NoAgent => "NoAgent",
            Self::Cordoned => "Cordoned",
        }
    }
}

/// What is in the way of giving the node a slot.
pub(in super::super) fn obstacle(policy: &Policy, fleet: &Fleet, node: &Node) -> Option<Obstacle> {
    let disturbs = policy.strategy.restarts();
    let drains = matches!(policy.strategy, Strategy::Drain(_));
    let silent = || {
        let record = node.record.as_ref();
        record.is_none_or(|record| record.seen.is_none())
    };
    if !node.ready {
        Some(Obstacle::NotReady)
    } else if node.held || (disturbs && fleet.holds(node)) {
        Some(Obstacle::Held)
    } else if drains && silent() {
        Some(Obstacle::NoAgent)
    } else if drains && node.cordon != Cordon::None {
        // It is somebody's, or not cleaned up yet.
        Some(Obstacle::Cordoned)
    } else {
        None
    }
}
