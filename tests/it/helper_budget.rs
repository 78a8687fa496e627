//! The helper as it is shipped: static, and no dearer than its budget.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use support::budget::instructions_of;
use support::fixture::Credential;
use support::scratch::profile_dir;

use crate::helper_protocols::{body, knows, site};

/// What `helper/build` made.
fn shipped() -> Result<PathBuf> {
    let profile = profile_dir()?;
    let target = profile.parent().context("target/<profile> has no parent")?;
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let helper = target
        .join(host)
        .join("helper/docker-credential-pullkeeper");
    ensure!(
        helper.is_file(),
        "{} does not exist; run `helper/build` first",
        helper.display()
    );
    Ok(helper)
}

#[test]
fn the_shipped_helper_needs_no_loader() -> Result<()> {
    let bytes = std::fs::read(shipped()?)?;
    ensure!(
        bytes.starts_with(b"\x7fELF\x02\x01"),
        "no 64-bit little-endian ELF file"
    );
    let number = |at: usize, length: usize| {
        let bytes = bytes[at..at + length].iter().rev();
        bytes.fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    // elf(5): e_phoff, e_phentsize, e_phnum; p_type 3 is PT_INTERP.
    let (offset, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    ensure!(count > 0, "no program headers");
    let loader = (0..count).any(|header| number(offset + header * size, 4) == 3);
    ensure!(!loader, "the helper asks for a loader");
    Ok(())
}

#[tokio::test]
async fn a_get_stays_within_its_budget_of_instructions() -> Result<()> {
    let budget: u64 = include_str!("../../helper/budget").trim().parse()?;
    let credential = Credential::new();
    let site = site("budget", &body(&[("r.example", &credential)]), "")?;
    let agent = site.start().await?;
    knows(&site, "r.example", &credential).await?;
    let count = instructions_of(&shipped()?, &site.join("broker.sock"), "r.example")?;
    println!("{count} instructions, budget {budget}");
    ensure!(
        count <= budget + budget / 10,
        "a get takes {count} instructions, more than ten percent above {budget}; make it cheaper, or raise \
         helper/budget and say why"
    );
    agent.stop().await?;
    Ok(())
}
