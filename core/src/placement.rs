//! How a node's kubelet comes to have our image credential provider beside those of others.
//!
//! ```text
//! host ─▶ profile ─▶ plan{exec_start, extra_args, stub} ─▶ files, links, the one file that switches
//! ```

pub mod exec_start;
pub mod extra_args;
pub mod host;
pub mod plan;
pub mod profile;
pub mod stub;

pub use self::host::Host;
pub use self::profile::Profile;
