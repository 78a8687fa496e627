//! What the product printed during the suites, kept for the search for secrets at the end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::scratch::profile_dir;

/// What kind of output it is; the search insists on having seen each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Kubernetes Events.
    Events,
    /// Standard error.
    Log,
    /// `/metrics`.
    Metrics,
    /// Standard output of a command.
    Output,
    /// `/statusz` and `/readyz`.
    Status,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Events,
        Self::Log,
        Self::Metrics,
        Self::Output,
        Self::Status,
    ];

    /// The suffix of its files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Log => "log",
            Self::Metrics => "metrics",
            Self::Output => "output",
            Self::Status => "status",
        }
    }
}

/// Where it is kept: `target/tmp/evidence`, emptied by `tests/run` before the suites.
///
/// # Errors
/// When the running program is not one that cargo built.
pub fn folder() -> Result<PathBuf> {
    let profile = profile_dir()?;
    let target = profile.parent().context("target/<profile> has no parent")?;
    Ok(target.join("tmp/evidence"))
}

/// Keeps a text.
///
/// # Errors
/// When it cannot be written.
pub fn keep(kind: Kind, text: &str) -> Result<()> {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let folder = folder()?;
    std::fs::create_dir_all(&folder)?;
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{}-{serial}.{}", std::process::id(), kind.as_str()));
    let mut file = std::fs::File::create(&path)?;
    std::io::Write::write_all(&mut file, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}
