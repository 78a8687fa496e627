//! kube-controller-manager: service accounts of new namespaces, garbage collection, the end of
//! namespaces.

use anyhow::Result;

use super::Cluster;
use super::apiserver::{CA, TOKEN_KEY, file};
use super::authority::Authority;
use super::identity::Identity;
use super::part::{Part, Ready};
use crate::http::Endpoint;
use crate::ports::Port;
use crate::process::Program;
use crate::scratch::Scratch;

/// The certificate's subject that the API server's own RBAC rules are made for.
pub(super) const USER: &str = "system:kube-controller-manager";

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
