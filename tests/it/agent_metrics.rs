//! Every metric on the page is served by an agent that everything has happened to, and no other.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use support::agent::Site;
use support::eventually;
use support::fixture::{Credential, config_json};
use support::scripted::{Say, Scripted};

use crate::helper_protocols::docker;

/// Served where units are restarted: `restarts::failures` reads them.
const OF_RESTARTS: [&str; 3] = [
    "pullkeeper_unit_restarts_total",
    "pullkeeper_unit_restart_seconds",
    "pullkeeper_activations_total",
];

#[tokio::test]
async fn the_page_of_metrics_names_what_is_served() -> Result<()> {
    let credential = Credential::new();
    let sso = Scripted::start(Say::response(
        "200 OK",
        "",
        r#"{"access_token":"fixture-secret-token","expires_in":300}"#,
    ))?;
    let place = sso.authority();
    let body = json!({"auths": {
        "a.example": credential.entry(), "quay.io/team": credential.entry(), "b.example": {"auth": "bar"},
        place.as_str(): credential.entry(),
    }});
    let site = Site::new("metrics")?;
    let source = site.write("source.json", body.to_string())?;
    // One target that is written, one that cannot be.
    let (target, nowhere) = (site.join("auth.json"), site.join("nowhere/config.json"));
    let socket = site.join("broker.sock");
    let helper = site.write("helper", "#!/bin/sh\n")?;
    let bin = site.join("bin");
    site.configure(
        "",
        &format!(
            "[credential_helper]\ndirectory = {bin:?}\nsource = {helper:?}\n\
             [[source]]\nname = \"global\"\nfile = {source:?}\n\
             [[target]]\nkind = \"containers\"\npath = {target:?}\n\
             [[target]]\nkind = \"docker\"\npath = {nowhere:?}\n\
             [broker]\nlisten = \"unix:{}\"\n\
             [[delegation]]\nregistries = [\"r.example\"]\ngrant = \"client-credentials\"\n\
             token_endpoint = \"http://{place}/token\"\n",
            socket.display()
        ),
    )?;
    let agent = site.start().await?;
    agent.signal(Signal::SIGHUP)?;
    eventually("a reload", async || {
        agent.metric("pullkeeper_config_reloads_total", &[]).await
    })
    .await?;
    let labels = ["error=\"missing_directory\"", "kind=\"docker\""];
    eventually("a failure", async || {
        agent
            .metric("pullkeeper_target_write_failures_total", &labels)
            .await
    })
    .await?;
    // Again and again: a reload forgets what was put right before it, and may still be under way.
    let strange = config_json([("a.example", &Credential::new())]);
    eventually("a finding about a target", async || {
        site.write("auth.json", &strange)?;
        agent
            .metric("pullkeeper_target_findings", &["reason=\"Drift\""])
            .await
    })
    .await?;
    for _ in 0..2 {
        docker(&site, "get", "r.example").await?.success()?;
    }

    let page = include_str!("../../docs/usage/metrics.md");
    let (_, table) = page.split_once("|---|---|---|---|\n").context("a table")?;
    let named = table
        .lines()
        .map_while(|row| row.strip_prefix("| `")?.split('`').next());
    let named = named.filter(|name| !OF_RESTARTS.contains(name));
    let mut named: Vec<_> = named.collect();
    let metrics = agent.metrics().await?;
    let types = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let mut served: Vec<_> = types
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        })
        .collect();
    served.sort();
    named.sort_unstable();
    assert_eq!(served, named);

    let status = agent.status().await?;
    let message = status["targets"][1]["error"]["message"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        message.contains("nowhere/config.json") && message.contains("director"),
        "{message}"
    );
    agent.stop().await?;
    Ok(())
}
