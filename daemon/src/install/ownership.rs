//! Whose file is kubelet's? On nodes of the Machine Config Operator it is not ours to write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use super::{Options, Target, TargetError};
use crate::cluster::{Cluster, ClusterError, RequestError};

/// Who writes `/var/lib/kubelet/config.json` on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Not known yet; nobody writes.
    Unknown,
    /// Pullkeeper.
    Ours,
    /// MCO compares the file byte for byte with its own and stops updating the node when it differs.
    MachineConfigOperator,
}

/// How to find out.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// The Node object to ask for; without one the host alone decides.
    pub node_name: Option<String>,
    /// Where to ask.
    pub cluster: Cluster,
    /// Where the answer is kept for a start without an API server.
    pub state_dir: PathBuf,
}

/// The annotation that the machine-config daemon keeps on the nodes it manages.
pub(crate) const CURRENT_CONFIG: &str = "machineconfiguration.openshift.io/currentConfig";
/// The machine-config daemon's own copy of that, on the host.
const ON_HOST: &str = "/etc/machine-config-daemon/currentconfig";
/// Between two questions that were not answered.
const PAUSE: Duration = Duration::from_secs(5);

impl Inquiry {
    /// Asks until there is an answer. What an earlier run found out counts until then.
    pub async fn run(self, found: watch::Sender<Ownership>) {
        if Path::new(ON_HOST).exists() {
            found.send_replace(Ownership::MachineConfigOperator);
        } else if let Some(node_name) = self.node_name.clone() {
            let mut complained = false;
            loop {
                match self.ask(&node_name).await {
                    Ok(owner) => {
                        self.remember(owner).await;
                        found.send_replace(owner);
                        break;
                    }
                    Err(error) => {
                        if let Some(owner) = self.remembered().await {
                            found.send_replace(owner);
                        }
                        if !complained {
                            let error = crate::exit::chain(&error);
                            tracing::warn!(
                                node = node_name,
                                error,
                                "cannot tell yet whether the Machine Config Operator owns kubelet's file; \
                                 the agent needs to `get` its own Node"
                            );
                            complained = true;
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        } else {
            found.send_replace(Ownership::Ours);
        }
        tracing::debug!(owner = ?*found.borrow(), "kubelet's file");
        found.closed().await;
    }

    async fn ask(&self, node_name: &str) -> Result<Ownership, RequestError> {
        let node = match self.cluster.node(node_name).await {
            // A host that only has the name of a Node: nobody manages it through the API.
            Err(RequestError::Cluster(ClusterError::NotConfigured)) => return Ok(Ownership::Ours),
            node => node?,
        };
        let annotations = node.and_then(|node| node.annotations).unwrap_or_default();
        Ok(if annotations.contains_key(CURRENT_CONFIG) {
            Ownership::MachineConfigOperator
        } else {
            Ownership::Ours
        })
    }

    async fn remembered(&self) -> Option<Ownership> {
        let path = self.memory();
        let read = move || memory(path).and_then(|file| file.read());
        let current = tokio::task::spawn_blocking(read).await.ok()?.ok()??;
        match current.bytes.as_slice() {
            b"pullkeeper\n" => Some(Ownership::Ours),
            b"machine-config-operator\n" => Some(Ownership::MachineConfigOperator),
            _ => None,
        }
    }

    async fn remember(&self, owner: Ownership) {
        let path = self.memory();
        let word: &[u8] = match owner {
            Ownership::MachineConfigOperator => b"machine-config-operator\n",
            Ownership::Ours | Ownership::Unknown => b"pullkeeper\n",
        };
        let write = move || memory(path).and_then(|file| file.replace(word));
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            let error = crate::exit::chain(&error);
            tracing::warn!(error, "cannot remember who owns kubelet's file");
        }
    }

    fn memory(&self) -> PathBuf {
        self.state_dir.join("kubelet-file-owner")
    }
}

/// Made here if need be: the answer may come before any target has its record.
fn memory(path: PathBuf) -> Result<Target, TargetError> {
    let options = Options {
        create_directory: Some(0o700),
        ..Options::default()
    };
    Target::new(path, options)
}
