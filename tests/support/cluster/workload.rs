//! Nodes and pods that exist in the API server alone, and the tokens that kubelet would give to such pods.

use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Cluster;
use super::identity::{Identity, Proof};

impl Cluster {
    /// Creates a Node whose name begins with `name` and is nobody else's, and returns it. No kubelet belongs to it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn node_object(&self, name: &str) -> Result<Value> {
        let name = format!("{name}-{}", self.serial.fetch_add(1, Ordering::Relaxed));
        let node = json!({ "metadata": { "name": name } });
        self.api(&self.admin)?.create("/api/v1/nodes", &node).await
    }

    /// Creates a pod of a service account that is bound to a node, and returns it; its label `app` is the account. It stays
    /// pending unless the node is a fake one: nothing runs it.
    ///
    /// # Errors
    /// When the API server refuses, for example because the account does not exist.
    pub async fn pod_object(&self, namespace: &str, account: &str, node: &str) -> Result<Value> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let pod = json!({
            "metadata": { "name": format!("{account}-{serial}"), "labels": { "app": account } },
            "spec": {
                "nodeName": node,
                "serviceAccountName": account,
                "containers": [{ "name": "main", "image": "registry.test/main" }],
            },
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        self.api(&self.admin)?.create(&path, &pod).await
    }

    /// What a pod is to the API server: its service account, by a token that is bound to the pod and so names pod and
    /// node, valid for an hour or until the pod is gone.
    ///
    /// # Errors
    /// When there is no such pod any more.
    pub async fn pod_identity(&self, pod: &Value) -> Result<Identity> {
        let text = |pointer: &str| {
            let found = pod.pointer(pointer).and_then(Value::as_str);
            found.with_context(|| format!("no {pointer} in the pod"))
        };
        let namespace = text("/metadata/namespace")?;
        let account = text("/spec/serviceAccountName")?;
        let request = json!({
            "audiences": [self.issuer()],
            "expirationSeconds": 3600,
            "boundObjectRef": {
                "apiVersion": "v1", "kind": "Pod",
                "name": text("/metadata/name")?, "uid": text("/metadata/uid")?,
            },
        });
        let token = self.request_token(namespace, account, &request).await?;
        let user = format!("system:serviceaccount:{namespace}:{account}");
        Ok(Identity::new(user, Proof::Token(token)))
    }

    /// A token of a service account from the TokenRequest API, `request` being what it wants of the token.
    pub(super) async fn request_token(
        &self,
        namespace: &str,
        account: &str,
        request: &Value,
    ) -> Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let admin = self.api(&self.admin)?;
        let answer = admin.create(&path, &json!({ "spec": request })).await?;
        let token = answer["status"]["token"].as_str();
        Ok(token.context("no token in the answer")?.to_owned())
    }
}
