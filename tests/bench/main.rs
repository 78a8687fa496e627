//! `make bench`: the figures of the product, measured on this machine in one run; `tests/bench/run PART` for one part.
#![allow(
    clippy::print_stdout,
    reason = "printing the figures is what it is for"
)]

mod agent;
mod coordinator;
mod document;
mod drains;
mod figures;
mod helper;
mod image;
mod kills;
mod page;
mod pod;
mod process;
mod rotation;
mod simulator;

use anyhow::Result;

use crate::figures::Figures;

fn main() -> Result<()> {
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let mut figures = Figures::default();
    if wanted("document") {
        document::measure(&mut figures);
    }
    if wanted("kills") {
        kills::measure(&mut figures)?;
    }
    if wanted("image") {
        image::measure(&mut figures)?;
    }
    if wanted("simulator") {
        simulator::measure(&mut figures)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if wanted("helper") {
        runtime.block_on(helper::measure(&mut figures))?;
    }
    if wanted("agent") {
        runtime.block_on(agent::measure(&mut figures))?;
    }
    if wanted("coordinator") {
        runtime.block_on(coordinator::measure(&mut figures))?;
    }
    if wanted("drains") {
        runtime.block_on(drains::measure(&mut figures))?;
    }
    // What they found is in docs/ as well, and is written there when nothing else is measured at the same time.
    if wanted("pod") {
        runtime.block_on(pod::measure(&mut figures, only.is_some()))?;
    }
    if wanted("rotation") {
        runtime.block_on(rotation::measure(&mut figures, only.is_some()))?;
    }
    figures.write()
}
