//! The helper as clients execute it, against a running agent: both protocols, hostile input, the three outcomes.

mod outages;
mod peers;
mod shelf;

use std::time::Duration;

use anyhow::{Result, ensure};
use pullkeeper_core::wire::{Request, Secret};
use serde_json::{Value, json};
use support::agent::{Agent, Site};
use support::eventually;
use support::evidence::{self, Kind};
use support::fixture::Credential;
use support::process::{Output, Program};
use support::product::helper;

const RUN: Duration = Duration::from_secs(40);
pub(crate) const NOT_FOUND: &str = "credentials not found in native keychain\n";

/// A site with a broker, whose source is `source.json`; `broker` is what follows in the configuration.
pub(crate) fn site(name: &str, body: &str, broker: &str) -> Result<Site> {
    let site = Site::new(name)?;
    let source = site.write("source.json", body)?;
    let (target, socket) = (site.join("auth.json"), site.join("broker.sock"));
    // The machine's own is not for tests.
    let shelf = site.join("exchange");
    site.configure(
        "",
        &format!(
            "[[source]]\nname = \"global\"\nfile = {source:?}\n\
             [[target]]\nkind = \"containers\"\npath = {target:?}\n\
             [broker]\nlisten = \"unix:{}\"\nexchange_cache = {shelf:?}\n{broker}\n",
            socket.display()
        ),
    )?;
    Ok(site)
}

/// What kubelet asks for a pod with this token.
pub(crate) fn of_pod(image: &str, token: String) -> Request {
    Request::Kubelet {
        image: image.to_owned(),
        service_account_token: Some(Secret::new(token)),
        service_account_annotations: Default::default(),
    }
}

/// The helper, asked at the site's socket and configured as the site's agent.
pub(crate) fn at(site: &Site, program: Program) -> Program {
    let environment = site.environment().iter();
    environment
        .fold(program, |program, (name, value)| program.env(name, value))
        .env("PULLKEEPER_BROKER_SOCKET", site.join("broker.sock"))
        .env("PULLKEEPER_CONFIG", site.config())
        .env("PULLKEEPER_HELPER_TIMEOUT", "5")
}

/// Executes the helper as docker's clients do. What it prints is a secret only when it succeeds.
pub(crate) async fn docker(site: &Site, action: &str, stdin: impl Into<Vec<u8>>) -> Result<Output> {
    let program = at(site, helper()?).arg(action).input(stdin);
    let output = program.run(RUN).await?;
    if !output.status.success() || action != "get" {
        evidence::keep(Kind::Output, &output.stdout)?;
    }
    evidence::keep(Kind::Log, &output.stderr)?;
    Ok(output)
}

/// Executes the helper as kubelet does.
pub(crate) async fn kubelet(site: &Site, image: &str) -> Result<Output> {
    let request = json!({
        "kind": "CredentialProviderRequest",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "image": image,
    });
    let program = at(site, helper()?).arg("credential-provider");
    let output = program.input(request.to_string()).run(RUN).await?;
    evidence::keep(Kind::Log, &output.stderr)?;
    Ok(output)
}

/// Waits until the broker has read the source.
pub(crate) async fn knows(site: &Site, registry: &str, credential: &Credential) -> Result<()> {
    eventually("the broker answers with the credential", async || {
        let output = docker(site, "get", registry).await?;
        ensure!(output.status.success(), "{}", output.stdout);
        let found: Value = serde_json::from_str(&output.stdout)?;
        ensure!(found["Secret"] == credential.password, "another credential");
        Ok(())
    })
    .await
}

pub(crate) fn body(entries: &[(&str, &Credential)]) -> String {
    support::fixture::config_json(entries.iter().copied())
}

async fn started(site: &Site) -> Result<Agent> {
    let agent = site.start().await?;
    eventually("a socket", async || {
        Ok(std::fs::metadata(site.join("broker.sock"))?)
    })
    .await?;
    Ok(agent)
}

