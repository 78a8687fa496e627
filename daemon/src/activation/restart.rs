//! Restarts units one after the other, and sees that they are back.

use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use k8s_openapi::jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::RestartError;
use super::health;
use super::journal::Journal;
use super::systemd::{Named, Systemd, UnitState};
use crate::admin::metrics::Metrics;
use crate::config::ActivationSettings;

/// Between two looks at a unit, or two questions after health.
const LOOK: Duration = Duration::from_millis(250);

/// Restarts them all, unless the journal knows that an earlier process did, and counts what comes of it.
pub(super) async fn restart(
    settings: &ActivationSettings,
    bus: Option<&str>,
    journal: &Arc<Journal>,
    metrics: &Metrics,
) -> Result<(), RestartError> {
    let deadline = Instant::now() + settings.timeout;
    let systemd = match timeout_at(deadline, Systemd::connect(bus)).await {
        Ok(connected) => connected?,
        Err(_) => {
            let error = zbus::Error::Failure("the bus does not answer".to_owned());
            return Err(RestartError::Unreachable(error));
        }
    };
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

/// Waits until no job is under way, such as one that an earlier process has asked for; how the unit is then.
async fn settled(
    unit: &Named<'_>,
    name: &str,
    deadline: Instant,
) -> Result<UnitState, RestartError> {
    let mut state = unit.state().await?;
    while state.is_changing() {
        if Instant::now() >= deadline {
            return Err(slow(unit, name).await);
        }
        sleep(LOOK).await;
        state = unit.state().await?;
    }
    Ok(state)
}

/// Waits until the unit has stayed up for so long.
async fn stays(
    unit: &Named<'_>,
    name: &str,
    settle: Duration,
    deadline: Instant,
) -> Result<(), RestartError> {
    let first = settled(unit, name, deadline).await?;
    let settled = Instant::now() + settle;
    let mut now = first.clone();
    loop {
        judge(name, &first, &now)?;
        if Instant::now() >= settled {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(slow(unit, name).await);
        }
        sleep(LOOK).await;
        now = unit.state().await?;
    }
}

/// Whether a unit that was up is still the same.
fn judge(name: &str, first: &UnitState, now: &UnitState) -> Result<(), RestartError> {
    let (unit, state) = (name.to_owned(), now.words());
    if now.invocation != first.invocation || now.restarts > first.restarts {
        return Err(RestartError::Flaps { unit, state });
    }
    if !now.is_up() {
        return Err(RestartError::Down { unit, state });
    }
    Ok(())
}

async fn slow(unit: &Named<'_>, name: &str) -> RestartError {
    match unit.state().await {
        Ok(state) => RestartError::Slow {
            unit: name.to_owned(),
            state: state.words(),
        },
        Err(error) => error,
    }
}

async fn healthy(url: &Uri, deadline: Instant) -> Result<(), RestartError> {
    loop {
        let Err(answer) = health::ask(url).await else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            let url = url.to_string();
            return Err(RestartError::Unhealthy { url, answer });
        }
        sleep(LOOK).await;
    }
}
