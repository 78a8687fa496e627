//! Puts credentials on the node: what each file should hold, and the one writer that makes it so.
//!
//! `helper` keeps the credential helper in a directory of the host, by the same replacement.
//!
//! `writer` owns a target and calls its `installer`: read, `plan`, keep the `record`, replace, keep it again.
//! Whose file kubelet's is says `ownership`. The replacement itself is one atomic act, or a typed reason why not:
//!
//! ```text
//! path ─ place ─ old file ─ temp file ─ write ─ owner, ACL, mode, label ─ fsync ─ rename ─ fsync directory ─ verify
//!        │        └ refused here: bind mount, not a regular file, changed since it was read
//!        └ refused here: no directory, a link that leaves the allowed root
//! ```
//!
//! Whatever happens before the rename leaves the old file as it was, bytes, mode and owner. After
//! it the new file is complete under the target's name. There is no third state, at `kill -9`
//! neither; only a hidden temporary file may stay, which [`Target::sweep`] removes.
//!
//! Everything here blocks and belongs on a thread that may block. Nothing here logs, and no error
//! holds a byte of the content.

pub mod helper;
pub mod installer;
pub mod ownership;
pub mod plan;
pub mod record;
pub mod writer;

mod atomic;
mod cause;
mod content;
mod error;
mod label;
mod original;
mod place;
mod syscall;
mod target;
mod temp;

pub use self::cause::Cause;
pub use self::error::{Action, Step, TargetError};
pub use self::original::Unusable;
pub use self::target::{Current, Identity, Installed, Options, Target};
pub use crate::config::Owner;
