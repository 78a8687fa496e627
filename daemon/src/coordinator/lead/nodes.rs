//! What is done to nodes: they are read anew, cordoned and uncordoned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt as _, stream};
use pullkeeper_core::rollout::{Ledger, Order};

use super::super::objects::NodeObject;
use super::records::PARALLEL;
use super::{Lead, Nodes, outcome};
use crate::cluster::RequestError;

/// Nodes that were read at the API server since the ledger has been as it is.
#[derive(Debug, Default)]
pub(in super::super) struct Current(Mutex<Read>);

#[derive(Debug, Default)]
struct Read {
    /// The version of the rollout.
    version: String,
    uids: BTreeSet<String>,
}

impl Current {
    /// Forgets what was read before this version of the rollout.
    pub(super) fn since(&self, version: &str) {
        let mut read = self.lock();
        if read.version != version {
            version.clone_into(&mut read.version);
            read.uids.clear();
        }
    }

    /// UIDs of those that were.
    pub(super) fn uids(&self) -> BTreeSet<String> {
        self.lock().uids.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// Reads nodes anew that the next step depends on. Where that fails the step waits.
    pub(super) async fn read_nodes(&self, unsure: &BTreeMap<String, String>) {
        stream::iter(unsure.values())
            .for_each_concurrent(PARALLEL, async |name| {
                match self.store.node(name).await {
                    Ok(node) => self.saw(node),
                    // Its watch tells so, and it is looked up as one that is missing.
                    Err(RequestError::NotFound) => {}
                    Err(error) => tracing::warn!(node = name, %error, "cannot read a node"),
                }
            })
            .await;
    }

    /// Takes in a node as the API server has just shown it.
    pub(super) fn saw(&self, node: NodeObject) {
        self.current.lock().uids.insert(node.metadata.uid.clone());
        self.view.saw_node(node);
    }

    /// Cordons nodes. The caller has read the ledger again since they were seen.
    pub(super) async fn cordon(
        &self,
        orders: &BTreeMap<String, Order>,
        nodes: &Nodes,
        ledger: &Ledger,
    ) {
        let wanted = orders.iter().filter_map(|(name, order)| match order {
            Order::Cordon { uid, serial } => Some((known(nodes, name, uid)?, *serial)),
            _ => None,
        });
        stream::iter(wanted)
            .for_each_concurrent(PARALLEL, async |(node, serial)| {
                if self.leads() {
                    let written = self.store.cordon(node, ledger.generation, serial).await;
                    self.wrote("cordoned", node, written);
                }
            })
            .await;
    }

    /// Uncordons nodes that were left cordoned by us.
    pub(super) async fn uncordon(&self, orders: &BTreeMap<String, Order>, nodes: &Nodes) {
        let wanted = orders.iter().filter_map(|(name, order)| match order {
            Order::Uncordon { uid, .. } => known(nodes, name, uid),
            _ => None,
        });
        self.release(wanted).await;
    }

    /// Takes our marks from these nodes, and our cordons with them.
    pub(super) async fn release(&self, nodes: impl Iterator<Item = &Arc<NodeObject>>) {
        stream::iter(nodes)
            .for_each_concurrent(PARALLEL, async |node| {
                if self.leads() {
                    let written = self.store.uncordon(node).await;
                    self.wrote("uncordoned", node, written);
                }
            })
            .await;
    }

    fn wrote(
        &self,
        change: &'static str,
        node: &NodeObject,
        written: Result<NodeObject, RequestError>,
    ) {
        let name = &node.metadata.name;
        self.desk.node(change, outcome(&written));
        match written {
            Ok(node) => {
                tracing::info!(node = name, change, "a node was changed");
                self.saw(node);
            }
            // It is told anew, and looked at again.
            Err(RequestError::Conflict(_) | RequestError::NotFound) => {}
            Err(error) => tracing::warn!(node = name, change, %error, "cannot change a node"),
        }
    }
}

/// The node of this name, if it is the one that is meant.
fn known<'n>(nodes: &'n Nodes, name: &str, uid: &str) -> Option<&'n Arc<NodeObject>> {
    nodes.get(name).filter(|node| node.metadata.uid == uid)
}
