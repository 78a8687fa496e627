use pullkeeper_core::rollout::{Permit, Time, Why};

use super::*;

const NOW: &str = "2026-01-01T00:01:00Z";

fn node(conditions: &Value) -> NodeObject {
    let mut node = marked(conditions);
    node["metadata"]["annotations"] = json!({});
    serde_json::from_value(node).unwrap()
}

/// One that is cordoned by us.
fn marked(conditions: &Value) -> Value {
    let annotations = json!({"pullkeeper.io/cordon": "{}"});
    let metadata = json!({"name": "a", "uid": "u", "annotations": annotations});
    json!({"metadata": metadata, "status": {"conditions": conditions}})
}

fn reservation(phase: Phase) -> Reservation {
    let permit = Permit {
        uid: "u".to_owned(),
        generation: 3,
        serial: 5,
    };
    Reservation {
        permit,
        since: Time(0),
        restart: false,
        provider: false,
        permitted: None,
        mark: Some(5),
        phase,
    }
}

/// At 2026-01-01T00:00:00Z.
fn since() -> Time {
    Time(1_767_225_600_000)
}

fn condition(kind: &str, reason: &str) -> Value {
    json!({
        "type": kind, "status": "True", "reason": reason,
        "lastTransitionTime": "2025-12-31T00:00:00Z",
    })
}

fn applied(conditions: &Value, reservation: Option<&Reservation>) -> Option<Value> {
    set(&node(conditions), reservation, &json!(NOW))
}

/// Types of the conditions that are applied, in order.
fn kinds(conditions: &Value, phase: Phase) -> Option<Vec<String>> {
    let applied = applied(conditions, Some(&reservation(phase)))?;
    let conditions = applied["status"]["conditions"].as_array().cloned();
    let kinds = conditions.into_iter().flatten();
    Some(
        kinds
            .map(|one| one["type"].as_str().unwrap().to_owned())
            .collect(),
    )
}

fn drained() -> Vec<String> {
    vec!["Drained".to_owned(), "MaintenanceInProgress".to_owned()]
}

#[test]
fn a_condition_says_who_and_why_and_since_when() {
    let draining = reservation(Phase::Draining { since: since() });
    let applied = applied(&json!([]), Some(&draining)).unwrap();
    let condition = json!({
        "type": "DrainInProgress", "status": "True", "reason": "PullkeeperRollout",
        "message": "Pullkeeper drains the node for generation 3 of the rollout",
        "lastHeartbeatTime": NOW, "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let metadata = json!({"name": "a", "uid": "u"});
    let whole = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": metadata,
        "status": {"conditions": [condition]},
    });
    assert_eq!(applied, whole);
}

#[test]
fn every_phase_has_its_conditions() {
    let since = since();
    let none = json!([condition("Ready", "KubeletReady")]);
    assert_eq!(kinds(&none, Phase::Reserved), None);
    assert_eq!(
        kinds(&none, Phase::Draining { since }),
        Some(vec!["DrainInProgress".to_owned()])
    );
    let void = reservation(Phase::Reserved).permit;
    let why = Why::Paused;
    for phase in [
        Phase::Drained { since },
        Phase::Withdrawing { since, why, void },
        Phase::Verifying { since },
    ] {
        let draining = json!([condition("DrainInProgress", REASON)]);
        assert_eq!(kinds(&draining, phase.clone()), Some(drained()));
        let shown = json!([
            condition("MaintenanceInProgress", REASON),
            condition("Drained", REASON)
        ]);
        assert_eq!(kinds(&shown, phase), None);
    }
    // Where only files are replaced nothing is drained.
    let mut files = reservation(Phase::Verifying { since });
    files.mark = None;
    assert_eq!(applied(&json!([]), Some(&files)), None);
}

