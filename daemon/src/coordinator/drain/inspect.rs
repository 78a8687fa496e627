//! Finds out what would keep a node from being drained, without touching anything.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use pullkeeper_core::drain::{Answer, Blocker, Budgets, Options, Pod, Verdict, judge, preflight};

use super::super::desk::Desk;
use super::eviction::evict;
use super::objects::PodObject;
use super::{Shared, Task};
use crate::list_watch::{self, Terms};

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) left: usize,
    pub(super) blockers: Vec<Blocker>,
}

/// Why nothing was.
#[derive(Debug)]
pub(super) enum Unclear {
    /// The API server has too much to do.
    Busy(Option<Duration>),
    /// The pods cannot be listed.
    Trouble(String),
    /// There is no answer that says anything, or nobody wants one any more.
    Unknown,
}

/// An inspection of one node.
pub(super) struct Inspection {
    pub(super) shared: Arc<Shared>,
    pub(super) terms: Terms,
    pub(super) desk: Arc<Desk>,
    pub(super) node: String,
    pub(super) task: Task,
    pub(super) budgets: Arc<Budgets>,
    pub(super) options: Options,
}

impl Inspection {
    /// Lists the pods, and tries those evictions without effect whose outcome is not known without that.
    pub(super) async fn run(&self) -> Result<Found, Unclear> {
        let pods = self.pods().await.map_err(Unclear::Trouble)?;
        let before = preflight(&pods, &self.budgets, &self.options);
        let mut blockers = before.blockers;
        for ask in &before.asks {
            let wanted = || self.shared.wants(&self.node, &self.task);
            let Some(answer) = evict(&self.terms.cluster, ask, true, wanted).await else {
                return Err(Unclear::Unknown);
            };
            self.desk.eviction(&answer, true);
            if let Answer::Busy { retry_after } = answer {
                return Err(Unclear::Busy(retry_after));
            }
            let pod = pods.iter().find(|pod| pod.uid == ask.uid);
            match pod.map(|pod| judge(pod, &self.budgets, &answer)) {
                Some(Verdict::Blocked(blocker)) => blockers.push(blocker),
                Some(Verdict::Again) => return Err(Unclear::Unknown),
                Some(Verdict::Fine) | None => {}
            }
        }
        let left = before.left;
        Ok(Found { left, blockers })
    }

    async fn pods(&self) -> Result<Vec<Pod>, String> {
        let Terms {
            cluster,
            request_timeout,
            ..
        } = &self.terms;
        let connection = cluster.connection().await;
        let connection = connection.map_err(|error| crate::exit::chain(&error))?;
        let query = PodObject::of_node(&self.node);
        let pods = list_watch::list::<PodObject>(&query, &connection, *request_timeout).await;
        let wall = Timestamp::now();
        match pods {
            Ok(pods) => Ok(pods.iter().map(|object| object.pod(wall)).collect()),
            Err(trouble) => {
                if matches!(
                    trouble,
                    list_watch::Trouble::Unreachable(_) | list_watch::Trouble::Unauthorized(_)
                ) {
                    cluster.renew(&connection).await;
                }
                Err(trouble.to_string())
            }
        }
    }
}
