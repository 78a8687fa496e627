//! What an administrator wants.

use std::collections::BTreeSet;
use std::time::Duration;

use super::limit::Limit;
use super::revision::SecretSource;

/// How a credential change is to reach the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whose changes are rolled out: each one that most agents see is a new generation.
    pub sources: Vec<SecretSource>,
    /// What is done on a node, and how carefully.
    pub strategy: Strategy,
    /// Who goes first.
    pub canary: Canary,
    /// How long nothing else happens after all of them succeeded.
    pub soak: Duration,
    /// Nodes at work at the same time.
    pub slots: Limit,
    /// Of those, how many of one zone.
    pub slots_per_zone: Option<Limit>,
    /// Of those, how many of one pool.
    pub slots_per_pool: Option<Limit>,
    /// Nodes that may be unavailable at the same time where nodes are drained or restart services, whoever is the reason: not
    /// ready, cordoned, or at work.
    pub max_unavailable: Option<Limit>,
    /// Of the nodes at work, how many may have their kubelet restarted for its provider.
    pub provider_slots: Limit,
    /// When it does more harm than good.
    pub failures: FailureBudget,
    /// How long a node may take before it counts as failed.
    pub deadline: Duration,
    /// No new node starts.
    pub paused: bool,
    /// Whether a window is open in which nodes may start, or none is asked for. Calendars are looked up by whoever asks.
    pub open: bool,
    /// How often somebody has said that a halted rollout is to go on.
    pub resumes: u64,
}

/// What is done on a node, and how carefully.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The agent replaces its files: canary, soak, then waves within the limits.
    FileOnly,
    /// The same, and the agent restarts services of its node.
    Restart,
    /// The same, on nodes that are cordoned and empty.
    Drain(Drain),
    /// The same everywhere at once, for a credential that has leaked: limits, canary, windows and failures hold nothing up.
    Immediate,
}

impl Strategy {
    /// Whether agents restart services, where they are configured to.
    pub fn restarts(self) -> bool {
        matches!(self, Self::Restart | Self::Drain(_))
    }
}

/// How nodes are drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long after a cordon pods may still come, whom a scheduler had sent that did not know of it.
    pub settle: Duration,
    /// How long a node may take to become empty. Then it is uncordoned, and tried again later.
    pub deadline: Duration,
    /// For how long no pod may go on two nodes before one of them yields to the other.
    pub patience: Duration,
    /// How long until a node is tried again: this at first, twice as long every further time, and at most
    /// [`Drain::LONGEST_BACKOFF`] times this.
    pub backoff: Duration,
}

impl Drain {
    /// How many times the first pause the longest one is.
    pub const LONGEST_BACKOFF: u32 = 32;

    /// How long a node stays parked that was given up so many times.
    pub(super) fn pause(self, times: u32) -> Duration {
        let doubled = 1_u32.checked_shl(times.saturating_sub(1));
        let factor = doubled.map_or(Self::LONGEST_BACKOFF, |factor| {
            factor.clamp(1, Self::LONGEST_BACKOFF)
        });
        self.backoff.saturating_mul(factor)
    }
}

/// The nodes that go first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Canary {
    /// So many, of those that are ready when the rollout begins; control-plane nodes only where there are no others.
    Count(u32),
    /// These.
    Nodes(BTreeSet<String>),
}

/// How many nodes may fail. One more halts the rollout; a canary that fails does so at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureBudget {
    /// So many.
    pub count: u32,
    /// Of every hundred nodes.
    pub percent: u8,
}

impl FailureBudget {
    /// Whether so many failures of so many nodes are too many.
    pub fn is_spent(self, failures: usize, nodes: usize) -> bool {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        failures > count || failures.saturating_mul(100) > nodes.saturating_mul(self.percent.into())
    }
}
