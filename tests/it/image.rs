//! The container image, made of the programs of this build: the same wherever it is made, nothing in it that it does
//! not need, and it runs. How large it is with the programs that are shipped is for `make bench` to say.

mod bill;
mod contents;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use support::container_image::ImagePlan;
use support::fixture::{Credential, config_json};
use support::process::{Output, Program};
use support::scratch::Scratch;

/// What everything here may take; the image itself takes seconds.
const LIMIT: Duration = Duration::from_secs(300);

#[tokio::test]
async fn the_image_is_the_same_wherever_it_is_made_and_has_what_it_needs_and_no_more() -> Result<()>
{
    let folder = Scratch::new("image")?;
    let plan = ImagePlan::new()?;
    let first = plan.build(&folder, "first").await?;
    let home = folder.join("home");
    std::fs::create_dir(&home)?;
    let elsewhere = plan.env("HOME", &home).env("TZ", Path::new("Asia/Tokyo"));
    let second = elsewhere.umask("077").build(&folder, "second").await?;
    let digest = first.said("digest")?;
    assert_eq!(digest, second.said("digest")?);
    let same = std::fs::read(first.archive())? == std::fs::read(second.archive())?;
    ensure!(same, "archives differ");
    let compressed = first.said("compressed")?;
    println!("compressed, with debug programs: {compressed}");

    // A client reads it, and compares every digest.
    let oci = folder.join("oci");
    let from = format!("oci-archive:{}", first.archive().display());
    run(Program::installed("skopeo")?.args([
        "copy",
        "--quiet",
        &from,
        &format!("oci:{}", oci.display()),
    ]))
    .await?;
    let index = json(&oci.join("index.json"))?;
    assert_eq!(index["manifests"][0]["digest"], digest);
    let manifest = json(&blob(&oci, &index["manifests"][0])?)?;
    let config = json(&blob(&oci, &manifest["config"])?)?;
    let layers = manifest["layers"].as_array().context("no layers")?;
    ensure!(layers.len() == 1, "{layers:?}");
    let layer = blob(&oci, &layers[0])?;

    let root = folder.join("root");
    std::fs::create_dir(&root)?;
    contents::check(&layer).await?;
    run(Program::installed("tar")?
        .arg("xzf")
        .arg(&layer)
        .arg("-C")
        .arg(&root))
    .await?;
    contents::labels(&config)?;
    contents::authorities(&root).await?;
    bill::check(&root, first.folder()).await?;
    runs(&folder, &config).await
}

/// Whether the program that the image names runs with nothing but the image's files, and no network. Without a container
/// engine: its runtime needs rights that the machines of the suites do not have.
async fn runs(folder: &Scratch, config: &Value) -> Result<()> {
    let root = folder.join("root");
    let entry = config["config"]["Entrypoint"][0]
        .as_str()
        .context("no entry point")?;
    let inside = |program: &str, arguments: &[&str]| -> Result<Program> {
        let unshare = Program::installed("unshare")?
            .args(["--net", "--mount", "--root"])
            .arg(&root);
        Ok(unshare.arg(program).args(arguments.iter().copied()))
    };
    let version = run(inside(entry, &["--version"])?).await?;
    assert_eq!(
        version.stdout.trim(),
        format!("pullkeeper {}", env!("CARGO_PKG_VERSION"))
    );
    let document = config_json([("quay.io", &Credential::new())]);
    let valid = run(inside(entry, &["validate", "-"])?.input(document)).await?;
    assert!(
        valid
            .stdout
            .contains("1 usable entries; the document would be used"),
        "{}",
        valid.stdout
    );
    let helper = "/usr/bin/docker-credential-pullkeeper";
    run(inside(helper, &["version"])?).await?;

    // Put there to ask the image's libc for a name.
    std::fs::copy(Program::installed("getent")?.path(), root.join("getent"))?;
    folder.write("root/etc/hosts", "192.0.2.1 registry.test\n")?;
    let found = run(inside("/getent", &["ahosts", "registry.test"])?).await?;
    assert!(found.stdout.starts_with("192.0.2.1 "), "{}", found.stdout);
    Ok(())
}

async fn run(program: Program) -> Result<Output> {
    program.run(LIMIT).await?.success()
}

fn json(path: &Path) -> Result<Value> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// Where an OCI layout has what a descriptor names.
fn blob(oci: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = descriptor["digest"]
        .as_str()
        .context("a descriptor without a digest")?;
    Ok(oci.join("blobs").join(digest.replace(':', "/")))
}
