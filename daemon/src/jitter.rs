//! Randomness that keeps a fleet from doing the same at the same time.

use std::time::Duration;

/// A number from 0 to 1. Without randomness all nodes would be the same, which is no reason to fail.
pub(crate) fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

/// A random part of the duration.
pub(crate) fn part(duration: Duration) -> Duration {
    duration.mul_f64(chance())
}

/// Nine to eleven tenths of the duration.
pub(crate) fn about(duration: Duration) -> Duration {
    duration.mul_f64(0.9) + part(duration.mul_f64(0.2))
}

/// How long to wait after so many failures, one at least: the first wait, doubled each time up to the longest, of which at
/// least a half is waited.
pub(crate) fn backoff((first, longest): (Duration, Duration), failures: u32) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let whole = doubled.min(longest);
    whole / 2 + part(whole / 2)
}
