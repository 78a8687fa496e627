//! A registry that delegates to a single sign-on with a credential of its own, as the documentation's procedure has it:
//! real registry, real Keycloak, real clients. And the same for workloads that have no credential at all.

mod clients;
mod identity_token;
mod node;
mod pass_through;
mod project;
mod proxy;
mod tls;
mod tokens;
mod workloads;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use support::agent::Site;
use support::clients::{Client, Clients, by_name};
use support::cluster::Cluster;
use support::evidence::{self, Kind};
use support::fixture::{Credential, config_json};
use support::node::{Node, NodePlan};
use support::process::Output;
use support::product::helper;
use support::provider::KubeletProvider;
use support::registry::Registry;

use crate::helper_protocols::site;
use crate::node_harness::allow_audience;

const APP: &str = "team/app:1";

/// What an administrator writes for the documentation's procedure; `registry_scheme` only because this registry has
/// no TLS, and its second name for oras.
fn delegation(registry: &Registry, realm: &str) -> String {
    format!(
        "[[delegation]]\nregistries = [\"{}\", \"{}\"]\nrealms = [\"{realm}\"]\nregistry_scheme = \"http\"\n",
        registry.host(),
        by_name(&registry.host())
    )
}

/// Both entries of the procedure: one for the registry, one for the single sign-on.
fn two_secrets(registry: &Registry, realm: &str, user: &Credential) -> String {
    let sso = realm.trim_start_matches("http://");
    let of_registry = Credential {
        username: "of-the-registry".to_owned(),
        ..Credential::new()
    };
    config_json([(registry.host().as_str(), &of_registry), (sso, user)])
}

/// A folder with the helper under the name by which clients execute it, and no other program.
fn helper_folder(site: &Site) -> Result<PathBuf> {
    let folder = site.join("bin");
    std::fs::create_dir_all(&folder)?;
    let link = folder.join("docker-credential-pullkeeper");
    if !link.exists() {
        std::os::unix::fs::symlink(helper()?.path(), &link)?;
    }
    Ok(folder)
}

/// A pull by a client that finds the helper in its `PATH`.
async fn pull(site: &Site, clients: &Clients, client: Client, image: &str) -> Result<Output> {
    let path = std::env::var("PATH").context("no PATH")?;
    let path = format!("{}:{path}", helper_folder(site)?.display());
    let output = clients
        .pull_with(client, image, |program| {
            program
                .env("PATH", path)
                .env("PULLKEEPER_BROKER_SOCKET", site.join("broker.sock"))
        })
        .await?;
    // A client quotes what a helper printed.
    evidence::keep(Kind::Output, &output.stdout)?;
    evidence::keep(Kind::Log, &output.stderr)?;
    Ok(output)
}

/// An agent that knows no secret at all, and answers by this delegation.
fn secretless(name: &str, delegation: &str) -> Result<Site> {
    let site = site(name, "{\"auths\":{}}", delegation)?;
    std::fs::remove_file(site.join("source.json"))?;
    Ok(site)
}

/// A node whose kubelet asks the site's agent about the registry, and passes tokens for this audience on.
async fn provider_node(
    cluster: &Cluster,
    name: &str,
    site: &Site,
    registry: &Registry,
    audience: &str,
) -> Result<(KubeletProvider, Node)> {
    let host = registry.host();
    allow_audience(cluster, name, audience).await?;
    let provider = KubeletProvider::new(&[&host], &site.join("broker.sock"), Some(audience))?;
    let node = NodePlan::new(name)
        .credential_providers(provider.config(), provider.programs())
        .join(cluster)
        .await?;
    Ok((provider, node))
}
