//! How soon a real kubelet pulls with a rotated credential: through the provider, and from the file alone.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use support::agent::Site;
use support::cluster::{Api, Cluster};
use support::eventually;
use support::fixture::{Credential, config_json};
use support::node::{Image, NodePlan, PodSpec};
use support::provider::KubeletProvider;
use support::registry::Registry;

use crate::figures::{Figures, percentile};

const ROUNDS: usize = 5;
/// kubelet keeps what it read from the file for five minutes, and pauses up to five between two pulls.
const FILE_ONLY: Duration = Duration::from_secs(900);

pub(crate) async fn measure(figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start().await?;
    let namespace = cluster.namespace("bench-rotation").await?;
    let mut credential = Credential::new();
    let registry = Registry::with_passwords(&[&credential]).await?;
    let (host, image) = (registry.host(), registry.image("team/app:1"));
    let secret = |credential: &Credential| config_json([(host.as_str(), credential)]);
    registry
        .push(&credential, "team/app:1", &Image::pause("bench")?)
        .await?;

    let file_only = NodePlan::new("file-only")
        .auth_file(&secret(&credential))
        .join(&cluster)
        .await?;
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
    let spec = |name: &str| PodSpec::new(&namespace, name, &image);
    for (node, name) in [
        (&with_provider, "provider-before"),
        (&file_only, "file-before"),
    ] {
        node.create(&spec(name)).await?.running().await?;
    }

    let mut seconds = Vec::new();
    let api = cluster.api(cluster.admin())?;
    let mut failed = 0.0;
    let mut waiting = None;
    for round in 1..=ROUNDS {
        credential = Credential::new();
        registry.set_users(&[&credential]).await?;
        let body = secret(&credential);
        site.write("source.json", &body)?;
        has(&target, &credential).await?;
        let begun = Instant::now();
        if round == ROUNDS {
            waiting = Some((begun, file_only.create(&spec("file-after")).await?));
        }
        let name = format!("provider-{round}");
        with_provider.create(&spec(&name)).await?.running().await?;
        seconds.push(begun.elapsed().as_secs_f64());
        failed += failures(&api, &namespace, &name).await?;
    }
    let how = format!(
        "from the moment the agent has the new credential until a new pod runs with it, container start included: \
         median of {ROUNDS} rotations, kubelet's credential provider"
    );
    let median = percentile(&mut seconds, 0.5);
    figures.lower("rotation_seconds", median, "s", None, how);
    let how = format!("pulls that failed in these {ROUNDS} rotations");
    figures.lower("rotation_failed_pulls", failed, "", Some(0.0), how);

    let (begun, pod) = waiting.context("no round")?;
    pod.running_within(FILE_ONLY).await?;
    let how = "the same for a kubelet that has the file alone, which held the new credential from the first moment: one \
               rotation of the same run";
    let elapsed = begun.elapsed().as_secs_f64();
    figures.lower("rotation_seconds_file_only", elapsed, "s", None, how);
    let failed = failures(&api, &namespace, "file-after").await?;
    ensure!(
        failed > 0.0,
        "kubelet re-reads its file by now, or failures are not seen"
    );
    let how = "pulls that failed in that rotation";
    figures.lower("rotation_failed_pulls_file_only", failed, "", None, how);
    agent.stop().await?;
    with_provider.leave().await?;
    file_only.leave().await
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

/// The pulls that failed, by kubelet's Events, which count.
async fn failures(api: &Api, namespace: &str, pod: &str) -> Result<f64> {
    let selector = format!("involvedObject.name={pod},reason=Failed");
    let path = format!("/api/v1/namespaces/{namespace}/events?fieldSelector={selector}");
    let events = api.get(&path).await?;
    let pulls = events["items"].as_array().into_iter().flatten();
    let pulls = pulls.filter(|event| {
        let message = event["message"].as_str().unwrap_or_default();
        message.starts_with("Failed to pull image")
    });
    Ok(pulls.filter_map(|event| event["count"].as_f64()).sum())
}
