//! kubelet gets the credential helper as a provider, on a real node: a real kubelet that a real systemd restarts.

mod failures;
mod paced;
mod scene;

use anyhow::{Result, ensure};

use scene::{Scene, Start};

#[tokio::test]
async fn both_providers_work_after_one_restart_and_removal_leaves_what_was_there() -> Result<()> {
    let mut scene = Scene::new(Start::Plain).await?;
    scene.pulls_from_vendor("vendor-before").await?;
    scene.fails("ours-before").await?;
    let before = scene.traces()?;
    let invocation = scene.invocation().await?;

    let plan = scene.perform("plan").await?.success()?;
    println!("{plan}");
    ensure!(scene.traces()? == before, "a plan has changed something");
    scene.perform("install").await?.success()?;
    let installed = scene.invocation().await?;
    ensure!(installed != invocation, "kubelet was not restarted");
    let hash = scene.hash().await?;
    ensure!(
        plan.contains(&hash),
        "kubelet has {hash}, and the plan was {plan}"
    );
    scene.pulls("ours-after").await?;
    scene.pulls_from_vendor("vendor-after").await?;
    ensure!(
        scene.vendor()? == scene.vendor,
        "a file of the vendor's has changed"
    );

    for round in 0..3 {
        scene.rotate().await?;
        scene.pulls(&format!("ours-{round}")).await?;
    }
    let again = scene.perform("install").await?.success()?;
    ensure!(again.contains("was not restarted"), "{again}");
    ensure!(
        scene.invocation().await? == installed,
        "kubelet was restarted again"
    );

    scene.perform("remove").await?.success()?;
    ensure!(
        scene.invocation().await? != installed,
        "kubelet was not restarted"
    );
    scene.pulls_from_vendor("vendor-last").await?;
    scene.rotate().await?;
    scene.fails("ours-last").await?;
    let after = scene.traces()?;
    ensure!(
        after == before,
        "{after:?} is left, and {before:?} was there"
    );
    let nothing = scene.perform("remove").await?.success()?;
    ensure!(nothing.contains("was not restarted"), "{nothing}");
    Ok(())
}
