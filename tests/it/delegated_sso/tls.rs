//! Over https: whom the agent believes that it is the registry, or the single sign-on.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::agent::Site;
use support::clients::{Client, Clients};
use support::eventually;
use support::fixture::{Credential, config_json};
use support::issuer::{Certified, Issuer};
use support::keycloak::Keycloak;
use support::patience;
use support::process::Output;
use support::registry::Registry;
use support::scripted::{Say, Scripted};
use support::token_service::TokenService;

use super::{APP, helper_folder, two_secrets};
use crate::helper_protocols::{NOT_FOUND, body, docker, knows, site};
use crate::registry_harness::single_sign_on::guarded_over;

const REGISTRY: &str = "r.example";

/// A folder that an agent and the programs of containers take for the home of their user.
fn with_home(site: Site) -> Site {
    let home = site.join("home").display().to_string();
    site.env("HOME", home)
}

/// Puts an authority where containers tools look for that of a host.
fn trust(site: &Site, host: &str, issuer: &Issuer) -> Result<()> {
    let name = format!("home/.config/containers/certs.d/{host}/ca.crt");
    site.write(&name, issuer.certificate()).map(drop)
}

/// Nothing is handed out, it is not told as a miss, and all of these words are in the reason.
fn refused(output: &Output, words: &[&str]) -> Result<()> {
    ensure!(output.status.code() == Some(1), "something was handed out");
    ensure!(output.stdout != NOT_FOUND, "an outage told as a miss");
    for words in words {
        ensure!(output.stdout.contains(words), "{words}: {}", output.stdout);
    }
    Ok(())
}

/// A token service, and a delegation that asks it for every question anew.
pub(super) struct Scene {
    pub(super) site: Site,
    pub(super) credential: Credential,
    /// `HOST[:PORT]`.
    place: String,
}

impl Scene {
    /// `lines` are added to the delegation.
    pub(super) fn new(name: &str, place: String, lines: &str) -> Result<Self> {
        let credential = Credential::new();
        let site = site(
            name,
            &body(&[(&place, &credential)]),
            &format!(
                "[[delegation]]\nregistries = [\"{REGISTRY}\"]\ngrant = \"client-credentials\"\n\
                 token_endpoint = \"https://{place}/token\"\n{lines}"
            ),
        )?;
        Ok(Self {
            site: with_home(site),
            credential,
            place,
        })
    }

    pub(super) async fn get(&self) -> Result<Output> {
        docker(&self.site, "get", REGISTRY).await
    }

    pub(super) async fn refused(&self, words: &[&str]) -> Result<()> {
        refused(&self.get().await?, words)
    }

    pub(super) async fn answered(&self) -> Result<()> {
        let output = self.get().await?;
        ensure!(output.status.success(), "{}", output.stdout);
        let found: Value = serde_json::from_str(&output.stdout)?;
        ensure!(found["Secret"] == TOKEN, "another secret");
        Ok(())
    }

    pub(super) fn trust(&self, issuer: &Issuer) -> Result<()> {
        trust(&self.site, &self.place, issuer)
    }
}

const TOKEN: &str = "fixture-secret-token";

pub(super) fn token() -> Say {
    let body = json!({ "access_token": TOKEN, "expires_in": 0 });
    Say::response("200 OK", "", &body.to_string())
}

