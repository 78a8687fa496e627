//! A cluster in which everything goes wrong, in virtual time: several coordinators with old views, lost and late writes,
//! crashes, humans, nodes that die and come back. What a rollout promises is checked after every step.
//!
//! A run is a function of its seed. A broken promise names the seed, how to play it again, and what led to it.

mod agent;
mod coordinator;
mod engine;
pub mod evictions;
mod flaw;
mod oath;
mod pods;
mod scale;
mod seeds;
mod stand;
mod world;

pub use self::flaw::Flaw;
pub use self::oath::Violation;
pub use self::scale::{Scale, roll_out};
pub use self::seeds::{Broken, Outcome, play};
pub use self::world::{Plan, Run, run};

#[cfg(test)]
mod tests;
