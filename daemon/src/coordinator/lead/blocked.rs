//! What people are told of nodes that are not drained: in the record of each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as KubeTime;
use k8s_openapi::jiff::Timestamp;
use pullkeeper_core::drain::Blocker;
use pullkeeper_core::rollout::{Ledger, Why};

use super::super::drain::DrainSeen;
use super::super::objects::RecordObject;
use super::super::publish::timestamp;
use super::records::PARALLEL;
use super::{Lead, Records};
use crate::cluster::RequestError;
use crate::resource::Blocked;

/// For how long no pod has gone before that is worth a word: budgets that let one go after the other are no trouble.
const WORTH_A_WORD: Duration = Duration::from_secs(10);
/// Pods that are named.
const NAMED: usize = 3;
/// Longest message.
const MESSAGE_LIMIT: usize = 1000;

/// Pods that did not go when they were last looked at, by node.
pub(in super::super) type LastBlockers = BTreeMap<String, Vec<Blocker>>;

impl Lead {
    /// Remembers what kept the pods of nodes that are looked at now.
    pub(super) fn remember(&mut self, drained: &BTreeMap<String, DrainSeen>, ledger: &Ledger) {
        let parked: BTreeSet<_> = ledger.parked.values().map(|one| &one.node).collect();
        self.blockers
            .retain(|node, _| ledger.reservations.contains_key(node) || parked.contains(node));
        for (node, seen) in drained.iter().filter(|(_, seen)| !seen.blockers.is_empty()) {
            self.blockers.insert(node.clone(), seen.blockers.clone());
        }
    }

    /// Says in records why nodes are not drained, where that is not what they say already.
    pub(super) async fn say_what_blocks(
        &self,
        records: &Records,
        drained: &BTreeMap<String, DrainSeen>,
        ledger: &Ledger,
    ) {
        let now = Timestamp::now();
        let blocked = records.values().map(|record| {
            let mut blocked = self.blocks(record, drained, ledger, now);
            if let (Some(blocked), Some(former)) = (&mut blocked, &record.spec.blocked)
                && blocked.reason == former.reason
            {
                blocked.since.clone_from(&former.since);
            }
            (record, blocked)
        });
        let blocked: Vec<_> = blocked.collect();
        self.desk.blocked(
            blocked
                .iter()
                .filter_map(|(record, blocked)| Some((&*record.metadata.name, blocked.as_ref()?))),
        );
        let news = blocked
            .into_iter()
            .filter(|(record, blocked)| *blocked != record.spec.blocked);
        stream::iter(news)
            .for_each_concurrent(PARALLEL, async |(record, blocked)| {
                if !self.leads() {
                    return;
                }
                let node = &record.metadata.name;
                match self.store.block(record, blocked.as_ref()).await {
                    Ok(record) => {
                        self.view.wrote_record(record);
                        if let Some(Blocked {
                            reason, message, ..
                        }) = blocked
                        {
                            tracing::warn!(node, reason, why = message, "a node is not drained");
                            self.events.warn_of(
                                node,
                                "NodeBlocked",
                                &format!("{reason}: {message}"),
                            );
                        }
                    }
                    Err(RequestError::Conflict(_) | RequestError::NotFound) => {}
                    Err(error) => tracing::warn!(node, %error, "cannot say why it is not drained"),
                }
            })
            .await;
    }

    /// What keeps a node from being drained now, or has kept it the last time.
    fn blocks(
        &self,
        record: &RecordObject,
        drained: &BTreeMap<String, DrainSeen>,
        ledger: &Ledger,
        now: Timestamp,
    ) -> Option<Blocked> {
        let (node, uid) = (&record.metadata.name, &record.spec.node_uid);
        let reservation = ledger.reservations.get(node);
        if let Some(reservation) = reservation.filter(|one| one.permit.uid == *uid) {
            let seen = drained.get(node).filter(|seen| {
                Some(seen.serial) == reservation.mark && seen.idle >= WORTH_A_WORD
            })?;
            return Some(Blocked {
                reason: seen.blockers.first()?.reason.as_str().to_owned(),
                message: text(&seen.blockers),
                since: Some(KubeTime(now)),
            });
        }
        let parked = ledger.parked.get(uid)?;
        let reason = parked.why.as_str();
        let former = record.spec.blocked.as_ref();
        let message = match self.blockers.get(node) {
            _ if parked.why == Why::TakenOver => {
                "somebody uncordoned it, so it is left to them; raise spec.resumes of the rollout to have it drained all the same"
                    .to_owned()
            }
            Some(blockers) => format!("tried again later: {}", text(blockers)),
            // Whoever has seen them is not there any more.
            None => former
                .filter(|former| former.reason == reason)
                .map_or_else(|| "tried again later".to_owned(), |former| former.message.clone()),
        };
        Some(Blocked {
            reason: reason.to_owned(),
            message,
            since: timestamp(parked.since).map(KubeTime),
        })
    }
}

/// Some pods, with what keeps each.
fn text(blockers: &[Blocker]) -> String {
    let named = blockers.iter().take(NAMED);
    let mut words: Vec<_> = named
        .map(|blocker| format!("{}: {}", blocker.pod, blocker.message))
        .collect();
    if blockers.len() > NAMED {
        words.push(format!("{} more pods", blockers.len() - NAMED));
    }
    words.join("; ").chars().take(MESSAGE_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use pullkeeper_core::drain::Reason;

    use super::*;

    #[test]
    fn some_pods_are_named_and_the_others_counted() {
        let blocker = |number: usize| Blocker {
            pod: format!("web/front-{number}"),
            reason: Reason::DisruptionBudget,
            message: "no".to_owned(),
        };
        let blockers: Vec<_> = (0..5).map(blocker).collect();
        assert_eq!(
            text(&blockers),
            "web/front-0: no; web/front-1: no; web/front-2: no; 2 more pods"
        );
        assert_eq!(text(&blockers[..1]), "web/front-0: no");
    }
}
