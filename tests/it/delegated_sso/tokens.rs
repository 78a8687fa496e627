//! Tokens that stand for the whole node, in files: exchanged (RFC 8693), or refreshed and replaced.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::json;
use support::agent::Site;
use support::clients::{Client, Clients};
use support::eventually;
use support::fixture::{Credential, config_json};
use support::keycloak::{Keycloak, Login, Mapper, Realm};
use support::patience;
use support::process::{Output, Program};
use support::product::pullkeeper;
use support::registry::Registry;
use support::scratch::Scratch;
use support::token_service::TokenService;

use super::workloads::{client, publish};
use super::{APP, pull};
use crate::helper_protocols::{docker, site};

/// A registry that trusts a realm, with an image that tokens of the client `nodes` permit to pull.
struct Scene {
    realm: Realm,
    registry: Registry,
    nodes: Credential,
    clients: Clients,
    folder: Scratch,
    site: Site,
    _service: TokenService,
}

impl Scene {
    /// The delegation has this grant, the token in a file, and the client's secret in another one.
    async fn new(keycloak: &Keycloak, name: &str, grant: &str, more: &str) -> Result<Self> {
        let realm = keycloak.realm(name).await?;
        let service = TokenService::start()?;
        let registry = Registry::trusting(&realm, &service).await?;
        publish(&realm, &registry, "team/app").await?;
        let nodes = client(&realm, "nodes", "team/app", &["pull"]).await?;
        let helpers = json!({ "credHelpers": { (registry.host()): "pullkeeper" } });
        let folder = Scratch::new(name)?;
        let sso = keycloak.url().trim_start_matches("http://");
        let secret = folder.write("client.json", config_json([(sso, &nodes)]))?;
        let delegation = format!(
            "[[delegation]]\nname = \"sso\"\nregistries = [\"{}\"]\nissuer = \"{}\"\ngrant = \"{grant}\"\n\
             token_file = {:?}\ncredential_file = {secret:?}\n{more}\n",
            registry.host(),
            realm.issuer(),
            folder.join("token"),
        );
        Ok(Self {
            clients: Clients::new(&helpers.to_string())?,
            site: site(name, "{\"auths\":{}}", &delegation)?,
            realm,
            registry,
            nodes,
            folder,
            _service: service,
        })
    }

    fn token_file(&self) -> PathBuf {
        self.folder.join("token")
    }

    fn token(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.token_file())?
            .trim()
            .to_owned())
    }

    async fn pull(&self) -> Result<Output> {
        let image = self.registry.image(APP);
        pull(&self.site, &self.clients, Client::Skopeo, &image).await
    }

    /// What the helper says when it hands out nothing.
    async fn refusal(&self) -> Result<String> {
        let output = docker(&self.site, "get", self.registry.host()).await?;
        ensure!(!output.status.success(), "something was handed out");
        Ok(output.stdout)
    }
}

