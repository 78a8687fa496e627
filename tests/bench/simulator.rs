//! What a rollout promises, on many seeds.

use anyhow::{Result, ensure};
use pullkeeper_simulator::{Plan, run};

use crate::figures::Figures;

const SEEDS: u64 = 10_000;

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
    let how = format!(
        "broken promises of the rollout's decisions in {SEEDS} seeds with 12 nodes and 3 coordinators, {actions} permits \
         acted on"
    );
    figures.lower(
        "simulator_violations",
        f64::from(violations),
        "",
        Some(0.0),
        how,
    );
    Ok(())
}
