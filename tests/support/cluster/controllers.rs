//! kube-controller-manager: service accounts of new namespaces, garbage collection, the end of
//! namespaces, taints of nodes.

use anyhow::Result;

use super::Cluster;
use super::apiserver::{CA, TOKEN_KEY, file};
use super::authority::Authority;
use super::identity::Identity;
use crate::http::Endpoint;
use crate::part::{Part, Ready};
use crate::ports::Port;
use crate::process::Program;
use crate::scratch::Scratch;

/// The name that real clusters know it by.
pub(super) const USER: &str = "system:kube-controller-manager";

/// What lets it do its work. By its name alone it may only make service accounts for its
/// controllers and work as those, which costs three seconds at each start.
pub(super) const GROUP: &str = "system:masters";

pub(super) fn part(
    folder: &Scratch,
    authority: &Authority,
    server: &str,
    identity: &Identity,
    port: &Port,
) -> Result<Part> {
    let ca = folder.join(CA);
    let kubeconfig = identity
        .kubeconfig(server, &authority.certificate())
        .to_string();
    let kubeconfig = folder.write("controllers.kubeconfig", kubeconfig)?;
    let serving = authority.server("kube-controller-manager")?;
    let certificate = folder.write("pki/controllers.crt", serving.certificate)?;
    let key = folder.write("pki/controllers.key", serving.key)?;
    let program = Program::new(
        "kube-controller-manager",
        Cluster::bin("kube-controller-manager")?,
    )
    .arg(file("--kubeconfig", &kubeconfig))
    .arg("--leader-elect=false")
    .arg("--bind-address=127.0.0.1")
    .arg(format!("--secure-port={}", port.number()))
    .arg(file("--tls-cert-file", &certificate))
    .arg(file("--tls-private-key-file", &key))
    .arg(file("--root-ca-file", &ca))
    .arg(file(
        "--service-account-private-key-file",
        &folder.join(TOKEN_KEY),
    ));
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
