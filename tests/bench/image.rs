//! How much a node has to pull.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::figures::Figures;

pub(crate) fn measure(figures: &mut Figures) -> Result<()> {
    let built = Command::new("deploy/image/build")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run deploy/image/build; is this the top of the checkout?")?;
    ensure!(
        built.status.success(),
        "deploy/image/build failed, see above"
    );
    let said = String::from_utf8(built.stdout)?;
    let size = said
        .lines()
        .find_map(|line| line.strip_prefix("compressed: "));
    let size = size.and_then(|size| size.split_once(" MiB"));
    let (size, _) = size.with_context(|| format!("deploy/image/build tells no size: {said}"))?;
    let how = "the compressed layer of the image that `make image` makes, rounded up to a tenth";
    figures.lower("image_mib", size.parse()?, "MiB", Some(15.0), how);
    Ok(())
}
