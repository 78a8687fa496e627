//! A Secret as the API server sends it.

use std::{collections::BTreeMap, path::Path};

use k8s_openapi::ByteString;
use pullkeeper_core::authfile::Shape;
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    Item, Payload, Revision, SourceError,
    shape::{self, CONFIG_JSON_KEY, DOCKER_CFG_KEY},
};

/// The parts of a Secret that are of interest. All others (managed fields, annotations) are
/// dropped while they are being read.
#[derive(Clone, Deserialize)]
pub(super) struct SecretObject {
    #[serde(default)]
    pub(super) metadata: Metadata,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    data: Option<BTreeMap<String, Value>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    name: String,
    uid: String,
    pub(super) resource_version: String,
}

/// One value, decoded. Wiped when it is not used.
#[derive(Clone)]
struct Value(Zeroizing<Vec<u8>>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ByteString::deserialize(deserializer).map(|ByteString(bytes)| Self(Zeroizing::new(bytes)))
    }
}

impl SecretObject {
    /// The item that this Secret is.
    ///
    /// Without a configured key the type decides: `kubernetes.io/dockerconfigjson` and
    /// `kubernetes.io/dockercfg` are read from the keys that the API server guarantees for them,
    /// any other type is [`WrongType`](SourceError::WrongType). With a configured key the type is
    /// of no interest, and the shape is that of the key's name or else detected.
    pub(super) fn into_item(self, id: impl FnOnce(&str) -> String, key: Option<&str>) -> Item {
        let Self {
            metadata,
            kind,
            data,
        } = self;
        Item {
            id: id(&metadata.name),
            revision: Some(Revision::Secret {
                uid: metadata.uid,
                resource_version: metadata.resource_version,
            }),
            content: content(kind, data.unwrap_or_default(), key),
            seen: Instant::now(),
        }
    }
}

/// The items of a list of Secrets as the API server sends it, by the rules of [`SecretObject::into_item`]. `None` for
/// anything else.
pub(crate) fn items(list: &[u8], id: impl Fn(&str) -> String) -> Option<Vec<Item>> {
    #[derive(Deserialize)]
    struct List {
        kind: String,
        items: Vec<SecretObject>,
    }
    let list: List = serde_json::from_slice(list).ok()?;
    let items = list.items.into_iter();
    (list.kind == "SecretList").then(|| items.map(|object| object.into_item(&id, None)).collect())
}

fn content(
    kind: Option<String>,
    mut data: BTreeMap<String, Value>,
    key: Option<&str>,
) -> Result<Payload, SourceError> {
    let (key, shape) = match (key, kind.as_deref()) {
        (Some(key), _) => (key, shape::of_name(Path::new(key))),
        (None, Some("kubernetes.io/dockerconfigjson")) => {
            (CONFIG_JSON_KEY, Some(Shape::ConfigJson))
        }
        (None, Some("kubernetes.io/dockercfg")) => (DOCKER_CFG_KEY, Some(Shape::DockerCfg)),
        // The API server fills in this type where none is given.
        (None, _) => {
            let found = kind.unwrap_or_else(|| "Opaque".to_owned());
            return Err(SourceError::WrongType { found });
        }
    };
    match data.remove(key) {
        Some(Value(bytes)) => {
            let shape = shape.unwrap_or_else(|| Shape::of_content(&bytes));
            Ok(Payload::new(shape, bytes))
        }
        None => Err(SourceError::missing_key(key, data.into_keys())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(kind: &str, data: serde_json::Value, key: Option<&str>) -> Item {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "n", "namespace": "ns", "uid": "u", "resourceVersion": "7",
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:data": {}}}],
            },
            "type": kind,
            "data": data,
        });
        let object: SecretObject = serde_json::from_value(object).unwrap();
        object.into_item(|name| format!("secret:ns/{name}"), key)
    }

    fn base64(text: &str) -> serde_json::Value {
        json!(ByteString(text.as_bytes().to_vec()))
    }

    fn read(item: &Item) -> (Shape, &[u8]) {
        let Payload { shape, bytes } = item.content.as_ref().unwrap();
        (*shape, bytes)
    }

    #[test]
    fn the_type_decides_key_and_shape() {
        let both = json!({".dockerconfigjson": base64("new"), ".dockercfg": base64("old")});
        let new = item("kubernetes.io/dockerconfigjson", both.clone(), None);
        assert_eq!(read(&new), (Shape::ConfigJson, &b"new"[..]));
        assert_eq!(new.id, "secret:ns/n");
        assert_eq!(new.revision.unwrap().to_string(), "uid u resourceVersion 7");

        let old = item("kubernetes.io/dockercfg", both, None);
        assert_eq!(read(&old), (Shape::DockerCfg, &b"old"[..]));
    }

    #[test]
    fn a_configured_key_overrides_the_type() {
        let legacy = r#"{"quay.io": {"auth": "eDp5"}}"#;
        let data = json!({"pull": base64(legacy), ".dockercfg": base64("{}")});
        assert_eq!(
            read(&item("Opaque", data.clone(), Some("pull"))).0,
            Shape::DockerCfg
        );
        assert_eq!(
            read(&item("Opaque", data, Some(".dockercfg"))).0,
            Shape::DockerCfg
        );
    }

    #[test]
    fn what_is_wrong_is_named_without_values() {
        let wrong = item(
            "Opaque",
            json!({".dockerconfigjson": base64("hunter2")}),
            None,
        );
        assert_eq!(
            wrong.content,
            Err(SourceError::WrongType {
                found: "Opaque".into()
            })
        );

        for data in [
            json!({"b": base64("hunter2"), "a": base64("hunter2")}),
            json!(null),
        ] {
            let missing = item("kubernetes.io/dockerconfigjson", data, None)
                .content
                .unwrap_err();
            assert_eq!(missing.reason().as_str(), "MissingKey");
            assert!(!missing.to_string().contains("hunter2"));
        }
    }
}
