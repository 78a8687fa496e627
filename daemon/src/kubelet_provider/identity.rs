//! What the API server knows of the node: whose it is, which kubelet it runs, and whether that is well.

use k8s_openapi::api::core::v1::Node as KubeNode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource as _;
use kube::api::GetParams;
use kube::core::Request;
use pullkeeper_core::placement::host::Owner;
use serde::Deserialize;
use tokio::time::{Duration, Instant, sleep};

use crate::cluster::Cluster;
use crate::install::ownership::CURRENT_CONFIG;

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Who can be asked about this node.
#[derive(Clone, Debug)]
pub(super) struct Registered {
    pub(super) cluster: Cluster,
    pub(super) name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    metadata: ObjectMeta,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    node_info: NodeInfo,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NodeInfo {
    kubelet_version: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    last_heartbeat_time: Option<Time>,
}

/// What is known of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) minor: Option<u32>,
    pub(super) owner: Option<Owner>,
}

impl Registered {
    /// Asks once; why nobody can tell.
    pub(super) async fn ask(&self) -> Result<Known, String> {
        let object = self.object().await?;
        let annotations = object.metadata.annotations.unwrap_or_default();
        let owner = if annotations.contains_key("hypershift.openshift.io/nodePool") {
            Some(Owner::NodePool)
        } else if annotations.contains_key(CURRENT_CONFIG) {
            Some(Owner::MachineConfigOperator)
        } else {
            None
        };
        Ok(Known {
            minor: minor(&object.status.node_info.kubelet_version),
            owner,
        })
    }

    /// Waits until the node has said that it is Ready, not before `since`.
    pub(super) async fn is_ready(&self, since: &Time, deadline: Instant) -> bool {
        loop {
            if let Ok(object) = self.object().await {
                let mut conditions = object.status.conditions.iter();
                let ready = conditions.find(|condition| condition.r#type == "Ready");
                let heard = ready.and_then(|ready| ready.last_heartbeat_time.as_ref());
                // Heartbeats have whole seconds.
                let newer = heard.is_some_and(|heard| heard.0.as_second() >= since.0.as_second());
                if newer && ready.is_some_and(|ready| ready.status == "True") {
                    return true;
                }
            }
            if Instant::now() >= deadline {
                return false;
            }
            sleep(PAUSE).await;
        }
    }

    async fn object(&self) -> Result<Object, String> {
        let request = Request::new(KubeNode::url_path(&(), None));
        let request = request.get(&self.name, &GetParams::default());
        let answer = self.cluster.send::<Object>(request).await;
        answer.map_err(|error| crate::exit::chain(&error))
    }
}

/// The minor version in `v1.36.3`, or in a sentence that has it.
pub(super) fn minor(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("v1.")?;
    rest.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (text, expected) in [
            ("v1.36.3", Some(36)),
            ("Kubernetes v1.34.0-rc.1\n", Some(34)),
            ("k3s version v1.34.1+k3s1 (abcdef)", Some(34)),
            ("v2.0.0", None),
            ("", None),
        ] {
            assert_eq!(minor(text), expected, "{text}");
        }
    }
}
