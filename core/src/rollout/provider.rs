//! kubelet's image credential provider: which nodes get it, or lose it, by a restart of their kubelet.
//!
//! It shares ledger, slots and gates with the rollout of credentials, and halts by itself: trouble with kubelets never holds up a
//! credential, and a new credential never makes a halt of kubelets undone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fleet::{Fleet, Node};
use super::time::Time;

/// What a node's agent says about its kubelet's provider. Agents that are not told to change anything say nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// What its configuration asks for: the same word on all nodes that are to be alike.
    pub wanted: String,
    /// How it stands.
    pub state: ProviderState,
}

/// How a node's kubelet stands to what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderState {
    /// It has it.
    InEffect,
    /// It would have it after a restart.
    Waiting,
    /// It was restarted for it, and has what it had before.
    Failed,
    /// Nothing can be done here, and why is told there: the flags belong to somebody else, or something is in the way.
    Impossible,
}

/// How far it is on all nodes together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ProviderRollout {
    /// What most agents ask for.
    pub wanted: String,
    /// When the first node had it, and was well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<Time>,
    /// Why no further kubelet is restarted, until a human or a new wish says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<ProviderHalt>,
}

/// Why no further kubelet is restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ProviderHalt {
    /// The node that failed.
    pub node: String,
    /// In its agent's words, or ours.
    pub reason: String,
    /// When it was noticed.
    pub since: Time,
}

impl ProviderRollout {
    pub(super) fn of(wanted: String) -> Self {
        Self {
            wanted,
            proved: None,
            halt: None,
        }
    }

    /// Whether this node's kubelet would be restarted.
    pub fn needs(&self, node: &Node) -> bool {
        let told = node
            .record
            .as_ref()
            .and_then(|record| record.provider.as_ref());
        told.is_some_and(|told| {
            told.wanted == self.wanted
                && matches!(told.state, ProviderState::Waiting | ProviderState::Failed)
        })
    }
}

/// What more than half of the ready nodes ask for that ask for anything; where nothing has so many, the `former` wish.
pub(super) fn wanted_by_most(former: Option<&str>, fleet: &Fleet) -> Option<String> {
    let ready = fleet.nodes.values().filter(|node| node.ready);
    let told = ready.filter_map(|node| node.record.as_ref()?.provider.as_ref());
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut voters = 0;
    for provider in told {
        voters += 1;
        *votes.entry(&provider.wanted).or_default() += 1;
    }
    let most = votes.into_iter().find(|(_, count)| count * 2 > voters);
    most.map(|(wanted, _)| wanted).or(former).map(str::to_owned)
}
