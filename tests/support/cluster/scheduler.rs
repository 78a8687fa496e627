//! kube-scheduler: gives pods to nodes. It starts with the first real node; fake ones may do
//! without.

use anyhow::Result;

use super::Cluster;
use super::apiserver::file;
use super::authority::Authority;
use super::identity::Identity;
use crate::http::Endpoint;
use crate::part::{Part, Ready};
use crate::ports::Port;
use crate::process::Program;
use crate::scratch::Scratch;

/// The certificate's subject that the API server's own RBAC rules are made for.
pub(super) const USER: &str = "system:kube-scheduler";

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
    let kubeconfig = folder.write("scheduler.kubeconfig", kubeconfig)?;
    let serving = authority.server("kube-scheduler")?;
    let certificate = folder.write("pki/scheduler.crt", serving.certificate)?;
    let key = folder.write("pki/scheduler.key", serving.key)?;
    let program = Program::new("kube-scheduler", Cluster::bin("kube-scheduler")?)
        .arg(file("--kubeconfig", &kubeconfig))
        .arg("--leader-elect=false")
        .arg("--bind-address=127.0.0.1")
        .arg(format!("--secure-port={}", port.number()))
        .arg(file("--tls-cert-file", &certificate))
        .arg(file("--tls-private-key-file", &key))
        // It ends by itself when its cache cannot be right, which it says of every pod whose binding was written while the answer
        // got lost: an API server that stops at a bad moment is enough (`updatePod` in kubernetes pkg/scheduler/backend/cache).
        .restarted();
    let endpoint = Endpoint::tls(port.address(), authority.client_config(None)?);
    Ok(Part::new(
        program,
        folder.path().to_owned(),
        Ready {
            endpoint,
            path: "/healthz",
        },
    ))
}
