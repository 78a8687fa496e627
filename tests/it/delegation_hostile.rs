//! Delegations against registries and token services that lie, hijack, drip and never end.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pullkeeper_core::wire::Answer;
use serde_json::Value;
use support::fixture::{Credential, workload_token};
use support::process::Output;
use support::scripted::{Say, Scripted};

use crate::helper_protocols::{NOT_FOUND, body, docker, of_pod};
use support::agent::Site;

/// A registry that delegates, its token service, and somebody who should hear of nothing.
struct Scene {
    site: Site,
    registry: Scripted,
    sso: Scripted,
    stranger: Scripted,
    credential: Credential,
}

/// What is no number of seconds that anything is good for, as JSON.
const ABSURD_LIVES: [&str; 7] = [
    "-1",
    "0",
    "1e300",
    "\"60\"",
    "null",
    "18446744073709551616",
    "[]",
];

const TOKEN: &str = r#"{"token":"fixture-secret-token","expires_in":300}"#;

impl Scene {
    /// Without an agent, so that every question is a new one.
    fn new(name: &str) -> Result<Self> {
        Self::delegating(name, |place| {
            format!("registry_scheme = \"http\"\nrealms = [\"http://{place}\"]\n")
        })
    }

    /// With these lines of the delegation, given where its token service is.
    fn delegating(name: &str, lines: impl Fn(&str) -> String) -> Result<Self> {
        let sso = Scripted::start(Say::response("200 OK", "", TOKEN))?;
        let stranger = Scripted::start(Say::response("200 OK", "", TOKEN))?;
        let realm = format!("http://{}/auth", sso.authority());
        let registry = Scripted::start(Say::challenge(&realm))?;
        let credential = Credential::new();
        let (authority, place) = (registry.authority(), sso.authority());
        let site = Site::new(name)?;
        let entries = [
            (authority.as_str(), &Credential::new()),
            (place.as_str(), &credential),
        ];
        let source = site.write("source.json", body(&entries))?;
        let (target, shelf) = (site.join("auth.json"), site.join("exchange"));
        site.configure(
            "",
            &format!(
                "[[source]]\nfile = {source:?}\n[[target]]\nkind = \"containers\"\npath = {target:?}\n\
                 [broker]\nlisten = \"unix:{}\"\nexchange_cache = {shelf:?}\n\
                 [[delegation]]\nregistries = [\"{authority}\"]\n{}",
                site.join("broker.sock").display(),
                lines(&place)
            ),
        )?;
        Ok(Self {
            site,
            registry,
            sso,
            stranger,
            credential,
        })
    }

    async fn get(&self) -> Result<Output> {
        docker(&self.site, "get", self.registry.authority()).await
    }

    /// Nothing is handed out, it is not told as a miss, and the words are these.
    async fn refused(&self, words: &str) -> Result<String> {
        let output = self.get().await?;
        ensure!(output.status.code() == Some(1), "something was handed out");
        ensure!(output.stdout != NOT_FOUND, "an outage told as a miss");
        ensure!(output.stdout.contains(words), "{words}: {}", output.stdout);
        ensure!(!output.stdout.contains("fixture-secret"), "a secret");
        Ok(output.stdout)
    }
}

/// The values of `Authorization` among the requests.
fn credentials_in(heard: &[String]) -> usize {
    let named = |request: &&String| request.to_ascii_lowercase().contains("authorization:");
    heard.iter().filter(named).count()
}

#[tokio::test]
async fn the_credential_goes_to_the_listed_realm_alone() -> Result<()> {
    let scene = Scene::new("hijack")?;
    let output = scene.get().await?;
    ensure!(output.status.success(), "{}", output.stdout);
    let found: Value = serde_json::from_str(&output.stdout)?;
    ensure!(
        found["Secret"] == scene.credential.password,
        "another secret"
    );
    // The registry saw no credential, the token service that of its own entry.
    assert_eq!(credentials_in(&scene.registry.heard()), 0);
    let heard = scene.sso.heard();
    assert_eq!((heard.len(), credentials_in(&heard)), (1, 1));
    ensure!(heard[0].starts_with("GET /auth?service=fixture&account=puller HTTP/1.1\r\n"));

    let (sso, stranger) = (scene.sso.authority(), scene.stranger.authority());
    let port = sso.rsplit(':').next().unwrap_or_default();
    for realm in [
        format!("http://{stranger}/auth"),
        format!("http://{sso}@{stranger}/auth"),
        format!("http://{stranger}/http://{sso}/auth"),
        format!("http://{stranger}\\@{sso}/auth"),
        format!("https://{sso}/auth"),
        format!("http://127.0.0.1.example:{port}/auth"),
        format!("http://localhost:{port}/auth"),
        "/auth".to_owned(),
        "file:///etc/passwd".to_owned(),
        format!("//{sso}/auth"),
    ] {
        scene.registry.say(Say::challenge(&realm));
        let words = scene.refused("realm").await?;
        println!("{realm}: {}", words.trim());
    }
    scene
        .registry
        .say(Say::challenge(&format!("http://{stranger}/auth")));
    let words = scene.refused("none of the allowed `realms`").await?;
    ensure!(words.contains(&format!("http://{stranger}")), "{words}");

    // A redirect, from either of them.
    let location = format!("Location: http://{stranger}/auth\r\n");
    scene
        .registry
        .say(Say::response("302 Found", &location, ""));
    scene.refused("redirect").await?;
    scene
        .registry
        .say(Say::challenge(&format!("http://{sso}/auth")));
    for status in [
        "301 Moved",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        scene.sso.say(Say::response(status, &location, ""));
        scene.refused("redirect").await?;
    }
    assert_eq!(scene.stranger.heard(), Vec::<String>::new());
    assert_eq!(credentials_in(&scene.registry.heard()), 0);
    Ok(())
}

