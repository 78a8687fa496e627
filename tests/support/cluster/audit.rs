//! The API server's audit log: who asked for what, when and with which result, and what was written where that tells who
//! keeps pods off a node.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

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
    /// What it is about; nothing for what is no resource.
    pub object_ref: Option<AuditObject>,
    /// What was sent, of the few kinds whose content is written down.
    pub request_object: Option<Value>,
    /// What was answered, of fewer.
    pub response_object: Option<Value>,
    /// When the API server had read it.
    #[serde(rename = "requestReceivedTimestamp", deserialize_with = "timestamp")]
    pub received: Timestamp,
    /// When it had got to this stage: what it has done is visible to everybody by then.
    #[serde(rename = "stageTimestamp", deserialize_with = "timestamp")]
    pub done: Timestamp,
}

/// The subject of a request.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditUser {
    /// As RBAC sees it: [`super::Identity::name`]; empty for who has not said who it is, or not truly.
    #[serde(default)]
    pub username: String,
}

/// The outcome of a request.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditStatus {
    /// HTTP status.
    #[serde(default)]
    pub code: u16,
}

/// The object of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuditObject {
    /// The resource, in the plural.
    pub resource: String,
    /// The namespace, or nothing.
    pub namespace: String,
    /// The name, or nothing where the server makes one.
    pub name: String,
    /// The subresource, or nothing.
    pub subresource: String,
}

impl AuditEvent {
    /// The HTTP status of the answer; 0 where there is none.
    pub fn code(&self) -> u16 {
        self.response_status
            .as_ref()
            .map_or(0, |status| status.code)
    }

    /// Whether it is about this resource and subresource.
    pub fn about(&self, resource: &str, subresource: &str) -> bool {
        self.object_ref
            .as_ref()
            .is_some_and(|object| object.resource == resource && object.subresource == subresource)
    }

    /// Whether one request is told of here. A watch is told of when it begins, and again when it ends.
    pub fn is_request(&self) -> bool {
        self.verb != "watch" || self.stage == "ResponseStarted"
    }
}

pub(super) fn events(folder: &Path) -> Result<Vec<AuditEvent>> {
    let path = log(folder);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    // The last line may be in the middle of being written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |line| serde_json::from_str(line).with_context(|| format!("audit line {line}"));
    whole.lines().map(parse).collect()
}

/// Who did what and with which result. What it contained is told of nodes, of evictions, of where pods go, and of Pullkeeper's
/// own resources, none of which holds a Secret; of Secrets never.
pub(super) const POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
  "omitStages": ["RequestReceived"], "omitManagedFields": true,
  "rules": [
    { "level": "Request", "verbs": ["create"],
      "resources": [{ "group": "", "resources": ["pods/eviction", "pods/binding"] }] },
    { "level": "Request", "verbs": ["patch"],
      "users": ["system:serviceaccount:pullkeeper:pullkeeper-coordinator"],
      "resources": [{ "group": "", "resources": ["nodes/status"] }] },
    { "level": "RequestResponse", "verbs": ["create"],
      "resources": [{ "group": "", "resources": ["pods"] }] },
    { "level": "RequestResponse", "verbs": ["create", "update", "patch", "delete"],
      "resources": [
        { "group": "", "resources": ["nodes"] },
        { "group": "pullkeeper.io", "resources": ["nodepullsecrets", "pullsecretrollouts", "pullsecretrollouts/status"] }
      ] },
    { "level": "Metadata" }
  ]
}"#;

pub(super) fn log(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}

fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_is_not_known_has_no_name() {
        let event = json!({
            "verb": "get", "requestURI": "/api/v1/nodes", "user": {}, "stage": "ResponseStarted",
            "responseStatus": {"code": 401},
            "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
            "stageTimestamp": "2026-01-01T00:00:00.000000Z",
        });
        let event: AuditEvent = serde_json::from_value(event).unwrap();
        assert_eq!(event.user.username, "");
    }
}
