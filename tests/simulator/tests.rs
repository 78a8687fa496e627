use std::collections::BTreeMap;

use super::*;
use crate::seeds::{again, notice};

/// So many seeds in `make test`; `make bench` plays ten thousand.
const SEEDS: u64 = 500;

#[test]
fn no_promise_is_broken() {
    if again(|seed| run(seed, Plan::USUAL)) {
        return;
    }
    let (mut actions, mut generations, mut evictions, mut drains) = (0, 0, 0, 0);
    let mut restored: BTreeMap<_, usize> = BTreeMap::new();
    let mut happened: BTreeMap<_, usize> = BTreeMap::new();
    for run in play(0..SEEDS, |seed| run(seed, Plan::USUAL)) {
        let run = run.unwrap_or_else(|broken| panic!("{broken}"));
        actions += run.actions;
        generations += run.generations;
        evictions += run.evictions;
        drains += run.drains;
        for (sum, counts) in [(&mut restored, run.restored), (&mut happened, run.happened)] {
            for (what, count) in counts {
                *sum.entry(what).or_default() += count;
            }
        }
    }
    println!(
        "{SEEDS} seeds: {actions} permits acted on, {generations} generations, {drains} nodes drained, {evictions} pods evicted, 0 violations"
    );
    assert!(actions > 5000, "{actions}");
    println!("{restored:?}");
    println!("{happened:?}");
    assert!(drains > 1000, "{drains}");
    // What never happens is not looked at.
    for (what, least) in [
        ("a ledger could not be read", 5000),
        ("a record was a former node's", 500),
        ("a window was closed while nodes acted", 5000),
        ("coordinators were evicted", 300),
        ("fell silent", 300),
        ("leaders followed each other", 300),
        ("look-ups failed", 500),
        ("nobody knew whether a node was ready", 5000),
        ("others changed a pool", 5000),
        ("others held a node", 5000),
        ("slots of the gone came back", 200),
        ("slow calls cost no term", 1000),
        ("terms ran out", 500),
        ("tried again", 50),
    ] {
        let count = happened.get(what).copied().unwrap_or_default();
        assert!(count >= least, "{what}: {count}");
    }
    for why in [
        "Blocked",
        "Done",
        "Failed",
        "Foreign",
        "Halted",
        "Held",
        "Overdue",
        "Paused",
        "Strategy",
        "Stuck",
        "TakenOver",
        "Window",
        "Withdrawing",
    ] {
        assert!(restored.contains_key(why), "{why}");
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let (one, two) = (run(7, Plan::USUAL), run(7, Plan::USUAL));
    assert_eq!((one.trace, one.actions), (two.trace, two.actions));
}

/// What each mistake breaks.
#[test]
fn every_mistake_is_noticed() {
    let flaws: &[(Flaw, &[&str])] = &[
        (
            Flaw::NoCompareAndSwap,
            &[
                "S1", "S3", "S12", "S13", "S14", "S15", "S16", "S18", "S19", "L7", "L11", "L14",
            ],
        ),
        (Flaw::PermitsFirst, &["S2", "S13"]),
        (
            Flaw::BelievesTheList,
            &["S22: who could not be looked up is not gone"],
        ),
        (Flaw::BelievesOldRecords, &["L12"]),
        (Flaw::Unhalts, &["S13", "S14", "S15", "L2"]),
        (Flaw::SkipsTheSoak, &["S15"]),
        (Flaw::CountsTwice, &["S1"]),
        (Flaw::KeepsSlots, &["S1", "S4", "L1"]),
        (Flaw::NoControlPlane, &["S16"]),
        (Flaw::CordonsFirst, &["S2"]),
        (Flaw::CordonsBlindly, &["S6", "S7"]),
        (Flaw::SkipsInspection, &["no cordon before"]),
        (Flaw::CordonsUnread, &["S7"]),
        (Flaw::ReleasesFirst, &["S3"]),
        (Flaw::UncordonsAll, &["S5"]),
        (Flaw::TrustsTheFirstList, &["S11"]),
        (Flaw::IgnoresHumans, &["S7", "S11"]),
        (Flaw::BelievesOldNodes, &["S3", "S7", "S11", "S22"]),
        (Flaw::IgnoresPauses, &["S13"]),
        (Flaw::DrainsAgain, &["L12"]),
        (Flaw::NeverYields, &["L5"]),
        (Flaw::NeverGivesUp, &["L3"]),
        (Flaw::PausesCleanUp, &["L15"]),
        (Flaw::CountsItsOwnOnly, &["S4"]),
        (Flaw::TrustsOldReadiness, &["S24"]),
        (Flaw::ForgetsPermits, &["S3", "S12"]),
        (Flaw::LeadsForEver, &["S17"]),
        (Flaw::Usurps, &["S17: no two"]),
        (Flaw::Abdicates, &["L6: one slow"]),
        (Flaw::YieldsToItself, &["L6: one slow"]),
        (Flaw::WaitsForOneAnswer, &["L6"]),
        (Flaw::Resigns, &["L6: who does not lead"]),
        (
            Flaw::InheritsReports,
            &["S18: a node that was made anew has done"],
        ),
        (
            Flaw::InheritsSlots,
            &["S18: a node that was made anew inherits"],
        ),
        (Flaw::TakesDamageForNothing, &["S19"]),
        (Flaw::ReadsWhatItCan, &["S19"]),
        (Flaw::IgnoresHolds, &["S21: a node"]),
        (Flaw::IgnoresPools, &["S21: a pool"]),
        (Flaw::IgnoresSharing, &["S21: no more"]),
        (
            Flaw::TakesUnknownForReady,
            &["S22: who is not known to be ready"],
        ),
        (
            Flaw::TakesErrorsForHealth,
            &["S22: who could not be looked up is not well"],
        ),
        (
            Flaw::TakesErrorsForGone,
            &["S22: who could not be looked up is not gone"],
        ),
        (Flaw::NeverLooksUp, &["L1: a node that may be gone"]),
        (Flaw::KeepsTheGone, &["L1: the slot"]),
        (Flaw::RetriesFirst, &["L4: nobody"]),
        (Flaw::ForgetsWhoIsBehind, &["L4: nobody"]),
        (Flaw::RestartsTimers, &["L7"]),
        (Flaw::BeginsAnew, &["L11: what was reached"]),
        (Flaw::StopsWhoActs, &["L11: who acts"]),
        (Flaw::ForgetsWhoIsDone, &["L11: who is done"]),
        (Flaw::WaitsForTheSilent, &["L14: who is silent beyond"]),
        (Flaw::GivesUpTheSilent, &["L14: who is silent keeps"]),
        (Flaw::ForgetsFailures, &["L14: who has failed"]),
    ];
    notice(SEEDS, flaws, |seed, flaw| {
        let plan = Plan {
            flaw: Some(flaw),
            ..Plan::USUAL
        };
        run(seed, plan)
    });
}

#[test]
fn what_a_rollout_costs_grows_with_its_nodes() {
    let (small, large) = (roll_out(200), roll_out(2000));
    assert_eq!((small.permits, large.permits), (200, 2000));
    // At most one write for every slot that is given or comes back, and some for the stages.
    assert!(large.ledgers < 2 * 2000 + 10, "{large:?}");
    // Slots are a part of all nodes; ten times as many take ten times the room, and a fixed rest.
    assert!(
        large.largest_ledger < 12 * small.largest_ledger,
        "{small:?} {large:?}"
    );
}
