//! What a rollout would do, told by playing it: the decision itself decides, for nodes that do at once what they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cordon::{Cordon, DrainView, Mark};
use super::decide::{Obstacle, Order, decide, obstacle};
use super::fleet::{Fleet, Node, Outcome, Permit, Report};
use super::ledger::{Ledger, Stage};
use super::policy::Policy;
use super::time::Time;

/// Looks that a node needs at most, from its slot to its end.
const LOOKS: usize = 10;

/// What a rollout would do, if every node did at once and well what it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Who would go together, in their order.
    pub waves: Vec<Wave>,
    /// Who would not go, and what is in the way; `None` where it is the others: the canaries that never succeed, or a limit that
    /// leaves no room.
    pub left: BTreeMap<String, Option<Obstacle>>,
}

/// Nodes that would get their slots at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wave {
    /// [`Stage::Canary`] or [`Stage::Waves`].
    pub stage: Stage,
    /// Their names.
    pub nodes: Vec<String>,
}

/// What a rollout of something new to all of these nodes would do. Pauses, halts and closed windows are taken for over, and nodes that
/// are at work for done.
pub fn forecast(policy: &Policy, fleet: &Fleet, now: Time) -> Forecast {
    let policy = Policy {
        paused: false,
        open: true,
        resumes: 0,
        ..policy.clone()
    };
    let mut fleet_of_credentials = fleet.clone();
    for node in fleet_of_credentials.nodes.values_mut() {
        // Restarts of kubelets for its provider come after all of this.
        if let Some(record) = &mut node.record {
            record.provider = None;
        }
    }
    let mut played = Played {
        fleet: fleet_of_credentials,
        ledger: Ledger::default(),
        now,
    };
    let mut forecast = Forecast::default();
    for _ in 0..LOOKS * (fleet.nodes.len() + 1) {
        if !played.look(&policy, &mut forecast) {
            break;
        }
    }
    let went: BTreeSet<_> = forecast.waves.iter().flat_map(|wave| &wave.nodes).collect();
    let left = fleet.nodes.iter().filter(|(name, _)| !went.contains(name));
    let left = left.map(|(name, node)| (name.clone(), obstacle(&policy, fleet, node)));
    forecast.left = left.collect();
    forecast
}

struct Played {
    fleet: Fleet,
    ledger: Ledger,
    now: Time,
}

impl Played {
    /// Decides once, and does what is decided. Whether that was anything.
    fn look(&mut self, policy: &Policy, forecast: &mut Forecast) -> bool {
        self.fleet.fresh = true;
        for node in self.fleet.nodes.values_mut() {
            node.current = true;
        }
        let decision = decide(policy, &self.ledger, &self.fleet, self.now);
        let mut done = !decision.permits.is_empty();
        for (name, permit) in decision.permits {
            if let Some(node) = self.fleet.nodes.get_mut(&name) {
                node.reach(permit);
            }
        }
        for (name, order) in &decision.orders {
            let Some(node) = self.fleet.nodes.get_mut(name) else {
                continue;
            };
            done |= match order {
                Order::Drain { serial, .. } => node.see_no_pods(*serial, Duration::MAX),
                order => node.obey(order),
            };
        }
        if let Some(next) = decision.ledger {
            let new = |name: &&String| !self.ledger.reservations.contains_key(*name);
            let nodes: Vec<_> = next.reservations.keys().filter(new).cloned().collect();
            if !nodes.is_empty() {
                let stage = next.stage;
                forecast.waves.push(Wave { stage, nodes });
            }
            self.ledger = next;
            done = true;
        }
        if let (false, Stage::Soak { since }) = (done, self.ledger.stage)
            && self.now.since(since) < policy.soak
        {
            self.now = since.after(policy.soak);
            done = true;
        }
        done
    }
}

impl Node {
    /// Its agent takes what it may.
    fn reach(&mut self, permit: Permit) {
        let record = self.record.get_or_insert_default();
        record.permit = Some(permit.clone());
        if !permit.is_void() {
            record.report = Some(Report {
                permit,
                outcome: Outcome::Reached,
                restarted: None,
            });
        }
    }

    /// What an order does to a node that nobody else touches; pods it leaves alone. False is nothing.
    pub(super) fn obey(&mut self, order: &Order) -> bool {
        if let Order::Inspect { serial, .. } = order {
            return self.see_no_pods(*serial, Duration::ZERO);
        }
        let next = match (order, &self.cordon) {
            (Order::Cordon { uid, serial }, Cordon::None) => Cordon::Ours(Mark {
                uid: uid.clone(),
                serial: *serial,
                prior: false,
            }),
            (Order::Uncordon { .. }, Cordon::Ours(mark)) if mark.prior => Cordon::Foreign,
            (
                Order::Uncordon { .. },
                Cordon::TakenOver {
                    schedulable: false, ..
                },
            ) => Cordon::Foreign,
            (Order::Uncordon { .. }, Cordon::Ours(_) | Cordon::TakenOver { .. }) => Cordon::None,
            _ => return false,
        };
        self.cordon = next;
        true
    }

    /// Whether that was news.
    fn see_no_pods(&mut self, serial: u64, settled: Duration) -> bool {
        let seen = Some(DrainView {
            serial,
            settled,
            ..DrainView::default()
        });
        let news = self.drain != seen;
        self.drain = seen;
        news
    }
}

#[cfg(test)]
mod tests;
