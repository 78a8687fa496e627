//! For how long a pod may, and must, not be sent.

use std::time::Duration;

use pullkeeper_core::drain::{Answer, Eviction};

use super::{Oath, Spent};

/// Seconds from one no to the next try.
const STEPS: [u64; 5] = [5, 10, 20, 40, 48];
/// For how long numbers are not believed that the server has contradicted.
const CLOSED: Duration = Duration::from_secs(5);

/// What a pod waits for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wait {
    failures: usize,
    /// Not before.
    pub(super) earliest: Duration,
    /// Not later than.
    pub(super) latest: Duration,
    pub(super) why: Why,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Why {
    #[default]
    Time,
    /// A list that was not begun before.
    List(Duration),
    /// The watch is to tell.
    End,
}

impl Oath {
    /// It was not sent.
    pub(in crate::evictions) fn withdrawn(&mut self, eviction: &Eviction) {
        self.flights.remove(&eviction.uid);
    }

    /// An engine hears an answer.
    pub(in crate::evictions) fn answered(
        &mut self,
        eviction: &Eviction,
        answer: &Answer,
        chance: f64,
        now: Duration,
    ) {
        let uid = &eviction.uid;
        let Some(flight) = self.flights.remove(uid) else {
            return;
        };
        if let Some((name, version)) = flight.budget {
            match answer {
                Answer::Accepted | Answer::Replaced | Answer::Unanswered => {
                    let spent = self.spent.entry(name).or_default();
                    spent.push(Spent { version, at: now });
                }
                Answer::Budget { .. } => {
                    self.closed.insert(name, (version, now + CLOSED));
                }
                _ => {}
            }
        }
        let wait = self.waits.entry(uid.clone()).or_default();
        match answer {
            Answer::Accepted | Answer::Gone | Answer::NamespaceTerminating => wait.why = Why::End,
            Answer::Replaced => {
                wait.why = Why::End;
                self.replaced.insert(uid.clone());
            }
            Answer::Unanswered => {
                wait.refuse(Duration::ZERO, now);
                wait.why = Why::List(now);
            }
            Answer::Budget { retry_after } => wait.refuse(retry_after.unwrap_or_default(), now),
            Answer::Refused { .. } => wait.refuse(Duration::ZERO, now),
            Answer::TooManyBudgets => wait.latest = now + Duration::from_secs(60),
            Answer::Raced { retry_after } => {
                wait.earliest = now + *retry_after;
                wait.latest = now + *retry_after * 5 / 4;
            }
            Answer::Busy { retry_after } => {
                self.is_busy(retry_after.unwrap_or_default(), chance, now);
            }
        }
    }

    /// The server has too much to do.
    fn is_busy(&mut self, hint: Duration, chance: f64, now: Duration) {
        let wait = hint.clamp(Duration::from_secs(1), Duration::from_secs(30));
        let until = now + wait.mul_f64(1.0 + chance / 4.0);
        let more = until.saturating_sub(self.busy.max(now));
        self.busy = self.busy.max(until);
        for (left, throttled) in self.throttled.values_mut() {
            if *left > 0 {
                *throttled += more;
            }
        }
    }
}

impl Wait {
    fn refuse(&mut self, hint: Duration, now: Duration) {
        let step = STEPS[self.failures.min(STEPS.len() - 1)];
        let step = Duration::from_secs(step);
        self.failures += 1;
        let hint = hint.min(Duration::from_secs(60));
        self.why = Why::Time;
        self.earliest = now + step.max(hint);
        self.latest = now + (step * 5 / 4).max(hint);
    }
}
