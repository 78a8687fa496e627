//! The custom resources: what an administrator wants of a rollout and how far it is, and what each node is told and tells.
//!
//! ```text
//! PullSecretRollout  spec:   what is wanted             an administrator
//!                    status: ledger, stage, conditions  coordinator, by compare-and-swap
//! NodePullSecret     spec:   sources, permit            coordinator
//!                    status: what is seen, and done     the node's own agent
//! ```
//!
//! `deploy/base/coordinator/crds/` is generated from here. What the API server can refuse is refused there; the coordinator reads everything
//! once more, because what is stored may be older than the rule.

mod drain;
mod node;
mod rollout;
mod schema;

#[cfg(test)]
mod tests;

pub use self::drain::DrainSpec;
pub use self::node::{
    AgentReport, AgentStatus, Blocked, FindingSummary, KubeletProviderStatus, NodePermit,
    NodePhase, NodePullSecret, NodePullSecretSpec, NodePullSecretStatus, ProviderWord,
    ReportedOutcome,
};
pub use self::rollout::{
    CanarySpec, Counts, FailureBudgetSpec, HaltStatus, KubeletProviderSpec, NodeAtWork, ParkedNode,
    PastGeneration, Phase, ProviderProgress, PullSecretRollout, PullSecretRolloutSpec,
    PullSecretRolloutStatus, StrategyWord,
};

/// The only rollout that there is, as OpenShift names the only configuration of a kind.
pub const ROLLOUT: &str = "cluster";
