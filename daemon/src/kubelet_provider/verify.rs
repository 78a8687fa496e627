//! Whether kubelet is back, with the flags that it is to have.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use thiserror::Error;
use tokio::time::Instant;

use super::{Node, process};
use crate::service::{RestartError, Systemd, healthy, stays};

/// Why it does not count as back.
#[derive(Debug, Error)]
pub(super) enum NotBack {
    /// Its unit.
    #[error(transparent)]
    Service(#[from] RestartError),
    /// It runs, and does not have the flags: something else decides about its command line.
    #[error("kubelet runs without what {0} was to give it; see what else sets its flags")]
    Flags(String),
    /// Its node.
    #[error(
        "its Node was not Ready within `kubelet_provider.timeout`, or has said nothing since the restart"
    )]
    NotReady,
    /// Nobody finds it.
    #[error("the unit is up, and there is no kubelet among the host's processes")]
    NoProcess,
}

/// Waits until the unit stays up, and looks at the command line of what runs then. `switch` is the file that gives the flags.
pub(super) async fn verify(
    node: &Node<'_>,
    systemd: &Systemd,
    unit: &str,
    wanted: &[Option<String>; 2],
    switch: &str,
    deadline: Instant,
) -> Result<(), NotBack> {
    let named = systemd.unit(unit).await?;
    stays(&named, unit, node.settings.settle, deadline).await?;
    if let Some(url) = &node.settings.health_url {
        healthy(url, deadline).await?;
    }
    let process = process::kubelet(&node.root).ok().flatten();
    let process = process.ok_or(NotBack::NoProcess)?;
    // Where kubelet is inside another process its flags are on no command line. It would not be up if it could not read what
    // they name.
    if process.is_kubelet() && process.flags() != *wanted {
        return Err(NotBack::Flags(switch.to_owned()));
    }
    Ok(())
}

/// Waits until the API server has heard that the node is Ready, not before `since`; where nobody can be asked, not at all.
pub(super) async fn hear(
    node: &Node<'_>,
    since: Option<&Time>,
    deadline: Instant,
) -> Result<(), NotBack> {
    let (Some(registered), Some(since)) = (&node.registered, since) else {
        return Ok(());
    };
    if registered.is_ready(since, deadline).await {
        Ok(())
    } else {
        Err(NotBack::NotReady)
    }
}
