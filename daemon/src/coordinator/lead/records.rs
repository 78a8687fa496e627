//! What nodes are told: which Secrets wait, and who may take what.

use futures_util::{StreamExt as _, stream};
use pullkeeper_core::rollout::{Decision, Ledger, SecretSource};

use super::super::objects::RolloutObject;
use super::super::store::Terms;
use super::{Lead, Nodes, Records, outcome};
use crate::cluster::RequestError;

/// Requests under way at the same time.
pub(super) const PARALLEL: usize = 8;

impl Lead {
    /// Whether the rollout is still as it was read, at this moment. What it decides is done only then: it may have been
    /// paused, or another coordinator may have gone on.
    pub(super) async fn is_unchanged(&self, rollout: &RolloutObject) -> Result<bool, RequestError> {
        if !self.leads() {
            return Ok(false);
        }
        let present = self.store.rollout().await?;
        let unchanged = present.metadata.resource_version == rollout.metadata.resource_version;
        if !unchanged {
            self.view.wrote_rollout(present);
        }
        Ok(unchanged)
    }

    /// Gives permits. The caller has read the rollout again.
    pub(super) async fn give(
        &self,
        records: &Records,
        decision: &Decision,
        ledger: &Ledger,
        probe: bool,
    ) {
        let owed = decision.permits.iter();
        let owed = owed.filter_map(|(name, permit)| {
            let reserved = ledger.reservations.get(name);
            let reserved = reserved.filter(|one| one.permit == *permit);
            let provider = ledger.provider.as_ref();
            let provider = provider.filter(|_| reserved.is_some_and(|one| one.provider));
            let terms = Terms {
                probe,
                restart: reserved.is_some_and(|one| one.restart && !one.provider),
                kubelet_provider: provider.map(|provider| provider.wanted.as_str()),
            };
            Some((records.get(name)?, permit, terms))
        });
        stream::iter(owed)
            .for_each_concurrent(PARALLEL, async |(record, permit, terms)| {
                if !self.leads() {
                    return;
                }
                let store = &self.store;
                let given = store.give(record, permit, &ledger.revision, terms).await;
                self.desk.permit(outcome(&given));
                match given {
                    Ok(record) => self.view.wrote_record(record),
                    // It is told anew, and looked at again.
                    Err(RequestError::Conflict(_) | RequestError::NotFound) => {}
                    Err(error) => {
                        let node = &record.metadata.name;
                        tracing::warn!(node, %error, "cannot give a permit");
                    }
                }
            })
            .await;
    }

    /// Sees to it that every node has a record that names the Secrets.
    pub(super) async fn keep_records(
        &self,
        nodes: &Nodes,
        records: &Records,
        sources: &[SecretSource],
    ) {
        let without = nodes
            .iter()
            .filter(|(name, _)| !records.contains_key(*name));
        stream::iter(without)
            .for_each_concurrent(PARALLEL, async |(name, node)| {
                if !self.leads() {
                    return;
                }
                match self.store.create_record(node, sources).await {
                    Ok(record) => self.view.wrote_record(record),
                    Err(RequestError::Conflict(_)) => {}
                    Err(error) => tracing::warn!(node = name, %error, "cannot make its record"),
                }
            })
            .await;
        self.name_sources(records, sources).await;
    }

    pub(super) async fn name_sources(&self, records: &Records, sources: &[SecretSource]) {
        let others = records
            .values()
            .filter(|record| record.spec.sources != sources);
        stream::iter(others)
            .for_each_concurrent(PARALLEL, async |record| {
                if !self.leads() {
                    return;
                }
                match self.store.name_sources(record, sources).await {
                    Ok(record) => self.view.wrote_record(record),
                    Err(RequestError::Conflict(_) | RequestError::NotFound) => {}
                    Err(error) => {
                        let node = &record.metadata.name;
                        tracing::warn!(node, %error, "cannot name the Secrets in its record");
                    }
                }
            })
            .await;
    }
}
