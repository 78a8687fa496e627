//! What a coordinator writes to the API server, and what it looks up there itself.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::Resource as _;
use kube::api::{GetParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use pullkeeper_core::rollout::{Permit, Revision, SecretSource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::timeout;

use super::objects::{Listed, Metadata, NodeObject, RecordObject, RolloutObject};
use crate::cluster::{Cluster, describe};
use crate::list_watch;
use crate::resource::{NodePullSecret, PullSecretRollout, ROLLOUT};

/// Who writes, in `managedFields`.
const MANAGER: &str = "pullkeeper-coordinator";

/// Requests, none of which is repeated by itself.
#[derive(Clone, Debug)]
pub(super) struct Store {
    cluster: Cluster,
    request_timeout: Duration,
}

/// Why a request came to nothing.
#[derive(Debug, Error)]
pub(super) enum StoreError {
    /// Somebody else has written it since it was read.
    #[error("somebody else has written it in the meantime")]
    Conflict,
    /// There is no such object.
    #[error("there is no such object")]
    NotFound,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
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
    ) -> Result<RolloutObject, StoreError> {
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
        self.send(request.replace_subresource("status", ROLLOUT, &params, body))
            .await
    }

    /// The rollout as it is at this moment.
    pub(super) async fn rollout(&self) -> Result<RolloutObject, StoreError> {
        let request = Request::new(PullSecretRollout::url_path(&(), None));
        self.send(request.get(ROLLOUT, &GetParams::default())).await
    }

    /// Gives a node its permit, if nobody has touched its record since it was read.
    pub(super) async fn give(
        &self,
        record: &RecordObject,
        permit: &Permit,
        revision: &Revision,
        probe: bool,
    ) -> Result<RecordObject, StoreError> {
        let permit = json!({
            "nodeUID": permit.uid,
            "generation": permit.generation,
            "serial": permit.serial,
            "revision": revision,
            "probe": probe,
        });
        self.patch(record, json!({"permit": permit})).await
    }

    /// Says whose new versions wait for a permit.
    pub(super) async fn name_sources(
        &self,
        record: &RecordObject,
        sources: &[SecretSource],
    ) -> Result<RecordObject, StoreError> {
        self.patch(record, json!({"sources": sources})).await
    }

    /// Makes a node's record.
    pub(super) async fn create_record(
        &self,
        node: &NodeObject,
        sources: &[SecretSource],
    ) -> Result<RecordObject, StoreError> {
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
        self.send(request.create(&params, object.to_string().into_bytes()))
            .await
    }

    /// Whether the node of this name and UID is gone at this moment.
    pub(super) async fn is_gone(&self, name: &str, uid: &str) -> Result<bool, StoreError> {
        let request = Request::new(KubeNode::url_path(&(), None));
        // Without a version the API server asks etcd.
        let node = self
            .send::<NodeObject>(request.get(name, &GetParams::default()))
            .await;
        match node {
            Ok(node) => Ok(node.metadata.uid != uid),
            Err(StoreError::NotFound) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// All records as they are at this moment.
    pub(super) async fn records(&self) -> Result<Vec<RecordObject>, StoreError> {
        let connection = self.connection().await?;
        list_watch::list(&RecordObject::all(), &connection, self.request_timeout)
            .await
            .map_err(|trouble| StoreError::Failed(trouble.to_string()))
    }

    async fn patch(&self, record: &RecordObject, spec: Value) -> Result<RecordObject, StoreError> {
        let patch = json!({"metadata": identity(&record.metadata), "spec": spec});
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = Request::new(NodePullSecret::url_path(&(), None));
        let name = &record.metadata.name;
        self.send(request.patch(name, &params, &Patch::Merge(patch)))
            .await
    }

    async fn connection(&self) -> Result<crate::cluster::Connection, StoreError> {
        let connection = self.cluster.connection().await;
        connection.map_err(|error| StoreError::Failed(crate::exit::chain(&error)))
    }

    async fn send<O: DeserializeOwned>(
        &self,
        request: Result<hyper::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<O, StoreError> {
        let request = request.map_err(|error| StoreError::Failed(error.to_string()))?;
        let connection = self.connection().await?;
        match timeout(self.request_timeout, connection.client.request(request)).await {
            Ok(Ok(object)) => Ok(object),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(StoreError::Conflict),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(StoreError::NotFound),
            Ok(Err(error)) => {
                if !matches!(error, kube::Error::Api(_)) {
                    self.cluster.renew(&connection).await;
                }
                Err(StoreError::Failed(describe(&error)))
            }
            Err(_) => Err(StoreError::Failed(
                "the API server does not answer in time".to_owned(),
            )),
        }
    }
}

/// What makes a write fail when the object is not the one that was read.
fn identity(metadata: &Metadata) -> Value {
    json!({
        "name": metadata.name,
        "uid": metadata.uid,
        "resourceVersion": metadata.resource_version,
    })
}
