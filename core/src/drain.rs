//! Which pods to evict now, and what keeps the others.
//!
//! ```text
//! pods of all nodes that are drained ─┐
//! budgets ────────────────────────────┼─▶ plan ─┬▶ evictions to send now, and when to look again
//! answers so far, time ───────────────┘         ├▶ nodes whose pods are to be listed anew
//!                                               └▶ what is left of each node, and what keeps it
//! ```
//!
//! Nothing here is persisted. Who forgets all of it begins again with a new list of the pods, and no harm is done: an eviction
//! names the UID of its pod, and the API server keeps the budgets.

mod answer;
mod blocker;
mod budget;
mod plan;
mod pod;
mod preflight;
mod selector;

pub use self::answer::{Answer, Failure};
pub use self::blocker::{Blocker, Reason};
pub use self::budget::{Budget, BudgetName, Budgets};
pub use self::plan::{Left, Plan, Pods, Step};
pub use self::pod::{Eviction, Fate, Options, Phase, Pod};
pub use self::preflight::{Preflight, Verdict, judge, preflight};
pub use self::selector::{Selector, SelectorError};
