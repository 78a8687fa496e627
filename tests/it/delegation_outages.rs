//! Delegations when the token service goes away, comes back, and is asked by everybody at once.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pullkeeper_core::wire::{Answer, Request};
use serde_json::Value;
use support::agent::{Agent, Site};
use support::eventually;
use support::fixture::{Credential, workload_token};
use support::scratch::Scratch;
use support::scripted::{Say, Scripted};

use crate::helper_protocols::{self, NOT_FOUND, body, docker, of_pod};

const REGISTRY: &str = "r.example";

/// A site whose registry's tokens come from a token endpoint, by client credentials.
fn site(name: &str, sso: &Scripted, client: &Credential) -> Result<Site> {
    let place = sso.authority();
    let delegation = format!(
        "[[delegation]]\nname = \"sso\"\nregistries = [\"{REGISTRY}\"]\ngrant = \"client-credentials\"\n\
         token_endpoint = \"http://{place}/token\"\nusername = \"robot\"\n"
    );
    helper_protocols::site(name, &body(&[(place.as_str(), client)]), &delegation)
}

fn token(token: &str, life: u32) -> Say {
    let body = format!(r#"{{"access_token":"fixture-secret-{token}","expires_in":{life}}}"#);
    Say::response("200 OK", "", &body)
}

/// Asks over the socket, without a process for each question.
async fn ask(site: &Site) -> Result<Answer> {
    let request = Request::Docker {
        server: REGISTRY.to_owned(),
    };
    site.ask(&request).await
}

async fn secret(site: &Site) -> Result<String> {
    match ask(site).await? {
        Answer::Found { username, secret } => {
            ensure!(username == "robot");
            Ok(secret.expose().to_owned())
        }
        other => anyhow::bail!("{other:?}"),
    }
}

async fn exchanges(agent: &Agent, outcome: &str) -> Result<f64> {
    let outcome = format!("outcome=\"{outcome}\"");
    let labels = ["delegation=\"sso\"", &outcome];
    agent.metric("pullkeeper_exchanges_total", &labels).await
}

#[tokio::test]
async fn a_token_serves_to_its_end_and_an_outage_is_told_as_one() -> Result<()> {
    let client = Credential::new();
    let sso = Scripted::start(token("one", 4))?;
    let site = site("sso-down", &sso, &client)?;
    let agent = site.start().await?;
    let first = eventually("the first token", async || secret(&site).await).await?;
    assert_eq!(first, "fixture-secret-one");
    let begun = tokio::time::Instant::now();
    let heard = sso.heard();
    ensure!(heard[0].starts_with("POST /token HTTP/1.1\r\n"));
    ensure!(
        heard[0].ends_with("\r\n\r\ngrant_type=client_credentials"),
        "{}",
        heard[0]
    );
    ensure!(
        !heard[0].contains(&client.password),
        "the secret is in the form"
    );

    sso.say(Say::response("500 Oops", "", "fixture-secret-in-a-body"));
    while begun.elapsed() < Duration::from_millis(3800) {
        assert_eq!(secret(&site).await?, "fixture-secret-one");
    }
    let message = eventually("the outage", async || match ask(&site).await? {
        Answer::Unavailable { message } => Ok(message),
        other => anyhow::bail!("{other:?}"),
    });
    let message = message.await?;
    ensure!(
        message.contains("delegation sso") && message.contains("status 500"),
        "{message}"
    );
    let output = docker(&site, "get", REGISTRY).await?;
    assert_eq!(output.status.code(), Some(1));
    ensure!(output.stdout != NOT_FOUND && !output.stdout.contains("fixture-secret"));

    sso.say(token("two", 300));
    let second = eventually("the second token", async || secret(&site).await).await?;
    assert_eq!(second, "fixture-secret-two");
    assert_eq!(exchanges(&agent, "obtained").await?, 2.0);
    let failed = exchanges(&agent, "failed").await?;
    ensure!((1.0..=8.0).contains(&failed), "{failed} failed exchanges");
    assert_eq!(
        agent.logged("a delegation has no credential to hand out"),
        1
    );
    assert_eq!(agent.logged("the delegation works again"), 1);
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_thousand_at_once_are_one_exchange() -> Result<()> {
    let client = Credential::new();
    let sso = Scripted::start(token("one", 300))?;
    let site = site("herd", &sso, &client)?;
    let agent = site.start().await?;
    eventually("the agent knows the client", async || {
        let status = agent.status().await?;
        ensure!(status["sources"][0]["standing"] == "good", "{status}");
        Ok(())
    })
    .await?;
    let asking = (0..1000).map(|_| async {
        // The listener's queue is shorter than the crowd.
        eventually("an answer", async || secret(&site).await).await
    });
    let answers = futures_util::future::join_all(asking).await;
    for answer in answers {
        assert_eq!(answer?, "fixture-secret-one");
    }
    assert_eq!(sso.heard().len(), 1);
    assert_eq!(exchanges(&agent, "obtained").await?, 1.0);
    let spared = "pullkeeper_exchange_cache_age_seconds_count";
    let labels = ["delegation=\"sso\""];
    assert_eq!(agent.metric(spared, &labels).await?, 999.0);
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_under_way_is_counted_until_nobody_waits() -> Result<()> {
    let sso = Scripted::start(Say::Nothing)?;
    let site = site("in-flight", &sso, &Credential::new())?;
    let agent = site.start().await?;
    let in_flight = async |wanted: f64| {
        eventually("exchanges under way", async || {
            let labels = ["delegation=\"sso\""];
            let found = agent
                .metric("pullkeeper_exchanges_in_flight", &labels)
                .await?;
            ensure!(found == wanted, "{found}");
            Ok(())
        })
        .await
    };
    {
        let asking = ask(&site);
        tokio::select! {
            answer = asking => anyhow::bail!("answered: {answer:?}"),
            counted = in_flight(1.0) => counted?,
        }
    }
    // The client is gone; the agent need not have noticed, but the exchange ends.
    in_flight(0.0).await?;
    agent.stop().await?;
    Ok(())
}

/// An issuer that is down is asked once for all accounts, and each of them hears why it gets nothing.
#[tokio::test]
async fn accounts_share_what_the_issuer_fails_to_say() -> Result<()> {
    let sso = Scripted::start(Say::response("503 Down", "", ""))?;
    let issuer = format!("http://{}", sso.authority());
    let delegation = format!(
        "[[delegation]]\nname = \"sso\"\nregistries = [\"{REGISTRY}\"]\ngrant = \"client-assertion\"\n\
         issuer = \"{issuer}\"\naudience = \"{issuer}\"\n"
    );
    let site = helper_protocols::site("issuer-down", &body(&[]), &delegation)?;
    let agent = site.start().await?;
    let asking = (0..100).map(|number| {
        let token = workload_token("team", &format!("account-{number}"), &issuer);
        let request = of_pod(&format!("{REGISTRY}/app"), token);
        let site = &site;
        async move { site.ask(&request).await }
    });
    let begun = tokio::time::Instant::now();
    for answer in futures_util::future::join_all(asking).await {
        let Answer::Unavailable { message } = answer? else {
            anyhow::bail!("something was handed out");
        };
        ensure!(message.contains("status 503"), "{message}");
    }
    // The first pause is one second; nobody is asked again before it ends.
    let most = 1 + begun.elapsed().as_secs() as usize;
    let heard = sso.heard();
    ensure!(
        (1..=most).contains(&heard.len()),
        "{} requests",
        heard.len()
    );
    ensure!(heard[0].starts_with("GET /.well-known/openid-configuration "));
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_new_secret_is_used_at_once_and_a_reload_keeps_what_did_not_change() -> Result<()> {
    let (old, new) = (Credential::new(), Credential::new());
    let sso = Scripted::start(token("one", 300))?;
    let site = site("new-secret", &sso, &old)?;
    let agent = site.start().await?;
    eventually("the first token", async || secret(&site).await).await?;

    agent.signal(nix::sys::signal::Signal::SIGHUP)?;
    eventually("a reload", async || {
        agent.metric("pullkeeper_config_reloads_total", &[]).await
    })
    .await?;
    eventually("an answer", async || secret(&site).await).await?;
    assert_eq!(sso.heard().len(), 1);

    sso.say(token("two", 300));
    site.write("source.json", body(&[(sso.authority().as_str(), &new)]))?;
    eventually("a token for the new secret", async || {
        ensure!(secret(&site).await? == "fixture-secret-two");
        Ok(())
    })
    .await?;
    let heard = sso.heard();
    assert_eq!(heard.len(), 2);
    let credential = |request: &str| -> Result<String> {
        let header = request
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with("authorization"));
        Ok(header.context("no credential")?.to_owned())
    };
    ensure!(credential(&heard[0])? != credential(&heard[1])?);
    let gone: Value = serde_json::json!({"auths": {"other.example": new.entry()}});
    site.write("source.json", gone.to_string())?;
    eventually(
        "without an entry for the token service",
        async || match ask(&site).await? {
            Answer::Unavailable { message } => {
                ensure!(message.contains("there is no entry"), "{message}");
                Ok(())
            }
            other => anyhow::bail!("{other:?}"),
        },
    )
    .await?;
    agent.stop().await?;
    Ok(())
}

/// The endpoint has made the old token void by then, so the new one must not go with the client.
#[tokio::test]
async fn a_successor_is_kept_although_nobody_waits_for_it_any_more() -> Result<()> {
    let answer = r#"{"access_token":"fixture-secret-a","expires_in":60,"refresh_token":"fixture-secret-two"}"#;
    let Say::Bytes(bytes) = Say::response("200 OK", "", answer) else {
        anyhow::bail!("no bytes");
    };
    let sso = Scripted::start(Say::Drip(bytes, Duration::from_millis(5)))?;
    let folder = Scratch::new("left-alone")?;
    let token = folder.write("token", "fixture-secret-one")?;
    let delegation = format!(
        "[[delegation]]\nregistries = [\"{REGISTRY}\"]\ngrant = \"refresh-token\"\n\
         token_endpoint = \"http://{}/token\"\ntoken_file = {token:?}\n",
        sso.authority()
    );
    let site = helper_protocols::site("left-alone", &body(&[]), &delegation)?;
    let agent = site.start().await?;
    {
        let asked = eventually("the request", async || {
            ensure!(!sso.heard().is_empty(), "nothing was asked");
            Ok(())
        });
        tokio::select! {
            answer = ask(&site) => anyhow::bail!("answered: {answer:?}"),
            asked = asked => asked?,
        }
    }
    eventually("the successor", async || {
        ensure!(std::fs::read_to_string(&token)?.trim() == "fixture-secret-two");
        Ok(())
    })
    .await?;
    agent.stop().await?;
    Ok(())
}
