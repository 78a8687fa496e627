//! Pure decisions of Pullkeeper: no async, no I/O, no clock.
//!
//! ```text
//!  bytes ─▶ json ─▶ authfile::Document ─▶ gate ─▶ authfile::Wanted ─▶ authfile::merge ─▶ bytes
//!            │          findings       last good?      sources joined     disk, ledger
//!            └────▶ reader{kubelet, containers, docker} ─▶ explain
//!  image ───────────────┘
//!
//! stdin ─▶ protocol ─▶ wire::Request ─▶ query ─▶ directory ─▶ wire::Answer ─▶ protocol ─▶ stdout
//!
//! policy, ledger, fleet, time ─▶ rollout ─▶ ledger, permits
//!
//! pods, budgets, answers, time ─▶ drain ─▶ evictions, blockers
//!
//! kubelet's argv, listings, bytes ─▶ provider ─▶ what kubelet starts with, or every fault
//!
//! lease, answers, time ─▶ election ─▶ writes, terms
//! ```
//!
//! A *source* offers a document. Its *entries* are credentials under registry *keys*. What is wrong with them is a
//! *finding*. A *reader* is a client that reads auth files, modelled as its own code reads them. A *target* is a file
//! on the node; its *ledger* remembers what we put there, its *foreign* entries are those of others. A *query* is what a
//! client asks a credential for; its *answer* has one of three outcomes that are never mixed up.

pub mod authfile;
pub mod challenge;
pub mod directory;
pub mod drain;
pub mod election;
pub mod explain;
pub mod gate;
pub mod image;
pub mod json;
pub mod jwt;
pub mod origin;
pub mod pacing;
pub mod placement;
pub mod protocol;
pub mod provider;
pub mod query;
pub mod reader;
pub mod rollout;
pub mod wire;
