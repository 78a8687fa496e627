//! kube-apiserver, as it guards real clusters: TLS, RBAC, the node authorizer, an audit log.

use std::path::Path;

use anyhow::Result;

use super::Cluster;
use super::audit;
use super::authority::{Authority, token_key};
use super::identity::Identity;
use crate::http::Endpoint;
use crate::part::{Part, Ready};
use crate::ports::Port;
use crate::process::Program;
use crate::scratch::Scratch;

pub(super) fn part(
    folder: &Scratch,
    authority: &Authority,
    etcd: &Port,
    port: &Port,
    admin: &Identity,
) -> Result<Part> {
    let ca = folder.write(CA, authority.certificate())?;
    let serving = authority.server("kube-apiserver")?;
    let certificate = folder.write("pki/apiserver.crt", serving.certificate)?;
    let key = folder.write("pki/apiserver.key", serving.key)?;
    let (private, public) = token_key()?;
    let private = folder.write(TOKEN_KEY, private)?;
    let public = folder.write("pki/tokens.pub", public)?;
    let policy = folder.write("audit-policy.json", audit::POLICY)?;

    let program = Program::new("kube-apiserver", Cluster::bin("kube-apiserver")?)
        .arg(format!("--etcd-servers=http://{}", etcd.address()))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .arg(format!("--secure-port={}", port.number()))
        .arg(file("--client-ca-file", &ca))
        .arg(file("--tls-cert-file", &certificate))
        .arg(file("--tls-private-key-file", &key))
        .arg("--authorization-mode=Node,RBAC")
        .arg("--enable-admission-plugins=NodeRestriction")
        // Debian's etcd is too old for streamed lists: who asks for one lists instead, either way.
        // But with them every watch from version 0, such as KWOK's, ends as soon as it begins.
        .arg("--feature-gates=WatchList=false")
        .arg(format!(
            "--service-account-issuer=https://{}",
            port.address()
        ))
        .arg(file("--service-account-signing-key-file", &private))
        .arg(file("--service-account-key-file", &public))
        .arg("--service-cluster-ip-range=10.96.0.0/16")
        // There is no `kubernetes` Service to keep up, and loopback would not do for it.
        .arg("--endpoint-reconciler-type=none")
        // A stop ends open watches instead of waiting a minute for their clients to go.
        .arg("--shutdown-send-retry-after=true")
        .arg("--shutdown-watch-termination-grace-period=1s")
        .arg(file("--audit-policy-file", &policy))
        .arg(file("--audit-log-path", &audit::log(folder.path())))
        // In MiB. Unset it is 100, and what came before would be in another file.
        .arg("--audit-log-maxsize=4096");
    let config = authority.client_config(Some(admin))?;
    let ready = Ready {
        endpoint: Endpoint::tls(port.address(), config),
        path: "/readyz",
    };
    Ok(Part::new(program, folder.path().to_owned(), ready))
}

/// The certificate of the authority, relative to the cluster's folder.
pub(super) const CA: &str = "pki/ca.crt";
/// The key that signs service-account tokens, relative to the cluster's folder.
pub(super) const TOKEN_KEY: &str = "pki/tokens.key";

/// `--flag=path`
pub(super) fn file(flag: &str, path: &Path) -> String {
    format!("{flag}={}", path.display())
}
