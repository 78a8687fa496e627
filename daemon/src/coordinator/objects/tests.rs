use serde_json::json;

use super::*;

fn node(value: Value) -> NodeObject {
    serde_json::from_value(value).unwrap()
}

fn ready(metadata: Value, taints: Value) -> NodeObject {
    node(json!({
        "metadata": metadata, "spec": {"taints": taints},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }))
}

#[test]
fn what_is_not_known_to_be_ready_is_not() {
    for conditions in [json!([]), json!([{"type": "Ready", "status": "Unknown"}])] {
        let node = node(json!({"metadata": {"name": "a"}, "status": {"conditions": conditions}}));
        assert!(!node.node(None, None).ready);
    }
    assert!(ready(json!({}), json!([])).node(None, None).ready);
}

#[test]
fn who_is_maintained_by_others_is_held() {
    let state = "machineconfiguration.openshift.io/state";
    let [current, desired] = ["currentConfig", "desiredConfig"]
        .map(|word| format!("machineconfiguration.openshift.io/{word}"));
    for (annotations, held) in [
        (json!({}), false),
        (json!({"pullkeeper.io/hold": ""}), true),
        (json!({"pullkeeper.io/hold": "ask Ann"}), true),
        (json!({"pullkeeper.io/hold": "false"}), false),
        (json!({state: "Done"}), false),
        (json!({state: "Working"}), true),
        (json!({state: "Degraded"}), true),
        (
            json!({&current: "rendered-1", &desired: "rendered-1"}),
            false,
        ),
        (
            json!({&current: "rendered-1", &desired: "rendered-2"}),
            true,
        ),
    ] {
        let node = ready(json!({"annotations": annotations}), json!([]));
        assert_eq!(node.node(None, None).held, held, "{annotations}");
    }
    let taint = |key: &str| ready(json!({}), json!([{"key": key, "effect": "NoSchedule"}]));
    assert!(taint("karpenter.sh/disrupted").node(None, None).held);
    assert!(!taint("dedicated").node(None, None).held);
    let leaving = ready(
        json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        json!([]),
    );
    assert!(leaving.node(None, None).held);
    for (kind, status, reason, held) in [
        ("MaintenanceInProgress", "True", "Medik8s", true),
        ("DrainInProgress", "True", "Medik8s", true),
        ("MaintenanceInProgress", "False", "Medik8s", false),
        ("Drained", "True", "Medik8s", false),
        ("MaintenanceInProgress", "True", "PullkeeperRollout", false),
    ] {
        let condition = json!({"type": kind, "status": status, "reason": reason});
        let status = json!({"conditions": [condition]});
        let node: NodeObject = serde_json::from_value(json!({"status": status})).unwrap();
        assert_eq!(node.node(None, None).held, held, "{kind} {status} {reason}");
    }
}

#[test]
fn labels_say_zone_pool_and_role() {
    let labels = json!({
        "topology.kubernetes.io/zone": "z", "pool": "gold", "node-role.kubernetes.io/master": "",
    });
    let node = ready(json!({"labels": labels}), json!([]));
    let seen = node.node(None, Some("pool"));
    assert_eq!(
        (seen.zone.as_deref(), seen.pool.as_deref()),
        (Some("z"), Some("gold"))
    );
    assert!(seen.control_plane);
    assert!(node.has_labels(&BTreeMap::from([("pool".to_owned(), "gold".to_owned())])));
    assert!(!node.has_labels(&BTreeMap::from([("pool".to_owned(), "tin".to_owned())])));
}

#[test]
fn a_record_counts_for_the_node_that_it_is_about_and_nonsense_for_nothing() {
    let node = ready(json!({"uid": "u"}), json!([]));
    let record = |uid: &str, status: Value| -> RecordObject {
        let spec = json!({"nodeUID": uid, "sources": []});
        serde_json::from_value(json!({"spec": spec, "status": status})).unwrap()
    };
    let report = json!({"report": {
        "nodeUID": "u", "generation": 1, "serial": 2, "outcome": "Failed", "message": "a\nb",
    }});
    let seen = node
        .node(Some(&record("u", report.clone())), None)
        .record
        .unwrap();
    assert_eq!(
        seen.report.unwrap().outcome,
        Outcome::Failed("a b".to_owned())
    );
    assert_eq!(
        node.node(Some(&record("former", report)), None).record,
        None
    );
    for nonsense in [
        json!(null),
        json!("x"),
        json!({"report": {"serial": -1}}),
        json!({"seen": 7}),
    ] {
        let seen = node.node(Some(&record("u", nonsense)), None).record;
        assert_eq!(seen, Some(Record::default()));
    }
}

#[test]
fn when_a_node_was_ready_and_when_services_were_restarted_is_read_as_it_was_told() {
    let condition = json!({
        "type": "Ready", "status": "True", "lastHeartbeatTime": "2026-11-24T10:00:01Z",
    });
    let node = node(json!({"metadata": {"uid": "u"}, "status": {"conditions": [condition]}}));
    let record = |restarted: Value| -> RecordObject {
        let report = json!({
            "nodeUID": "u", "generation": 1, "serial": 2, "outcome": "Reached",
            "restarted": restarted,
        });
        let spec = json!({"nodeUID": "u", "sources": []});
        serde_json::from_value(json!({"spec": spec, "status": {"report": report}})).unwrap()
    };
    let seen = node.node(Some(&record(json!("2026-11-24T10:00:00Z"))), None);
    let restarted = seen.record.unwrap().report.unwrap().restarted;
    assert_eq!(
        seen.heartbeat.map(|beat| beat.0),
        restarted.map(|at| at.0 + 1000)
    );
    let seen = node.node(Some(&record(json!(null))), None);
    assert_eq!(seen.record.unwrap().report.unwrap().restarted, None);
    // Not a time: as good as not written.
    let seen = node.node(Some(&record(json!("soon"))), None);
    assert_eq!(seen.record, Some(Record::default()));
    assert_eq!(ready(json!({}), json!([])).node(None, None).heartbeat, None);
}
