//! Images that need no network to come by.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cluster::Cluster;

/// An OCI image with one layer, `FROM scratch`.
#[derive(Clone, Debug)]
pub struct Image {
    manifest: Blob,
    config: Blob,
    /// The only one, a tar archive.
    layer: Blob,
}

/// Content with its address.
#[derive(Clone, Debug)]
struct Blob {
    bytes: Vec<u8>,
    /// `sha256:…` of the bytes.
    digest: String,
    /// What they are.
    media_type: &'static str,
}

impl Image {
    /// An image that runs until it is told to stop: Kubernetes' own `pause`. Images with different
    /// labels have different digests and share their layer.
    ///
    /// # Errors
    /// When pause is not built.
    pub fn pause(label: &str) -> Result<Self> {
        let path = Cluster::bin("pause")?;
        let program =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut layer = Vec::new();
        append(&mut layer, "pause", 0o755, &program);
        finish(&mut layer);
        let layer = Blob::new(layer, "application/vnd.oci.image.layer.v1.tar");
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": { "Entrypoint": ["/pause"], "Labels": { "test": label } },
            "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        });
        let config = Blob::json(&config, "application/vnd.oci.image.config.v1+json");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        });
        Ok(Self {
            manifest: Blob::json(&manifest, MANIFEST),
            config,
            layer,
        })
    }

    /// The image as an archive for `ctr images import`, which gives it the name `reference`.
    pub fn archive(&self, reference: &str) -> Vec<u8> {
        let mut descriptor = self.manifest.descriptor();
        descriptor["annotations"] = json!({ "io.containerd.image.name": reference });
        let index = json!({ "schemaVersion": 2, "manifests": [descriptor] }).to_string();
        let mut archive = Vec::new();
        append(
            &mut archive,
            "oci-layout",
            0o644,
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        );
        append(&mut archive, "index.json", 0o644, index.as_bytes());
        for blob in [&self.manifest, &self.config, &self.layer] {
            let name = format!("blobs/{}", blob.digest.replace(':', "/"));
            append(&mut archive, &name, 0o644, &blob.bytes);
        }
        finish(&mut archive);
        archive
    }
}

impl Blob {
    fn new(bytes: Vec<u8>, media_type: &'static str) -> Self {
        let hex: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            bytes,
            digest: format!("sha256:{hex}"),
            media_type,
        }
    }

    fn json(value: &Value, media_type: &'static str) -> Self {
        Self::new(value.to_string().into_bytes(), media_type)
    }

    fn descriptor(&self) -> Value {
        json!({
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.bytes.len(),
        })
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BLOCK: usize = 512;

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

// A regular file of root's in POSIX tar: names of at most 100 bytes, no times, so that the same
// content is the same archive.
fn append(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
    let mut header = [0_u8; BLOCK];
    let mut field = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    field(0, name);
    field(100, &format!("{mode:07o}"));
    field(108, "0000000");
    field(116, "0000000");
    field(124, &format!("{:011o}", content.len()));
    field(136, "00000000000");
    // The checksum counts its own field as blanks.
    field(148, "        ");
    field(156, "0");
    field(257, "ustar");
    field(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive.extend_from_slice(&header);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
}

fn finish(archive: &mut Vec<u8>) {
    archive.resize(archive.len() + 2 * BLOCK, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn archives_are_what_tar_reads() {
        let scratch = crate::scratch::Scratch::new("unit").unwrap();
        let mut archive = Vec::new();
        append(&mut archive, "a/b", 0o750, &[b'x'; 700]);
        append(&mut archive, "empty", 0o644, b"");
        finish(&mut archive);
        let path = scratch.write("a.tar", &archive).unwrap();
        let listed = Command::new("tar")
            .args(["--list", "--verbose", "--numeric-owner", "--file"])
            .arg(path)
            .output()
            .unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let words: Vec<Vec<_>> = listed
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(words[0][..3], ["-rwxr-x---", "0/0", "700"], "{listed}");
        assert_eq!(words[0].last(), Some(&"a/b"), "{listed}");
        assert_eq!(words[1][..3], ["-rw-r--r--", "0/0", "0"], "{listed}");
    }
}