#[tokio::test]
async fn registry_and_single_sign_on_are_trusted_each_by_its_own_authority() -> Result<()> {
    let [of_registry, of_sso, nobody] = [Issuer::new()?, Issuer::new()?, Issuer::new()?];
    let keycloak = Keycloak::start_secured(&of_sso).await?;
    let realm = keycloak.realm("tls").await?;
    let (registry, user) = guarded_over(Some(&of_registry), &realm).await?;
    let (host, image) = (registry.host(), registry.image(APP));
    let sso = keycloak.url().trim_start_matches("https://");
    Clients::new(&config_json([(host.as_str(), &user)]))?
        .push(&image, "one")
        .await?;
    let secrets = two_secrets(&registry, keycloak.url(), &user);
    let delegation = format!(
        "[[delegation]]\nregistries = [\"{host}\"]\nrealms = [\"{}\"]\n",
        keycloak.url()
    );

    // Told by `certs.d` alone; the authority of one counts for nothing at the other.
    let directory_only = with_home(site("tls", &secrets, &delegation)?);
    let get = async |site: &Site| docker(site, "get", host.as_str()).await;
    let unknown = "its certificate is signed by an authority that is not trusted here";
    let at_registry = format!("cannot reach https://{host}: {unknown}");
    let places = format!("`ca_file`, or as a .crt file in /etc/containers/certs.d/{host}");
    refused(&get(&directory_only).await?, &[&at_registry, &places])?;
    trust(&directory_only, sso, &of_sso)?;
    refused(&get(&directory_only).await?, &[&at_registry])?;
    std::fs::remove_dir_all(directory_only.join("home"))?;
    trust(&directory_only, &host, &of_registry)?;
    let at_sso = format!("cannot reach https://{sso}: {unknown}");
    refused(&get(&directory_only).await?, &[&at_sso])?;
    trust(&directory_only, sso, &of_sso)?;
    knows(&directory_only, &host, &user).await?;

    // By `ca_file` alone.
    let both = of_registry.certificate() + &of_sso.certificate();
    let file = directory_only.write("both.pem", both)?;
    let by_file = with_home(site(
        "tls-file",
        &secrets,
        &format!("{delegation}ca_file = {file:?}\n"),
    )?);
    knows(&by_file, &host, &user).await?;

    // And as on a node: agent, helper, and a client that verifies what it speaks to.
    let agent = directory_only.start().await?;
    knows(&directory_only, &host, &user).await?;
    let clients = Clients::new(&json!({"credHelpers": {(&host): "pullkeeper"}}).to_string())?;
    clients.trust(&host, &(of_registry.certificate() + &of_sso.certificate()))?;
    let path = std::env::var("PATH").context("no PATH")?;
    let folder = helper_folder(&directory_only)?;
    let pulled = clients
        .program(Client::Skopeo)?
        .env("PATH", format!("{}:{path}", folder.display()))
        .env(
            "PULLKEEPER_BROKER_SOCKET",
            directory_only.join("broker.sock"),
        )
        .args(["inspect", &format!("docker://{image}")])
        .run(patience())
        .await?;
    pulled.success()?;

    // An authority that is gone is not trusted through a connection that is still open.
    let other = two_secrets(&registry, keycloak.url(), &Credential::new());
    trust(&directory_only, sso, &nobody)?;
    directory_only.write("source.json", other)?;
    eventually("the authority is not trusted any more", async || {
        refused(&get(&directory_only).await?, &[&at_sso])
    })
    .await?;
    trust(&directory_only, sso, &of_sso)?;
    directory_only.write("source.json", &secrets)?;
    knows(&directory_only, &host, &user).await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_sent_to_whom_the_certificate_does_not_fit() -> Result<()> {
    let [issuer, other] = [Issuer::new()?, Issuer::new()?];
    let sso = Scripted::start_tls(token(), issuer.server(&["localhost"])?.served()?)?;
    let place = sso.local_name();
    let scene = Scene::new("judged", place.clone(), "")?;
    let unknown = &format!(
        "cannot reach https://{place}: its certificate is signed by an authority that is not trusted here"
    );
    let directory = format!("/etc/containers/certs.d/{place}");
    scene.refused(&[unknown, "`ca_file`", &directory]).await?;
    // For another port, another host, and the host on its scheme's own port.
    for neighbour in ["localhost:1", "localhost", "localhost:443", "127.0.0.1"] {
        trust(&scene.site, neighbour, &issuer)?;
        scene.refused(&[unknown]).await?;
    }
    scene.trust(&other)?;
    let directory = scene
        .site
        .join("home/.config/containers/certs.d")
        .join(&place);
    scene
        .refused(&[unknown, &directory.display().to_string()])
        .await?;
    scene.trust(&issuer)?;
    for (served, words) in [
        (
            issuer.server(&["sso.example", "127.0.0.1"])?,
            "its certificate is for other names than localhost",
        ),
        (
            issuer.expired_server(&["localhost"])?,
            "its certificate has expired",
        ),
        // Good for nobody but clients.
        (issuer.client()?, "its certificate"),
        (Certified::by_itself(&["localhost"])?, "its certificate"),
        (other.server(&["localhost"])?, "not trusted here"),
    ] {
        sso.set_tls(served.served()?);
        let to = format!("cannot reach https://{place}: ");
        scene.refused(&[&to, words]).await?;
    }
    assert_eq!(sso.heard(), Vec::<String>::new());
    sso.set_tls(issuer.server(&["localhost"])?.served()?);
    scene.answered().await?;
    let heard = sso.heard();
    assert_eq!(heard.len(), 1);
    ensure!(
        heard[0].contains(&scene.credential.auth()),
        "without its credential"
    );
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_is_listed_itself_is_good_for_its_server_alone() -> Result<()> {
    let [listed, copied] = [(); 2].map(|()| Certified::by_itself(&["localhost"]));
    let (listed, copied) = (listed?, copied?);
    let sso = Scripted::start_tls(token(), listed.served()?)?;
    let scene = Scene::new("listed", sso.local_name(), "")?;
    let name = format!("home/.config/containers/certs.d/{}/server.crt", scene.place);
    let list = |certified: &Certified| scene.site.write(&name, certified.certificate());
    let unknown = "is signed by an authority that is not trusted here";
    scene.refused(&[unknown, "`ca_file`"]).await?;
    list(&copied)?;
    scene.refused(&[unknown]).await?;
    for (shown, words) in [
        (
            Certified::by_itself(&["sso.example"])?,
            "for other names than localhost",
        ),
        (Certified::expired_by_itself(&["localhost"])?, "has expired"),
    ] {
        list(&shown)?;
        sso.set_tls(shown.served()?);
        scene.refused(&[words]).await?;
    }
    assert_eq!(sso.heard(), Vec::<String>::new());
    list(&listed)?;
    sso.set_tls(listed.served()?);
    scene.answered().await
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_so() -> Result<()> {
    let plain = TokenService::start()?;
    let place = plain.realm();
    let place = place
        .trim_start_matches("http://")
        .trim_end_matches("/token");
    let scene = Scene::new("plain", place.to_owned(), "")?;
    let words = format!("cannot reach https://{place}: it does not speak TLS there");
    scene.refused(&[&words, "check scheme and port"]).await?;
    assert_eq!(plain.seen(), Vec::new());

    // A real registry, whose delegation does not say that it has no TLS.
    let registry = Registry::with_passwords(&[&scene.credential]).await?;
    let host = registry.host();
    let site = site(
        "plain-registry",
        &body(&[(&host, &scene.credential)]),
        &format!("[[delegation]]\nregistries = [\"{host}\"]\nrealms = [\"https://{place}\"]\n"),
    )?;
    let words = format!("cannot reach https://{host}: it does not speak TLS there");
    refused(&docker(&site, "get", host.as_str()).await?, &[&words])
}

#[tokio::test]
async fn an_authority_that_is_replaced_is_used_by_the_running_agent() -> Result<()> {
    for by_file in [false, true] {
        let [old, new] = [Issuer::new()?, Issuer::new()?];
        let sso = Scripted::start_tls(token(), old.server(&["localhost"])?.served()?)?;
        let folder = support::scratch::Scratch::new("ca")?;
        let file = folder.write("ca.pem", old.certificate())?;
        let lines = if by_file {
            format!("ca_file = {file:?}\n")
        } else {
            String::new()
        };
        let scene = Scene::new("replaced", sso.local_name(), &lines)?;
        let replace = |issuer: &Issuer| {
            if by_file {
                folder.write("ca.pem", issuer.certificate()).map(drop)
            } else {
                scene.trust(issuer)
            }
        };
        replace(&old)?;
        let agent = scene.site.start().await?;
        eventually("the agent answers", async || scene.answered().await).await?;
        sso.set_tls(new.server(&["localhost"])?.served()?);
        scene.refused(&["not trusted here"]).await?;
        replace(&new)?;
        // It has failed, and rests for a second.
        eventually("the new authority is used", async || scene.answered().await).await?;
        // And nobody but it: the old one is not trusted beside it.
        sso.set_tls(old.server(&["localhost"])?.served()?);
        scene.refused(&["not trusted here"]).await?;
        agent.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_belongs() -> Result<()> {
    let [issuer, clients] = [Issuer::new()?, Issuer::new()?];
    let server = issuer.server(&["localhost"])?.served_to(&clients)?;
    let sso = Scripted::start_tls(token(), server)?;
    let scene = Scene::new("mutual", sso.local_name(), "")?;
    scene.trust(&issuer)?;
    let directory = scene
        .site
        .join("home/.config/containers/certs.d")
        .join(&scene.place);
    let words = format!("NAME.cert and NAME.key into {}", directory.display());
    scene.refused(&["it refuses TLS", &words]).await?;
    assert_eq!(sso.heard(), Vec::<String>::new());
    let show = |certified: &Certified| -> Result<()> {
        let shown = |name: &str, content: &str| {
            let name = format!("home/.config/containers/certs.d/{}/{name}", scene.place);
            scene.site.write(&name, content)
        };
        shown("node.cert", certified.certificate())?;
        shown("node.key", certified.key()).map(drop)
    };
    show(&issuer.client()?)?;
    scene.refused(&["it refuses TLS"]).await?;
    show(&clients.client()?)?;
    scene.answered().await
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_no_silence() -> Result<()> {
    let issuer = Issuer::new()?;
    let sso = Scripted::start_tls(token(), issuer.server(&["localhost"])?.served()?)?;
    let scene = Scene::new("broken", sso.local_name(), "")?;
    scene.trust(&issuer)?;
    scene.answered().await?;
    let name = format!("home/.config/containers/certs.d/{}/zz.crt", scene.place);
    let path = scene.site.write(&name, "fixture-secret-no-certificate")?;
    let words = format!(
        "cannot reach https://{}: cannot use {} for TLS: it holds no certificate",
        scene.place,
        path.display()
    );
    scene.refused(&[&words]).await?;
    assert_eq!(sso.heard().len(), 1);
    std::fs::remove_file(path)?;
    scene.answered().await
}
