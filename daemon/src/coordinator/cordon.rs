//! Our cordon of a node: how it is told from other people's, and what is written.
//!
//! `spec.unschedulable` has no owner. Ours comes and goes together with an annotation, by server-side apply: what somebody
//! else has applied as well stays theirs, and who changes it by hand takes it away from us, which `managedFields` shows.

use pullkeeper_core::rollout::{Cordon, Mark};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::objects::NodeObject;
use super::store::{MANAGER, identity};

/// The annotation that says that a cordon is ours.
pub(super) const MARK: &str = "pullkeeper.io/cordon";
/// The annotation that says that the node stays cordoned when the mark goes.
pub(super) const PRIOR: &str = "pullkeeper.io/cordon-prior";

/// What the annotation says.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    generation: u64,
    serial: u64,
    uid: String,
}

/// Who keeps pods off a node with this flag and these annotations. `owned` says whether we were the last to set the flag.
pub(super) fn read(
    uid: &str,
    unschedulable: bool,
    owned: bool,
    mark: Option<&str>,
    prior: Option<&str>,
) -> Cordon {
    let Some(mark) = mark else {
        return match unschedulable {
            true => Cordon::Foreign,
            false => Cordon::None,
        };
    };
    match serde_json::from_str::<Written>(mark) {
        Ok(written) if written.uid == uid => {
            let mark = Mark {
                uid: written.uid,
                serial: written.serial,
                prior: prior == Some("true"),
            };
            match unschedulable && owned {
                true => Cordon::Ours(mark),
                false => Cordon::TakenOver {
                    mark,
                    schedulable: !unschedulable,
                },
            }
        }
        // Whatever that is, it is not ours to touch.
        _ => Cordon::Foreign,
    }
}

/// Whether we are among those who have applied the flag, by `metadata.managedFields`.
pub(super) fn owns_flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Entry {
        manager: String,
        operation: String,
        fields_v1: Fields,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Fields {
        #[serde(rename = "f:spec")]
        spec: SpecFields,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct SpecFields {
        #[serde(rename = "f:unschedulable")]
        unschedulable: Option<IgnoredAny>,
    }
    let entries = Option::<Vec<Entry>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(entries.iter().any(|entry| {
        entry.manager == MANAGER
            && entry.operation == "Apply"
            && entry.fields_v1.spec.unschedulable.is_some()
    }))
}

/// What is applied to cordon a node, which has to be as it was seen.
pub(super) fn set(node: &NodeObject, generation: u64, serial: u64) -> Value {
    let written = Written {
        generation,
        serial,
        uid: node.metadata.uid.clone(),
    };
    let mut applied = unset(node);
    applied["metadata"]["annotations"] = json!({MARK: json!(written).to_string()});
    applied["spec"] = json!({"unschedulable": true});
    applied
}

/// What is applied to give up what was applied before.
pub(super) fn unset(node: &NodeObject) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": identity(&node.metadata)})
}

/// What is merged to take the mark away, and nothing else.
pub(super) fn unmark(node: &NodeObject) -> Value {
    let mut merged = unset(node);
    merged["metadata"]["annotations"] = json!({MARK: null, PRIOR: null});
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(spec: &Value, annotations: &Value, managers: &Value) -> NodeObject {
        let metadata = json!({
            "name": "a", "uid": "u", "resourceVersion": "7",
            "annotations": annotations, "managedFields": managers,
        });
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn managed(manager: &str, operation: &str) -> Value {
        json!({
            "manager": manager, "operation": operation, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:annotations": {}}, "f:spec": {"f:unschedulable": {}}},
        })
    }

    #[test]
    fn whose_cordon_it_is_can_be_told() {
        let ours = json!([managed("kubelet", "Update"), managed(MANAGER, "Apply")]);
        let theirs = json!([
            managed("kubectl-cordon", "Update"),
            managed(MANAGER, "Update")
        ]);
        let mark = json!({MARK: r#"{"generation":2,"serial":5,"uid":"u"}"#});
        let cordoned = json!({"unschedulable": true});
        let of = |spec: &Value, annotations: &Value, managers: &Value| {
            node(spec, annotations, managers).cordon()
        };
        let own = |prior| Mark {
            uid: "u".to_owned(),
            serial: 5,
            prior,
        };
        assert_eq!(of(&json!({}), &json!({}), &json!([])), Cordon::None);
        assert_eq!(of(&cordoned, &json!({}), &ours), Cordon::Foreign);
        assert_eq!(of(&cordoned, &mark, &ours), Cordon::Ours(own(false)));
        let mut prior = mark.clone();
        prior[PRIOR] = json!("true");
        assert_eq!(of(&cordoned, &prior, &ours), Cordon::Ours(own(true)));
        for (spec, schedulable) in [(&cordoned, false), (&json!({}), true)] {
            let mark_of = own(false);
            assert_eq!(
                of(spec, &mark, &theirs),
                Cordon::TakenOver {
                    mark: mark_of,
                    schedulable
                }
            );
        }
        for strange in [
            "",
            "{}",
            "7",
            r#"{"generation":2,"serial":5,"uid":"another"}"#,
        ] {
            assert_eq!(
                of(&cordoned, &json!({MARK: strange}), &ours),
                Cordon::Foreign
            );
        }
    }

    #[test]
    fn a_cordon_and_its_mark_are_one_write_of_what_was_seen() {
        let node = node(&json!({}), &json!({}), &json!(null));
        let applied = set(&node, 2, 5);
        assert_eq!(applied["metadata"]["uid"], "u");
        assert_eq!(applied["metadata"]["resourceVersion"], "7");
        assert_eq!(applied["spec"], json!({"unschedulable": true}));
        let mark = applied["metadata"]["annotations"][MARK].as_str().unwrap();
        assert_eq!(mark, r#"{"generation":2,"serial":5,"uid":"u"}"#);
        let released = unset(&node);
        assert!(released.get("spec").is_none());
        assert!(released["metadata"].get("annotations").is_none());
        let unmarked = unmark(&node);
        assert!(unmarked.get("spec").is_none());
        assert_eq!(
            unmarked["metadata"]["annotations"],
            json!({MARK: null, PRIOR: null})
        );
    }
}
