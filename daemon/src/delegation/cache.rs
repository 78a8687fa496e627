//! What was obtained, for whom, and until when; and one exchange at a time for each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pullkeeper_core::authfile::Credential;
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

use super::{Failure, Identity, Obtained};

/// The registry, and whom the credential is for.
type Key = (String, Identity);

/// Nothing in it outlives what the issuer said, and nothing is ever on disk.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<BTreeMap<Key, Arc<Slot>>>);

#[derive(Debug, Default)]
struct Slot(Turn<State>);

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Kept {
    obtained: Obtained,
    /// The credentials that it was obtained with: with other ones it is worth nothing.
    with: Vec<Credential>,
    /// From here on a new one is tried for, while this one still serves.
    stale: Instant,
    until: Instant,
}

#[derive(Debug)]
struct Failed {
    failure: Failure,
    with: Vec<Credential>,
    /// Until then it is not tried again.
    until: Instant,
    pause: Duration,
}

/// More identities than a node has pods.
const MOST: usize = 1024;
/// A new one is obtained in the last part of a life, somewhere between these: nodes that began together part ways.
const STALE: (f64, f64) = (0.7, 0.9);
/// Pauses after failures, doubling.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Longest pause that somebody else may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

impl Cache {
    /// What is kept for the key, or what `exchange` obtains: once, however many ask at the same time.
    pub(super) async fn get(
        &self,
        key: Key,
        with: &[Credential],
        exchange: impl Future<Output = Result<Obtained, Failure>>,
    ) -> Result<Obtained, Failure> {
        let slot = self.slot(key);
        let mut state = slot.0.lock().await;
        let now = Instant::now();
        if let Some(kept) = state.kept.as_ref().filter(|kept| kept.serves(with, now))
            && now < kept.stale
        {
            return Ok(kept.obtained.clone());
        }
        let resting = state
            .failed
            .as_ref()
            .filter(|failed| failed.rests(with, now));
        let failure = match resting {
            Some(failed) => failed.failure.clone(),
            None => match exchange.await {
                Ok(obtained) => {
                    state.failed = None;
                    state.kept = Kept::new(&obtained, with, now);
                    return Ok(obtained);
                }
                Err(failure) => {
                    state.fail(&failure, with, now);
                    failure
                }
            },
        };
        // Stale is better than nothing, until its real end.
        let kept = state.kept.as_ref().filter(|kept| kept.serves(with, now));
        kept.map(|kept| kept.obtained.clone()).ok_or(failure)
    }

