//! Where the wanted credentials come from.
//!
//! ```text
//! file ───────┐
//! volume ─────┤ directory (inotify and poll) ──┐
//!                                              ├── join ──▶ watch::Receiver<Vec<Observation>>
//! secret ─────┐                                │            in order of precedence
//! selector ───┤ list_watch (API server) ───────┘
//! ```
//!
//! A source reports what it sees, and only when that changed: content, absence, or why nobody can
//! tell at present. It judges nothing and remembers nothing; what to make of an absent Secret is
//! the gate's decision.

pub use error::SourceError;
pub use join::{Context, spawn};
pub(crate) use object::items as items_of_list;
pub use observation::{Item, Observation, Payload, Revision};
pub(crate) use regular::read as read_regular;

mod directory;
mod error;
mod file;
mod join;
mod object;
mod observation;
#[cfg(test)]
mod place;
mod regular;
#[cfg(test)]
pub(crate) mod scene;
mod secret;
mod secrets;
mod selector;
mod shape;
mod volume;
