//! The one way to assert what becomes true only after a while.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// How long an eventual assertion waits before it fails: `PULLKEEPER_TEST_PATIENCE` in seconds
/// (fractions allowed), 30 s when unset.
///
/// # Panics
/// When the variable holds anything but a positive number, so that a typo is not taken for the
/// default.
pub fn patience() -> Duration {
    match std::env::var("PULLKEEPER_TEST_PATIENCE") {
        Err(_) => Duration::from_secs(30),
        Ok(text) => match text.parse() {
            Ok(seconds) if seconds > 0.0 => Duration::from_secs_f64(seconds),
            _ => panic!("PULLKEEPER_TEST_PATIENCE={text:?} is not a positive number of seconds"),
        },
    }
}

/// Repeats `attempt` until it succeeds and returns what it gave; fails after [`patience`] with
/// `what` and the last attempt's error. An attempt that hangs is cut off at the same moment.
///
/// ```no_run
/// # async fn example(path: &std::path::Path) -> anyhow::Result<()> {
/// let bytes = support::eventually("the auth file appears", async || Ok(std::fs::read(path)?)).await?;
/// # Ok(()) }
/// ```
pub async fn eventually<T>(what: &str, attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    eventually_within(patience(), what, attempt).await
}

/// [`eventually`] with a limit of its own, for what is promised within a certain time.
pub async fn eventually_within<T>(
    limit: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_PAUSE;
    let mut tries = 0_u32;
    let mut last = None;
    loop {
        tries += 1;
        let outcome = timeout_at(deadline, attempt()).await;
        match outcome {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = Some(error),
            Err(_) => {
                let last = last.map_or_else(String::new, |e| format!(", the one before: {e:#}"));
                return Err(anyhow!(
                    "not within {limit:?}: {what}: attempt {tries} still running{last}"
                ));
            }
        }
        if Instant::now() + pause >= deadline {
            let last = last.unwrap_or_else(|| anyhow!("no error"));
            return Err(last.context(format!("not within {limit:?} ({tries} attempts): {what}")));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn repeats_until_the_attempt_succeeds() {
        let mut left = 40;
        let got = eventually_within(Duration::from_secs(60), "it counts down", async || {
            left -= 1;
            if left == 0 {
                Ok("done")
            } else {
                Err(anyhow!("{left} left"))
            }
        })
        .await;
        assert_eq!(got.unwrap(), "done");
    }

    #[tokio::test(start_paused = true)]
    async fn fails_with_the_last_error_after_its_limit() {
        let begun = Instant::now();
        let mut tries = 0;
        let error = eventually_within(
            Duration::from_secs(3),
            "pigs fly",
            async || -> Result<()> {
                tries += 1;
                Err(anyhow!("try {tries} saw a pig on the ground"))
            },
        )
        .await
        .unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("pigs fly"), "{text}");
        assert!(text.contains(&format!("try {tries} saw")), "{text}");
        assert!(begun.elapsed() <= Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_attempt_is_cut_off() {
        let error = eventually_within(
            Duration::from_secs(3),
            "an answer",
            async || -> Result<()> { std::future::pending().await },
        )
        .await
        .unwrap_err();
        assert!(
            format!("{error:#}").contains("attempt 1 still running"),
            "{error:#}"
        );
    }
}
