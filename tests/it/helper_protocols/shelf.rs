//! Without an agent: what one process obtained serves the next ones, in memory that looks like files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use support::agent::Site;
use support::fixture::Credential;
use support::scripted::{Say, Scripted};
use tempfile::TempDir;

use super::*;

/// A machine without an agent, and a token service.
struct Scene {
    site: Site,
    sso: Scripted,
    memory: TempDir,
}

impl Scene {
    fn new(name: &str, secret: &Credential) -> Result<Self> {
        let sso = Scripted::start(token("one"))?;
        let memory = TempDir::with_prefix_in("pullkeeper-", "/dev/shm")?;
        let place = sso.authority();
        let scene = Self {
            site: site(name, &body(&[(place.as_str(), secret)]), "")?,
            sso,
            memory,
        };
        scene.configure("pull")?;
        Ok(scene)
    }

    fn configure(&self, scope: &str) -> Result<()> {
        let source = self.site.join("source.json");
        let place = self.sso.authority();
        self.site.configure(
            "",
            &format!(
                "[[source]]\nfile = {source:?}\n[broker]\nexchange_cache = {:?}\n\
                 [[delegation]]\nregistries = [\"r.example\"]\ngrant = \"client-credentials\"\nscope = \"{scope}\"\n\
                 token_endpoint = \"http://{place}/token\"\n",
                self.shelf()
            ),
        )
    }

    /// What the helper hands out.
    async fn get(&self) -> Result<String> {
        let output = docker(&self.site, "get", "r.example").await?;
        ensure!(output.status.success(), "{}", output.stdout);
        let found: Value = serde_json::from_str(&output.stdout)?;
        Ok(found["Secret"].as_str().unwrap_or_default().to_owned())
    }

    fn shelf(&self) -> PathBuf {
        self.memory.path().join("exchange")
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.shelf())?;
        entries.map(|entry| Ok(entry?.path())).collect()
    }
}

fn token(name: &str) -> Say {
    let body = format!(r#"{{"access_token":"fixture-secret-{name}","expires_in":300}}"#);
    Say::response("200 OK", "", &body)
}

#[tokio::test]
async fn a_crowd_of_processes_makes_one_exchange_until_something_changes() -> Result<()> {
    let secret = Credential::new();
    let scene = Scene::new("shelf", &secret)?;
    let crowd = (0..20).map(|_| scene.get());
    for got in futures_util::future::join_all(crowd).await {
        assert_eq!(got?, "fixture-secret-one");
    }
    assert_eq!(scene.sso.heard().len(), 1);
    let files = scene.files()?;
    assert_eq!(files.len(), 1);
    let file = &files[0];
    assert_eq!(fs::metadata(file)?.permissions().mode() & 0o777, 0o600);

    // Another client secret, other settings, half a file: each asks anew.
    scene.sso.say(token("two"));
    let place = scene.sso.authority();
    let changed = body(&[(place.as_str(), &Credential::new())]);
    scene.site.write("source.json", changed)?;
    assert_eq!(scene.get().await?, "fixture-secret-two");
    scene.sso.say(token("three"));
    scene.configure("other")?;
    assert_eq!(scene.get().await?, "fixture-secret-three");
    scene.sso.say(token("four"));
    let content = fs::read(file)?;
    let half = (content.len() / 2) as u64;
    fs::File::options().write(true).open(file)?.set_len(half)?;
    assert_eq!(scene.get().await?, "fixture-secret-four");
    assert_eq!(scene.get().await?, "fixture-secret-four");
    assert_eq!(scene.sso.heard().len(), 4);
    assert_eq!(scene.files()?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_failure_is_shared_too_and_ends_soon() -> Result<()> {
    let scene = Scene::new("shelf-down", &Credential::new())?;
    scene.sso.say(Say::response("503 Down", "", ""));
    let begun = tokio::time::Instant::now();
    let crowd = (0..10).map(|_| docker(&scene.site, "get", "r.example"));
    for output in futures_util::future::join_all(crowd).await {
        let output = output?;
        ensure!(output.stdout.contains("status 503"), "{}", output.stdout);
    }
    let most = 1 + begun.elapsed().as_secs() as usize;
    let heard = scene.sso.heard().len();
    ensure!((1..=most).contains(&heard), "{heard} requests");
    scene.sso.say(token("one"));
    eventually("it works again", async || scene.get().await).await?;
    Ok(())
}

#[tokio::test]
async fn what_others_could_read_is_not_used() -> Result<()> {
    let scene = Scene::new("shelf-open", &Credential::new())?;
    fs::create_dir(scene.shelf())?;
    fs::set_permissions(scene.shelf(), fs::Permissions::from_mode(0o755))?;
    for count in 1..=2 {
        scene.get().await?;
        assert_eq!(scene.sso.heard().len(), count);
    }
    ensure!(scene.files()?.is_empty(), "something was kept");
    fs::set_permissions(scene.shelf(), fs::Permissions::from_mode(0o700))?;
    std::os::unix::fs::chown(scene.shelf(), Some(1), Some(1))?;
    scene.get().await?;
    ensure!(scene.files()?.is_empty(), "something was kept");
    Ok(())
}
