//! What draining nodes takes, with real agents and a real coordinator, scheduler and controllers.

use anyhow::Result;
use support::draining::drain;

use crate::figures::Figures;

const NODES: usize = 12;
/// For a node with thirty pods that go, of which ten are under a budget.
const GOAL: f64 = 60.0;

pub(crate) async fn measure(figures: &mut Figures) -> Result<()> {
    let program = std::fs::canonicalize("target/dist/pullkeeper")?;
    let (_, cost) = drain(NODES, Some(program)).await?;
    println!("| request | number |");
    println!("|---|---|");
    for (kind, number) in &cost.kinds {
        println!("| {kind} | {number} |");
    }
    figures.lower(
        "requests_per_drained_node",
        cost.per_node(),
        "",
        Some(GOAL),
        format!(
            "requests of the coordinator in the audit log, watches included, for each of {NODES} fake nodes with thirty pods that are \
             evicted, of which ten are under a budget, two nodes at a time: {:.1} s",
            cost.seconds
        ),
    );
    Ok(())
}
