//! Many runs, one after the other, and one of them again.

use std::fmt::{self, Display, Formatter};

use crate::oath::Violation;

/// The variable that names the only seed that is played, with all that happens.
const SEED: &str = "SIMULATOR_SEED";
/// How much of what led to a broken promise is shown.
const SHOWN: usize = 60;

/// What came of a run, whichever world it was in.
pub trait Outcome {
    /// The test that plays seeds of this world.
    const TEST: &'static str;

    /// The first broken promise.
    fn violation(&self) -> Option<&Violation>;

    /// What happened, in this order.
    fn trace(&self) -> &[String];
}

/// A broken promise. It shows the seed, how to play that again, and what happened last, newest first.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The seed.
    pub seed: u64,
    /// What was broken.
    pub violation: Violation,
    test: &'static str,
    trace: Vec<String>,
}

impl Display for Broken {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { seed, test, .. } = self;
        writeln!(f, "seed {seed}: {:?}", self.violation)?;
        writeln!(
            f,
            "again: {SEED}={seed} cargo test -p pullkeeper-simulator -- --exact --nocapture {test}"
        )?;
        let last = self.trace.iter().rev().take(SHOWN);
        last.into_iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Plays seeds, each when it is asked for.
pub fn play<O: Outcome>(
    seeds: impl IntoIterator<Item = u64>,
    run: impl Fn(u64) -> O,
) -> impl Iterator<Item = Result<O, Broken>> {
    seeds.into_iter().map(move |seed| {
        let outcome = run(seed);
        match outcome.violation() {
            None => Ok(outcome),
            Some(violation) => Err(Broken {
                seed,
                violation: violation.clone(),
                test: O::TEST,
                trace: outcome.trace().to_vec(),
            }),
        }
    })
}

/// Plays the seed that the environment names, if it does, and shows everything that happens.
///
/// # Panics
/// When a promise is broken.
#[cfg(test)]
pub(crate) fn again<O: Outcome>(run: impl Fn(u64) -> O) -> bool {
    let Ok(seed) = std::env::var(SEED) else {
        return false;
    };
    let outcome = run(seed.parse().expect("SIMULATOR_SEED is a number"));
    println!("{}", outcome.trace().join("\n"));
    assert_eq!(outcome.violation(), None);
    true
}

/// The first seed on which every mistake is noticed that is named here, each with the beginnings of the promises that it may
/// break.
///
/// # Panics
/// When one is not noticed, or breaks something else first.
#[cfg(test)]
pub(crate) fn notice<F: Copy + fmt::Debug, O: Outcome>(
    seeds: u64,
    flaws: &[(F, &[&str])],
    run: impl Fn(u64, F) -> O,
) {
    let mut wrong = Vec::new();
    for &(flaw, promises) in flaws {
        let Some(broken) = play(0..seeds, |seed| run(seed, flaw)).find_map(Result::err) else {
            wrong.push(format!("{flaw:?} is not noticed"));
            continue;
        };
        let Violation { promise, .. } = broken.violation;
        println!("{flaw:?}: seed {}: {promise}", broken.seed);
        if !promises
            .iter()
            .any(|expected| promise.starts_with(expected))
        {
            wrong.push(format!("{flaw:?}: {broken}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
