//! How often a target is put right when somebody else keeps changing it.

use std::time::Duration;

/// Keeps two writers from fighting over one file: the first correction is immediate, each further one
/// within [`Corrections::QUIET`] waits twice as long as the one before.
///
/// Writes that a source asked for are not corrections and never wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Corrections {
    last: Option<Duration>,
    wait: Duration,
}

impl Corrections {
    /// The wait before the second correction.
    pub const FIRST_WAIT: Duration = Duration::from_secs(1);
    /// The longest wait.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(300);
    /// Without a correction for so long, the next one is immediate again.
    pub const QUIET: Duration = Duration::from_secs(600);

    /// How long a correction must wait at `now` (time on any clock that only goes forward); zero: go on.
    pub fn due_in(&self, now: Duration) -> Duration {
        match self.last {
            Some(last) if now.saturating_sub(last) < Self::QUIET => {
                (last + self.wait).saturating_sub(now)
            }
            _ => Duration::ZERO,
        }
    }

    /// Notes that a correction was made at `now`.
    pub fn made(&mut self, now: Duration) {
        let fresh = self
            .last
            .is_none_or(|last| now.saturating_sub(last) >= Self::QUIET);
        self.wait = if fresh {
            Self::FIRST_WAIT
        } else {
            (self.wait * 2).min(Self::LONGEST_WAIT)
        };
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_correction_is_immediate_and_a_fight_slows_down() {
        let mut corrections = Corrections::default();
        let mut now = Duration::from_secs(1000);
        assert_eq!(corrections.due_in(now), Duration::ZERO);
        let mut made = 0;
        let end = now + Duration::from_secs(3600);
        while now < end {
            now += corrections.due_in(now);
            corrections.made(now);
            made += 1;
        }
        assert!(made < 25, "{made} corrections in an hour");
        assert_eq!(corrections.due_in(now), Corrections::LONGEST_WAIT);
    }

    #[test]
    fn quiet_makes_it_immediate_again() {
        let mut corrections = Corrections::default();
        corrections.made(Duration::ZERO);
        assert_eq!(corrections.due_in(Duration::ZERO), Corrections::FIRST_WAIT);
        assert_eq!(corrections.due_in(Corrections::QUIET), Duration::ZERO);
    }
}
