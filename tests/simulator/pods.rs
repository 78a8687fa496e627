//! The pods on a node, as far as they have to go when it is drained.

use pullkeeper_core::rollout::Time;

/// For how long after a cordon a scheduler that has not heard of it may still send pods.
pub(crate) const SCHEDULER_LAG: u64 = 20_000;

/// A pod that is evicted when its node is drained.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) guard: Guard,
    /// When it comes to the node, which was chosen for it.
    pub(crate) comes: Time,
    /// When it is gone, once it was evicted.
    pub(crate) leaves: Option<Time>,
}

/// What keeps a pod from being evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing.
    None,
    /// A budget that is spent until then.
    Until(Time),
    /// A budget that is spent from then on.
    From(Time),
    /// A budget that allows nothing, ever.
    Always,
    /// A budget that needs its sibling, which is on this node and has nowhere to go either.
    Sibling(String),
}

impl Pod {
    pub(crate) fn new(guard: Guard, comes: Time) -> Self {
        Self {
            guard,
            comes,
            leaves: None,
        }
    }

    /// Whether it can be evicted now.
    pub(crate) fn may_go(&self, now: Time, is_schedulable: impl Fn(&str) -> bool) -> bool {
        self.leaves.is_none()
            && self.comes <= now
            && match &self.guard {
                Guard::None => true,
                Guard::Until(until) => *until <= now,
                Guard::From(from) => now < *from,
                Guard::Always => false,
                Guard::Sibling(node) => is_schedulable(node),
            }
    }
}
