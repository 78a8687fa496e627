//! What the agent tells in the status of its node's record.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Resource as _;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::hold::Standing;
use super::orders::{Given, Orders};
use crate::activation::Activated;
use crate::cluster::{Cluster, RequestError};
use crate::gate::{Standing as ItemStanding, Wish};
use crate::jitter;
use crate::kubelet_provider::Provided;
use crate::resource::{
    AgentReport, AgentStatus, FindingSummary, NodePermit, NodePhase, NodePullSecret,
    NodePullSecretStatus, ReportedOutcome,
};
use crate::status::{Board, TargetState, TargetStatus};

/// What is new to all nodes at once is told within this time.
const SPREAD: Duration = Duration::from_secs(1);
/// Wait after the first write that failed, and longest wait.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// The API server's limit for a message.
const LONGEST: usize = 1024;

/// What went through the gate last, and why.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed {
    pub(crate) standing: Standing,
    pub(crate) seen: Option<pullkeeper_core::rollout::Revision>,
    pub(crate) wish: Arc<Wish>,
    /// The permit for which services are restarted.
    pub(crate) restart: Option<crate::gate::Restart>,
    /// The permit whose credentials were tried, and which one is no good.
    pub(crate) rejected: Option<(u64, String)>,
    /// The serial number of the last permit that is answered.
    pub(crate) answered: u64,
}

/// Everything that a report is made of.
pub(crate) struct Reports {
    pub(crate) node_name: String,
    pub(crate) cluster: Cluster,
    pub(crate) orders: watch::Receiver<Orders>,
    pub(crate) passed: watch::Receiver<Passed>,
    /// What came of restarts; `None` where nothing is ever restarted.
    pub(crate) activated: Option<watch::Receiver<Option<Activated>>>,
    /// How kubelet's provider stands; `None` where the agent has nothing to do with it.
    pub(crate) provider: Option<watch::Receiver<Option<Provided>>>,
    pub(crate) board: Arc<Board>,
}

/// Keeps the record's status true, until cancelled.
pub(crate) async fn keep(mut reports: Reports) {
    let mut targets = reports.board.subscribe();
    let mut told = NodePullSecretStatus::default();
    let mut failures = 0;
    loop {
        let orders = reports.orders.borrow_and_update().clone();
        let passed = reports.passed.borrow_and_update().clone();
        targets.borrow_and_update();
        let activated = reports.activated.as_mut();
        let activated = activated.map(|activated| activated.borrow_and_update().clone());
        let activation = match &activated {
            None => Activation::None,
            Some(None) => Activation::Pending,
            Some(Some(activated)) => Activation::Ended(activated),
        };
        let provider = reports.provider.as_mut();
        let provider = provider.map(|provider| provider.borrow_and_update().clone());
        let mut again = None;
        if let Orders::Given(given) = &orders
            && let Some(next) = compose(
                &told,
                given,
                &passed,
                &reports.board.status().targets,
                activation,
                provider.as_ref().map(Option::as_ref),
            )
            && next != told
        {
            if next.report == told.report {
                sleep(jitter::part(SPREAD)).await;
            }
            match reports.write(&next).await {
                Ok(()) => {
                    told = next;
                    failures = 0;
                }
                Err(error) => {
                    if failures == 0 {
                        let error = crate::exit::chain(&error);
                        tracing::warn!(
                            error,
                            "cannot report to this node's NodePullSecret; trying on"
                        );
                    }
                    failures += 1;
                    again = Some(jitter::backoff(BACKOFF, failures));
                }
            }
        }
        if orders == Orders::Absent {
            // A record that is made anew knows nothing.
            told = NodePullSecretStatus::default();
        }
        tokio::select! {
            changed = reports.orders.changed() => if changed.is_err() { return },
            changed = reports.passed.changed() => if changed.is_err() { return },
            changed = heard(&mut reports.activated) => if !changed { return },
            changed = heard(&mut reports.provider) => if !changed { return },
            changed = targets.changed() => if changed.is_err() { return },
            () = sleep(again.unwrap_or_default()), if again.is_some() => {}
        }
    }
}

