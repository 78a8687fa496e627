//! When to look again.

use std::time::Duration;

use tokio::time::Instant;

use super::{LONGEST_SETTLE, SETTLE};
use crate::notice::Ring;

/// Lone events are answered at once, but over time not more than one look per this interval.
const GAP: Duration = Duration::from_millis(50);
/// How many gaps a burst may borrow.
const BURST: u32 = 4;
/// How soon a directory that is not there is looked for again; doubles up to the second value.
const ABSENT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Turns events into moments to look. Pure: the caller brings the time.
///
/// A finished change (renamed into place, closed after writing) is due at once. A change under way
/// is due when it has been quiet for [`SETTLE`], at the latest after [`LONGEST_SETTLE`]. A storm of
/// either kind is thinned out to one look per [`GAP`] (a generic cell rate algorithm: one instant
/// is all the state). Every interval there is a look in any case.
pub(super) struct Pacing {
    interval: Duration,
    poll: Instant,
    finished: Option<Instant>,
    under_way: Option<UnderWay>,
    again: Option<Instant>,
    absent: Option<(Instant, Duration)>,
    /// When the budget for looks is whole again.
    rested: Instant,
}

struct UnderWay {
    since: Instant,
    latest: Instant,
}

impl Pacing {
    pub(super) fn new(now: Instant, interval: Duration) -> Self {
        Self {
            interval,
            poll: now,
            finished: None,
            under_way: None,
            again: None,
            absent: None,
            rested: now,
        }
    }

    /// Something happened in the directory.
    pub(super) fn rung(&mut self, now: Instant, ring: Ring) {
        if ring.contains(Ring::NOW) {
            let turn = self
                .rested
                .checked_sub(GAP * BURST)
                .map_or(now, |turn| turn.max(now));
            self.finished.get_or_insert(turn);
        } else {
            let since = self
                .under_way
                .as_ref()
                .map_or(now, |under_way| under_way.since);
            self.under_way = Some(UnderWay { since, latest: now });
        }
    }

    /// A look began at that time. `complete` tells whether every directory is being watched.
    pub(super) fn looked(&mut self, started: Instant, complete: bool) {
        self.finished = None;
        self.under_way = None;
        self.again = None;
        self.poll = started + self.interval;
        self.rested = self.rested.max(started) + GAP;
        self.absent = (!complete).then(|| {
            let wait = self
                .absent
                .map_or(ABSENT.0, |(_, wait)| (wait * 2).min(ABSENT.1));
            (started + wait, wait)
        });
    }

    /// There is reason to look at that time whatever happens.
    pub(super) fn again(&mut self, at: Instant) {
        self.again = Some(at);
    }

    /// The next moment to look.
    pub(super) fn next(&self) -> Instant {
        let settled = self
            .under_way
            .as_ref()
            .map(|UnderWay { since, latest }| (*latest + SETTLE).min(*since + LONGEST_SETTLE));
        [
            self.finished,
            settled,
            self.again,
            self.absent.map(|(at, _)| at),
        ]
        .into_iter()
        .flatten()
        .fold(self.poll, Instant::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const INTERVAL: Duration = Duration::from_secs(60);

    /// A pacing that has looked once, and the time at which it is rested again.
    fn rested() -> (Pacing, Instant) {
        let start = Instant::now();
        let mut pacing = Pacing::new(start, INTERVAL);
        assert_eq!(pacing.next(), start, "the first look is due at once");
        pacing.looked(start, true);
        assert_eq!(pacing.next(), start + INTERVAL);
        (pacing, start + 2 * GAP)
    }

    #[test]
    fn a_finished_change_is_due_at_once() {
        let (mut pacing, now) = rested();
        pacing.rung(now, Ring::NOW);
        assert_eq!(pacing.next(), now);
        pacing.looked(now, true);
        pacing.rung(now + 20 * MS, Ring::NOW);
        assert_eq!(pacing.next(), now + 20 * MS);
    }

    #[test]
    fn a_change_under_way_is_due_when_quiet_and_not_too_late() {
        let (mut pacing, start) = rested();
        pacing.rung(start, Ring::SOON);
        assert_eq!(pacing.next(), start + SETTLE);
        for step in 1..20 {
            pacing.rung(start + step * 100 * MS, Ring::SOON);
            assert!(pacing.next() <= start + LONGEST_SETTLE);
        }
        assert_eq!(pacing.next(), start + LONGEST_SETTLE);
        pacing.rung(start + 200 * MS, Ring::NOW);
        assert_eq!(pacing.next(), start + 200 * MS, "its end does not wait");
    }

    #[test]
    fn a_storm_is_thinned_out_and_its_end_is_seen_soon() {
        let (mut pacing, start) = rested();
        let (mut now, mut looks) = (start, 0);
        while now < start + Duration::from_secs(10) {
            pacing.rung(now, Ring::NOW);
            assert!(pacing.next() <= now + GAP);
            if pacing.next() <= now {
                pacing.looked(now, true);
                looks += 1;
            }
            now += MS;
        }
        assert!((200..=206).contains(&looks), "{looks}");
    }

    #[test]
    fn an_absent_directory_is_looked_for_less_and_less_often() {
        let (mut pacing, start) = rested();
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..8 {
            pacing.looked(now, false);
            waits.push((pacing.next() - now).as_millis());
            now = pacing.next();
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        pacing.looked(now, true);
        assert_eq!(pacing.next(), now + INTERVAL);
        pacing.looked(now, false);
        assert_eq!(
            pacing.next(),
            now + ABSENT.0,
            "the next absence starts anew"
        );
    }
}
