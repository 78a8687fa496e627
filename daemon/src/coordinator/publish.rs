//! The rollout's status, as people and tools read it.

use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time as KubeTime};
use k8s_openapi::jiff::Timestamp;
use pullkeeper_core::rollout::{
    Fleet, Ledger, Node, Permit, Phase as NodePhase, ProviderHalt, ProviderState, Reservation,
    Stage, Time, Waiting, Why,
};

use crate::resource::{
    Counts, HaltStatus, NodeAtWork, ParkedNode, PastGeneration, Phase, ProviderProgress,
    PullSecretRolloutStatus,
};

/// Failed nodes that are named.
const NAMED: usize = 10;
/// Nodes that are listed with what becomes of them.
const LISTED: usize = 20;
/// Former generations that are remembered.
const REMEMBERED: usize = 10;

/// What a coordinator has found out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Situation<'s> {
    /// The object cannot be followed.
    Invalid {
        /// One word.
        reason: &'static str,
        /// The field and what is wrong with it.
        message: &'s str,
    },
    /// It was decided about.
    Decided {
        ledger: &'s Ledger,
        fleet: &'s Fleet,
        waiting: Option<Waiting>,
    },
}

/// The status that takes the place of the former one; equal to it where nothing is new. The ledger is the caller's.
pub(super) fn status(
    former: &PullSecretRolloutStatus,
    situation: Situation<'_>,
    observed_generation: i64,
    now: Timestamp,
) -> PullSecretRolloutStatus {
    let mut next = former.clone();
    next.observed_generation = observed_generation;
    let said = match situation {
        Situation::Invalid { reason, message } => Said {
            phase: Phase::Invalid,
            reason,
            message: format!("{message}; no node starts before that is put right"),
        },
        Situation::Decided {
            ledger,
            fleet,
            waiting,
        } => {
            if ledger.generation != former.generation && former.generation > 0 {
                next.history.insert(0, past(former));
                next.history.truncate(REMEMBERED);
            }
            next.generation = ledger.generation;
            next.revision = ledger.revision.clone();
            next.nodes = counts(ledger, fleet);
            next.at_work = at_work(ledger);
            next.parked = parked(ledger);
            next.halt = halt(ledger);
            next.kubelet_provider = provider(ledger, fleet);
            say(ledger, waiting, next.nodes)
        }
    };
    if said.phase != former.phase || former.since.is_none() {
        next.since = Some(KubeTime(now));
    }
    next.phase = said.phase;
    let valid = said.phase != Phase::Invalid;
    let halted = next.halt.is_some();
    let kubelets = next.kubelet_provider.as_ref();
    let kubelets = kubelets.and_then(|provider| provider.halt.clone());
    let degraded = halted || next.nodes.failed > 0 || kubelets.is_some();
    let going = matches!(said.phase, Phase::Canary | Phase::Soaking | Phase::Waves);
    let accepted = if valid { "Accepted" } else { said.reason };
    let accepted_message = if valid { "" } else { &said.message };
    let (trouble, trouble_message) = match (&next.halt, next.nodes.failed, kubelets) {
        (Some(halt), ..) => (halt.reason.clone(), said.message.clone()),
        (None, 0, Some(halt)) => ("KubeletProviderHalted".to_owned(), halt),
        (None, 0, None) => ("AsExpected".to_owned(), String::new()),
        (None, failed, _) => ("NodesFailed".to_owned(), format!("{failed} failed")),
    };
    let mut conditions = Conditions {
        former: &former.conditions,
        next: Vec::new(),
        observed_generation,
        now,
    };
    conditions.set("Accepted", valid, accepted, accepted_message);
    conditions.set("Progressing", going, said.reason, &said.message);
    conditions.set("Degraded", degraded, &trouble, &trouble_message);
    next.conditions = conditions.next;
    next.message = said.message;
    next
}

fn past(former: &PullSecretRolloutStatus) -> PastGeneration {
    PastGeneration {
        generation: former.generation,
        phase: former.phase,
        since: former.since.clone(),
        nodes: former.nodes,
    }
}

struct Said {
    phase: Phase,
    reason: &'static str,
    message: String,
}

fn halted(ledger: &Ledger) -> Said {
    Said {
        phase: Phase::Halted,
        reason: "Halted",
        message: format!(
            "{}; see `kubectl get nodepullsecrets`, then change the Secret, or raise spec.resumes to go on",
            failed_nodes(ledger)
        ),
    }
}

