//! Through the proxy that the environment names, and past it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use support::eventually;
use support::fixture::Credential;
use support::forward::Forward;
use support::issuer::Issuer;
use support::ports::Port;
use support::scripted::{Say, Scripted};

use super::tls::{Scene, token};

/// A single sign-on that nobody finds by its name: the proxy alone knows where it is.
const SSO: &str = "sso.example.test";

struct Behind {
    scene: Scene,
    sso: Scripted,
    proxy: Forward,
    /// What the proxy wants to hear.
    user: Credential,
}

impl Behind {
    fn new(name: &str) -> Result<Self> {
        let issuer = Issuer::new()?;
        let sso = Scripted::start_tls(token(), issuer.server(&[SSO])?.served()?)?;
        let user = Credential {
            username: "node@site".to_owned(),
            ..Credential::new()
        };
        let proxy = Forward::start(&user, &format!("{SSO}:443"), sso.address())?;
        let scene = Scene::new(name, SSO.to_owned(), "")?;
        scene.trust(&issuer)?;
        Ok(Self {
            scene,
            sso,
            proxy,
            user,
        })
    }

    /// Sets a variable of the agent's.
    fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.scene.site = self.scene.site.env(name, value);
        self
    }

    /// The proxy's URL with user name and password.
    fn url(&self) -> String {
        format!(
            "http://node%40site:{}@{}",
            self.user.password,
            self.proxy.authority()
        )
    }

    /// Refused with these words, without the password, and with nothing sent to the single sign-on.
    async fn refused(&self, words: &[&str]) -> Result<()> {
        self.scene.refused(words).await?;
        let said = self.scene.get().await?.stdout;
        ensure!(!said.contains("fixture-secret"), "{said}");
        ensure!(!said.contains("node@site"), "{said}");
        assert_eq!(self.sso.heard(), Vec::<String>::new());
        Ok(())
    }
}

#[tokio::test]
async fn a_token_service_is_asked_through_the_proxy() -> Result<()> {
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let behind = Behind::new("proxy")?;
        let url = behind.url();
        let behind = behind
            .env(variable, url)
            .env("NO_PROXY", "r.example,example.test.other");
        let agent = behind.scene.site.start().await?;
        eventually("the agent answers", async || behind.scene.answered().await).await?;
        agent.stop().await?;
        // The proxy hears where to, and its own password; the single sign-on hears the rest.
        let heard = behind.proxy.heard();
        assert_eq!(heard.len(), 1);
        ensure!(
            heard[0].starts_with("CONNECT sso.example.test:443 HTTP/1.1\r\n"),
            "{heard:?}"
        );
        ensure!(
            !heard[0].contains(&behind.scene.credential.auth()),
            "its credential"
        );
        let heard = behind.sso.heard();
        assert_eq!(heard.len(), 1);
        ensure!(
            heard[0].contains(&behind.scene.credential.auth()),
            "{heard:?}"
        );
        ensure!(
            !heard[0].contains(&behind.user.auth()),
            "the proxy's password"
        );
    }
    Ok(())
}

#[tokio::test]
async fn excepted_hosts_and_this_machine_are_asked_directly() -> Result<()> {
    for except in [".example.test", "sso.example.test", "*"] {
        let behind = Behind::new("excepted")?;
        let url = behind.url();
        let behind = behind.env("HTTPS_PROXY", url).env("NO_PROXY", except);
        // Nobody but the proxy knows the name.
        behind
            .refused(&["cannot reach https://sso.example.test: "])
            .await?;
        assert_eq!(behind.proxy.heard(), Vec::<String>::new(), "{except}");
    }
    let issuer = Issuer::new()?;
    for name in ["localhost", "127.0.0.1"] {
        let sso = Scripted::start_tls(token(), issuer.server(&[name])?.served()?)?;
        let place = format!("{name}:{}", sso.address().port());
        let proxy = Forward::start(&Credential::new(), &place, sso.address())?;
        let mut scene = Scene::new("local", place, "")?;
        scene.trust(&issuer)?;
        scene.site = scene
            .site
            .env("HTTPS_PROXY", format!("http://{}", proxy.authority()));
        scene.answered().await?;
        assert_eq!(proxy.heard(), Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_does_not_let_through_is_named_without_its_password() -> Result<()> {
    let to = "cannot reach https://sso.example.test: the proxy";
    let behind = Behind::new("down")?;
    let port = Port::free()?;
    let url = behind
        .url()
        .replace(&behind.proxy.authority(), &port.address().to_string());
    let down = format!("{to} {} cannot be reached: ", port.address());
    behind
        .env("HTTPS_PROXY", url)
        .refused(&[&down, "refused", "check HTTPS_PROXY"])
        .await?;

    for (user, wrong) in [
        ("node%40site", Credential::new().password),
        ("other", String::new()),
    ] {
        let behind = Behind::new("407")?;
        let authority = behind.proxy.authority();
        let words = format!("{to} {authority} wants user name and password");
        let url = format!("http://{user}:{wrong}@{authority}");
        behind
            .env("HTTPS_PROXY", url)
            .refused(&[&words, "407"])
            .await?;
    }

    let behind = Behind::new("unknown")?;
    let elsewhere = Forward::start(&behind.user, "another.example:443", behind.sso.address())?;
    let url = behind
        .url()
        .replace(&behind.proxy.authority(), &elsewhere.authority());
    let words = format!(
        "{to} {} makes no connection to {SSO}",
        elsewhere.authority()
    );
    behind
        .env("HTTPS_PROXY", url)
        .refused(&[&words, "NO_PROXY"])
        .await?;

    let behind = Behind::new("silent")?;
    let silent = Scripted::start(Say::Nothing)?;
    let url = behind
        .url()
        .replace(&behind.proxy.authority(), &silent.authority());
    let words = format!("{to} {} did not answer within 5s", silent.authority());
    let begun = Instant::now();
    behind.env("HTTPS_PROXY", url).refused(&[&words]).await?;
    // It was asked twice.
    ensure!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );

    let behind = Behind::new("no-url")?;
    let url = behind.url().replace("node%40site", "node@site");
    let words = "cannot reach https://sso.example.test: HTTPS_PROXY or ALL_PROXY in the environment is no URL";
    let behind = behind.env("HTTPS_PROXY", url);
    behind.refused(&[words]).await?;
    assert_eq!(behind.proxy.heard(), Vec::<String>::new());
    Ok(())
}
