//! KWOK: plays the kubelets of fake nodes, and their pods. It starts with the first of them.

use anyhow::{Result, ensure};

use super::apiserver::file;
use super::authority::Authority;
use super::identity::Identity;
use crate::built;
use crate::http::Endpoint;
use crate::part::{Part, Ready};
use crate::ports::Port;
use crate::process::Program;
use crate::scratch::Scratch;

pub(super) const USER: &str = "kwok";

/// What lets it do its work: it plays every kubelet, so no kubelet's rights are enough.
pub(super) const GROUP: &str = "system:masters";

/// The annotation of the nodes that it plays, and its value.
pub(super) const FAKE: (&str, &str) = ("kwok.x-k8s.io/node", "fake");

/// The annotation of pods that take all of their grace to stop. Others are gone at once.
pub const STUBBORN: &str = "pullkeeper.test/stubborn";

/// What it does with nodes and pods, of its own module: all at once and without any failure. A
/// pod runs until it is deleted; one of a Job has completed.
const STAGES: [&str; 5] = [
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
];

/// Has more weight than the stage of its module that deletes pods, which has none.
const STUBBORN_STAGE: &str = r#"{
  "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": "pod-delete-late"},
  "spec": {
    "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
    "selector": {"matchExpressions": [
      {"key": ".metadata.deletionTimestamp", "operator": "Exists"},
      {"key": ".metadata.annotations[\"pullkeeper.test/stubborn\"]", "operator": "Exists"}
    ]},
    "weight": 1,
    "delay": {
      "durationMilliseconds": 1000,
      "durationFrom": {"expressionFrom": ".metadata.deletionTimestamp"}
    },
    "next": {"delete": true}
  }
}"#;

/// kubelet's default. It renews the lease four times as often, and the controllers give a node up
/// 50 s after the last time. Without this KWOK would hold none.
const LEASE_SECONDS: u32 = 40;

pub(super) fn part(
    folder: &Scratch,
    authority: &Authority,
    server: &str,
    identity: &Identity,
    port: &Port,
) -> Result<Part> {
    let kubeconfig = identity
        .kubeconfig(server, &authority.certificate())
        .to_string();
    let kubeconfig = folder.write("kwok.kubeconfig", kubeconfig)?;
    let (annotation, value) = FAKE;
    let mut program = Program::new("kwok", built::program("kwok", "kwok")?)
        .arg(file("--kubeconfig", &kubeconfig))
        .arg(format!("--server-address={}", port.address()))
        .arg(format!(
            "--manage-nodes-with-annotation-selector={annotation}={value}"
        ))
        .arg(format!("--node-lease-duration-seconds={LEASE_SECONDS}"));
    let stages = built::folder("kwok", "go.sum")?.join("stages");
    for stage in STAGES.map(|stage| stages.join(stage)) {
        // KWOK would pass over it and do less.
        ensure!(
            stage.is_file(),
            "{} does not exist; run `tests/kwok/build stages`",
            stage.display()
        );
        program = program.arg(file("--config", &stage));
    }
    let stubborn = folder.write("kwok-stubborn.yaml", STUBBORN_STAGE)?;
    program = program.arg(file("--config", &stubborn));
    Ok(Part::new(
        program,
        folder.path().to_owned(),
        Ready {
            endpoint: Endpoint::plain(port.address()),
            path: "/healthz",
        },
    ))
}
