//! The agent keeps the credential helper on the host, on the kernel itself: mounts, programs that run, readers.
//!
//! The scripts rely on `set -e`: a command that fails ends them, and the test with them.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use support::agent::Site;
use support::eventually;
use support::fixture::{Credential, config_json};
use support::http::StatusCode;

/// What is installed has this name.
const NAME: &str = "docker-credential-pullkeeper";

#[tokio::test]
async fn it_is_installed_and_told_and_follows_its_source() -> Result<()> {
    let credential = Credential::new();
    let site = site("helper-install", &credential)?;
    let path = site.join("bin").join(NAME);
    let agent = site.start().await?;
    let installs = async |result: &str, count: f64| {
        let labels = [format!("result=\"{result}\"")];
        let name = "pullkeeper_credential_helper_installs_total";
        let found = agent.metric(name, &[&labels[0]]).await?;
        ensure!(found == count, "{found} times {result}");
        Ok(())
    };
    let up_to_date = async || {
        agent
            .metric("pullkeeper_credential_helper_up_to_date", &[])
            .await
    };
    eventually("an installed helper", async || {
        installs("installed", 1.0).await
    })
    .await?;
    ensure!(fs::read(&path)? == fs::read(site.join("helper"))?);
    ensure!(up_to_date().await? == 1.0);
    ensure!(agent.status().await?["credential_helper"]["state"] == "up-to-date");
    installs("updated", 0.0).await?;
    installs("failed", 0.0).await?;

    site.write("next", fs::read("/bin/true")?)?;
    #[expect(clippy::disallowed_methods, reason = "plays the part of somebody else")]
    fs::rename(site.join("next"), site.join("helper"))?;
    agent.signal(Signal::SIGUSR1)?;
    eventually("an updated helper", async || installs("updated", 1.0).await).await?;
    ensure!(fs::read(&path)? == fs::read("/bin/true")?);

    // A failure is told once, costs the agent nothing else, and what was installed stays.
    fs::remove_file(site.join("helper"))?;
    for count in [1.0, 2.0] {
        agent.signal(Signal::SIGUSR1)?;
        eventually("a failure", async || installs("failed", count).await).await?;
    }
    ensure!(up_to_date().await? == 0.0);
    let status = agent.status().await?;
    let error = &status["credential_helper"]["error"];
    ensure!(error["kind"] == "source_missing", "{status}");
    ensure!(fs::read(&path)? == fs::read("/bin/true")?);
    ensure!(agent.logged("cannot update the credential helper") == 1);
    site.holds(&[("a.example", &credential)]).await?;
    let ready = agent.endpoint().get("/readyz").await?;
    ensure!(ready.status == StatusCode::OK, "{}", ready.text());
    agent.stop().await?;
    Ok(())
}

