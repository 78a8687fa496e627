//! What a rollout promises, on many seeds.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use pullkeeper_simulator::{Plan, evictions, play, roll_out, run};

use crate::figures::Figures;

const SEEDS: u64 = 10_000;
const NODES: usize = 5000;

pub(crate) fn measure(figures: &mut Figures) -> Result<()> {
    let (mut actions, mut violations) = (0, 0);
    for run in play(0..SEEDS, |seed| run(seed, Plan::USUAL)) {
        match run {
            Ok(run) => actions += run.actions,
            Err(broken) => {
                violations += 1;
                println!("{broken}");
            }
        }
    }
    ensure!(actions > 50_000, "too little happened: {actions} actions");
    let (mut sent, mut drains) = (0, 0);
    for run in play(0..SEEDS, |seed| {
        evictions::run(seed, evictions::Plan::USUAL)
    }) {
        match run {
            Ok(run) => {
                sent += run.answers.values().sum::<usize>();
                drains += run.drains;
            }
            Err(broken) => {
                violations += 1;
                println!("{broken}");
            }
        }
    }
    ensure!(drains > 20_000, "too little happened: {drains} drains");
    let how = format!(
        "broken promises of the rollout's decisions in {SEEDS} seeds with {} nodes and {} coordinators, {actions} permits \
         acted on, and of evictions in as many, {sent} answers, {drains} nodes emptied",
        Plan::USUAL.nodes,
        Plan::USUAL.coordinators,
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
