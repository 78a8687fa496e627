//! Whatever goes wrong, kubelet is back with what it had.

use anyhow::{Result, ensure};
use support::eventually::eventually_within;

use super::scene::{LONG, Scene, Start};

#[tokio::test]
async fn a_kubelet_that_does_not_come_back_gets_its_former_flags() -> Result<()> {
    let scene = Scene::new(Start::Picky).await?;
    let before = scene.foreign()?;
    let said = scene.perform("install").await?;
    println!("{}", said.stderr);
    ensure!(said.status == 69, "status {}", said.status);
    for word in [
        "kubelet.service did not come back",
        "kubelet has its former flags, and is back",
    ] {
        ensure!(said.stderr.contains(word), "{}", said.stderr);
    }
    scene.pulls_from_vendor("vendor-after").await?;
    ensure!(
        scene.foreign()? == before,
        "something of others is not as it was"
    );

    scene.relent()?;
    scene.perform("install").await?.success()?;
    scene.pulls("ours-after").await?;
    Ok(())
}

#[tokio::test]
async fn systemd_goes_back_by_itself_when_the_agent_has_died() -> Result<()> {
    let scene = Scene::new(Start::Picky).await?;
    let before = scene.foreign()?;
    scene.hang()?;
    scene.begin("install").await?;
    scene.services.kill("install.service").await?;
    scene.services.ended("install.service", LONG).await?;
    eventually_within(LONG, "everything is as it was", async || {
        ensure!(scene.foreign()? == before, "not yet");
        Ok(())
    })
    .await?;
    scene.pulls_from_vendor("vendor-after").await?;

    // Who comes next tells what happened, once.
    let said = scene.perform("install").await?;
    println!("{}", said.stderr);
    ensure!(
        said.status == 69 && said.stderr.contains("nobody saw it come back"),
        "{}",
        said.stderr
    );
    scene.relent()?;
    scene.perform("install").await?.success()?;
    scene.pulls("ours-after").await
}

#[tokio::test]
async fn who_comes_after_a_killed_agent_finishes_what_went_well() -> Result<()> {
    let scene = Scene::new(Start::ExtraArgs).await?;
    let before = scene.traces()?;
    scene.begin("install").await?;
    scene.services.kill("install.service").await?;
    scene.services.ended("install.service", LONG).await?;
    let invocation = scene.invocation().await?;
    let said = scene.perform("install").await?.success()?;
    ensure!(said.contains("was not restarted"), "{said}");
    ensure!(
        scene.invocation().await? == invocation,
        "kubelet was restarted again"
    );
    scene.pulls("ours-after").await?;
    scene.pulls_from_vendor("vendor-after").await?;

    // An administrator has a wish of his own meanwhile: it stays.
    let edited = scene.environment()?.replace("--v=2", "--v=3");
    scene.set_environment(&edited)?;
    scene.perform("remove").await?.success()?;
    let left = scene.environment()?;
    ensure!(
        left == "# An administrator's.\nKUBELET_EXTRA_ARGS=\"--v=3\"\n",
        "{left}"
    );
    scene.set_environment(&left.replace("--v=3", "--v=2"))?;
    let after = scene.traces()?;
    ensure!(
        after == before,
        "{after:?} is left, and {before:?} was there"
    );
    Ok(())
}

#[tokio::test]
async fn where_nothing_can_be_written_nothing_is_restarted() -> Result<()> {
    let scene = Scene::new(Start::Plain).await?;
    let (before, invocation) = (scene.traces()?, scene.invocation().await?);
    scene.configure("directory = \"/nowhere/kubelet\"")?;
    let said = scene.perform("install").await?;
    ensure!(
        said.status == 69 && said.stderr.contains("cannot make /nowhere/kubelet"),
        "{}",
        said.stderr
    );
    scene.configure("profile = \"kubeadm\"")?;
    let said = scene.perform("install").await?;
    ensure!(
        said.status == 1 && said.stderr.contains("no file that sets it"),
        "{}",
        said.stderr
    );
    scene.configure("helper = \"/nowhere/helper\"")?;
    let said = scene.perform("install").await?;
    ensure!(
        said.status == 1 && said.stderr.contains("install the credential helper first"),
        "{}",
        said.stderr
    );
    ensure!(scene.traces()? == before, "something was written");
    ensure!(
        scene.invocation().await? == invocation,
        "kubelet was restarted"
    );
    Ok(())
}

