//! kube-apiserver, as it guards real clusters: TLS, RBAC, the node authorizer, an audit log.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Cluster;
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
    let policy = folder.write("audit-policy.json", AUDIT_POLICY)?;

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
        .arg(file("--audit-log-path", &audit_log(folder.path())));
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

/// One request that the API server has answered (or begun to answer, for a watch).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, …
    pub verb: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub uri: String,
    /// Who asked.
    pub user: AuditUser,
    /// What the client called itself.
    #[serde(default)]
    pub user_agent: String,
    /// `ResponseStarted` for a watch that goes on, else `ResponseComplete` (or `Panic`).
    pub stage: String,
    /// The answer's status.
    pub response_status: Option<AuditStatus>,
}

/// The subject of a request.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditUser {
    /// As RBAC sees it: [`Identity::name`].
    pub username: String,
}

/// The outcome of a request.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditStatus {
    /// HTTP status.
    #[serde(default)]
    pub code: u16,
}

pub(super) fn audit_events(folder: &Path) -> Result<Vec<AuditEvent>> {
    let path = audit_log(folder);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    // The last line may be in the middle of being written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |line| serde_json::from_str(line).with_context(|| format!("audit line {line}"));
    whole.lines().map(parse).collect()
}

// Who did what and with which result, never what it contained.
const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
  "omitStages": ["RequestReceived"], "rules": [{ "level": "Metadata" }]
}"#;

fn audit_log(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}

/// `--flag=path`
pub(super) fn file(flag: &str, path: &Path) -> String {
    format!("{flag}={}", path.display())
}
