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

#[tokio::test]
async fn a_delegation_is_explained_without_sending_anything() -> Result<()> {
    let scratch = Scratch::new("dry-run")?;
    // No such hosts exist: who asked them would fail.
    let config = scratch.write(
        "config.toml",
        r#"
[[delegation]]
name = "connect"
registries = ["privateregistry.invalid"]
realms = ["https://sso.invalid"]

[[delegation]]
registries = ["tokens.invalid/team"]
grant = "client-credentials"
token_endpoint = "https://sso.invalid/token"
scope = "pull"
credential = "clients.invalid"

[[delegation]]
registries = ["*.workloads.invalid"]
grant = "client-assertion"
token_endpoint = "https://sso.invalid/token"
audience = "https://sso.invalid"

[[delegation]]
registries = ["users.invalid"]
grant = "jwt-bearer"
issuer = "https://sso.invalid/realms/pull"
audience = "https://sso.invalid"

[[delegation]]
registries = ["zot.invalid:5000"]
preset = "zot"
audience = "https://zot.invalid"

[[delegation]]
registries = ["artifactory.invalid"]
preset = "artifactory"
audience = "https://artifactory.invalid"
parameters = { provider_name = "cluster" }

[[delegation]]
registries = ["renewed.invalid"]
grant = "refresh-token"
token_endpoint = "https://sso.invalid/token"
token_file = "/var/lib/renewed"
credential_file = "/etc/client.json"

[[delegation]]
registries = ["projects.invalid"]
preset = "namespace-secrets"
audience = "https://kubernetes.default.svc"
realms = ["https://sso.invalid"]

[[delegation]]
registries = ["identity.invalid"]
realms = ["https://sso.invalid"]
hand_out = "identity-token"
"#,
    )?;
    let config = config.to_str().unwrap();
    for (registry, words) in [
        (
            "privateregistry.invalid/team/app",
            &[
                "delegation connect answers for privateregistry.invalid",
                "GET https://privateregistry.invalid/v2/ without a credential",
                "realm at https://sso.invalid with",
                "the pull secret's entry for sso.invalid",
            ][..],
        ),
        (
            "tokens.invalid/team/app",
            &[
                "POST a form to https://sso.invalid/token",
                "scope=pull",
                "entry for clients.invalid",
            ],
        ),
        (
            "eu.workloads.invalid",
            &[
                "`serviceAccountTokenAudience: https://sso.invalid`",
                "client_assertion",
            ],
        ),
        (
            "users.invalid",
            &[
                "`serviceAccountTokenAudience: https://sso.invalid`",
                "discovery document of https://sso.invalid/realms/pull",
                "grant-type:jwt-bearer",
                "entry for sso.invalid",
            ],
        ),
        ("zot.invalid:5000", &["as password of user jwt"]),
        (
            "artifactory.invalid",
            &[
                "POST a JSON object to https://artifactory.invalid/access/api/v1/oidc/token",
                "provider_name=cluster",
                "that token as subject_token",
                "the user that it names as username",
            ],
        ),
        (
            "renewed.invalid",
            &[
                "read the refresh token in /var/lib/renewed",
                "client ID and secret of the entry for sso.invalid in /etc/client.json",
                "put it into /var/lib/renewed before anything else",
            ],
        ),
        (
            "projects.invalid",
            &[
                "`serviceAccountTokenAudience: https://kubernetes.default.svc`",
                "GET the Secrets of type kubernetes.io/dockerconfigjson in the pod's namespace",
                "Basic authorization of their entry for sso.invalid",
            ],
        ),
        (
            "identity.invalid",
            &[
                "POST the realm at https://sso.invalid with",
                "as identity token",
            ],
        ),
        (
            "tokens.invalid/other",
            &["no delegation answers for tokens.invalid"],
        ),
    ] {
        let arguments = ["exchange", "--config", config, "--dry-run", registry];
        let (code, output) = run(&arguments, "").await?;
        assert_eq!(code, Some(0), "{}", output.stderr);
        assert!(output.stdout.starts_with("1. "), "{}", output.stdout);
        for words in words {
            assert!(output.stdout.contains(words), "{words}: {}", output.stdout);
        }
    }
    let credential = Credential::new();
    let file = scratch.write("auth.json", config_json([("quay.io", &credential)]))?;
    let file = file.to_str().unwrap();
    let image = "privateregistry.invalid/team/app:1";
    let arguments = ["explain", "--config", config, "--file", file, image];
    let (_, output) = run(&arguments, "").await?;
    assert!(
        output.stdout.contains("delegation connect answers"),
        "{}",
        output.stdout
    );
    Ok(())
}