#[tokio::test]
async fn what_a_token_service_says_is_bounded_and_not_repeated() -> Result<()> {
    let scene = Scene::new("nonsense")?;
    let marked = "fixture-secret-in-a-body";
    for (say, words) in [
        (
            Say::response("200 OK", "", &format!("<html>{marked}</html>")),
            "something else than a token",
        ),
        (
            Say::response("200 OK", "", "{}"),
            "something else than a token",
        ),
        (
            Say::response("200 OK", "", r#"{"token":7}"#),
            "something else than a token",
        ),
        (
            Say::response("200 OK", "", r#"{"token":""}"#),
            "something else than a token",
        ),
        (
            Say::response("200 OK", "", r#"["token"]"#),
            "something else than a token",
        ),
        (Say::response("204 No Content", "", ""), "status 204"),
        (
            Say::response(
                "401 Unauthorized",
                "",
                &format!(r#"{{"error":"{marked}"}}"#),
            ),
            "refuses the credential with status 401\n",
        ),
        (
            Say::response("400 Bad Request", "", r#"{"error":"invalid_client"}"#),
            "refuses the credential with status 400 (invalid_client)",
        ),
        (
            Say::response("503 Unavailable", "Retry-After: 7\r\n", marked),
            "status 503",
        ),
        (
            Say::Bytes(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
            "something else than a token",
        ),
        (Say::Bytes(b"SSH-2.0-x\r\n".to_vec()), "cannot reach"),
        (Say::Bytes(Vec::new()), "cannot reach"),
        (
            Say::Endless(b"HTTP/1.1 200 OK\r\n\r\n{\"token\":\"x".to_vec()),
            "more than 64 KiB",
        ),
        (
            Say::Endless(b"HTTP/1.1 200 OK\r\nX: y".to_vec()),
            "cannot reach",
        ),
    ] {
        scene.sso.say(say.clone());
        scene.refused(words).await?;
        // The same from the registry, which is asked first.
    }
    for (say, words) in [
        (Say::response("200 OK", "", "{}"), "status 200"),
        (Say::response("500 Oops", "", marked), "status 500"),
        (
            Say::response(
                "401 Unauthorized",
                "WWW-Authenticate: Basic realm=\"x\"\r\n",
                "",
            ),
            "does not delegate",
        ),
        (
            Say::response(
                "401 Unauthorized",
                "WWW-Authenticate: Bearer realm=\"\r\n",
                "",
            ),
            "does not delegate",
        ),
        (
            Say::Endless(b"HTTP/1.1 401 Unauthorized\r\n\r\n ".to_vec()),
            "more than 64 KiB",
        ),
    ] {
        scene.registry.say(say);
        scene.refused(words).await?;
    }
    Ok(())
}

#[tokio::test]
async fn absurd_lives_are_no_reason_to_fail() -> Result<()> {
    let scene = Scene::new("lives")?;
    for life in ABSURD_LIVES {
        let body = format!(r#"{{"access_token":"fixture-secret-token","expires_in":{life}}}"#);
        scene.sso.say(Say::response("200 OK", "", &body));
        let output = scene.get().await?;
        ensure!(output.status.success(), "{life}: {}", output.stdout);
    }
    Ok(())
}

#[tokio::test]
async fn who_drips_or_is_silent_costs_a_bounded_time() -> Result<()> {
    let scene = Scene::new("slow")?;
    let slow =
        b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{\"token\":\"fixture-secret-token\"}       "
            .to_vec();
    for say in [Say::Nothing, Say::Drip(slow, Duration::from_millis(200))] {
        scene.sso.say(say);
        let begun = Instant::now();
        scene.refused("did not answer within 7s").await?;
        ensure!(
            begun.elapsed() < Duration::from_secs(12),
            "{:?}",
            begun.elapsed()
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_issuer_names_no_endpoint_but_its_own() -> Result<()> {
    let scene = Scene::delegating("discovery", |place| {
        format!("grant = \"client-credentials\"\nissuer = \"http://{place}/realms/pull\"\n")
    })?;
    let (sso, stranger) = (scene.sso.authority(), scene.stranger.authority());
    let document = |issuer: &str, endpoint: &str| {
        let document = serde_json::json!({ "issuer": issuer, "token_endpoint": endpoint });
        Say::response("200 OK", "", &document.to_string())
    };
    let own = format!("http://{sso}/realms/pull");
    for (say, words) in [
        (
            document(&own, &format!("http://{stranger}/token")),
            "token_endpoint",
        ),
        (
            document(&own, &format!("https://{sso}/token")),
            "token_endpoint",
        ),
        (
            document(&own, &format!("http://{sso}@{stranger}/token")),
            "token_endpoint",
        ),
        (
            document(
                &format!("http://{sso}/realms/other"),
                &format!("http://{sso}/token"),
            ),
            "another issuer",
        ),
        (document("", ""), "another issuer"),
        (Say::response("200 OK", "", "<html>"), "discovery document"),
        (
            Say::response("200 OK", "", r#"["fixture-secret"]"#),
            "discovery document",
        ),
        (
            Say::response("404 Not Found", "", "fixture-secret"),
            "status 404",
        ),
        (
            Say::response(
                "302 Found",
                &format!("Location: http://{stranger}/\r\n"),
                "",
            ),
            "redirect",
        ),
    ] {
        scene.sso.say(say);
        scene.refused(words).await?;
    }
    let heard = scene.sso.heard();
    let asked = "GET /realms/pull/.well-known/openid-configuration HTTP/1.1\r\n";
    ensure!(
        heard.iter().all(|request| request.starts_with(asked)),
        "{heard:?}"
    );
    assert_eq!((heard.len(), credentials_in(&heard)), (9, 0));
    assert_eq!(scene.stranger.heard().len(), 0);
    // Its own endpoint is asked, with the client's secret.
    scene
        .sso
        .say(document(&own, &format!("http://{sso}/token")));
    scene.refused("something else than a token").await?;
    let heard = scene.sso.heard();
    let asked = heard.last().map(String::as_str).unwrap_or_default();
    ensure!(asked.starts_with("POST /token HTTP/1.1\r\n"), "{asked}");
    assert_eq!(credentials_in(&heard), 1);
    Ok(())
}

/// Whatever an endpoint answers: no user name that changes what the secret means, nothing that is no token.
#[tokio::test]
async fn an_answer_of_a_token_endpoint_is_read_strictly() -> Result<()> {
    let scene = Scene::delegating("answers", |place| {
        format!(
            "preset = \"artifactory\"\nregistry_scheme = \"http\"\ntoken_endpoint = \"http://{place}/token\"\n\
             audience = \"a\"\nparameters = {{ provider_name = \"p\" }}\n"
        )
    })?;
    let image = format!("{}/app", scene.registry.authority());
    let agent = scene.site.start().await?;
    // Each for an account of its own, so that nothing is kept.
    let serial = std::cell::Cell::new(0);
    let ask = async |body: &str| -> Result<Answer> {
        scene.sso.say(Say::response("200 OK", "", body));
        serial.set(serial.get() + 1);
        let token = workload_token("team", &format!("account-{}", serial.get()), "a");
        scene.site.ask(&of_pod(&image, token)).await
    };
    for body in [
        r#"{"access_token":"t","username":"<token>"}"#,
        r#"{"access_token":"t","username":""}"#,
        r#"{"access_token":"t","username":"a:b"}"#,
        r#"{"access_token":"t","username":"a\nb"}"#,
        r#"{"access_token":"t","username":7}"#,
        r#"{"access_token":"t"}"#,
        r#"{"access_token":"","username":"u"}"#,
        r#"{"access_token":["t"],"username":"u"}"#,
        r#"{"access_token":null,"username":"u"}"#,
        r#"{"token":"t","username":"u"}"#,
        r#"{"access_token":"t","username":"u"} trailing"#,
        r#"{"access_token":"t","username":"u""#,
        r#"[{"access_token":"t","username":"u"}]"#,
        r#""t""#,
        "",
        "<html>",
    ] {
        match ask(body).await? {
            Answer::Unavailable { message } => {
                ensure!(message.contains("answered with"), "{body}: {message}")
            }
            other => anyhow::bail!("{body}: {other:?}"),
        }
    }
    // Lives that cannot be are none: the token is handed out, and not kept.
    for life in ABSURD_LIVES {
        let body =
            format!(r#"{{"access_token":"t","username":"u","expires_in":{life},"x":{{"y":[1]}}}}"#);
        let before = scene.sso.heard().len();
        for _ in 0..2 {
            serial.set(1000);
            let Answer::Found { username, secret } = ask(&body).await? else {
                anyhow::bail!("{life}");
            };
            ensure!(username == "u" && secret.expose() == "t", "{life}");
        }
        assert_eq!(scene.sso.heard().len(), before + 2, "{life}");
    }
    agent.stop().await?;
    Ok(())
}
