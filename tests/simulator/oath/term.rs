//! What is promised about who leads. It is kept while clocks are honest; all other promises are, whoever leads.

use std::time::Duration;

use pullkeeper_core::election::Answer;
use pullkeeper_core::rollout::Time;

use super::{Kept, broken};

/// For how long at most a term lasts that was asked for, by the world's own clock: three quarters of what a Lease lasts, so that
/// the slowest clock that is honest has told its owner to stop, and the fastest one has not told anybody to begin.
const TERM: u64 = 45_000;
/// Clocks and their milliseconds are rounded.
const ROUNDING: Duration = Duration::from_millis(10);

/// What is true of the terms of one process, whatever it believes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Term {
    /// Which look it waits for, and when it asked for it.
    asked: (u64, Time),
    /// Until when it may act: its Lease was written.
    proven: Time,
    /// Whether the last answer that said anything said that the Lease is its own.
    holds: bool,
    /// How many looks in a row have come to nothing.
    failures: usize,
    /// Whether it stood still meanwhile.
    stood_still: bool,
}

impl Term {
    /// It looks.
    pub(crate) fn asked(&mut self, number: u64, now: Time) {
        self.asked = (number, now);
    }

    /// What it had asked for was written, or somebody else was faster.
    pub(crate) fn written(&mut self, won: bool, number: u64) {
        let (asked, at) = self.asked;
        if won && asked == number {
            self.proven = Time(at.0 + TERM);
        }
    }

    /// It has done nothing for a while, and may be late for everything.
    pub(crate) fn forgive(&mut self) {
        self.stood_still = true;
    }

    /// It does something.
    pub(crate) fn acts(&self, who: &str, now: Time) -> Kept {
        if now < self.proven {
            return Ok(());
        }
        broken("S17: who acts has proved that it leads", who)
    }

    /// It hears what has come of a look. `own` is whether the Lease is its own in truth.
    pub(crate) fn heard(&mut self, answer: Answer, led: bool, leads: bool, own: bool) -> Kept {
        self.failures += usize::from(answer == Answer::Unknown);
        let patient = self.holds && self.failures <= 1 && !self.stood_still;
        let deposed = answer == Answer::Lost && !own;
        if patient && (!led || !leads && !deposed) {
            let seen = format!("{answer:?}, {} looks came to nothing", self.failures);
            return broken("L6: one slow call costs no term", seen);
        }
        match answer {
            Answer::Won | Answer::Lost => {
                self.holds = answer == Answer::Won;
                self.failures = 0;
                self.stood_still = false;
            }
            Answer::Unknown => {}
        }
        Ok(())
    }

    /// Nobody leads who is not alone.
    pub(crate) fn alone(leaders: &[&str]) -> Kept {
        if leaders.len() < 2 {
            return Ok(());
        }
        broken("S17: no two believe that they lead", format!("{leaders:?}"))
    }

    /// A process that does anything looks at the Lease when it is time to.
    pub(crate) fn stands(who: &str, late: Duration) -> Kept {
        if late <= ROUNDING {
            return Ok(());
        }
        broken(
            "L6: who does not lead goes on to stand",
            format!("{who} should have looked {late:?} ago"),
        )
    }
}
