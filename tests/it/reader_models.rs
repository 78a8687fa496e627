//! The reader models of `pullkeeper_core::reader` do what the real readers do.
//!
//! The real readers are linked into an oracle (`tests/readers`), and both are given the same
//! documents and images: a table of named cases with the expected endings written down, and any
//! number of random ones. `PULLKEEPER_READER_CASES` and `PULLKEEPER_READER_SEED` run more or other
//! ones.

mod agreement;
mod cases;
mod generator;
pub(crate) mod oracle;

use std::collections::BTreeSet;

use agreement::disagreement;
use generator::Generator;
use oracle::{Case, Oracle};

#[test]
fn named_cases_end_as_written_down_in_models_and_upstream() {
    let mut oracle = Oracle::start();
    let mut failures = Vec::new();
    for named in cases::all() {
        if let Some(found) = disagreement(&mut oracle, &named.case) {
            failures.push(format!("{}: {found}\n{:?}", named.name, named.case));
        }
        let endings = agreement::endings(&named.case);
        if endings != named.endings {
            failures.push(format!(
                "{}: models end with {endings:?}, written down is {:?}\n{:?}",
                named.name, named.endings, named.case
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn random_cases_end_alike_in_models_and_upstream() {
    let number = |variable, default| {
        std::env::var(variable).map_or(default, |value| value.parse().expect("a number"))
    };
    let seed = number("PULLKEEPER_READER_SEED", 1);
    let mut oracle = Oracle::start();
    let mut generator = Generator::new(seed);
    let mut seen = BTreeSet::new();
    for index in 0..number("PULLKEEPER_READER_CASES", 3000) {
        let case = generator.case();
        if disagreement(&mut oracle, &case).is_some() {
            let case = shrink(&mut oracle, case);
            let found = disagreement(&mut oracle, &case).unwrap_or_default();
            panic!("seed {seed}, case {index}: {found}\nminimal reproduction: {case:?}");
        }
        seen.extend(agreement::kinds(&case));
    }
    // A generator that hits nothing would prove nothing.
    let missed: Vec<_> = agreement::KINDS
        .iter()
        .filter(|kind| !seen.contains(*kind))
        .collect();
    assert!(missed.is_empty(), "no case ended with {missed:?}");
}

/// Cuts out of the document whatever is not needed for the disagreement.
fn shrink(oracle: &mut Oracle, mut case: Case) -> Case {
    let mut length = case.document.len();
    while length > 0 {
        let mut start = 0;
        while start + length <= case.document.len() {
            let mut shorter = case.clone();
            shorter.document.drain(start..start + length);
            if disagreement(oracle, &shorter).is_some() {
                case = shorter;
            } else {
                start += length.div_ceil(2);
            }
        }
        length /= 2;
    }
    case
}
