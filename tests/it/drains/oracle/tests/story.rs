//! Audit events made by hand, ten seconds apart.

use serde_json::{Value, json};
use support::cluster::AuditEvent;

/// Named events, in their order.
pub(super) struct Story(Vec<(&'static str, Value)>);

impl Story {
    /// One node is drained, and gets its permit.
    pub(super) fn whole() -> Self {
        let mut dry = eviction("pod-1", "uid-1");
        dry["requestURI"] = "/api/v1/namespaces/shop/pods/pod-1/eviction?dryRun=All".into();
        Self(vec![
            ("pod", pod("uid-1")),
            ("bound", binding("uid-1", "node-1")),
            ("pod 2", pod("uid-2")),
            ("bound 2", binding("uid-2", "node-1")),
            ("made", foreign("node-1", 10, false)),
            ("reserved", ledger(20, &[slot("node-1", 7, "Reserved")])),
            ("asked", dry),
            ("cordoned", cordon("node-1", 30, 7)),
            ("draining", ledger(40, &[slot("node-1", 7, "Draining")])),
            ("evicted", eviction("pod-1", "uid-1")),
            ("listed", list("node-1")),
            ("drained", ledger(50, &[slot("node-1", 7, "Drained")])),
            ("permitted", permit("node-1", 60, 7)),
            ("verifying", ledger(70, &[slot("node-1", 7, "Verifying")])),
            ("restoring", ledger(80, &[slot("node-1", 7, "Restoring")])),
            ("restored", release("node-1", 90)),
            ("free", ledger(100, &[])),
        ])
    }

    fn at(&self, name: &str) -> usize {
        let found = self.0.iter().position(|(one, _)| *one == name);
        found.expect("no such event in the story")
    }

    pub(super) fn replace(&mut self, name: &str, event: Value) {
        let at = self.at(name);
        self.0[at].1 = event;
    }

    pub(super) fn remove(&mut self, name: &str) {
        let at = self.at(name);
        self.0.remove(at);
    }

    pub(super) fn before(&mut self, name: &str, new: &'static str, event: Value) {
        let at = self.at(name);
        self.0.insert(at, (new, event));
    }

    pub(super) fn after(&mut self, name: &str, new: &'static str, event: Value) {
        let at = self.at(name);
        self.0.insert(at + 1, (new, event));
    }

    /// Each takes the other's place, and its version.
    pub(super) fn swap(&mut self, one: &str, other: &str) {
        let (one, other) = (self.at(one), self.at(other));
        let version =
            |event: &Value| event["responseObject"]["metadata"]["resourceVersion"].clone();
        let versions = [version(&self.0[one].1), version(&self.0[other].1)];
        self.0.swap(one, other);
        for (at, version) in [one, other].into_iter().zip(versions) {
            let event = &mut self.0[at].1;
            if event["responseObject"].is_object() && !version.is_null() {
                event["responseObject"]["metadata"]["resourceVersion"] = version;
            }
        }
    }

    pub(super) fn events(&self) -> Vec<AuditEvent> {
        let event = |(number, (_, event)): (usize, &(&str, Value))| {
            let mut event = event.clone();
            let time = format!("2026-01-01T00:{:02}:{:02}", number / 6, number % 6 * 10);
            event["requestReceivedTimestamp"] = format!("{time}.000000Z").into();
            event["stageTimestamp"] = format!("{time}.100000Z").into();
            serde_json::from_value(event).expect("an event")
        };
        self.0.iter().enumerate().map(event).collect()
    }
}

fn event(verb: &str, uri: &str, resource: &str, subresource: &str, name: &str) -> Value {
    json!({
        "verb": verb, "requestURI": uri, "stage": "ResponseComplete", "userAgent": "pullkeeper/1",
        "user": {"username": "system:serviceaccount:pullkeeper:pullkeeper-coordinator"},
        "objectRef": {
            "resource": resource, "subresource": subresource, "name": name, "namespace": "shop",
        },
        "responseStatus": {"code": 200},
    })
}

pub(super) fn slot(node: &str, serial: u64, phase: &str) -> Value {
    json!({
        "node": node, "mark": serial, "phase": {"name": phase},
        "permit": {"uid": format!("uid of {node}"), "generation": 2, "serial": serial},
    })
}

pub(super) fn ledger(version: u64, slots: &[Value]) -> Value {
    let mut reservations = json!({});
    for slot in slots {
        let mut slot = slot.clone();
        let node = slot["node"].take();
        reservations[node.as_str().expect("a name")] = slot;
    }
    let mut event = event(
        "update",
        "/status",
        "pullsecretrollouts",
        "status",
        "cluster",
    );
    event["responseObject"] = json!({
        "metadata": {"resourceVersion": version.to_string()},
        "spec": {"strategy": "Drain"}, "status": {"ledger": {"reservations": reservations}},
    });
    event
}

fn node(name: &str, version: u64, sent: Value, flag: bool) -> Value {
    let uri = format!("/api/v1/nodes/{name}?fieldManager=pullkeeper-coordinator");
    let mut event = event("patch", &uri, "nodes", "", name);
    event["responseObject"] = json!({
        "metadata": {
            "name": name, "uid": format!("uid of {name}"), "resourceVersion": version.to_string(),
            "annotations": sent["metadata"]["annotations"],
        },
        "spec": if flag { json!({"unschedulable": true}) } else { json!({}) },
    });
    event["requestObject"] = sent;
    event
}

/// We cordon it.
pub(super) fn cordon(name: &str, version: u64, serial: u64) -> Value {
    let uid = format!("uid of {name}");
    let mark = json!({"generation": 2, "serial": serial, "uid": uid});
    let sent = json!({
        "metadata": {
            "name": name, "uid": uid, "resourceVersion": "1",
            "annotations": {"pullkeeper.io/cordon": mark.to_string()},
        },
        "spec": {"unschedulable": true},
    });
    node(name, version, sent, true)
}

/// We uncordon it.
pub(super) fn release(name: &str, version: u64) -> Value {
    let sent = json!({
        "metadata": {"name": name, "uid": format!("uid of {name}"), "resourceVersion": "1"},
    });
    node(name, version, sent, false)
}

/// An administrator writes the flag.
pub(super) fn foreign(name: &str, version: u64, flag: bool) -> Value {
    let mut event = node(
        name,
        version,
        json!({"spec": {"unschedulable": flag}}),
        flag,
    );
    event["user"]["username"] = "admin".into();
    event
}

pub(super) fn eviction(pod: &str, uid: &str) -> Value {
    let uri = format!("/api/v1/namespaces/shop/pods/{pod}/eviction");
    let mut event = event("create", &uri, "pods", "eviction", pod);
    event["responseStatus"]["code"] = 201.into();
    event["requestObject"] = json!({"deleteOptions": {"preconditions": {"uid": uid}}});
    event
}

pub(super) fn list(node: &str) -> Value {
    let uri = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}");
    event("list", &uri, "pods", "", "")
}

pub(super) fn permit(node: &str, version: u64, serial: u64) -> Value {
    let mut event = event("patch", "/nodepullsecrets", "nodepullsecrets", "", node);
    let spec = json!({"permit": {"generation": 2, "serial": serial}});
    event["requestObject"] = json!({"spec": spec});
    event["responseObject"] = json!({
        "metadata": {"name": node, "resourceVersion": version.to_string()}, "spec": spec,
    });
    event
}

pub(super) fn pod(uid: &str) -> Value {
    let mut event = event("create", "/api/v1/namespaces/shop/pods", "pods", "", "");
    event["user"]["username"] = "controllers".into();
    event["responseObject"] = json!({"metadata": {"uid": uid}, "spec": {}});
    event
}

fn binding(uid: &str, node: &str) -> Value {
    let mut event = event("create", "/binding", "pods", "binding", "");
    event["user"]["username"] = "scheduler".into();
    event["requestObject"] = json!({"metadata": {"uid": uid}, "target": {"name": node}});
    event
}