#[tokio::test]
async fn every_spelling_of_a_server_gets_the_same_answer() -> Result<()> {
    let [plain, team, hub] = std::array::from_fn(|_| Credential::new());
    let entries = [
        ("r.example", &plain),
        ("r.example/team", &team),
        ("https://index.docker.io/v1/", &hub),
    ];
    let site = site("spellings", &body(&entries), "")?;
    let agent = started(&site).await?;
    knows(&site, "r.example", &plain).await?;
    // What docker, podman, nerdctl, crane, oras, jib and the maven plugin put on standard input.
    for (server, credential) in [
        ("r.example", &plain),
        ("r.example\n", &plain),
        ("r.example:443", &plain),
        ("https://r.example:443", &plain),
        ("http://r.example", &plain),
        ("https://r.example", &plain),
        ("https://r.example/v2/", &plain),
        ("r.example/other/repo", &plain),
        ("r.example/team/repo", &team),
        ("r.example/team-evil/repo", &plain),
        ("https://index.docker.io/v1/", &hub),
        ("docker.io", &hub),
        ("registry-1.docker.io", &hub),
        ("registry.hub.docker.com", &hub),
        ("index.docker.io/library/nginx", &hub),
    ] {
        let output = docker(&site, "get", server).await?;
        ensure!(output.status.success(), "{server}: {}", output.stdout);
        let found: Value = serde_json::from_str(&output.stdout)?;
        let expected = json!({
            "ServerURL": server.trim(),
            "Username": credential.username,
            "Secret": credential.password,
        });
        assert_eq!(found, expected, "{server}");
    }
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn input_and_output_are_the_reference_protocols() -> Result<()> {
    let credential = Credential::new();
    let entries = json!({"auths": {
        "r.example": credential.entry(), "broken.example": {"auth": "bar"},
    }});
    let site = site("words", &entries.to_string(), "")?;
    let agent = started(&site).await?;
    knows(&site, "r.example", &credential).await?;
    let secret = format!(
        "{{\"ServerURL\":\"r.example\",\"Username\":\"u\",\"Secret\":\"{}\"}}",
        credential.password
    );
    let name = "docker-credential-pullkeeper";
    for (action, stdin, stdout, status) in [
        ("get", "other.example", NOT_FOUND.to_owned(), 1),
        ("get", "", "no credentials server URL\n".to_owned(), 1),
        ("get", " \r\n", "no credentials server URL\n".to_owned(), 1),
        ("erase", "other.example", String::new(), 0),
        ("erase", "", "no credentials server URL\n".to_owned(), 1),
        ("store", secret.as_str(), String::new(), 0),
        ("store", "{}", "no credentials server URL\n".to_owned(), 1),
        (
            "store",
            "{\"ServerURL\":\"r.example\"}",
            "no credentials username\n".to_owned(),
            1,
        ),
        (
            "list",
            "unused",
            "{\"r.example\":\"puller\"}\n".to_owned(),
            0,
        ),
        ("x", "", format!("{name}: unknown action: x\n"), 1),
        (
            "version",
            "",
            format!("{name} (pullkeeper) {}\n", env!("CARGO_PKG_VERSION")),
            0,
        ),
    ] {
        let output = docker(&site, action, stdin).await?;
        assert_eq!(
            (output.stdout, output.status.code()),
            (stdout, Some(status)),
            "{action} {stdin:?}"
        );
        assert_eq!(output.stderr, "", "{action} {stdin:?}");
    }
    for words in [&[][..], &["get", "more"], &["--help"]] {
        let output = at(&site, helper()?).args(words).run(RUN).await?;
        ensure!(output.stdout.starts_with("Usage: "), "{}", output.stdout);
        let asked = words == ["--help"];
        assert_eq!(output.status.success(), asked);
    }
    let output = docker(&site, "get", "broken.example").await?;
    assert_eq!(output.status.code(), Some(1));
    ensure!(
        output
            .stdout
            .starts_with("pullkeeper: the entry for broken.example in source global"),
        "{}",
        output.stdout
    );
    for hostile in [
        &b"r.example\0"[..],
        b"r.exam\nple",
        b"r.example\rother.example",
        b"user:pass@r.example",
        b"r.example?x",
        b"r.example#x",
        b"ftp://r.example",
        b"*.example",
        b"\xff\xfe",
        b"../../etc/passwd",
        &[b'a'; 70_000],
    ] {
        let output = docker(&site, "get", hostile).await?;
        assert_eq!(output.status.code(), Some(1), "{hostile:?}");
        ensure!(output.stdout != NOT_FOUND, "{hostile:?} is told as a miss");
        ensure!(output.stdout.lines().count() == 1, "{}", output.stdout);
    }
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn kubelet_gets_one_strict_document() -> Result<()> {
    let credential = Credential::new();
    let entries = json!({"auths": {
        "r.example:5000": credential.entry(), "broken.example": {"auth": "bar"},
    }});
    let site = site("provider", &entries.to_string(), "")?;
    let agent = started(&site).await?;
    knows(&site, "r.example:5000", &credential).await?;
    let answer = |auth: Value| {
        json!({
            "kind": "CredentialProviderResponse",
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "cacheKeyType": "Image",
            "cacheDuration": "0s",
            "auth": auth,
        })
    };
    let image = "r.example:5000/team/app";
    let output = kubelet(&site, image).await?;
    let auth = json!({image: {"username": credential.username, "password": credential.password}});
    assert_eq!(serde_json::from_str::<Value>(&output.stdout)?, answer(auth));
    let output = kubelet(&site, "other.example/app").await?;
    assert_eq!(
        serde_json::from_str::<Value>(&output.stdout)?,
        answer(json!({}))
    );
    let output = kubelet(&site, "broken.example/app").await?;
    assert_eq!(
        (output.stdout.as_str(), output.status.code()),
        ("", Some(1))
    );
    ensure!(
        output.stderr.contains("broken.example"),
        "{}",
        output.stderr
    );

    // The name decides where kubelet passes no argument.
    let link = site.join("pullkeeper-credential-provider");
    std::os::unix::fs::symlink(helper()?.path(), &link)?;
    let linked = Program::new("pullkeeper-credential-provider", &link).input("{}");
    let output = at(&site, linked).run(RUN).await?;
    assert_eq!(
        (output.stdout.as_str(), output.status.code()),
        ("", Some(1))
    );
    ensure!(
        output.stderr.contains("CredentialProviderRequest"),
        "{}",
        output.stderr
    );
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_rotation_is_in_the_answer_as_soon_as_the_agent_has_it() -> Result<()> {
    let (old, new) = (Credential::new(), Credential::new());
    let site = site("rotation", &body(&[("r.example", &old)]), "")?;
    let agent = started(&site).await?;
    knows(&site, "r.example", &old).await?;
    site.write("source.json", body(&[("r.example", &new)]))?;
    site.holds(&[("r.example", &new)]).await?;
    // The broker learns first, so whoever sees the file can have the answer.
    let output = docker(&site, "get", "r.example").await?;
    let found: Value = serde_json::from_str(&output.stdout)?;
    ensure!(found["Secret"] == new.password, "the old credential");
    // What breaks later does not take it away; what goes, goes.
    site.write("source.json", "{")?;
    agent.finds("MalformedJSON").await?;
    knows(&site, "r.example", &new).await?;
    site.write("source.json", body(&[("other.example", &old)]))?;
    knows(&site, "other.example", &old).await?;
    assert_eq!(docker(&site, "get", "r.example").await?.stdout, NOT_FOUND);
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn login_tools_are_refused_where_the_policy_says_so() -> Result<()> {
    let credential = Credential::new();
    let site = site(
        "store",
        &body(&[("r.example", &credential)]),
        "store = \"refuse\"",
    )?;
    let agent = started(&site).await?;
    let request = json!({"ServerURL": "r.example", "Username": "u", "Secret": credential.password});
    for (action, stdin) in [
        ("store", request.to_string()),
        ("erase", "r.example".to_owned()),
    ] {
        let output = docker(&site, action, stdin).await?;
        assert_eq!(output.status.code(), Some(1));
        ensure!(output.stdout.contains("pull secret"), "{}", output.stdout);
    }
    agent.stop().await?;
    Ok(())
}
