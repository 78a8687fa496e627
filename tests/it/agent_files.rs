//! The agent between a file and its targets, without Kubernetes.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::agent::Site;
use support::eventually;
use support::evidence::{self, Kind};
use support::fixture::{Credential, config_json, large_config_json};
use support::http::StatusCode;

/// A site with one file as source and one target for containers/image.
fn site(name: &str, content: &str, more: &str) -> Result<Site> {
    let site = Site::new(name)?;
    let source = site.write("source.json", content)?;
    let target = site.join("auth.json");
    site.configure(
        "resync_interval = \"5s\"",
        &format!(
            "[[source]]\nname = \"global\"\nfile = {source:?}\n\
             [[target]]\nkind = \"containers\"\npath = {target:?}\n{more}"
        ),
    )?;
    Ok(site)
}

fn target(site: &Site) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(
        site.join("auth.json"),
    )?)?)
}

fn keys(document: &Value) -> Vec<String> {
    document["auths"]
        .as_object()
        .into_iter()
        .flat_map(|auths| auths.keys().cloned())
        .collect()
}

#[tokio::test]
async fn an_edit_reaches_the_target_and_a_broken_one_does_not() -> Result<()> {
    let (first, second) = (Credential::new(), Credential::new());
    let site = site("edit", &config_json([("a.example", &first)]), "")?;
    let agent = site.start().await?;
    site.holds(&[("a.example", &first)]).await?;
    assert_eq!(
        std::fs::metadata(site.join("auth.json"))?
            .permissions()
            .mode()
            & 0o7777,
        0o600
    );

    site.write(
        "source.json",
        config_json([("a.example", &second), ("b.example", &first)]),
    )?;
    let both = [("a.example", &second), ("b.example", &first)];
    site.holds(&both).await?;

    for (broken, reason) in [
        ("{\"auths\":", "MalformedJSON"),
        ("", "MalformedJSON"),
        ("[]", "NotAnObject"),
        ("null", "MissingAuths"),
        ("{}", "MissingAuths"),
        ("{\"auths\":{}}", "EmptyAuths"),
        ("{\"auths\":{\"a.example\":{\"auth\":\"bar\"}}}", "BadEntry"),
        (&config_json([("a.example", &first)])[..20], "MalformedJSON"),
    ] {
        site.write("source.json", broken)?;
        agent.finds(reason).await?;
        site.holds(&both).await?;
    }
    std::fs::remove_file(site.join("source.json"))?;
    agent.finds("FileNotFound").await?;
    site.holds(&both).await?;
    std::fs::create_dir(site.join("source.json"))?;
    agent.finds("Unreadable").await?;
    site.holds(&both).await?;
    std::fs::remove_dir(site.join("source.json"))?;

    site.write("source.json", config_json([("b.example", &second)]))?;
    site.holds(&[("b.example", &second)]).await?;
    assert_eq!(agent.source_reasons().await?, [""; 0]);
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn one_broken_entry_keeps_its_last_good_value_and_costs_the_others_nothing() -> Result<()> {
    let (first, second) = (Credential::new(), Credential::new());
    let site = site(
        "entry",
        &config_json([("a.example", &first), ("b.example", &first)]),
        "",
    )?;
    let agent = site.start().await?;
    site.holds(&[("a.example", &first), ("b.example", &first)])
        .await?;

    let document = json!({"auths": {"a.example": {"auth": "%%"}, "b.example": second.entry()}});
    site.write("source.json", document.to_string())?;
    agent.finds("BadEntry").await?;
    site.holds(&[("a.example", &first), ("b.example", &second)])
        .await?;
    let labels = [
        "reason=\"BadEntry\"",
        "severity=\"error\"",
        "source=\"global\"",
    ];
    assert_eq!(agent.metric("pullkeeper_findings", &labels).await?, 1.0);

    // Named again as good, or gone on purpose: both count at once.
    site.write("source.json", config_json([("b.example", &second)]))?;
    site.holds(&[("b.example", &second)]).await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn entries_of_others_survive_and_a_fight_is_not_fought() -> Result<()> {
    let (ours, theirs) = (Credential::new(), Credential::new());
    let site = site("foreign", &config_json([("a.example", &ours)]), "")?;
    site.write("auth.json", config_json([("theirs.example", &theirs)]))?;
    let agent = site.start().await?;
    site.holds(&[("a.example", &ours), ("theirs.example", &theirs)])
        .await?;

    // Somebody changes our entry: it is put back. Somebody removes the file: it comes back.
    site.write(
        "auth.json",
        config_json([("a.example", &theirs), ("theirs.example", &theirs)]),
    )?;
    site.holds(&[("a.example", &ours), ("theirs.example", &theirs)])
        .await?;
    std::fs::remove_file(site.join("auth.json"))?;
    site.holds(&[("a.example", &ours)]).await?;

    // Somebody insists.
    let writes = |cause: &str| {
        let cause = format!("cause=\"{cause}\"");
        let agent = &agent;
        async move {
            agent
                .metric("pullkeeper_target_writes_total", &[&cause])
                .await
        }
    };
    let until = tokio::time::Instant::now() + Duration::from_secs(4);
    while tokio::time::Instant::now() < until {
        site.write("auth.json", config_json([("a.example", &theirs)]))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let corrections = writes("drift").await?;
    ensure!(
        (2.0..=6.0).contains(&corrections),
        "{corrections} corrections"
    );

    // What a source asks for does not wait for the end of the quarrel.
    site.write(
        "source.json",
        config_json([("a.example", &theirs), ("b.example", &ours)]),
    )?;
    site.holds(&[("a.example", &theirs), ("b.example", &ours)])
        .await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_was_managed_is_remembered_over_a_restart() -> Result<()> {
    let credential = Credential::new();
    let two = config_json([("a.example", &credential), ("b.example", &credential)]);
    let site = site("restart", &two, "")?;
    site.start().await?.stop().await?;
    site.write("source.json", config_json([("b.example", &credential)]))?;
    let agent = site.start().await?;
    site.holds(&[("b.example", &credential)]).await?;
    agent.stop().await?;

    // Without its source the agent starts all the same, and what is on disk serves the node.
    std::fs::remove_file(site.join("source.json"))?;
    let agent = site.start().await?;
    agent.finds("FileNotFound").await?;
    site.holds(&[("b.example", &credential)]).await?;
    eventually("the agent is ready", async || {
        let ready = agent.endpoint().get("/readyz").await?;
        ensure!(ready.status == StatusCode::OK, "{}", ready.text());
        Ok(())
    })
    .await?;
    agent.stop().await?;

    let state = std::fs::read_dir(site.join("state/targets"))?
        .next()
        .context("a record")??;
    let record = std::fs::read_to_string(state.path())?;
    ensure!(record.contains("b.example") && !record.contains(&credential.auth()));
    assert_eq!(state.metadata()?.permissions().mode() & 0o7777, 0o600);
    Ok(())
}

#[tokio::test]
async fn a_required_registry_that_is_missing_holds_everything_back_when_enforced() -> Result<()> {
    let (first, second) = (Credential::new(), Credential::new());
    let rules =
        "[validation]\nrequired_registries = [\"a.example\"]\nrequired_action = \"enforce\"\n";
    let site = site("required", &config_json([("a.example", &first)]), rules)?;
    let agent = site.start().await?;
    site.holds(&[("a.example", &first)]).await?;
    site.write("source.json", config_json([("b.example", &second)]))?;
    agent.finds("MissingRegistry").await?;
    site.holds(&[("a.example", &first)]).await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn strictness_refuses_the_whole_document() -> Result<()> {
    let (first, second) = (Credential::new(), Credential::new());
    let site = site(
        "strict",
        &config_json([("a.example", &first)]),
        "[validation]\nbad_entry = \"refuse\"\n",
    )?;
    let agent = site.start().await?;
    site.holds(&[("a.example", &first)]).await?;
    let document = json!({"auths": {"a.example": second.entry(), "b.example": {"auth": "bar"}}});
    site.write("source.json", document.to_string())?;
    agent.finds("BadEntry").await?;
    site.holds(&[("a.example", &first)]).await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_mounted_secret_volume_is_followed_through_its_swaps() -> Result<()> {
    let (first, second) = (Credential::new(), Credential::new());
    let site = Site::new("volume")?;
    let volume = site.join("volume");
    let target = site.join("auth.json");
    site.configure(
        "",
        &format!("[[source]]\nvolume = {volume:?}\n[[target]]\nkind = \"containers\"\npath = {target:?}\n"),
    )?;
    // As kubelet's atomic writer does it: a new folder, a link to it under a temporary name, a rename.
    let publish = |version: &str, credential: &Credential| -> Result<()> {
        let body = config_json([("a.example", credential)]);
        site.write(&format!("volume/..{version}/.dockerconfigjson"), body)?;
        std::os::unix::fs::symlink(format!("..{version}"), volume.join("..data_tmp"))?;
        nix::fcntl::renameat(
            nix::fcntl::AT_FDCWD,
            &volume.join("..data_tmp"),
            nix::fcntl::AT_FDCWD,
            &volume.join("..data"),
        )?;
        Ok(())
    };
    publish("v1", &first)?;
    std::os::unix::fs::symlink("..data/.dockerconfigjson", volume.join(".dockerconfigjson"))?;
    let agent = site.start().await?;
    site.holds(&[("a.example", &first)]).await?;
    for (version, credential) in [("v2", &second), ("v3", &first), ("v4", &second)] {
        publish(version, credential)?;
        site.holds(&[("a.example", credential)]).await?;
    }
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn five_thousand_entries_pass() -> Result<()> {
    let site = site("large", &large_config_json(5000, ""), "")?;
    let agent = site.start().await?;
    eventually("the target has all entries", async || {
        let found = keys(&target(&site)?).len();
        ensure!(found == 5000, "{found} entries");
        Ok(())
    })
    .await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn signals_reload_resync_and_end() -> Result<()> {
    let (first, second) = (Credential::new(), Credential::new());
    let site = site("signals", &config_json([("a.example", &first)]), "")?;
    let agent = site.start().await?;
    site.holds(&[("a.example", &first)]).await?;
    let in_force = std::fs::read_to_string(site.config())?;

    // A configuration that cannot be used changes nothing, and is told.
    site.write("config.toml", in_force.replace("kind = ", "knid = "))?;
    agent.signal(Signal::SIGHUP)?;
    let refused = eventually("the refusal", async || {
        let status = agent.status().await?;
        let refused = status["configuration"]["refused"].as_str();
        Ok(refused.context("not refused")?.to_owned())
    })
    .await?;
    ensure!(
        refused.contains("knid") && refused.contains("kind"),
        "{refused}"
    );
    site.write("source.json", config_json([("a.example", &second)]))?;
    site.holds(&[("a.example", &second)]).await?;

    // A good one is taken: a second target appears, and the first keeps what it has.
    let more = site.join("more.json");
    site.write(
        "config.toml",
        in_force + &format!("[[target]]\nkind = \"docker\"\npath = {more:?}\n"),
    )?;
    agent.signal(Signal::SIGHUP)?;
    eventually("the second target", async || Ok(std::fs::metadata(&more)?)).await?;
    assert_eq!(
        agent
            .metric("pullkeeper_config_reloads_total", &["result=\"taken\""])
            .await?,
        1.0
    );
    assert_eq!(
        agent
            .metric("pullkeeper_config_reloads_total", &["result=\"refused\""])
            .await?,
        1.0
    );
    site.holds(&[("a.example", &second)]).await?;

    agent.signal(Signal::SIGUSR1)?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_idle_agent_is_silent() -> Result<()> {
    let credential = Credential::new();
    let site = site("idle", &config_json([("a.example", &credential)]), "")?;
    let agent = site.start().await?;
    site.holds(&[("a.example", &credential)]).await?;
    eventually("the write is logged", async || {
        ensure!(agent.logged("target replaced") == 1);
        Ok(())
    })
    .await?;
    let before = agent.log().len();
    // The same bytes again, the same content in another form, and resyncs are all no news.
    site.write("source.json", config_json([("a.example", &credential)]))?;
    for _ in 0..3 {
        agent.signal(Signal::SIGUSR1)?;
        agent.metrics().await?;
    }
    let changed = async || {
        let name = "pullkeeper_source_last_change_timestamp_seconds";
        agent.metric(name, &[]).await
    };
    let before_change = changed().await?;
    site.write(
        "source.json",
        format!("\n{}\n", config_json([("a.example", &credential)])),
    )?;
    eventually("the new form is seen", async || {
        ensure!(changed().await? > before_change);
        Ok(())
    })
    .await?;
    assert_eq!(
        agent.log().len(),
        before,
        "{:?}",
        agent.log().split_off(before)
    );
    assert_eq!(
        agent.metric("pullkeeper_target_writes_total", &[]).await?,
        1.0
    );
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn once_syncs_and_tells_by_its_exit() -> Result<()> {
    let credential = Credential::new();
    let site = site("once", &config_json([("a.example", &credential)]), "")?;
    let run = async || {
        let output = site
            .program()?
            .arg("--once")
            .run(Duration::from_secs(30))
            .await?;
        evidence::keep(Kind::Log, &output.stderr)?;
        Ok::<_, anyhow::Error>(output.status.code())
    };
    assert_eq!(run().await?, Some(0));
    site.holds(&[("a.example", &credential)]).await?;
    site.write("source.json", "{}")?;
    assert_eq!(run().await?, Some(1));
    site.holds(&[("a.example", &credential)]).await?;
    Ok(())
}

#[tokio::test]
async fn a_configuration_is_checked_without_running() -> Result<()> {
    let credential = Credential::new();
    let site = site("check", &config_json([("a.example", &credential)]), "")?;
    let check = async || {
        site.program()?
            .arg("--check")
            .run(Duration::from_secs(30))
            .await
    };
    let output = check().await?;
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    ensure!(output.stdout.contains("auth.json"), "{}", output.stdout);
    ensure!(target(&site).is_err(), "checking wrote the target");
    site.configure("resnc_interval = \"5s\"", "")?;
    let output = check().await?;
    assert_eq!(output.status.code(), Some(64));
    ensure!(output.stderr.contains("resnc_interval") && output.stderr.contains("resync_interval"));
    ensure!(output.stderr.contains("config.toml:2"), "{}", output.stderr);
    Ok(())
}
