//! The parts of `docs/` that a measurement writes.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Replaces what stands between the two remarks that name the part; they stay.
pub(crate) fn replace(path: &str, part: &str, text: &str) -> Result<()> {
    let page = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {path}; is this the top of the checkout?"))?;
    let (begin, end) = (
        format!("<!-- written by tests/bench/run {part} -->\n"),
        format!("<!-- until here by tests/bench/run {part} -->"),
    );
    let cut = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some(format!("{before}{begin}{text}{end}{after}"))
    });
    write(
        path,
        &cut.with_context(|| format!("{path} has no place for {part}"))?,
    )
}

/// Writes a whole page.
pub(crate) fn write(path: &str, text: &str) -> Result<()> {
    let folder = Path::new(path).parent().context("a path in a folder")?;
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write {path}; is this the top of the checkout?"))?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(readable)?;
    file.persist(path)?;
    println!("written to {path}");
    Ok(())
}
