//! Whether a unit that was started is back, and stays.

use std::time::Duration;

use hyper::Uri;
use tokio::time::{Instant, sleep};

use super::error::RestartError;
use super::health;
use super::systemd::{Named, UnitState};

/// Between two looks at a unit, or two questions after health.
const LOOK: Duration = Duration::from_millis(250);

/// Waits until no job is under way, such as one that an earlier process has asked for; how the unit is then.
pub(crate) async fn settled(
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
pub(crate) async fn stays(
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

pub(crate) async fn slow(unit: &Named<'_>, name: &str) -> RestartError {
    match unit.state().await {
        Ok(state) => RestartError::Slow {
            unit: name.to_owned(),
            state: state.words(),
        },
        Err(error) => error,
    }
}

/// Waits until the URL answers 200.
pub(crate) async fn healthy(url: &Uri, deadline: Instant) -> Result<(), RestartError> {
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
