//! The bill of materials.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use support::process::Program;

use super::{json, run};

/// Whether the bill in the image is the one beside the archive, names what is linked, as `Cargo.lock` and this machine
/// have it, and nothing that only tests need.
pub(super) async fn check(root: &Path, beside: &Path) -> Result<()> {
    let bill = json(&root.join("usr/share/doc/pullkeeper/sbom.spdx.json"))?;
    ensure!(bill == json(&beside.join("sbom.spdx.json"))?, "two bills");
    assert_eq!(bill["spdxVersion"], "SPDX-2.3");
    let lock: toml::Table = toml::from_str(include_str!("../../../Cargo.lock"))?;
    let locked = lock["package"].as_array().context("no packages")?;
    let rustls = locked
        .iter()
        .find(|package| package["name"].as_str() == Some("rustls"));
    let rustls = rustls
        .and_then(|package| package["version"].as_str())
        .context("no rustls")?;
    let libc =
        Program::installed("dpkg-query")?.args(["--show", "--showformat", "${Version}", "libc6"]);
    let libc = run(libc).await?.stdout;
    let of_cargo = format!("pkg:cargo/rustls@{rustls}");
    let of_debian = format!(
        "pkg:deb/debian/libc6@{}?",
        libc.replace('+', "%2B").replace(':', "%3A")
    );
    for (name, version, origin) in [
        ("pullkeeper", env!("CARGO_PKG_VERSION"), ""),
        ("pullkeeper-daemon", env!("CARGO_PKG_VERSION"), ""),
        ("pullkeeper-helper", env!("CARGO_PKG_VERSION"), ""),
        ("rustls", rustls, of_cargo.as_str()),
        ("libc6", libc.as_str(), of_debian.as_str()),
    ] {
        let package = packages(&bill).find(|package| package["name"] == name);
        let package = package.with_context(|| format!("no {name} in the bill"))?;
        assert_eq!(package["versionInfo"], version, "{package}");
        let locator = package["externalRefs"][0]["referenceLocator"]
            .as_str()
            .unwrap_or_default();
        assert!(locator.starts_with(origin), "{package}");
    }
    // A macro runs when the program is built; the others are for tests.
    for absent in ["serde_derive", "proptest", "rcgen", "pullkeeper-tests"] {
        ensure!(
            packages(&bill).all(|package| package["name"] != absent),
            "{absent}"
        );
    }
    references(&bill)
}

fn packages(bill: &Value) -> impl Iterator<Item = &Value> {
    bill["packages"].as_array().into_iter().flatten()
}

/// Every package is named once and has something that contains or needs it, which is in the bill as well.
fn references(bill: &Value) -> Result<()> {
    let ids: Vec<_> = packages(bill)
        .filter_map(|package| package["SPDXID"].as_str())
        .collect();
    let known: BTreeSet<_> = ids.iter().copied().chain(["SPDXRef-DOCUMENT"]).collect();
    assert_eq!(known.len(), ids.len() + 1);
    let relations = bill["relationships"]
        .as_array()
        .context("no relationships")?;
    let mut reached = BTreeSet::from(["SPDXRef-DOCUMENT"]);
    for relation in relations {
        let end = |name: &str| {
            relation[name]
                .as_str()
                .context("a relationship without an end")
        };
        let (from, to) = (end("spdxElementId")?, end("relatedSpdxElement")?);
        ensure!(known.contains(from) && known.contains(to), "{relation}");
        reached.insert(to);
    }
    assert_eq!(reached, known);
    Ok(())
}
