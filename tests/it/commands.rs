//! The offline commands, as people and scripts use them.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use support::evidence::{self, Kind};
use support::fixture::{Credential, config_json};
use support::process::Output;
use support::product::pullkeeper;
use support::scratch::Scratch;

async fn run(arguments: &[&str], input: &str) -> Result<(Option<i32>, Output)> {
    let program = pullkeeper()?.args(arguments.iter().copied()).input(input);
    let output = program.run(Duration::from_secs(30)).await?;
    evidence::keep(Kind::Output, &output.stdout)?;
    evidence::keep(Kind::Log, &output.stderr)?;
    Ok((output.status.code(), output))
}

#[tokio::test]
async fn validate_is_silent_about_a_flawless_document_and_names_what_is_wrong() -> Result<()> {
    let credential = Credential::new();
    let (code, output) = run(&["validate"], &config_json([("quay.io", &credential)])).await?;
    assert_eq!(code, Some(0), "{}", output.stdout);
    assert!(
        output
            .stdout
            .contains("1 usable entries; the document would be used"),
        "{}",
        output.stdout
    );

    let body = json!({"auths": {"quay.io": credential.entry(), "bad.example": {"auth": "bar"}}});
    let (code, output) = run(&["validate", "-"], &body.to_string()).await?;
    assert_eq!(code, Some(1));
    for part in [
        "BadEntry",
        "bad.example",
        "1:11",
        "kubelet",
        "uses nothing of it",
        "would be used",
    ] {
        assert!(output.stdout.contains(part), "{part}: {}", output.stdout);
    }
    let (code, output) = run(
        &["validate", "--strict", "--output", "json"],
        &body.to_string(),
    )
    .await?;
    let report: Value = serde_json::from_str(&output.stdout)?;
    assert_eq!((code, &report["admitted"]), (Some(1), &json!(false)));
    assert_eq!(report["findings"][0]["reason"], "BadEntry");
    assert_eq!(
        report["findings"][0]["position"],
        json!({"line": 1, "column": 11})
    );
    Ok(())
}

#[tokio::test]
async fn validate_knows_required_registries_legacy_files_and_missing_ones() -> Result<()> {
    let credential = Credential::new();
    let good = config_json([("quay.io", &credential)]);
    let required = ["validate", "--required-registry", "registry.example"];
    let (code, output) = run(&required, &good).await?;
    assert_eq!(code, Some(1));
    assert!(
        output.stdout.contains("MissingRegistry"),
        "{}",
        output.stdout
    );

    let legacy = json!({"quay.io": credential.entry()}).to_string();
    assert_eq!(run(&["validate"], &legacy).await?.0, Some(0));
    let (code, output) = run(&["validate", "--shape", "config-json"], &legacy).await?;
    assert_eq!(code, Some(1));
    assert!(output.stdout.contains("WrongShape"), "{}", output.stdout);

    let (code, output) = run(&["validate", "/nonexistent/config.json"], "").await?;
    assert_eq!(code, Some(66));
    assert!(
        output.stderr.contains("/nonexistent/config.json"),
        "{}",
        output.stderr
    );
    assert_eq!(run(&["validate", "--no-such-flag"], "").await?.0, Some(64));
    Ok(())
}

#[tokio::test]
async fn explain_tells_what_each_client_would_take() -> Result<()> {
    let credential = Credential::new();
    let scratch = Scratch::new("explain")?;
    let file = scratch.write(
        "config.json",
        config_json([("r.example/team", &credential)]),
    )?;
    let file = file.display().to_string();
    let ask =
        async |image: &str| run(&["explain", image, "--file", &file, "--output", "json"], "").await;
    let (code, output) = ask("r.example/team/app:1").await?;
    assert_eq!(code, Some(0), "{}", output.stdout);
    let (code, output) = ask("r.example/team-evil/app").await?;
    assert_eq!(code, Some(1));
    let answers: Value = serde_json::from_str(&output.stdout)?;
    let outcome = |reader: usize| answers["answers"][reader]["outcome"].clone();
    assert_eq!(
        [outcome(0), outcome(1), outcome(2)],
        ["credentials", "none", "credentials"]
    );
    assert_eq!(answers["answers"][0]["candidates"][0]["rule"], "prefix");

    let (code, output) = run(&["explain", "r.example/team/app", "--file", &file], "").await?;
    assert_eq!(code, Some(0));
    assert!(
        output.stdout.contains("namespace") && output.stdout.contains(&file),
        "{}",
        output.stdout
    );
    assert_eq!(run(&["explain", "Not An Image"], "").await?.0, Some(64));
    assert_eq!(
        run(&["explain", "x", "--file", "/nonexistent"], "")
            .await?
            .0,
        Some(66)
    );
    Ok(())
}
