//! One thing that is obtained from somebody else, kept while it is good, and asked for by one at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pullkeeper_core::authfile::Credential;
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

use super::Failure;
use crate::jitter::chance;

/// What is kept of one thing, and of the last failure to obtain it.
#[derive(Debug)]
pub(super) struct Slot<T> {
    state: Mutex<State<T>>,
    /// Whoever holds it obtains.
    turn: Turn<()>,
}

#[derive(Debug)]
struct State<T> {
    kept: Option<Kept<T>>,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Kept<T> {
    obtained: T,
    /// The credentials that it was obtained with: with other ones it is worth nothing.
    with: Vec<Credential>,
    /// From here on a new one is tried for, while this one still serves.
    stale: Instant,
    until: Instant,
    since: Instant,
}

#[derive(Debug)]
struct Failed {
    failure: Failure,
    with: Vec<Credential>,
    /// Until then it is not tried again.
    until: Instant,
    pause: Duration,
}

/// A new one is obtained in the last part of a life, somewhere between these: nodes that began together part ways.
const STALE: (f64, f64) = (0.7, 0.9);
/// What is handed out is to last for a pull, so a new one is obtained while that much is left, or half of a short life.
const FLOOR: Duration = Duration::from_secs(30);
/// How much longer than it should a pause may be, as a part of it: for nodes that failed together the same.
const STRAY: f64 = 0.25;
/// Pauses after failures, doubling.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl<T> Default for Slot<T> {
    fn default() -> Self {
        let state = State {
            kept: None,
            failed: None,
        };
        Self {
            state: Mutex::new(state),
            turn: Turn::default(),
        }
    }
}

