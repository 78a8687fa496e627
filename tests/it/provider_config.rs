//! `pullkeeper_core::provider` says of a credential provider configuration what kubelet's own code says.
//!
//! Both are given the same files and programs: kubelet's code, linked into an oracle (`tests/readers`), finds them in
//! a folder. What kubelet refuses must be refused; what is refused beyond that must be [`What::is_stricter`]; what
//! both accept must be the same providers under the same hash. `PULLKEEPER_PROVIDER_CASES` and
//! `PULLKEEPER_PROVIDER_SEED` run more or other random cases.

mod around;
mod case;
mod flags;
mod mutation;
mod named;
mod ours;
mod patterns;

use case::{Case, Verdict};

use crate::reader_models::oracle::Oracle;

/// What came of many cases.
#[derive(Debug, Default)]
struct Counts {
    cases: usize,
    accepted: usize,
    refused: usize,
    stricter: usize,
}

impl Counts {
    /// Compares the two verdicts on a case.
    fn add(&mut self, oracle: &mut Oracle, case: &Case) -> Result<(), String> {
        self.cases += 1;
        let kubelet = case.ask(oracle);
        let ours = case.judge();
        match (&ours, &kubelet) {
            (Verdict::Loaded(_), Verdict::Loaded(_)) if ours == kubelet => self.accepted += 1,
            (Verdict::Refused { .. }, Verdict::Refused { .. }) => self.refused += 1,
            (Verdict::Refused { stricter: true, .. }, Verdict::Loaded(_)) => self.stricter += 1,
            _ => return Err(format!("ours {ours:#?}\nkubelet's {kubelet:#?}\n{case:#?}")),
        }
        Ok(())
    }
}

#[test]
fn named_cases_end_as_written_down_here_and_in_kubelet() {
    let mut oracle = Oracle::start();
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for (name, starts, case) in named::all() {
        if let Err(found) = counts.add(&mut oracle, &case) {
            failures.push(format!("{name}: {found}"));
        }
        if starts != matches!(case.ask(&mut oracle), Verdict::Loaded(_)) {
            failures.push(format!("{name}: written down is {starts}\n{case:#?}"));
        }
    }
    println!("{counts:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(
        counts.accepted > 50 && counts.refused > 100 && counts.stricter > 5,
        "{counts:?}"
    );
}

#[test]
fn random_cases_end_alike_here_and_in_kubelet() {
    let number = |variable, default| {
        std::env::var(variable).map_or(default, |value| value.parse().expect("a number"))
    };
    let cases = number("PULLKEEPER_PROVIDER_CASES", 4000);
    let seed = number("PULLKEEPER_PROVIDER_SEED", 1);
    let mut oracle = Oracle::start();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut counts = Counts::default();
    for index in 0..cases {
        let case = mutation::case(&mut random);
        if let Err(found) = counts.add(&mut oracle, &case) {
            panic!("case {index} of PULLKEEPER_PROVIDER_SEED={seed}: {found}");
        }
    }
    println!("seed {seed}: {counts:?}");
    let cases = counts.cases;
    assert!(
        counts.accepted > cases / 10 && counts.refused > cases / 4 && counts.stricter < cases / 4,
        "{counts:?}"
    );
}