/// Waits for news; false when there will be none any more.
async fn heard<T>(told: &mut Option<watch::Receiver<T>>) -> bool {
    match told {
        Some(told) => told.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

/// What came of the last restart.
#[derive(Clone, Copy, Debug)]
enum Activation<'a> {
    /// Nothing is ever restarted.
    None,
    /// Nothing yet.
    Pending,
    /// This.
    Ended(&'a Activated),
}

impl<'a> Activation<'a> {
    /// How files that are as they should be stand under this permit.
    fn of(self, permit: &NodePermit, state: State) -> State {
        match self {
            Self::None => state,
            _ if !permit.restart => state,
            Self::Ended(ended) if ended.serial == permit.serial => match &ended.outcome {
                Err(why) if !matches!(state, State::Failed(..)) => {
                    State::Failed("RestartFailed", clipped(why.clone()))
                }
                Ok(()) | Err(_) => state,
            },
            // Whatever is wrong, it is told when nothing is done any more: then the slot may be another node's.
            Self::Pending | Self::Ended(_) => match state {
                State::Pending => State::Pending,
                _ => State::Restarting,
            },
        }
    }

    fn restarted(self) -> Option<Time> {
        match self {
            Self::Ended(ended) => ended.restarted.clone(),
            _ => None,
        }
    }
}

/// How files that are as they should be stand under this permit, with what came of it for kubelet's provider. `None` is that
/// nobody has anything to do with that, `Some(None)` that it is not known yet.
fn with_provider(provider: Option<Option<&Provided>>, permit: &NodePermit, state: State) -> State {
    let (Some(provider), Some(_)) = (provider, &permit.kubelet_provider) else {
        return state;
    };
    let done = provider.and_then(|provider| provider.done.as_ref());
    match done.filter(|done| done.serial == permit.serial) {
        Some(done) => match (&done.outcome, state) {
            (_, state @ State::Failed(..)) | (Ok(()), state) => state,
            (Err(why), _) => State::Failed("KubeletProviderFailed", clipped(why.clone())),
        },
        None => State::Restarting,
    }
}

/// What there is to tell; `None` while nobody knows.
fn compose(
    told: &NodePullSecretStatus,
    given: &Given,
    passed: &Passed,
    targets: &[TargetStatus],
    activation: Activation<'_>,
    provider: Option<Option<&Provided>>,
) -> Option<NodePullSecretStatus> {
    let seen = passed.seen.clone()?;
    let answered = given.answered.as_ref().or(told.report.as_ref());
    let state = state(&passed.wish, targets);
    let mut report = answered.cloned();
    let (phase, reason, message) = match (&passed.standing, &state) {
        (Standing::Unknown, _) => return None,
        (Standing::Waiting, _) => (
            NodePhase::Waiting,
            "NoPermit",
            "there is a new version, which waits for a permit".to_owned(),
        ),
        (Standing::Refused(_), state)
            if let Some(permit) = given.permit.as_ref().filter(|permit| permit.restart)
                && let failed @ State::Failed("RestartFailed", _) =
                    activation.of(permit, state.clone()) =>
        {
            if answered.is_none_or(|answer| answer.serial < permit.serial) {
                report = answer(permit, &failed);
            }
            words(&failed, "")
        }
        (Standing::Refused(why), _) => words(
            &State::Failed("CredentialRejected", clipped(why.clone())),
            "",
        ),
        (Standing::Probing(permit), _) => match &passed.rejected {
            Some((serial, why)) if *serial == permit.serial => {
                let state = State::Failed("CredentialRejected", clipped(why.clone()));
                report = answer(permit, &state);
                words(&state, "")
            }
            _ => (
                NodePhase::Updating,
                "Probing",
                "new credentials are tried at their registries".to_owned(),
            ),
        },
        (Standing::Taken(permit), state) => {
            let state = activation.of(permit, state.clone());
            let state = &with_provider(provider, permit, state);
            if answered.is_none_or(|answer| answer.serial < permit.serial)
                && let Some(answer) = answer(permit, state)
            {
                report = Some(answer);
            }
            words(state, "UpToDate")
        }
        (Standing::Joined, state) => words(state, "Joined"),
        (Standing::Free, state) => words(state, "UpToDate"),
    };
    // A restart stays told: what the node says of itself has to be newer, whatever it does next.
    if let Some(report) = &mut report {
        let kubelet = provider
            .flatten()
            .and_then(|provider| provider.restarted.clone());
        let services = activation.restarted();
        let former = answered.and_then(|one| one.restarted.clone());
        report.restarted = [kubelet, services, former]
            .into_iter()
            .flatten()
            .max_by_key(|time| time.0);
    }
    let mut next = NodePullSecretStatus {
        phase,
        reason: reason.to_owned(),
        message,
        since: told.since.clone(),
        seen: Some(seen),
        findings: findings(&passed.wish),
        report,
        kubelet_provider: provider.flatten().map(|provider| provider.status.clone()),
        agent: AgentStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
    };
    if next.phase != told.phase || next.reason != told.reason {
        next.since = Some(Time(Timestamp::now()));
    }
    Some(next)
}

/// Findings in a status.
const SUMMARIES: usize = 16;

fn findings(wish: &Wish) -> Vec<FindingSummary> {
    let mut findings: Vec<_> = wish.findings().collect();
    findings.sort_by_key(|(_, finding)| std::cmp::Reverse(finding.severity));
    let summaries = findings
        .into_iter()
        .map(|(source, finding)| FindingSummary {
            source: source.to_owned(),
            reason: finding.reason.as_str().to_owned(),
            severity: finding.severity.as_str().to_owned(),
            registry: finding
                .registry
                .as_deref()
                .map(|name| clipped(name.to_owned())),
        });
    summaries.take(SUMMARIES).collect()
}

/// How the node's files stand to what was let through.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Not everybody has looked.
    Pending,
    /// They have it, and services are being restarted.
    Restarting,
    /// They have it.
    Held,
    /// They do not.
    Failed(&'static str, String),
}

fn state(wish: &Wish, targets: &[TargetStatus]) -> State {
    let bad = wish
        .items_for(None)
        .find(|item| matches!(item.standing, ItemStanding::Bad | ItemStanding::LastGood));
    if let Some(item) = bad {
        let finding = item.findings.first().map(ToString::to_string);
        let finding = finding.unwrap_or_else(|| "it cannot be used".to_owned());
        return State::Failed("BadSecret", clipped(format!("{}: {finding}", item.source)));
    }
    if wish.withheld {
        let finding = wish.findings.first().map(ToString::to_string);
        let finding = finding.unwrap_or_else(|| "writing is withheld".to_owned());
        return State::Failed("Withheld", clipped(finding));
    }
    for target in targets {
        let failed = |reason, message: &str| {
            let message = format!("{}: {message}", target.path);
            State::Failed(reason, clipped(message))
        };
        if target.generation < wish.generation {
            return State::Pending;
        }
        match (target.state, &target.error) {
            (TargetState::Failed, Some(error)) => return failed("WriteFailed", &error.message),
            (TargetState::Failed, None) => return failed("WriteFailed", "cannot be written"),
            (TargetState::Pending | TargetState::Withheld, _) => return State::Pending,
            (TargetState::InSync | TargetState::Observed, _) => {}
        }
    }
    State::Held
}

fn words(state: &State, held: &'static str) -> (NodePhase, &'static str, String) {
    match state {
        State::Pending => (
            NodePhase::Updating,
            "Writing",
            "the node's files are being written".to_owned(),
        ),
        State::Restarting => (
            NodePhase::Updating,
            "Restarting",
            "services of the node are being restarted".to_owned(),
        ),
        State::Held => (
            NodePhase::Current,
            held,
            "the node has what there is".to_owned(),
        ),
        State::Failed(reason, message) => (NodePhase::Failed, reason, message.clone()),
    }
}

fn answer(permit: &NodePermit, state: &State) -> Option<AgentReport> {
    let (outcome, message) = match state {
        State::Pending | State::Restarting => return None,
        State::Held => (ReportedOutcome::Reached, String::new()),
        State::Failed(_, message) => (ReportedOutcome::Failed, message.clone()),
    };
    Some(AgentReport {
        node_uid: permit.node_uid.clone(),
        generation: permit.generation,
        serial: permit.serial,
        outcome,
        message,
        restarted: None,
    })
}

/// A message as long as the API server takes one.
pub(crate) fn clipped(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}

impl Reports {
    async fn write(&self, status: &NodePullSecretStatus) -> Result<(), RequestError> {
        let patch: Value = json!({"status": status});
        let params = PatchParams {
            field_manager: Some("pullkeeper-agent".to_owned()),
            ..PatchParams::default()
        };
        let request = Request::new(NodePullSecret::url_path(&(), None));
        let patch = Patch::Merge(patch);
        let request = request.patch_subresource("status", &self.node_name, &params, &patch);
        let IgnoredAny = self.cluster.send(request).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