#[test]
fn a_node_that_restarts_services_is_maintained_from_its_permit_to_the_end_of_its_slot() {
    let permitted = Time(since().0 + 60_000);
    let slot = |restart, permitted, phase| Reservation {
        mark: None,
        restart,
        provider: false,
        permitted,
        ..reservation(phase)
    };
    let verifying = Phase::Verifying { since: since() };
    let none = json!([condition("Ready", "KubeletReady")]);
    for (restart, permitted, phase) in [
        (true, None, Phase::Reserved),
        (false, Some(permitted), Phase::Reserved),
        (false, Some(permitted), verifying.clone()),
    ] {
        assert_eq!(applied(&none, Some(&slot(restart, permitted, phase))), None);
    }
    // One that answers at once is never seen to have its permit.
    for (permitted, phase, at) in [
        (Some(permitted), Phase::Reserved, "00:01:00"),
        (Some(permitted), verifying.clone(), "00:01:00"),
        (None, verifying, "00:00:00"),
    ] {
        let slot = slot(true, permitted, phase);
        let applied = applied(&none, Some(&slot)).unwrap();
        let condition = json!({
            "type": "MaintenanceInProgress", "status": "True", "reason": "PullkeeperRollout",
            "message": "Pullkeeper works on the node for generation 3 of the rollout",
            "lastHeartbeatTime": NOW, "lastTransitionTime": format!("2026-01-01T{at}Z"),
        });
        assert_eq!(applied["status"]["conditions"], json!([condition]));
    }
    let shown = json!([condition("MaintenanceInProgress", REASON)]);
    let nothing = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "uid": "u"},
    });
    assert_eq!(applied(&shown, None), Some(nothing.clone()));
    let files = slot(false, None, Phase::Reserved);
    assert_eq!(applied(&shown, Some(&files)), Some(nothing));
    // A new generation does not end what the former one has begun.
    let next = slot(true, None, Phase::Reserved);
    assert_eq!(applied(&shown, Some(&next)), None);
}

#[test]
fn they_go_when_the_node_is_given_back() {
    let shown = json!([condition("Drained", REASON)]);
    let nothing = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "uid": "u"},
    });
    assert_eq!(applied(&shown, None).as_ref(), Some(&nothing));
    assert_eq!(applied(&json!([]), None), None);
    let restoring = reservation(Phase::Restoring {
        since: since(),
        why: Why::Paused,
    });
    let cordoned = serde_json::from_value(marked(&shown)).unwrap();
    assert_eq!(set(&cordoned, Some(&restoring), &json!(NOW)), None);
    assert_eq!(applied(&shown, Some(&restoring)).as_ref(), Some(&nothing));
    // The slot is that of the node that was there before.
    let mut former = reservation(Phase::Drained { since: since() });
    former.permit.uid = "former".to_owned();
    assert_eq!(applied(&shown, Some(&former)).as_ref(), Some(&nothing));
}

#[test]
fn what_others_say_is_left_alone() {
    let theirs = json!([condition("Drained", "Medik8s")]);
    assert_eq!(applied(&theirs, None), None);
    let phase = Phase::Drained { since: since() };
    assert_eq!(
        kinds(&theirs, phase.clone()),
        Some(vec!["MaintenanceInProgress".to_owned()])
    );
    let both = json!([
        condition("Drained", "Medik8s"),
        condition("MaintenanceInProgress", REASON)
    ]);
    assert_eq!(kinds(&both, phase), None);
}

#[test]
fn what_was_true_keeps_its_time_and_what_is_not_is_set() {
    let phase = Phase::Drained { since: since() };
    let mut broken = condition("Drained", REASON);
    broken["status"] = json!("False");
    for shown in [
        json!([condition("MaintenanceInProgress", REASON)]),
        json!([condition("MaintenanceInProgress", REASON), broken]),
    ] {
        let applied = applied(&shown, Some(&reservation(phase.clone()))).unwrap();
        let times: Vec<_> = applied["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["lastTransitionTime"].as_str().unwrap())
            .collect();
        assert_eq!(times, ["2026-01-01T00:00:00Z", "2025-12-31T00:00:00Z"]);
    }
}
