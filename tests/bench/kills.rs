//! What a reader sees while writers are killed.

use anyhow::{Context as _, Result, ensure};
use support::writer::kill::kill;

use crate::figures::Figures;

const KILLS: usize = 10_000;

pub(crate) fn measure(figures: &mut Figures) -> Result<()> {
    let program = std::env::current_exe()?.with_file_name("install-writer");
    let program = program.to_str().context("a path that is text")?;
    let folder = tempfile::tempdir_in("target")?;
    let folder = folder.path().to_str().context("a path that is text")?;
    let outcome = kill(folder, program, KILLS, 1)?;
    let (census, sightings) = (outcome.census, outcome.sightings);
    ensure!(
        census.during_write() > KILLS / 10,
        "too few kills met a write: {census:?}"
    );
    #[allow(clippy::cast_precision_loss, reason = "a count of wrong sights")]
    let torn = sightings.wrong.len() as f64;
    let how = format!(
        "reads of anything but the old or the new file, right mode and owner included, in {} reads during {KILLS} \
         kill -9 of the write path, {} of them while a temporary file was there",
        sightings.old + sightings.new,
        census.during_write(),
    );
    figures.lower("torn_writes", torn, "", Some(0.0), how);
    Ok(())
}
