//! `make bench`: the figures of the product, measured on this machine in one run.
#![allow(
    clippy::print_stdout,
    reason = "printing the figures is what it is for"
)]

mod agent;
mod document;
mod figures;
mod helper;
mod kills;
mod rotation;

use anyhow::Result;

use crate::figures::Figures;

fn main() -> Result<()> {
    let mut figures = Figures::default();
    document::measure(&mut figures);
    kills::measure(&mut figures)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(helper::measure(&mut figures))?;
    runtime.block_on(agent::measure(&mut figures))?;
    runtime.block_on(rotation::measure(&mut figures))?;
    figures.write()
}