#[tokio::test]
async fn flags_that_cannot_be_written_cost_no_restart() -> Result<()> {
    let scene = Scene::new(Start::ExtraArgs).await?;
    scene.link_environment()?;
    let (before, invocation) = (scene.foreign()?, scene.invocation().await?);
    for _ in 0..2 {
        let said = scene.perform("install").await?;
        println!("{}", said.stderr);
        ensure!(
            said.status == 69 && said.stderr.contains("it is a symbolic link"),
            "{}",
            said.stderr
        );
        ensure!(
            scene.foreign()? == before,
            "something of others is not as it was"
        );
    }
    ensure!(
        scene.invocation().await? == invocation,
        "kubelet was restarted"
    );
    Ok(())
}

/// What becomes of the vendor's configuration, and a word of why kubelet would not start with it.
type Break = (&'static str, &'static str, &'static str);

/// One for each rule of kubelet's that a file can break.
const BREAKS: [Break; 16] = [
    ("apiVersion: kubelet.config.k8s.io/v1\n", "", "apiVersion"),
    (
        "kubelet.config.k8s.io/v1",
        "kubelet.config.k8s.io/v2",
        "apiVersion",
    ),
    (
        "kind: CredentialProviderConfig",
        "kind: KubeletConfiguration",
        "kind",
    ),
    ("providers:", "Providers:", "Providers"),
    ("matchImages:", "matchimages:", "matchimages"),
    (
        "name: vendor-provider",
        "name: vendor-provider\n  name: vendor-provider",
        "name",
    ),
    (
        "name: vendor-provider",
        "name: missing-provider",
        "missing-provider",
    ),
    ("name: vendor-provider", "name: README", "README"),
    ("name: vendor-provider", "name: ../vendor-provider", "name"),
    (
        "credentialprovider.kubelet.k8s.io/v1",
        "credentialprovider.kubelet.k8s.io/v2",
        "apiVersion",
    ),
    ("matchImages: [", "matchImages: [\"host:*\", ", "host:*"),
    ("  defaultCacheDuration: 0s\n", "", "defaultCacheDuration"),
    (
        "defaultCacheDuration: 0s",
        "defaultCacheDuration: 1d",
        "defaultCacheDuration",
    ),
    (
        "defaultCacheDuration: 0s",
        "defaultCacheDuration: 0s\n  tokenAttributes: {cacheType: Token, requireServiceAccount: true}",
        "serviceAccountTokenAudience",
    ),
    (
        "defaultCacheDuration: 0s",
        "defaultCacheDuration: 0s\n  tokenAttributes: {serviceAccountTokenAudience: a, cacheType: token, requireServiceAccount: true}",
        "cacheType",
    ),
    ("providers:\n", "providers: [\n", "config"),
];

#[tokio::test]
async fn each_rule_of_kubelet_is_seen_before_a_restart() -> Result<()> {
    let scene = Scene::new(Start::Plain).await?;
    let invocation = scene.invocation().await?;
    let whole = scene.vendor_config()?;
    for (found, put, word) in BREAKS {
        ensure!(whole.contains(found), "{found}");
        scene.set_vendor_config(&whole.replacen(found, put, 1))?;
        let before = scene.traces()?;
        let said = scene.perform("install").await?;
        let first = said.stderr.lines().next().unwrap_or_default();
        println!("{put:?}: {first}");
        ensure!(
            said.status == 1,
            "status {} for {put:?}: {}",
            said.status,
            said.stderr
        );
        ensure!(
            first.contains("mend that first") && first.contains(word),
            "{put:?}: {first}"
        );
        ensure!(
            scene.traces()? == before,
            "something was written for {put:?}"
        );
    }
    scene.set_vendor_config(&whole)?;
    ensure!(
        scene.invocation().await? == invocation,
        "kubelet was restarted"
    );
    scene.perform("install").await?.success()?;
    scene.pulls("ours-after").await
}