    fn slot(&self, key: Key) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST && !slots.contains_key(&key) {
            // Those that nobody waits for; what they hold can be obtained again.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

impl State {
    fn fail(&mut self, failure: &Failure, with: &[Credential], now: Instant) {
        let former = self.failed.take().filter(|failed| failed.with == with);
        let pause = former.map_or(PAUSES.0, |failed| (failed.pause * 2).min(PAUSES.1));
        let asked = failure
            .retry_after
            .unwrap_or_default()
            .min(LONGEST_RETRY_AFTER);
        self.failed = Some(Failed {
            failure: failure.clone(),
            with: with.to_vec(),
            until: now + pause.max(asked),
            pause,
        });
    }
}

impl Kept {
    /// `None` for what may be handed out only once.
    fn new(obtained: &Obtained, with: &[Credential], now: Instant) -> Option<Self> {
        let part = STALE.0 + (STALE.1 - STALE.0) * chance();
        (obtained.life > Duration::ZERO).then(|| Self {
            obtained: obtained.clone(),
            with: with.to_vec(),
            stale: now + obtained.life.mul_f64(part),
            until: now + obtained.life,
        })
    }

    fn serves(&self, with: &[Credential], now: Instant) -> bool {
        now < self.until && self.with == with
    }
}

impl Failed {
    fn rests(&self, with: &[Credential], now: Instant) -> bool {
        now < self.until && self.with == with
    }
}

/// A number from 0 to 1. Without randomness all nodes would be the same, which is no reason to fail.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use pullkeeper_core::wire::Secret;

    use super::*;

    const LIFE: Duration = Duration::from_secs(100);

    fn key() -> Key {
        ("r.example".to_owned(), Identity::Node)
    }

    fn obtained(secret: &str, life: Duration) -> Obtained {
        Obtained {
            username: "u".to_owned(),
            secret: Secret::new(secret.to_owned()),
            life,
        }
    }

    /// Asks, and counts the exchanges.
    async fn ask(
        cache: &Cache,
        with: &[Credential],
        count: &Cell<u32>,
        outcome: Result<Obtained, Failure>,
    ) -> Result<String, Failure> {
        let exchange = async {
            count.set(count.get() + 1);
            outcome
        };
        let got = cache.get(key(), with, exchange).await?;
        Ok(got.secret.expose().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn one_exchange_serves_until_the_margin_and_a_stale_one_until_its_end() {
        let (cache, count) = (Cache::default(), Cell::new(0));
        let ask = |outcome| ask(&cache, &[], &count, outcome);
        let failure = || Err(Failure::new("down"));
        assert_eq!(ask(Ok(obtained("one", LIFE))).await.unwrap(), "one");
        tokio::time::advance(LIFE.mul_f64(0.69)).await;
        assert_eq!(ask(Ok(obtained("two", LIFE))).await.unwrap(), "one");
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
    async fn failures_rest_longer_each_time_and_as_long_as_was_asked() {
        let (cache, count) = (Cache::default(), Cell::new(0));
        let down = |retry_after| {
            Err(Failure {
                message: "down".to_owned(),
                retry_after,
            })
        };
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            ask(&cache, &[], &count, down(None)).await.unwrap_err();
            let before = count.get();
            tokio::time::advance(Duration::from_millis(pause * 1000 - 1)).await;
            ask(&cache, &[], &count, down(None)).await.unwrap_err();
            assert_eq!(count.get(), before, "after {pause} s");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let asked = Some(Duration::from_secs(100_000));
        ask(&cache, &[], &count, down(asked)).await.unwrap_err();
        let before = count.get();
        tokio::time::advance(LONGEST_RETRY_AFTER - Duration::from_millis(1)).await;
        ask(&cache, &[], &count, down(None)).await.unwrap_err();
        assert_eq!(count.get(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn another_credential_is_tried_at_once() {
        let (cache, count) = (Cache::default(), Cell::new(0));
        let old = [Credential::new(b"u", b"old")];
        let new = [Credential::new(b"u", b"new")];
        let kept = ask(&cache, &old, &count, Ok(obtained("one", LIFE))).await;
        assert_eq!(kept.unwrap(), "one");
        let refused = ask(&cache, &new, &count, Err(Failure::new("refused"))).await;
        assert_eq!(refused.unwrap_err().message, "refused");
        let back = ask(&cache, &old, &count, Ok(obtained("two", LIFE))).await;
        assert_eq!(back.unwrap(), "one");
        assert_eq!(count.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_who_ask_at_once_cause_one_exchange() {
        let cache = Cache::default();
        let count = Cell::new(0);
        let asking = (0..1000).map(|_| {
            let exchange = async {
                count.set(count.get() + 1);
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(obtained("one", LIFE))
            };
            cache.get(key(), &[], exchange)
        });
        let all = futures_util::future::join_all(asking).await;
        assert!(
            all.iter()
                .all(|one| one.as_ref().unwrap().secret.expose() == "one")
        );
        assert_eq!(count.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_known_life_is_not_kept_and_accounts_are_kept_apart() {
        let (cache, count) = (Cache::default(), Cell::new(0));
        for _ in 0..2 {
            ask(&cache, &[], &count, Ok(obtained("once", Duration::ZERO)))
                .await
                .unwrap();
        }
        assert_eq!(count.get(), 2);
        let account = |uid: &str| {
            let account = pullkeeper_core::jwt::Account {
                namespace: "ns".to_owned(),
                name: "puller".to_owned(),
                uid: uid.to_owned(),
            };
            ("r.example".to_owned(), Identity::Account(account))
        };
        for uid in ["1", "2", "1"] {
            let exchange = async { Ok(obtained(uid, LIFE)) };
            let got = cache.get(account(uid), &[], exchange).await.unwrap();
            assert_eq!(got.secret.expose(), uid);
        }
    }
}
