//! How soon a real kubelet pulls with a rotated credential: from the file alone, from the file with a restart of kubelet, and
//! through the provider. Side by side: three nodes of one cluster, one registry, the same rotations.

mod contender;
mod pages;
mod plot;
mod readiness;
mod report;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use support::agent::Site;
use support::cluster::Cluster;
use support::eventually;
use support::fixture::{Credential, config_json};
use support::node::{Image, NodePlan};
use support::provider::KubeletProvider;
use support::registry::Registry;

use crate::figures::Figures;
use contender::{Contender, Scene};

const ROUNDS: usize = 7;
/// kubelet keeps what it read from the file for five minutes, and pauses up to five between two pulls.
const FILE_ONLY: Duration = Duration::from_secs(900);

pub(crate) async fn measure(figures: &mut Figures, pages: bool) -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut credential = Credential::new();
    let registry = Registry::with_passwords(&[&credential]).await?;
    let host = registry.host();
    let secret = |credential: &Credential| config_json([(host.as_str(), credential)]);
    let image = Image::pause("bench")?;
    registry.push(&credential, "team/app:1", &image).await?;
    let scene = Scene {
        api: cluster.api(cluster.admin())?,
        namespace: cluster.namespace("bench-rotation").await?,
        image: registry.image("team/app:1"),
    };

    let with_file = |name: &str| NodePlan::new(name).auth_file(&secret(&credential));
    let file_only = with_file("file-only").join(&cluster).await?;
    let restarted = with_file("restarted").join(&cluster).await?;
    let site =
        Site::new("bench-rotation")?.running(std::fs::canonicalize("target/dist/pullkeeper")?);
    let source = site.write("source.json", secret(&credential))?;
    let (target, socket) = (file_only.auth_file(), site.join("broker.sock"));
    site.configure(
        "",
        &format!(
            "[[source]]\nfile = {source:?}\n[[target]]\nkind = \"kubelet\"\npath = {target:?}\n\
             [broker]\nlisten = \"unix:{}\"\n",
            socket.display()
        ),
    )?;
    let agent = site.start().await?;
    let helper = std::fs::canonicalize("target/bench/docker-credential-pullkeeper")?;
    let provider = KubeletProvider::executing(&helper, &[&host], &socket, None)?;
    let with_provider = NodePlan::new("provider")
        .credential_providers(provider.config(), provider.programs())
        .join(&cluster)
        .await?;
    let mut pullkeeper = Contender::new(&scene, with_provider).await?;
    let mut restarted = Contender::new(&scene, restarted).await?;
    // Last: how long its kubelet has known the file counts from here.
    let mut file_only = Contender::new(&scene, file_only).await?;
    let known = Instant::now();

    let mut waiting = None;
    for round in 1..=ROUNDS {
        credential = Credential::new();
        registry.set_users(&[&credential]).await?;
        let body = secret(&credential);
        site.write("source.json", &body)?;
        has(&target, &credential).await?;
        if round == ROUNDS {
            let age = known.elapsed();
            waiting = Some((age, file_only.begin(&scene, round).await?));
        }
        let begun = pullkeeper.begin(&scene, round).await?;
        pullkeeper.end(&scene, begun, FILE_ONLY).await?;

        restarted.node.write_auth_file(&body)?;
        let begun = restarted.begin(&scene, round).await?;
        restarted.restart_kubelet().await?;
        restarted.end(&scene, begun, FILE_ONLY).await?;
    }
    let (age, begun) = waiting.context("no round")?;
    file_only.end(&scene, begun, FILE_ONLY).await?;
    for contender in [&mut file_only, &mut restarted, &mut pullkeeper] {
        contender.rested(&scene).await?;
    }
    ensure!(
        file_only.failed > 0.0,
        "kubelet re-reads its file by now, or failures are not seen"
    );
    let outcome = report::Outcome {
        versions: scene.versions().await?,
        age,
        file_only: &file_only,
        restarted: &restarted,
        pullkeeper: &pullkeeper,
    };
    outcome.figures(figures);
    if pages {
        outcome.pages()?;
    }
    agent.stop().await?;
    Ok(())
}

/// Waits until the agent has written it; the broker had it before.
async fn has(target: &Path, credential: &Credential) -> Result<()> {
    eventually("the new credential is in the file", async || {
        let text = std::fs::read_to_string(target)?;
        ensure!(text.contains(&credential.auth()), "not yet");
        Ok(())
    })
    .await
}
