//! A registry that delegates to a single sign-on with a credential of its own, as the documentation's procedure has it:
//! real registry, real Keycloak, real clients. And the same for workloads that have no credential at all.

mod clients;
mod node;
mod project;
mod workloads;

use std::path::PathBuf;

use anyhow::Result;
use support::agent::Site;
use support::fixture::{Credential, config_json};
use support::product::helper;
use support::registry::Registry;

const APP: &str = "team/app:1";

/// What an administrator writes for the documentation's procedure; `registry_scheme` only because this registry has
/// no TLS.
fn delegation(registry: &Registry, realm: &str) -> String {
    format!(
        "[[delegation]]\nregistries = [\"{}\"]\nrealms = [\"{realm}\"]\nregistry_scheme = \"http\"\n",
        registry.host()
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
