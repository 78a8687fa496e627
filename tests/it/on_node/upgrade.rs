//! To another image and back, while pods are pulled for without a pause.

use std::cell::Cell;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use sha2::{Digest as _, Sha256};
use support::container_image::{ContainerImage, ImagePlan};
use support::eventually;
use support::installation::Installation;
use support::patience;
use support::process::Program;
use support::scratch::Scratch;

use super::sentries::Sentries;

#[tokio::test]
async fn an_upgrade_and_the_way_back_cost_no_pull_and_the_helper_is_always_whole() -> Result<()> {
    let folder = Scratch::new("upgrade")?;
    let plan = ImagePlan::new()?;
    let helper = another(&folder, &plan).await?;
    let second = plan
        .clone()
        .with_helper(helper)
        .build(&folder, "second")
        .await?;
    let site = Installation::new(&plan).await?;
    let known = [digest(&site.image)?, digest(&second)?];
    ensure!(known[0] != known[1], "the second helper is the first one");
    site.push(&second, "2").await?;
    site.deploy().await?;
    let sentries = Sentries::start(&site.node, &site.registry.host()).await?;
    let (done, pulls) = (Cell::new(false), Cell::new(0));
    let upgrades = async {
        for (tag, digest) in [("2", &known[1]), ("1", &known[0])] {
            site.upgrade(tag).await?;
            let before = sentries.read().get(digest).copied();
            eventually("the helper is that of the image", async || {
                ensure!(sentries.read().get(digest).copied() > before, "not yet");
                Ok(())
            })
            .await?;
            // Agent and helper of this image have met.
            site.helps().await?;
        }
        done.set(true);
        anyhow::Ok(())
    };
    // Several, because a pod takes longer to go than to come.
    let pulling = async |who: &str| {
        while !done.get() {
            pulls.set(pulls.get() + 1);
            let pod = site.pulls(&format!("{who}-{}", pulls.get())).await?;
            pod.delete().await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(upgrades, pulling("one"), pulling("two"), pulling("three"))?;

    let (asked, read) = (sentries.asked(), sentries.read());
    println!(
        "{} pulls; helper executed: {asked:?}, read: {read:?}; no answer for {:.1} s at most",
        pulls.get(),
        sentries.longest_silence()
    );
    ensure!(read.keys().all(|seen| known.contains(seen)), "{read:?}");
    // Between two agents nobody listens. Whoever has no file to go on with has to know that from any other failure.
    let expected = ["answered", "nobody listens"];
    ensure!(
        asked.keys().all(|seen| expected.contains(&seen.as_str())),
        "{asked:?}"
    );
    site.was_undisturbed().await
}

/// A helper that does the same, and is not the same.
async fn another(folder: &Scratch, plan: &ImagePlan) -> Result<PathBuf> {
    let (note, helper) = (folder.write("note", "second")?, folder.join("helper"));
    let copy = Program::installed("objcopy")?
        .arg("--add-section")
        .arg(format!(".note.test={}", note.display()))
        .args([plan.helper(), &helper]);
    copy.run(patience()).await?.success()?;
    Ok(helper)
}

fn digest(image: &ContainerImage) -> Result<String> {
    let bytes = Sha256::digest(std::fs::read(image.helper())?);
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
