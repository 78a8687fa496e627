//! The nodes as a decision takes them: from what is known of them, of their records and of their pools.

use std::collections::BTreeMap;
use std::sync::Arc;

use pullkeeper_core::rollout::Fleet;

use super::intent::Intent;
use super::lead::Records;
use super::objects::NodeObject;
use super::pools::Pools;
use super::view::Known;

/// All nodes that are known, each with its record of these. What is known about the ledger and about drains is not in it.
pub(super) fn fleet(known: &Known, records: &Records, intent: &Intent) -> Fleet {
    let none = BTreeMap::new();
    let pools = Pools::of(known.pools.all().unwrap_or(&none));
    // Who shares them with us, nobody knows before they were listed.
    let unknown = intent.disturbs_nodes() && known.pools.all().is_none();
    let node = |(name, object): (&String, &Arc<NodeObject>)| {
        let record = records.get(name).map(|record| &**record);
        let mut node = object.node(record, intent.pool_label());
        node.managed = pools.of_node(object).map(str::to_owned);
        if intent.pool_label().is_none() {
            node.pool.clone_from(&node.managed);
        }
        node.held |= unknown;
        (name.clone(), node)
    };
    let nodes = known.nodes.all().into_iter().flatten();
    Fleet {
        nodes: nodes.map(node).collect(),
        pools: pools.all(),
        ..Fleet::default()
    }
}
