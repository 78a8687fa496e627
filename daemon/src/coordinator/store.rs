//! What a coordinator writes to the API server, and what it looks up there itself.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::Resource as _;
use kube::api::{GetParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use pullkeeper_core::rollout::{Permit, Revision, SecretSource};
use serde_json::{Value, json};

use super::cordon;
use super::objects::{Listed, Metadata, NodeObject, RecordObject, RolloutObject};
use crate::cluster::{Cluster, RequestError};
use crate::list_watch;
use crate::resource::{Blocked, NodePullSecret, PullSecretRollout, ROLLOUT};

/// Who writes, in `managedFields`.
pub(super) const MANAGER: &str = "pullkeeper-coordinator";

/// Requests, none of which is repeated by itself.
#[derive(Clone, Debug)]
pub(super) struct Store {
    cluster: Cluster,
    request_timeout: Duration,
}

/// What a permit asks for, besides that the versions are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'l> {
    /// That new credentials are tried first.
    pub(super) probe: bool,
    /// That services are restarted, where the node's own configuration names some.
    pub(super) restart: bool,
    /// What kubelet's provider may become by a restart of kubelet.
    pub(super) kubelet_provider: Option<&'l str>,
}

impl Store {
    pub(super) fn new(cluster: Cluster, request_timeout: Duration) -> Self {
        Self {
            cluster,
            request_timeout,
        }
    }

    /// Replaces the rollout's status, if nothing of the object has changed since it was read.
    pub(super) async fn put_status(
        &self,
        read: &RolloutObject,
        status: &Value,
    ) -> Result<RolloutObject, RequestError> {
        let object = json!({
            "apiVersion": PullSecretRollout::api_version(&()),
            "kind": PullSecretRollout::kind(&()),
            "metadata": identity(&read.metadata),
            "spec": read.spec,
            "status": status,
        });
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let request = Request::new(PullSecretRollout::url_path(&(), None));
        let body = object.to_string().into_bytes();
        self.cluster
            .send(request.replace_subresource("status", ROLLOUT, &params, body))
            .await
    }

    /// The rollout as it is at this moment.
    pub(super) async fn rollout(&self) -> Result<RolloutObject, RequestError> {
        let request = Request::new(PullSecretRollout::url_path(&(), None));
        self.cluster
            .send(request.get(ROLLOUT, &GetParams::default()))
            .await
    }

    /// Gives a node its permit, if nobody has touched its record since it was read.
    pub(super) async fn give(
        &self,
        record: &RecordObject,
        permit: &Permit,
        revision: &Revision,
        terms: Terms<'_>,
    ) -> Result<RecordObject, RequestError> {
        let permit = json!({
            "nodeUID": permit.uid,
            "generation": permit.generation,
            "serial": permit.serial,
            "revision": revision,
            "probe": terms.probe,
            "restart": terms.restart,
            "kubeletProvider": terms.kubelet_provider,
        });
        self.patch(record, json!({"permit": permit})).await
    }

    /// Says what keeps a node from being drained, or that nothing does.
    pub(super) async fn block(
        &self,
        record: &RecordObject,
        blocked: Option<&Blocked>,
    ) -> Result<RecordObject, RequestError> {
        self.patch(record, json!({"blocked": blocked})).await
    }

    /// Says whose new versions wait for a permit.
    pub(super) async fn name_sources(
        &self,
        record: &RecordObject,
        sources: &[SecretSource],
    ) -> Result<RecordObject, RequestError> {
        self.patch(record, json!({"sources": sources})).await
    }

    /// Makes a node's record.
    pub(super) async fn create_record(
        &self,
        node: &NodeObject,
        sources: &[SecretSource],
    ) -> Result<RecordObject, RequestError> {
        let Metadata { name, uid, .. } = &node.metadata;
        let object = json!({
            "apiVersion": NodePullSecret::api_version(&()),
            "kind": NodePullSecret::kind(&()),
            "metadata": {
                "name": name,
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}],
            },
            "spec": {"nodeUID": uid, "sources": sources},
        });
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let request = Request::new(NodePullSecret::url_path(&(), None));
        self.cluster
            .send(request.create(&params, object.to_string().into_bytes()))
            .await
    }

    /// Whether the node of this name and UID is gone at this moment.
    pub(super) async fn is_gone(&self, name: &str, uid: &str) -> Result<bool, RequestError> {
        match self.node(name).await {
            Ok(node) => Ok(node.metadata.uid != uid),
            Err(RequestError::NotFound) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The node as it is at this moment.
    pub(super) async fn node(&self, name: &str) -> Result<NodeObject, RequestError> {
        let request = Request::new(KubeNode::url_path(&(), None));
        // Without a version the API server asks etcd.
        self.cluster
            .send(request.get(name, &GetParams::default()))
            .await
    }

    /// Cordons a node with our mark, if nothing of it has changed since it was seen.
    pub(super) async fn cordon(
        &self,
        node: &NodeObject,
        generation: u64,
        serial: u64,
    ) -> Result<NodeObject, RequestError> {
        let applied = cordon::set(node, generation, serial);
        self.patch_node(node, &Patch::Apply(applied)).await
    }

    /// Takes our mark from a node, and our cordon with it; but not the cordon where it is to stay, or is somebody else's too.
    pub(super) async fn uncordon(&self, node: &NodeObject) -> Result<NodeObject, RequestError> {
        let (_, stays) = node.is_marked();
        if stays {
            return self.unmark(node).await;
        }
        let released = Patch::Apply(cordon::unset(node));
        let released = self.patch_node(node, &released).await?;
        // Somebody who has written the same mark owns it too.
        match released.is_marked() {
            (true, _) => self.unmark(&released).await,
            (false, _) => Ok(released),
        }
    }

    async fn unmark(&self, node: &NodeObject) -> Result<NodeObject, RequestError> {
        self.patch_node(node, &Patch::Merge(cordon::unmark(node)))
            .await
    }

    async fn patch_node(
        &self,
        node: &NodeObject,
        patch: &Patch<Value>,
    ) -> Result<NodeObject, RequestError> {
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = Request::new(KubeNode::url_path(&(), None));
        self.cluster
            .send(request.patch(&node.metadata.name, &params, patch))
            .await
    }

    /// Applies conditions to a node's status, unless somebody else has applied the same ones.
    pub(super) async fn show(
        &self,
        name: &str,
        applied: Value,
    ) -> Result<NodeObject, RequestError> {
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = Request::new(KubeNode::url_path(&(), None));
        let patch = Patch::Apply(applied);
        self.cluster
            .send(request.patch_subresource("status", name, &params, &patch))
            .await
    }

    /// All records as they are at this moment.
    pub(super) async fn records(&self) -> Result<Vec<RecordObject>, RequestError> {
        let connection = self.cluster.connection().await?;
        list_watch::list(&RecordObject::all(), &connection, self.request_timeout)
            .await
            .map_err(|trouble| RequestError::Failed(trouble.to_string()))
    }

    async fn patch(
        &self,
        record: &RecordObject,
        spec: Value,
    ) -> Result<RecordObject, RequestError> {
        let patch = json!({"metadata": identity(&record.metadata), "spec": spec});
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = Request::new(NodePullSecret::url_path(&(), None));
        let name = &record.metadata.name;
        self.cluster
            .send(request.patch(name, &params, &Patch::Merge(patch)))
            .await
    }
}

/// What makes a write fail when the object is not the one that was read.
pub(super) fn identity(metadata: &Metadata) -> Value {
    json!({
        "name": metadata.name,
        "uid": metadata.uid,
        "resourceVersion": metadata.resource_version,
    })
}
