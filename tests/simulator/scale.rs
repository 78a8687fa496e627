//! A rollout in which nothing goes wrong, as large as it may be.

use std::collections::BTreeMap;
use std::time::Duration;

use pullkeeper_core::rollout::{
    Canary, FailureBudget, Ledger, Limit, Node, Policy, SecretSource, Strategy, Time,
};

use crate::agent::{Machine, Temper};
use crate::coordinator::{Coordinator, Decided, Rollout, Write};

/// What a whole rollout took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// How often a coordinator decided.
    pub decisions: usize,
    /// How often the ledger was written.
    pub ledgers: usize,
    /// How many permits were given.
    pub permits: usize,
    /// The ledger at its largest, in bytes.
    pub largest_ledger: usize,
}

/// Rolls one generation out to so many nodes in three zones, one in a hundred at a time, each of which takes its time.
///
/// # Panics
/// When it does not come to an end.
pub fn roll_out(nodes: usize) -> Scale {
    let mut machines: BTreeMap<_, _> = (0..nodes)
        .map(|number| (format!("node-{number:05}"), machine(number)))
        .collect();
    let mut rollout = Rollout {
        version: 1,
        policy: policy(),
        ledger: Ledger::default(),
        damage: None,
    };
    let mut coordinator = Coordinator::default();
    let mut scale = Scale {
        decisions: 0,
        ledgers: 0,
        permits: 0,
        largest_ledger: 0,
    };
    let mut now = Time(0);
    while !machines.values().all(|one| one.node.has_reached(1)) {
        now = Time(now.0 + 1000);
        coordinator.rollout = Some(rollout.clone());
        coordinator.see(&machines, &BTreeMap::new(), None);
        coordinator.fleet.fresh = true;
        let decided = coordinator.decide(0, now, None);
        scale.decisions += 1;
        for write in decided.into_iter().flat_map(Decided::writes) {
            match write {
                Write::Ledger { ledger, .. } => {
                    let text = serde_json::to_string(&*ledger).unwrap_or_default();
                    scale.largest_ledger = scale.largest_ledger.max(text.len());
                    scale.ledgers += 1;
                    rollout.ledger = *ledger;
                    rollout.version += 1;
                }
                Write::Permit {
                    name,
                    permit,
                    revision,
                    ..
                } => {
                    scale.permits += 1;
                    if let Some(machine) = machines.get_mut(&name) {
                        machine.permitted = revision;
                        machine.node.record.get_or_insert_default().permit = Some(permit);
                    }
                }
                Write::Cordon { .. } | Write::Uncordon { .. } => {}
            }
        }
        for machine in machines.values_mut() {
            if let Some(permit) = machine.unanswered().cloned() {
                machine.acting = Some((permit, Time(now.0 + 3000)));
            } else if machine
                .acting
                .as_ref()
                .is_some_and(|(_, until)| *until <= now)
            {
                machine.finish(now, 0);
            }
        }
        assert!(scale.decisions < nodes * 10 + 1000, "no end: {scale:?}");
    }
    scale
}

fn machine(number: usize) -> Machine {
    let node = Node {
        uid: format!("00000000-0000-4000-8000-{number:012}"),
        zone: Some(format!("zone-{}", number % 3)),
        pool: Some(if number < 3 { "master" } else { "worker" }.to_owned()),
        control_plane: number < 3,
        ready: true,
        ..Node::default()
    };
    let mut machine = Machine::new(node, Temper::Good);
    machine.look(1);
    machine
}

fn policy() -> Policy {
    Policy {
        sources: vec![SecretSource {
            namespace: "openshift-config".to_owned(),
            name: None,
        }],
        strategy: Strategy::FileOnly,
        canary: Canary::Count(2),
        soak: Duration::from_secs(30),
        slots: Limit::Percent(1),
        slots_per_zone: Some(Limit::Percent(2)),
        slots_per_pool: None,
        max_unavailable: None,
        provider_slots: Limit::Count(1),
        failures: FailureBudget {
            count: 2,
            percent: 5,
        },
        deadline: Duration::from_secs(120),
        paused: false,
        open: true,
        resumes: 0,
    }
}
