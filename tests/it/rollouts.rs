//! Rollouts on a real API server: coordinators and agents are processes with the rights that `deploy/` gives them, nodes are
//! KWOK's. What is promised is judged by every version of the ledger that the API server has stored, and by the nodes' files.

mod chaos;
pub(crate) mod ledgers;
mod people;
mod probe;
mod stages;

use serde_json::{Value, json};
use support::cluster::FakeNode;

/// `count` nodes in three zones, of which the first ones are control-plane nodes.
pub(crate) fn nodes(count: usize, control_plane: usize) -> Vec<FakeNode> {
    let node = |number: usize| {
        let node = FakeNode::new(&format!("node-{number:03}"));
        let node = node.zone(&format!("zone-{}", number % 3));
        if number < control_plane {
            node.control_plane()
        } else {
            node
        }
    };
    (0..count).map(node).collect()
}

/// How fast it goes when nobody wants to look at it for long.
fn quickly(changes: Value) -> Value {
    let mut spec = json!({"soak": "0s", "maxParallel": 4, "nodeDeadline": "60s"});
    if let (Some(spec), Value::Object(changes)) = (spec.as_object_mut(), changes) {
        spec.extend(changes);
    }
    spec
}
