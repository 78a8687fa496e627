use super::*;

const PLAN: Plan = Plan {
    nodes: 12,
    coordinators: 2,
    steps: 1500,
    flaw: None,
};

/// So many seeds in `make test`; `make bench` plays ten thousand.
const SEEDS: u64 = 500;

#[test]
fn no_promise_is_broken() {
    let (mut actions, mut generations) = (0, 0);
    for seed in 0..SEEDS {
        let run = run(seed, PLAN);
        if let Some(violation) = run.violation {
            panic!("seed {seed}: {violation:?}\n{}", run.trace.join("\n"));
        }
        actions += run.actions;
        generations += run.generations;
    }
    println!("{SEEDS} seeds: {actions} permits acted on, {generations} generations, 0 violations");
    assert!(actions > 5000, "{actions}");
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let (one, two) = (run(7, PLAN), run(7, PLAN));
    assert_eq!((one.trace, one.actions), (two.trace, two.actions));
}

/// What each mistake breaks.
#[test]
fn every_mistake_is_noticed() {
    for (flaw, promises) in [
        (
            Flaw::NoCompareAndSwap,
            &["S1", "S3", "S12", "S14", "S15", "S16", "S13"][..],
        ),
        (Flaw::PermitsFirst, &["S2"]),
        (Flaw::BelievesTheList, &["S3", "S12"]),
        (Flaw::BelievesOldRecords, &["L12"]),
        (Flaw::Unhalts, &["S14", "S15", "L2"]),
        (Flaw::SkipsTheSoak, &["S15"]),
        (Flaw::CountsTwice, &["S1"]),
        (Flaw::KeepsSlots, &["S1", "L2"]),
        (Flaw::NoControlPlane, &["S16"]),
    ] {
        let plan = Plan {
            flaw: Some(flaw),
            ..PLAN
        };
        let found = (0..SEEDS).find_map(|seed| Some((seed, run(seed, plan).violation?)));
        let (seed, violation) = found.unwrap_or_else(|| panic!("{flaw:?} is not noticed"));
        println!("{flaw:?}: seed {seed}: {}", violation.promise);
        let expected = promises
            .iter()
            .any(|promise| violation.promise.starts_with(promise));
        assert!(expected, "{flaw:?}: {violation:?}");
    }
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
