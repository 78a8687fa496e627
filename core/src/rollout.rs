//! Which nodes may take a new credential now.
//!
//! ```text
//! policy ─┐
//! ledger ─┼─▶ decide ─┬▶ the next ledger, to be written by compare-and-swap before anything is made of it
//! fleet ──┤           ├▶ permits, for nodes that the ledger *as it was read* has reserved
//! time ───┘           └▶ orders to cordon, drain and uncordon, for the same
//! ```
//!
//! Nothing here is remembered, and nothing that is decided here is done before it is persisted: a permit is given for a
//! reservation that somebody has already read back. So two coordinators with old views cannot exceed a limit together, and
//! one that ends half-way leaves nothing that the next one does not find.

mod cordon;
mod decide;
mod fleet;
mod forecast;
mod ledger;
mod limit;
mod policy;
mod provider;
mod reservation;
mod revision;
mod slots;
mod time;
mod window;

pub use self::cordon::{Cordon, DrainView, Mark};
pub use self::decide::{Decision, Obstacle, Order, Waiting, decide};
pub use self::fleet::{Fleet, Node, Outcome, Permit, Pool, Record, Report};
pub use self::forecast::{Forecast, Wave, forecast};
pub use self::ledger::{Failure, Halt, HaltReason, Ledger, LedgerError, Stage};
pub use self::limit::{Limit, LimitError};
pub use self::policy::{Canary, Drain, FailureBudget, Policy, Strategy};
pub use self::provider::{Provider, ProviderHalt, ProviderRollout, ProviderState};
pub use self::reservation::{Parked, Phase, Reservation, Why};
pub use self::revision::{Revision, SecretRevision, SecretSource};
pub use self::time::Time;
pub use self::window::{Window, WindowError, WindowSpec, next_opening, open_until};