#[tokio::test]
async fn a_refresh_token_is_replaced_before_what_came_with_it_is_used() -> Result<()> {
    let keycloak = Keycloak::shared().await?;
    let scene = Scene::new(keycloak, "refresh", "refresh-token", "").await?;
    scene.realm.allow_refresh_once("nodes").await?;
    let user = Credential::new();
    scene.realm.user(&user).await?;
    let first = scene.realm.refresh_token(&scene.nodes, &user).await?;
    scene.folder.write("token", format!("{first}\n"))?;

    let agent = scene.site.start().await?;
    scene.pull().await?.success()?;
    let second = scene.token()?;
    ensure!(second != first, "the token was not replaced");
    scene.pull().await?.success()?;
    ensure!(
        scene.token()? == second,
        "a token was used although another one is kept"
    );
    agent.stop().await?;

    // What was kept is good: without an agent, and by several at once, of whom each needs the other's successor.
    let pulls = (0..3).map(|_| async {
        docker(&scene.site, "get", scene.registry.host())
            .await?
            .success()
    });
    for pulled in futures_util::future::join_all(pulls).await {
        pulled?;
    }
    let last = scene.token()?;
    ensure!(last != second, "the token was not replaced");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(scene.token_file())?.permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    // Used twice, a token is taken for stolen, and its whole line is void. Keycloak tells old from new by whole seconds.
    eventually("the first token is void", async || {
        scene.folder.write("token", &first)?;
        let words = scene.refusal().await?;
        let void = "refuses the credential with status 400 (invalid_grant)";
        ensure!(words.contains(void), "{words}");
        Ok(())
    })
    .await?;
    scene.folder.write("token", &last)?;
    scene.refusal().await?;
    // Somebody logs in again, and everything works without a restart.
    let agent = scene.site.start().await?;
    let words = scene.refusal().await?;
    ensure!(words.contains("invalid_grant"), "{words}");
    scene.folder.write(
        "token",
        scene.realm.refresh_token(&scene.nodes, &user).await?,
    )?;
    eventually("a pull with the new login", async || {
        scene.pull().await?.success().map(drop)
    })
    .await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn where_a_successor_could_not_be_kept_nobody_is_asked() -> Result<()> {
    let keycloak = Keycloak::shared().await?;
    let scene = Scene::new(keycloak, "refresh-full", "refresh-token", "").await?;
    scene.realm.allow_refresh_once("nodes").await?;
    let user = Credential::new();
    scene.realm.user(&user).await?;
    let token = scene.realm.refresh_token(&scene.nodes, &user).await?;
    scene.folder.write("token", &token)?;
    // The first thing that is flushed is the token as it is.
    let output = Program::installed("strace")?
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync"])
        .args(["-e", "inject=fsync:error=EIO:when=1"])
        .arg(pullkeeper()?.path())
        .args(["exchange", "--protocol", "docker", "--config"])
        .arg(scene.site.config())
        .input(scene.registry.host())
        .run(patience())
        .await?;
    ensure!(!output.status.success(), "something was handed out");
    let words = "cannot keep the refresh token";
    ensure!(output.stdout.contains(words), "{}", output.stdout);
    assert_eq!(scene.token()?, token);
    // It was not used, so it still is good; this use makes it void.
    docker(&scene.site, "get", scene.registry.host())
        .await?
        .success()?;
    ensure!(scene.token()? != token, "the token was not replaced");
    Ok(())
}

#[tokio::test]
async fn a_token_of_the_node_is_exchanged_for_one_that_the_registry_takes() -> Result<()> {
    let keycloak = Keycloak::shared().await?;
    let kind = "urn:ietf:params:oauth:token-type:access_token";
    let parameters = format!("parameters = {{ subject_token_type = \"{kind}\" }}");
    let scene = Scene::new(keycloak, "token-exchange", "token-exchange", &parameters).await?;
    scene.realm.allow_exchange("nodes").await?;
    // Whoever gave the node its identity; the registry would not take this token.
    let machine = Credential {
        username: "machine".to_owned(),
        ..Credential::new()
    };
    let mapper = Mapper::Audience("nodes".to_owned());
    scene
        .realm
        .client(&Login::Secret(&machine), &[mapper])
        .await?;
    scene
        .folder
        .write("token", scene.realm.token(&machine).await?)?;

    let agent = scene.site.start().await?;
    scene.pull().await?.success()?;
    scene.pull().await?.success()?;
    let labels = ["outcome=\"obtained\""];
    assert_eq!(
        agent.metric("pullkeeper_exchanges_total", &labels).await?,
        1.0
    );
    // Another token is another identity, at once.
    scene
        .folder
        .write("token", scene.realm.token(&scene.nodes).await?)?;
    scene.pull().await?.success()?;
    assert_eq!(
        agent.metric("pullkeeper_exchanges_total", &labels).await?,
        2.0
    );
    scene.folder.write("token", "not a token of Keycloak")?;
    let words = scene.refusal().await?;
    ensure!(
        words.contains("must hold one token and nothing else"),
        "{words}"
    );
    scene.folder.write("token", "opaque")?;
    let words = scene.refusal().await?;
    ensure!(
        words.contains("refuses the credential with status 400"),
        "{words}"
    );
    agent.stop().await?;
    Ok(())
}
