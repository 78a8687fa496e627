//! The files of the image, and what it says of itself.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;
use support::process::Program;

use super::run;

/// All that is in the image, by [`role`], in the order of the alphabet.
const ROLES: [&str; 18] = [
    "etc/nsswitch.conf",
    "etc/os-release",
    "etc/ssl/certs/ca-certificates.crt",
    "libc",
    "libgcc_s",
    "licence of Debian's",
    "loader",
    "usr/bin/docker-credential-pullkeeper",
    "usr/bin/pullkeeper",
    "usr/share/doc/ca-certificates/copyright",
    "usr/share/doc/libc6/copyright",
    "usr/share/doc/libgcc-s1/copyright",
    "usr/share/doc/pullkeeper/LICENSE",
    "usr/share/doc/pullkeeper/notices",
    "usr/share/doc/pullkeeper/sbom.spdx.json",
    "var/lib/dpkg/status.d/ca-certificates",
    "var/lib/dpkg/status.d/libc6",
    "var/lib/dpkg/status.d/libgcc-s1",
];

/// What a file is there for: its path, or what stands for it where that depends on the machine.
fn role(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        _ if path.starts_with("usr/share/common-licenses/") => "licence of Debian's",
        _ if !path.starts_with("lib") => path,
        _ if name.starts_with("ld") => "loader",
        _ => name.split(".so").next().unwrap_or(name),
    }
}

/// Whether a layer has [`ROLES`] and nothing else, all of it root's, for others to read, and no program but ours.
pub(super) async fn check(layer: &Path) -> Result<()> {
    let listed = run(Program::installed("tar")?
        .args(["--numeric-owner", "-tvzf"])
        .arg(layer))
    .await?;
    let mut roles = Vec::new();
    for line in listed.stdout.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let (mode, owner, path) = (words[0], words[1], words[words.len() - 1]);
        assert_eq!(owner, "0/0", "{line}");
        let expected = match (mode.as_bytes()[0], path) {
            (b'd', _) => "drwxr-xr-x",
            (_, path) if path.starts_with("usr/bin/") || path.starts_with("lib") => "-rwxr-xr-x",
            _ => "-rw-r--r--",
        };
        assert_eq!(mode, expected, "{line}");
        if !mode.starts_with('d') {
            roles.push(role(path));
        }
    }
    roles.sort_unstable();
    roles.dedup();
    assert_eq!(roles, ROLES);
    Ok(())
}

/// Whether the labels say what is true of this checkout.
pub(super) fn labels(config: &Value) -> Result<()> {
    let labels = config["config"]["Labels"]
        .as_object()
        .context("no labels")?;
    let label = |name: &str| {
        let value = labels.get(&format!("org.opencontainers.image.{name}"));
        value.and_then(Value::as_str).unwrap_or_default()
    };
    assert_eq!(label("title"), "pullkeeper");
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    let revision = label("revision").trim_end_matches("-dirty");
    assert!(
        revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{revision}"
    );
    assert_eq!(labels.len(), 5, "{labels:?}");
    assert_eq!(config["config"]["User"], "0");
    Ok(())
}

/// Whether the bundle has each authority of Debian's package, and none that this machine adds to them.
pub(super) async fn authorities(root: &Path) -> Result<()> {
    let bundle = std::fs::read_to_string(root.join("etc/ssl/certs/ca-certificates.crt"))?;
    let files = Program::installed("dpkg")?.args(["--listfiles", "ca-certificates"]);
    let files = run(files).await?.stdout;
    let count =
        |text: &str, wanted: fn(&str) -> bool| text.lines().filter(|line| wanted(line)).count();
    let packaged = count(&files, |path| path.ends_with(".crt"));
    assert!(packaged > 100, "{files}");
    assert_eq!(
        count(&bundle, |line| line == "-----BEGIN CERTIFICATE-----"),
        packaged
    );
    Ok(())
}
