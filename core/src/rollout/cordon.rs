//! Who keeps pods off a node, and what is left on it.

use std::time::Duration;

/// Whether pods may be scheduled to a node, and whose wish that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cordon {
    /// They may.
    #[default]
    None,
    /// They may not, since we said so: our mark is there, and the flag is as we set it.
    Ours(Mark),
    /// Our mark is there, and the flag is not as we set it: somebody has uncordoned the node meanwhile, or has done so and
    /// cordoned it again.
    TakenOver {
        /// What we had left.
        mark: Mark,
        /// Whether pods may be scheduled now.
        schedulable: bool,
    },
    /// They may not, and that is no affair of ours.
    Foreign,
}

/// What stands on a node that we have cordoned. It comes and goes in the write that changes the flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The node's UID. A mark that names another node is none.
    pub uid: String,
    /// The serial number of the reservation's first permit: no two reservations have the same.
    pub serial: u64,
    /// Whether the node is to stay cordoned when the mark goes: it was before, or somebody wants it to.
    pub prior: bool,
}

/// What whoever evicts has seen of a node's pods, by complete lists. How long something has lasted is told by its own
/// monotonic clock, so that no two clocks are ever compared; one that begins anew begins to count anew. Before the node is
/// cordoned it says what the pods' evictions would come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainView {
    /// The cordon that it is about.
    pub serial: u64,
    /// For how long the cordon had been seen when the last list was made.
    pub settled: Duration,
    /// How many pods were left then that have to go, those that are on their way included.
    pub left: usize,
    /// For how long no pod has gone.
    pub idle: Duration,
    /// For how long altogether the API server has put evictions off, for its own sake and not for the pods'.
    pub throttled: Duration,
    /// What keeps pods from going, each with the pod's name.
    pub blockers: Vec<String>,
}