fn say(ledger: &Ledger, waiting: Option<Waiting>, nodes: Counts) -> Said {
    let at_work = ledger.reservations.values().any(|one| !one.provider);
    let said = |phase, reason, message: String| Said {
        phase,
        reason,
        message,
    };
    let Counts {
        total,
        updated,
        updating,
        failed,
        parked,
        ..
    } = nodes;
    let mut progress = format!("{updated} of {total} nodes have it, {updating} are at work");
    if parked > 0 {
        write!(progress, ", {parked} were not drained and are tried again").ok();
    }
    match waiting {
        Some(Waiting::Revision) => said(
            Phase::Unknown,
            "Revision",
            "not enough agents have said which versions of the Secrets they see".to_owned(),
        ),
        Some(Waiting::Halted) => halted(ledger),
        Some(Waiting::Paused) => said(
            Phase::Paused,
            "Paused",
            format!("{progress}; spec.paused is set"),
        ),
        Some(Waiting::Window) if !at_work => said(
            Phase::Waiting,
            "Window",
            format!("{progress}; no window is open"),
        ),
        Some(Waiting::Parked) if !at_work => said(
            Phase::Waiting,
            "Parked",
            format!(
                "{progress}: {}; see spec.blocked of their NodePullSecrets",
                parked_nodes(ledger)
            ),
        ),
        Some(Waiting::Unavailable) if !at_work => said(
            Phase::Waiting,
            "Unavailable",
            format!(
                "{progress}; as many nodes are not ready or cordoned by others as spec.maxUnavailable, or that of a MachineConfigPool, allows"
            ),
        ),
        Some(Waiting::Nodes) if !at_work => said(
            Phase::Waiting,
            "Nodes",
            format!("{progress}; those left are not ready, held, or maintained by others"),
        ),
        // With the harm that was done, also where it was done to all there are.
        None if !at_work && ledger.is_halted() && failed > 0 => halted(ledger),
        // Nobody is left who could have a slot, and nobody has one.
        None if !at_work && ledger.generation > 0 => {
            let message = if failed == 0 {
                format!("{updated} of {total} nodes have it")
            } else {
                format!(
                    "{updated} of {total} nodes have it; {}; raise spec.resumes to try them again",
                    failed_nodes(ledger)
                )
            };
            said(Phase::Complete, "Complete", message)
        }
        _ => match ledger.stage {
            Stage::Canary => said(
                Phase::Canary,
                "Canary",
                format!("the first nodes are at work: {}", first_nodes(ledger)),
            ),
            Stage::Soak { .. } => said(
                Phase::Soaking,
                "Soaking",
                format!("{progress}; harm is given time to show"),
            ),
            Stage::Waves => said(Phase::Waves, "Waves", progress),
        },
    }
}

fn counts(ledger: &Ledger, fleet: &Fleet) -> Counts {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let total = number(fleet.nodes.len());
    let has_reached = |node: &Node| ledger.generation > 0 && node.has_reached(ledger.generation);
    // Who is drained is done once it is uncordoned.
    let at_work = |name: &String, node: &Node| {
        let slot = ledger.reservations.get(name);
        slot.is_some_and(|slot| slot.mark.is_some() || !has_reached(node))
    };
    let (mut updated, mut updating) = (0, 0);
    for (name, node) in &fleet.nodes {
        if at_work(name, node) {
            updating += 1;
        } else if has_reached(node) {
            updated += 1;
        }
    }
    let failed = number(ledger.failures.len());
    let parked = number(ledger.parked.len());
    Counts {
        total,
        updated,
        updating,
        failed,
        parked,
        waiting: total.saturating_sub(updated.saturating_add(updating)),
    }
}

/// How far kubelet's provider is.
fn provider(ledger: &Ledger, fleet: &Fleet) -> Option<ProviderProgress> {
    let rollout = ledger.provider.as_ref()?;
    let mut progress = ProviderProgress {
        wanted: rollout.wanted.clone(),
        ..ProviderProgress::default()
    };
    for node in fleet.nodes.values() {
        let told = node
            .record
            .as_ref()
            .and_then(|record| record.provider.as_ref());
        let Some(told) = told.filter(|told| told.wanted == rollout.wanted) else {
            continue;
        };
        let count = match told.state {
            ProviderState::InEffect => &mut progress.in_effect,
            ProviderState::Waiting => &mut progress.waiting,
            ProviderState::Failed => &mut progress.failed,
            ProviderState::Impossible => &mut progress.impossible,
        };
        *count += 1;
    }
    progress.halt = rollout.halt.as_ref().map(|halt| {
        let ProviderHalt { node, reason, .. } = halt;
        format!("{node}: {reason}; raise spec.resumes to go on")
    });
    Some(progress)
}

/// How many nodes are not ready, are cordoned by anybody, or have a slot. Each counts once.
pub(super) fn unavailable(ledger: &Ledger, fleet: &Fleet) -> usize {
    let available = |(name, node): &(&String, &Node)| {
        node.ready && node.is_schedulable() && !ledger.reservations.contains_key(*name)
    };
    let available = fleet.nodes.iter().filter(available).count();
    fleet.nodes.len() - available
}

