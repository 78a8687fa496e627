use std::collections::BTreeMap;

use super::*;
use crate::seeds::{again, notice, play};

/// So many seeds in `make test`; `make bench` plays ten thousand.
const SEEDS: u64 = 500;

#[test]
fn no_promise_is_broken() {
    if again(|seed| run(seed, Plan::USUAL)) {
        return;
    }
    let (mut drains, mut inspections, mut restarts, mut calm) = (0, 0, 0, 0);
    let mut answers: BTreeMap<_, usize> = BTreeMap::new();
    let mut blockers: BTreeMap<_, usize> = BTreeMap::new();
    for run in play(0..SEEDS, |seed| run(seed, Plan::USUAL)) {
        let run = run.unwrap_or_else(|broken| panic!("{broken}"));
        drains += run.drains;
        inspections += run.inspections;
        restarts += run.restarts;
        calm = calm.max(run.calm);
        for (sum, counts) in [(&mut answers, run.answers), (&mut blockers, run.blockers)] {
            for (what, count) in counts {
                *sum.entry(what).or_default() += count;
            }
        }
    }
    println!(
        "{SEEDS} seeds: {drains} nodes emptied, {inspections} inspections, {restarts} restarts, at most {calm} s in the end, 0 violations"
    );
    println!("{answers:?}");
    println!("{blockers:?}");
    assert!(drains > 1000, "{drains}");
    // What never happens is not looked at.
    for (answer, least) in [
        ("accepted", 2000),
        ("budget", 50),
        ("busy", 300),
        ("gone", 100),
        ("many_budgets", 5),
        ("namespace_terminating", 50),
        ("raced", 300),
        ("refused", 500),
        ("replaced", 50),
        ("unanswered", 300),
    ] {
        let count = answers.get(answer).copied().unwrap_or_default();
        assert!(count >= least, "{answer}: {count}");
    }
    for reason in [
        "DisruptionBudget",
        "EmptyDir",
        "ManyDisruptionBudgets",
        "NamespaceTerminating",
        "NoController",
        "Refused",
        "Terminating",
        "Unanswered",
    ] {
        assert!(blockers.contains_key(reason), "{reason}");
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let (one, two) = (run(7, Plan::USUAL), run(7, Plan::USUAL));
    assert_eq!((one.trace, one.answers), (two.trace, two.answers));
}

/// What each mistake breaks.
#[test]
fn every_mistake_is_noticed() {
    let flaws: &[(Flaw, &[&str])] = &[
        (Flaw::NeverLooksAtOrders, &["S7"]),
        (Flaw::LooksAtOrdersOnce, &["S7"]),
        (Flaw::NamesNoUid, &["S8"]),
        (Flaw::ReadsByName, &["S8"]),
        (Flaw::AllowsNoGrace, &["S9"]),
        (Flaw::EvictsAll, &["S10", "one eviction"]),
        (Flaw::Forces, &["S10"]),
        (Flaw::SkipsNobody, &["S10"]),
        (Flaw::TrustsTheFirstList, &["S11"]),
        (Flaw::BelievesTheWatch, &["S11"]),
        (Flaw::RepeatsReplaced, &["S25"]),
        (Flaw::ForgetsSpending, &["budgets: no more"]),
        (Flaw::Competes, &["budgets: one"]),
        (Flaw::IgnoresBudgets, &["budgets: no request"]),
        (Flaw::NeverBacksOff, &["backoff"]),
        (Flaw::IgnoresBusyServers, &["L8"]),
        (Flaw::BlamesPods, &["L8"]),
        (Flaw::CountsNoBusyTime, &["L8: how long"]),
        (Flaw::KnowsOneBudget, &["L10"]),
        (Flaw::SaysNothing, &["L13"]),
        (Flaw::WaitsForTheGone, &["L8, L9"]),
        (Flaw::WaitsForTheUnsent, &["L8, L9"]),
        (Flaw::NeverListsAgain, &["L9"]),
        (Flaw::NoWaves, &["two waves"]),
        (Flaw::AsksNobody, &["inspections"]),
    ];
    notice(SEEDS, flaws, |seed, flaw| {
        let plan = Plan {
            flaw: Some(flaw),
            ..Plan::USUAL
        };
        run(seed, plan)
    });
}