#[test]
fn what_the_host_refuses_changes_nothing_there() -> Result<()> {
    let site = site("helper-mounts", &Credential::new())?;
    run(
        &site,
        r#"
        mkdir "$D/opt"
        # Of directories not the times: what was made there for a moment is gone again.
        seen() { find "$D/opt" -type d -printf '%p %i %m\n' -o -printf '%p %i %s %m %T@ %C@\n' | sort; }
        refused() {
            before=$(seen)
            "$P" agent --once --config "$D/config.toml" --credential-helper-directory "$1" 2> "$D/log" && exit 1
            [ $? -eq 69 ]
            cat "$D/log" >&2
            grep -q "$2" "$D/log"
            grep -q "$1/docker-credential-pullkeeper" "$D/log"
            [ "$before" = "$(seen)" ]
            [ -e "$D/auth.json" ]
        }
        refused "$D/nowhere/bin" '"kind":"missing_directory"'

        mount -t tmpfs -o noexec tmpfs "$D/opt"
        refused "$D/opt/bin" '"kind":"no_exec"'
        mkdir "$D/opt/bin"
        refused "$D/opt/bin" '"kind":"no_exec"'
        mount -o remount,exec "$D/opt"
        "$P" agent --once --config "$D/config.toml" --credential-helper-directory "$D/opt/bin"
        "$D/opt/bin/docker-credential-pullkeeper" 0
        mount -o remount,noexec "$D/opt"
        refused "$D/opt/bin" '"kind":"no_exec"'
        umount "$D/opt"

        mount -t tmpfs tmpfs "$D/opt"
        mount -o remount,ro "$D/opt"
        refused "$D/opt/bin" '"kind":"read_only"'
        umount "$D/opt"

        mount -t tmpfs -o size=8k tmpfs "$D/opt"
        refused "$D/opt/bin" '"kind":"no_space"'
        mkdir "$D/opt/bin"
        echo old > "$D/opt/bin/docker-credential-pullkeeper"
        chmod 0755 "$D/opt/bin/docker-credential-pullkeeper"
        refused "$D/opt/bin" '"kind":"no_space"'
        umount "$D/opt"

        mkdir "$D/opt/bin"
        touch "$D/opt/bin/docker-credential-pullkeeper"
        mount --bind "$D/helper" "$D/opt/bin/docker-credential-pullkeeper"
        refused "$D/opt/bin" '"kind":"bind_mount"'
        umount "$D/opt/bin/docker-credential-pullkeeper"
        "$P" agent --once --config "$D/config.toml" --credential-helper-directory "$D/opt/bin"
        "#,
    )
}

#[test]
fn whoever_executes_it_never_finds_it_missing_busy_or_partial() -> Result<()> {
    let site = site("helper-running", &Credential::new())?;
    run(
        &site,
        r#"
        H="$D/bin/docker-credential-pullkeeper"
        once() { "$P" agent --once --config "$D/config.toml" 2>> "$D/log"; }
        once
        "$H" 60 & running=$!
        ( while :; do "$H" 0 || exit 1; echo >> "$D/count"; done ) & loop=$!
        cycle=0
        while [ $cycle -lt 100 ]; do
            if [ $((cycle % 2)) -eq 0 ]; then cp /bin/true "$D/next"; else cp /bin/sleep "$D/next"; fi
            mv "$D/next" "$D/helper"
            once
            cmp -s "$D/helper" "$H"
            kill -0 $loop
            cycle=$((cycle + 1))
        done
        kill -0 $running
        kill $loop $running
        [ "$(wc -l < "$D/count")" -gt 100 ]
        [ "$(grep -c '"result":"updated"' "$D/log")" -eq 100 ]
        "#,
    )
}

/// A site with one target and a program to install.
fn site(name: &str, credential: &Credential) -> Result<Site> {
    let site = Site::new(name)?;
    let source = site.write("source.json", config_json([("a.example", credential)]))?;
    let helper = site.write("helper", fs::read("/bin/sleep")?)?;
    let (target, bin) = (site.join("auth.json"), site.join("bin"));
    site.configure(
        "",
        &format!(
            "[[source]]\nname = \"global\"\nfile = {source:?}\n\
             [[target]]\nkind = \"containers\"\npath = {target:?}\n\
             [credential_helper]\ndirectory = {bin:?}\nsource = {helper:?}\n"
        ),
    )?;
    Ok(site)
}

/// Runs a script in a mount namespace of its own, with the agent's program in `$P` and the site's folder in `$D`.
fn run(site: &Site, script: &str) -> Result<()> {
    let program = support::product::pullkeeper()?;
    let output = Command::new("timeout")
        .args(["--kill-after=5", "120"])
        .args(["unshare", "--mount", "--propagation", "private"])
        .args(["sh", "-euc", script])
        .env("P", program.path())
        .env("D", site.config().parent().context("no folder")?)
        .output()
        .context("cannot run unshare: install util-linux")?;
    ensure!(output.status.success(), "{script}\n{output:#?}");
    Ok(())
}
