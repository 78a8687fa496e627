//! What the node's own record says.

use std::sync::Arc;
use std::time::Duration;

use kube::Resource as _;
use pullkeeper_core::rollout::SecretSource;
use serde::Deserialize;
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::list_watch::{self, Object, Query, Terms, Told, Trouble};
use crate::resource::{AgentReport, NodePermit, NodePullSecret};

/// Before a question that was not answered is put again.
const PAUSE: Duration = Duration::from_secs(2);

/// What the node is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Orders {
    /// Nobody knows yet. Nothing that may be paced goes on.
    #[default]
    Unknown,
    /// There is no record: nothing is paced.
    Absent,
    /// There is one, and it is about this very node.
    Given(Arc<Given>),
}

/// The record, as far as it matters to the agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Given {
    /// Secrets whose new versions wait.
    pub(crate) sources: Vec<SecretSource>,
    /// Leave to take some.
    pub(crate) permit: Option<NodePermit>,
    /// The last permit that was answered.
    pub(crate) answered: Option<AgentReport>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(rename = "nodeUID")]
    node_uid: String,
    sources: Vec<SecretSource>,
    permit: Option<NodePermit>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    report: Option<AgentReport>,
}

impl Object for Record {
    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

/// Tells what the record of the node says, until cancelled.
pub(crate) async fn follow(node_name: String, terms: Terms, orders: watch::Sender<Orders>) {
    let query = Query {
        path: NodePullSecret::url_path(&(), None),
        fields: Some(format!("metadata.name={node_name}")),
        labels: None,
        page: None,
    };
    let (records, seen) = watch::channel(None);
    let mut complained = false;
    let listen = list_watch::follow::<Record>(query, &terms, |told| match told {
        Told::Listed(found) => {
            records.send_replace(Some(found.into_iter().next()));
        }
        Told::Applied(record) => {
            records.send_replace(Some(Some(record)));
        }
        Told::Deleted(_) => {
            records.send_replace(Some(None));
        }
        Told::Watching => complained = false,
        // No such kind of object: nobody has ever paced anything here.
        Told::Trouble(Trouble::Rejected(404, _)) => {
            records.send_replace(Some(None));
        }
        Told::Trouble(trouble) => {
            if !complained {
                tracing::warn!(
                    %trouble,
                    "cannot watch this node's NodePullSecret; what it said last holds"
                );
                complained = true;
            }
        }
    });
    tokio::select! {
        () = listen => {}
        () = judge(&node_name, &terms, seen, &orders) => {}
    }
}

/// Passes a record on once it is known to be about this node, and not about a former one of its name.
async fn judge(
    node_name: &str,
    terms: &Terms,
    mut seen: watch::Receiver<Option<Option<Record>>>,
    orders: &watch::Sender<Orders>,
) {
    let mut own = None;
    let mut complained = false;
    loop {
        let record = seen.borrow_and_update().clone();
        let next = match record {
            None => Orders::Unknown,
            Some(None) => Orders::Absent,
            Some(Some(Record { spec, status, .. })) => {
                if own.as_deref() != Some(&*spec.node_uid) {
                    own = ask(node_name, &terms.cluster).await;
                }
                if own.as_deref() == Some(&*spec.node_uid) {
                    let uid = &spec.node_uid;
                    let permit = spec.permit.filter(|permit| permit.node_uid == *uid);
                    let answered = status.report.filter(|report| report.node_uid == *uid);
                    Orders::Given(Arc::new(Given {
                        sources: spec.sources,
                        permit,
                        answered,
                    }))
                } else {
                    Orders::Unknown
                }
            }
        };
        let about_another = next == Orders::Unknown && seen.borrow().is_some();
        if about_another && !complained {
            tracing::warn!(
                node = node_name,
                "this node's NodePullSecret is about another node of its name, or the agent cannot `get` its own Node to tell; \
                 what is new waits"
            );
        }
        complained = about_another;
        orders.send_if_modified(|current| {
            let changed = *current != next;
            *current = next;
            changed
        });
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(PAUSE), if about_another => {}
        }
    }
}

/// The node's own UID, if there is an answer.
async fn ask(node_name: &str, cluster: &Cluster) -> Option<String> {
    match cluster.node(node_name).await {
        Ok(node) => node?.uid,
        Err(error) => {
            let error = crate::exit::chain(&error);
            tracing::debug!(error, "cannot tell this node's UID");
            None
        }
    }
}
