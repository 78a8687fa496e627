//! Registries, their clients and the single sign-on, before the product stands between them: the
//! right credential gets an image, the wrong one does not, and changes take effect.

mod passwords;
pub(crate) mod single_sign_on;
mod tokens;
mod workloads;

use anyhow::{Result, ensure};
use support::clients::{Client, Clients, ecr_login};
use support::fixture::{Credential, config_json};
use support::patience;
use support::process::Output;

const APP: &str = "team/app:1";
/// What clients say after a 401. Docker's command takes it from every way it knows to a registry
/// and then tells only that no way led to a manifest, or that it has nothing to show.
const REFUSALS: [&str; 5] = [
    "unauthorized",
    "authentication required",
    "no basic auth credentials",
    "basic credential not found",
    "no such manifest",
];

#[tokio::test]
async fn the_helper_for_comparison_runs() -> Result<()> {
    let home = Clients::new("{}")?;
    let output = ecr_login()?.env("HOME", home.home()).arg("version");
    let output = output.run(patience()).await?.success()?;
    assert!(
        output.stdout.contains("amazon-ecr-credential-helper"),
        "{output:?}"
    );
    Ok(())
}

/// A home whose auth file has one entry.
fn clients(registry: &str, credential: &Credential) -> Result<Clients> {
    Clients::new(&config_json([(registry, credential)]))
}

/// Pulls with a client, which must be told that it may not.
async fn refused(clients: &Clients, client: Client, image: &str) -> Result<Output> {
    let output = clients.pull(client, image).await?;
    ensure!(!output.status.success(), "{client:?} pulled {image}");
    let said = output.stderr.to_lowercase();
    ensure!(
        REFUSALS.iter().any(|words| said.contains(words)),
        "{client:?} failed for another reason: {said}"
    );
    Ok(output)
}

/// A credential with a user name of its own.
fn named(name: &str) -> Credential {
    Credential {
        username: name.to_owned(),
        ..Credential::new()
    }
}
