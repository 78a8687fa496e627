//! An agent under a coordinator: what is new waits in front of the gate until the node's own record permits it.
//!
//! ```text
//! source ─▶ hold ─▶ gate ─▶ install
//!            ▲ │ └─▶ trial    │
//!   orders ──┘ └──▶ report ◀──┘
//!     ▲               ▼
//!   NodePullSecret (spec; status)
//! ```
//!
//! The agent decides nothing about other nodes, and nobody else decides what it writes: a permit names versions of Secrets that
//! the agent sees for itself. Without a record nothing is paced, and everything goes through at once.

mod hold;
mod memory;
mod orders;
mod report;
mod trial;

pub(crate) use self::hold::{Hold, Standing};
pub(crate) use self::memory::Memory;
pub(crate) use self::orders::{Orders, follow};
pub(crate) use self::report::{Passed, Reports, clipped, keep};
pub(crate) use self::trial::Trial;
