//! Credentials that their registry rejects reach no node, not even the first one.

use anyhow::{Result, ensure};
use serde_json::json;
use support::eventually;
use support::fixture::{Credential, config_json};
use support::fleet::Fleet;
use support::registry::Registry;
use support::scripted::{Say, Scripted};

use super::{nodes, quickly};

const NODES: usize = 4;

#[tokio::test]
async fn a_credential_that_a_registry_rejects_reaches_no_node() -> Result<()> {
    let (right, wrong, before) = (Credential::new(), Credential::new(), Credential::new());
    let registry = Registry::with_passwords(&[&right]).await?;
    let host = registry.host();
    let fleet = Fleet::start(nodes(NODES, 0), &before).await?;
    let coordinator = fleet.coordinator("node-000").await?.start().await?;
    fleet.want(&quickly(json!({}))).await?;
    fleet.reaches("Complete", 1).await?;

    fleet.change(&config_json([(&*host, &wrong)])).await?;
    let halted = fleet.reaches("Halted", 2).await?;
    assert_eq!(halted["status"]["halt"]["reason"], "CanaryFailed");
    let message = halted["status"]["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains(&*host) && message.contains("401"),
        "{message}"
    );
    let record = fleet.record("node-000").await?;
    assert_eq!(record["status"]["reason"], "CredentialRejected");
    assert_eq!(fleet.holders(&before)?.len(), NODES, "not one node has it");

    // Resumed without a change it is tried again, and no better; the right one is.
    fleet.want(&quickly(json!({"resumes": 1}))).await?;
    eventually("it is tried again", async || {
        let status = fleet.rollout().await?["status"].clone();
        let (resumes, phase) = (&status["ledger"]["resumes"], &status["phase"]);
        ensure!(
            *resumes == 1 && *phase == "Halted",
            "{phase}, {resumes} resumes"
        );
        Ok(())
    })
    .await?;
    fleet.change(&config_json([(&*host, &right)])).await?;
    fleet.reaches("Complete", 3).await?;
    assert_eq!(
        fleet.record("node-003").await?["status"]["reason"],
        "UpToDate"
    );
    coordinator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_token_service_is_asked_at_the_registrys_own_origin_and_nowhere_else() -> Result<()> {
    let [before, elsewhere, rejected, taken] = [(); 4].map(|()| Credential::new());
    let stranger = Scripted::start(Say::response("401 Unauthorized", "", ""))?;
    let registry = Scripted::start(Say::challenge(&format!(
        "http://{}/token",
        stranger.authority()
    )))?;
    let host = registry.authority();
    let fleet = Fleet::start(nodes(NODES, 0), &before).await?;
    let coordinator = fleet.coordinator("node-000").await?.start().await?;
    fleet.want(&quickly(json!({}))).await?;
    fleet.reaches("Complete", 1).await?;

    // What cannot be tried is not rejected, and nothing is sent where the registry points to.
    fleet.change(&config_json([(&*host, &elsewhere)])).await?;
    fleet.reaches("Complete", 2).await?;
    assert_eq!(stranger.heard().len(), 0);

    let own = |answer: Say| {
        let challenge = Say::challenge(&format!("http://{host}/token"));
        Say::judged(move |request| match request.starts_with("GET /v2/") {
            true => challenge.clone(),
            false => answer.clone(),
        })
    };
    registry.say(own(Say::response("401 Unauthorized", "", "")));
    fleet.change(&config_json([(&*host, &rejected)])).await?;
    let halted = fleet.reaches("Halted", 3).await?;
    let message = halted["status"]["message"].as_str().unwrap_or_default();
    ensure!(message.contains(&*host), "{message}");

    // Not every failure is a rejection: the token service may be down.
    registry.say(own(Say::response("503 Service Unavailable", "", "")));
    fleet.change(&config_json([(&*host, &taken)])).await?;
    fleet.reaches("Complete", 4).await?;

    // Only the canary has asked, and the credential was shown to the token service alone.
    let heard = registry.heard();
    let shown: Vec<_> = heard
        .iter()
        .filter(|request| request.contains("authorization:"))
        .collect();
    println!(
        "{} requests, {} with the credential",
        heard.len(),
        shown.len()
    );
    ensure!(
        shown.len() == 2 && heard.len() == 5,
        "{} of {}",
        shown.len(),
        heard.len()
    );
    ensure!(
        shown
            .iter()
            .all(|request| request.starts_with("GET /token?"))
    );

    // Nobody tries anything where that is not wanted.
    registry.say(own(Say::response("401 Unauthorized", "", "")));
    fleet.want(&quickly(json!({"probe": false}))).await?;
    fleet.change(&config_json([(&*host, &rejected)])).await?;
    fleet.reaches("Complete", 5).await?;
    assert_eq!(registry.heard().len(), 5);
    coordinator.stop().await?;
    Ok(())
}