impl<T: Clone> Slot<T> {
    /// What is kept, or what `obtain` brings together with how long it is good: once, however many ask at the same
    /// time. Who waited while it failed hears of that failure, and does not try again at once. With what was kept comes
    /// its age.
    pub(super) async fn get(
        &self,
        with: &[Credential],
        obtain: impl AsyncFnOnce() -> Result<(Duration, T), Failure>,
    ) -> Result<(T, Option<Duration>), Failure> {
        if let Some(kept) = self.state().fresh(with) {
            return Ok(kept);
        }
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                // Somebody obtains a new one; that may take long, and this one is still good.
                if let Some(kept) = self.state().kept(with) {
                    return Ok(kept);
                }
                self.turn.lock().await
            }
        };
        let settled = self.state().settled(with);
        if let Some(settled) = settled {
            return settled;
        }
        let begun = Instant::now();
        // On the heap, so that who finds it kept carries no room for it.
        let obtained = Box::pin(obtain()).await;
        let mut state = self.state();
        match obtained {
            Ok((life, obtained)) => {
                // From before the request: a life that is counted too early ends too early, which is safe.
                state.kept = Kept::new(&obtained, life, with, begun);
                state.failed = None;
                Ok((obtained, None))
            }
            Err(failure) => {
                state.fail(&failure, with);
                // Stale is better than nothing, until its real end.
                state.kept(with).ok_or(failure)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> State<T> {
    /// What is good, and needs no successor yet.
    fn fresh(&self, with: &[Credential]) -> Option<(T, Option<Duration>)> {
        let now = Instant::now();
        let kept = self.kept.as_ref().filter(|kept| kept.serves(with, now))?;
        (now < kept.stale).then(|| kept.given(now))
    }

    /// What is good.
    fn kept(&self, with: &[Credential]) -> Option<(T, Option<Duration>)> {
        let now = Instant::now();
        let kept = self.kept.as_ref().filter(|kept| kept.serves(with, now));
        kept.map(|kept| kept.given(now))
    }

    /// The answer for which nobody has to be asked now.
    fn settled(&self, with: &[Credential]) -> Option<Result<(T, Option<Duration>), Failure>> {
        if let Some(fresh) = self.fresh(with) {
            return Some(Ok(fresh));
        }
        let failed = self.failed.as_ref().filter(|failed| failed.rests(with))?;
        Some(self.kept(with).ok_or_else(|| failed.failure.clone()))
    }
}

impl<T> State<T> {
    fn fail(&mut self, failure: &Failure, with: &[Credential]) {
        let former = self.failed.take().filter(|failed| failed.with == with);
        let pause = former.map_or(PAUSES.0, |failed| (failed.pause * 2).min(PAUSES.1));
        self.failed = Some(Failed {
            failure: failure.clone(),
            with: with.to_vec(),
            // From the failure, not from the request: a request may have taken longer than the pause.
            until: Instant::now() + failure.pause(pause).mul_f64(1.0 + STRAY * chance()),
            pause,
        });
    }
}

impl<T: Clone> Kept<T> {
    /// `None` for what may be handed out only once.
    fn new(obtained: &T, life: Duration, with: &[Credential], since: Instant) -> Option<Self> {
        let part = STALE.0 + (STALE.1 - STALE.0) * chance();
        (life > Duration::ZERO).then(|| Self {
            obtained: obtained.clone(),
            with: with.to_vec(),
            stale: since + life.mul_f64(part).min(usable(life)),
            until: since + life,
            since,
        })
    }

    fn given(&self, now: Instant) -> (T, Option<Duration>) {
        (self.obtained.clone(), Some(now - self.since))
    }

    fn serves(&self, with: &[Credential], now: Instant) -> bool {
        now < self.until && self.with == with
    }
}

impl Failed {
    fn rests(&self, with: &[Credential]) -> bool {
        Instant::now() < self.until && self.with == with
    }
}

/// How much of a life is good for handing out, while something else can be obtained.
pub(super) fn usable(life: Duration) -> Duration {
    life - FLOOR.min(life / 2)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const LIFE: Duration = Duration::from_secs(100);

    type Outcome = Result<(Duration, &'static str), Failure>;

    /// Asks, and counts how often it was obtained.
    async fn ask(
        slot: &Slot<&'static str>,
        with: &[Credential],
        count: &Cell<u32>,
        outcome: Outcome,
    ) -> Result<&'static str, Failure> {
        let obtain = async || {
            count.set(count.get() + 1);
            outcome
        };
        slot.get(with, obtain).await.map(|(given, _)| given)
    }

    #[tokio::test(start_paused = true)]
    async fn one_exchange_serves_until_the_margin_and_a_stale_one_until_its_end() {
        let (slot, count) = (Slot::default(), Cell::new(0));
        let ask = |outcome| ask(&slot, &[], &count, outcome);
        let failure = || Err(Failure::new("down"));
        assert_eq!(ask(Ok((LIFE, "one"))).await.unwrap(), "one");
        tokio::time::advance(LIFE.mul_f64(0.69)).await;
        assert_eq!(ask(Ok((LIFE, "two"))).await.unwrap(), "one");
        tokio::time::advance(LIFE.mul_f64(0.22)).await;
        assert_eq!(ask(failure()).await.unwrap(), "one");
        assert_eq!(count.get(), 2);
        // Resting after the failure, and still served.
        assert_eq!(ask(failure()).await.unwrap(), "one");
        assert_eq!(count.get(), 2);
        tokio::time::advance(LIFE.mul_f64(0.1)).await;
        assert_eq!(ask(failure()).await.unwrap_err().message, "down");
        assert_eq!(ask(failure()).await.unwrap_err().message, "down");
        assert_eq!(count.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_handed_out_lasts_for_a_pull_or_for_half_of_a_short_life() {
        for (life, usable) in [(600, 420), (60, 30), (40, 20), (2, 1)] {
            let (slot, count) = (Slot::default(), Cell::new(0));
            let life = Duration::from_secs(life);
            ask(&slot, &[], &count, Ok((life, "one"))).await.unwrap();
            tokio::time::advance(Duration::from_secs(usable) - Duration::from_millis(1)).await;
            let got = ask(&slot, &[], &count, Ok((life, "two"))).await;
            assert_eq!((got, count.get()), (Ok("one"), 1), "{life:?}");
            tokio::time::advance(life.mul_f64(STALE.1 - STALE.0) + Duration::from_millis(1)).await;
            let got = ask(&slot, &[], &count, Ok((life, "two"))).await;
            assert_eq!((got, count.get()), (Ok("two"), 2), "{life:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_that_failed_together_come_back_one_by_one() {
        let down = Failure {
            message: "down".to_owned(),
            retry_after: Some(Duration::from_secs(100)),
        };
        let mut ends = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let slot: Slot<&'static str> = Slot::default();
            ask(&slot, &[], &Cell::new(0), Err(down.clone()))
                .await
                .unwrap_err();
            let state = slot.state();
            let pause = state.failed.as_ref().unwrap().until - Instant::now();
            assert!((100.0..=125.0).contains(&pause.as_secs_f64()), "{pause:?}");
            ends.insert(pause.as_secs());
        }
        assert!(ends.len() > 10, "{ends:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_rest_longer_each_time_and_as_long_as_was_asked() {
        let (slot, count) = (Slot::default(), Cell::new(0));
        let down = |retry_after| {
            Err(Failure {
                message: "down".to_owned(),
                retry_after,
            })
        };
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            ask(&slot, &[], &count, down(None)).await.unwrap_err();
            let before = count.get();
            tokio::time::advance(Duration::from_millis(pause * 1000 - 1)).await;
            ask(&slot, &[], &count, down(None)).await.unwrap_err();
            assert_eq!(count.get(), before, "after {pause} s");
            tokio::time::advance(Duration::from_secs(pause).mul_f64(STRAY)).await;
        }
        let asked = Some(Duration::from_secs(100_000));
        ask(&slot, &[], &count, down(asked)).await.unwrap_err();
        let before = count.get();
        tokio::time::advance(Duration::from_millis(300_000 - 1)).await;
        ask(&slot, &[], &count, down(None)).await.unwrap_err();
        assert_eq!(count.get(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn another_credential_is_tried_at_once() {
        let (slot, count) = (Slot::default(), Cell::new(0));
        let old = [Credential::new(b"u", b"old")];
        let new = [Credential::new(b"u", b"new")];
        let kept = ask(&slot, &old, &count, Ok((LIFE, "one"))).await;
        assert_eq!(kept.unwrap(), "one");
        let refused = ask(&slot, &new, &count, Err(Failure::new("refused"))).await;
        assert_eq!(refused.unwrap_err().message, "refused");
        let back = ask(&slot, &old, &count, Ok((LIFE, "two"))).await;
        assert_eq!(back.unwrap(), "one");
        assert_eq!(count.get(), 2);
    }

    /// A thousand ask at once for what takes long; what each of them hears, and how often it was obtained.
    async fn crowd(
        slot: &Slot<&'static str>,
        takes: Duration,
        outcome: Outcome,
    ) -> (Vec<Result<&'static str, Failure>>, u32) {
        let count = Cell::new(0);
        let asking = (0..1000).map(|_| {
            slot.get(&[], async || {
                count.set(count.get() + 1);
                tokio::time::sleep(takes).await;
                outcome.clone()
            })
        });
        let heard = futures_util::future::join_all(asking).await;
        let heard = heard.into_iter().map(|one| one.map(|(given, _)| given));
        (heard.collect(), count.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_who_ask_at_once_share_what_one_obtains() {
        let takes = Duration::from_secs(1);
        let (heard, count) = crowd(&Slot::default(), takes, Ok((LIFE, "one"))).await;
        assert!(heard.iter().all(|one| *one == Ok("one")));
        assert_eq!(count, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_who_wait_for_what_fails_slowly_hear_of_that_failure() {
        let slow = PAUSES.0 * 7;
        let begun = Instant::now();
        let down = Failure::new("down");
        let (heard, count) = crowd(&Slot::default(), slow, Err(down.clone())).await;
        assert!(heard.iter().all(|one| *one == Err(down.clone())));
        assert_eq!((count, begun.elapsed()), (1, slow));
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_successor_is_obtained_the_former_one_serves_without_waiting() {
        let slot = Slot::default();
        ask(&slot, &[], &Cell::new(0), Ok((LIFE, "one")))
            .await
            .unwrap();
        tokio::time::advance(LIFE.mul_f64(0.95)).await;
        let begun = Instant::now();
        let first = slot.get(&[], async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok((LIFE, "two"))
        });
        let second = async {
            let kept = slot.get(&[], async || Ok((LIFE, "three"))).await;
            (kept, begun.elapsed())
        };
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first, Ok(("two", None)));
        let age = Some(LIFE.mul_f64(0.95));
        assert_eq!(second, (Ok(("one", age)), Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_known_life_is_not_kept() {
        let (slot, count) = (Slot::default(), Cell::new(0));
        for _ in 0..2 {
            ask(&slot, &[], &count, Ok((Duration::ZERO, "once")))
                .await
                .unwrap();
        }
        assert_eq!(count.get(), 2);
    }
}