/// Nodes that were drained between these two, with what for.
pub(super) fn drained<'l>(
    former: &'l Ledger,
    next: &'l Ledger,
) -> impl Iterator<Item = (&'l str, &'l Permit)> {
    let drained = |(name, one): &(&String, &Reservation)| {
        let former = former.reservations.get(*name);
        let drained = matches!(one.phase, NodePhase::Drained { .. });
        let was = |one: &Reservation| matches!(one.phase, NodePhase::Draining { .. });
        drained && former.is_some_and(was)
    };
    let drained = next.reservations.iter().filter(drained);
    drained.map(|(name, one)| (name.as_str(), &one.permit))
}

/// Those that have had their slot longest.
fn at_work(ledger: &Ledger) -> Vec<NodeAtWork> {
    let mut reservations: Vec<_> = ledger.reservations.iter().collect();
    reservations.sort_by_key(|(name, one)| (one.since, *name));
    let some = reservations.into_iter().take(LISTED);
    let node = some.map(|(name, one)| {
        let (phase, since) = one.stands();
        NodeAtWork {
            node: name.clone(),
            phase: phase.to_owned(),
            since: timestamp(since).map(KubeTime),
        }
    });
    node.collect()
}

fn parked(ledger: &Ledger) -> Vec<ParkedNode> {
    let mut parked: Vec<_> = ledger.parked.values().collect();
    parked.sort_by_key(|one| (one.since, &one.node));
    let some = parked.into_iter().take(LISTED);
    let node = some.map(|one| ParkedNode {
        node: one.node.clone(),
        reason: one.why.as_str().to_owned(),
        since: timestamp(one.since).map(KubeTime),
        times: one.times,
    });
    node.collect()
}

fn parked_nodes(ledger: &Ledger) -> String {
    let parked = ledger.parked.values();
    let words: Vec<_> = parked
        .map(|one| format!("{} ({})", one.node, one.why.as_str()))
        .collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    listing(&words)
}

fn halt(ledger: &Ledger) -> Option<HaltStatus> {
    let halt = ledger.halt.as_ref()?;
    let nodes = failures(ledger).into_iter();
    Some(HaltStatus {
        reason: halt.reason.as_str().to_owned(),
        since: timestamp(halt.since).map(KubeTime),
        nodes: nodes
            .map(|failure| failure.node.to_owned())
            .take(NAMED)
            .collect(),
    })
}

fn first_nodes(ledger: &Ledger) -> String {
    let names: Vec<_> = ledger.canary.values().map(String::as_str).collect();
    listing(&names)
}

/// Who failed, and the words of the first one.
fn failed_nodes(ledger: &Ledger) -> String {
    let failures = failures(ledger);
    let names: Vec<_> = failures.iter().map(|failure| failure.node).collect();
    match failures.first() {
        Some(Harm { node, reason, .. }) => {
            format!("{} failed ({node}: {reason})", listing(&names))
        }
        None => "nodes failed".to_owned(),
    }
}

/// A node for whose sake a rollout halts.
struct Harm<'l> {
    node: &'l str,
    reason: &'l str,
    since: Time,
}

/// The failures in the order in which they were noticed, with those that were not drained in time.
fn failures(ledger: &Ledger) -> Vec<Harm<'_>> {
    let failed = ledger.failures.values().map(|failure| Harm {
        node: &failure.node,
        reason: &failure.reason,
        since: failure.since,
    });
    let overdue = ledger.parked.values().filter(|one| one.why == Why::Overdue);
    let overdue = overdue.map(|one| Harm {
        node: &one.node,
        reason: "its pods did not go in time",
        since: one.since,
    });
    let mut harm: Vec<_> = failed.chain(overdue).collect();
    harm.sort_by_key(|one| (one.since, one.node));
    harm
}

fn listing(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names if names.len() <= NAMED => names.join(", "),
        names => format!(
            "{} and {} more",
            names[..NAMED].join(", "),
            names.len() - NAMED
        ),
    }
}

/// In whole seconds, as Kubernetes writes it: what is read back has to be the same.
pub(super) fn timestamp(time: Time) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(time.0 / 1000).ok()?).ok()
}

/// Conditions that keep their time while they say the same.
struct Conditions<'f> {
    former: &'f [Condition],
    next: Vec<Condition>,
    observed_generation: i64,
    now: Timestamp,
}

impl Conditions<'_> {
    fn set(&mut self, kind: &str, holds: bool, reason: &str, message: &str) {
        let status = if holds { "True" } else { "False" };
        let former = self.former.iter().find(|former| former.type_ == kind);
        let since = former
            .filter(|former| former.status == status)
            .map_or(KubeTime(self.now), |former| {
                former.last_transition_time.clone()
            });
        self.next.push(Condition {
            last_transition_time: since,
            message: message.to_owned(),
            observed_generation: Some(self.observed_generation),
            reason: reason.to_owned(),
            status: status.to_owned(),
            type_: kind.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests;
