//! What a rollout promises, on many seeds.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use pullkeeper_simulator::{Plan, evictions, roll_out, run};

use crate::figures::Figures;

const SEEDS: u64 = 10_000;
const NODES: usize = 5000;

pub(crate) fn measure(figures: &mut Figures) -> Result<()> {
    let plan = Plan {
        nodes: 12,
        coordinators: 3,
        steps: 1500,
        flaw: None,
    };
    let (mut actions, mut violations) = (0, 0);
    for seed in 0..SEEDS {
        let run = run(seed, plan);
        actions += run.actions;
        if let Some(violation) = run.violation {
            violations += 1;
            println!("seed {seed}: {violation:?}\n{}", run.trace.join("\n"));
        }
    }
    ensure!(actions > 50_000, "too little happened: {actions} actions");
    let plan = evictions::Plan {
        seconds: 240,
        flaw: None,
    };
    let (mut sent, mut drains) = (0, 0);
    for seed in 0..SEEDS {
        let run = evictions::run(seed, plan);
        sent += run.answers.values().sum::<usize>();
        drains += run.drains;
        if let Some(violation) = run.violation {
            violations += 1;
            let trace = run.trace.join("\n");
            println!("evictions, seed {seed}: {violation:?}\n{trace}");
        }
    }
    ensure!(drains > 20_000, "too little happened: {drains} drains");
    let how = format!(
        "broken promises of the rollout's decisions in {SEEDS} seeds with 12 nodes and 3 coordinators, {actions} permits \
         acted on, and of evictions in as many, {sent} answers, {drains} nodes emptied"
    );
    figures.lower(
        "simulator_violations",
        f64::from(violations),
        "",
        Some(0.0),
        how,
    );

    let before = processor_seconds()?;
    let scale = roll_out(NODES);
    let took = processor_seconds()? - before;
    ensure!(scale.permits == NODES, "{scale:?}");
    let how = format!(
        "processor time of one whole file-only rollout to {NODES} nodes, 1 % at a time, in the simulator: {} decisions, \
         {} ledgers of at most {} bytes, {} permits",
        scale.decisions, scale.ledgers, scale.largest_ledger, scale.permits
    );
    figures.lower(
        "simulated_rollout_5000_cpu_seconds",
        took,
        "s",
        Some(10.0),
        how,
    );
    Ok(())
}

/// What this process has used so far.
fn processor_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: TimeVal| time.num_microseconds().unsigned_abs();
    let used = micros(usage.user_time()) + micros(usage.system_time());
    Ok(Duration::from_micros(used).as_secs_f64())
}
