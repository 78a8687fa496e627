//! Restarts units one after the other, and sees that they are back.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::journal::Journal;
use crate::admin::metrics::Metrics;
use crate::config::ActivationSettings;
use crate::service::{Named, RestartError, Systemd, healthy, settled, slow, stays};

/// Restarts them all, unless the journal knows that an earlier process did, and counts what comes of it.
pub(super) async fn restart(
    settings: &ActivationSettings,
    bus: Option<&str>,
    journal: &Arc<Journal>,
    metrics: &Metrics,
) -> Result<(), RestartError> {
    let deadline = Instant::now() + settings.timeout;
    let systemd = Systemd::connect_by(deadline, bus).await?;
    for name in &settings.units {
        let restarted = async {
            let unit = systemd.unit(name).await?;
            if !restart_one(&unit, name, deadline, journal, metrics).await? {
                // Who asked for it was gone before it could note when that was done.
                let at = settled(&unit, name, deadline).await?.since;
                journal
                    .write(move |journal| journal.restarted(at / 1_000_000))
                    .await?;
            }
            stays(&unit, name, settings.settle, deadline).await
        };
        let restarted = restarted.await;
        let outcome = restarted
            .as_ref()
            .map_or_else(RestartError::outcome, |()| Some("back"));
        if let Some(outcome) = outcome.filter(|_| journal.counts(name)) {
            metrics.unit_restarted(name, outcome);
        }
        restarted?;
    }
    match &settings.health_url {
        Some(url) => healthy(url, deadline).await,
        None => Ok(()),
    }
}

/// Restarts one, and waits until systemd has done so; false if an earlier process has asked for it.
async fn restart_one(
    unit: &Named<'_>,
    name: &str,
    deadline: Instant,
    journal: &Arc<Journal>,
    metrics: &Metrics,
) -> Result<bool, RestartError> {
    let before = unit.state().await?;
    // A restart of the container runtime may end the agent. The next one must not begin it anew, for ever.
    let (noted, start) = (name.to_owned(), before.invocation);
    let due = journal.write(move |journal| journal.restarts(&noted, &start));
    if !due.await? {
        return Ok(false);
    }
    let asked = Instant::now();
    let job = timeout_at(deadline, unit.restart()).await;
    if let Ok(Err(refused @ RestartError::Refused { .. })) = job {
        return Err(refused);
    }
    metrics.unit_restart_took(name, asked.elapsed());
    let now = Timestamp::now().as_second().unsigned_abs();
    journal.write(move |journal| journal.restarted(now)).await?;
    match job {
        Ok(Ok(result)) if result == "done" => Ok(true),
        Ok(Ok(_)) => {
            let state = unit.state().await?.words();
            let unit = name.to_owned();
            Err(RestartError::Down { unit, state })
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(slow(unit, name).await),
    }
}
