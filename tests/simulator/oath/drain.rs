//! What is promised about cordons and drains.
//!
//! What depends on what a coordinator knows is looked at when it decides, with its own eyes, or those of the API server where
//! it has just looked there. What nobody may ever do is looked at when a write arrives.

use pullkeeper_core::rollout::{
    Cordon, Decision, Drain, Fleet, Ledger, Node, Order, Phase, Reservation, Strategy, Time, Why,
};

use super::{Kept, Oath, admit, broken, keep};
use crate::agent::Machine;
use crate::coordinator::Rollout;

/// What a coordinator has before its eyes.
pub(crate) struct Look<'l> {
    pub(crate) read: &'l Rollout,
    pub(crate) fleet: &'l Fleet,
    pub(crate) now: Time,
}

impl Look<'_> {
    /// Whether nobody may take a step forward.
    fn is_closed(&self) -> bool {
        let Rollout { policy, ledger, .. } = self.read;
        let careful = policy.strategy != Strategy::Immediate;
        // What somebody has resumed is not halted.
        let halted = ledger.is_halted() && ledger.resumes == policy.resumes;
        policy.paused || careful && (!policy.open || halted)
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.fleet.nodes.get(name)
    }

    /// Reservations that it has read, of nodes that are drained.
    fn drained(&self) -> impl Iterator<Item = (&String, &Reservation, u64)> {
        let reservations = self.read.ledger.reservations.iter();
        reservations.filter_map(|(name, one)| Some((name, one, one.mark?)))
    }
}

/// A coordinator decides.
pub(crate) fn decides<'m>(
    look: &Look<'_>,
    decision: &Decision,
    machine: impl Fn(&str) -> Option<&'m Machine>,
) -> Kept {
    let unchanged = &look.read.ledger;
    let next = decision.ledger.as_ref().unwrap_or(unchanged);
    if look.read.damage.is_some() {
        return broken("S19: nobody acts on what cannot be read", "");
    }
    keep::keeps(look, decision, next)?;
    admit::admits(look, next)?;
    for (name, order) in &decision.orders {
        ordered(look, name, order)?;
        admit::orders(look, name, order)?;
    }
    for (name, permit) in decision.permits.iter().filter(|(_, one)| !one.is_void()) {
        if look.is_closed() {
            return broken("S13: no permit while a gate is closed", name.clone());
        }
        let reserved = look.read.ledger.reservations.get(name);
        let Some((reserved, mark)) = reserved.and_then(|one| Some((one, one.mark?))) else {
            continue;
        };
        let acting = look.node(name).and_then(|node| node.record.as_ref());
        let acting = acting.is_some_and(|record| record.unanswered(&permit.uid).is_some());
        if acting {
            continue;
        }
        if !matches!(reserved.phase, Phase::Drained { .. }) {
            return broken("S11: no permit before the node is empty", name.clone());
        }
        if machine(name).is_some_and(|one| !one.node.is_cordoned_for(mark)) {
            return broken(
                "S7: no permit for a node that a human uncordoned",
                name.clone(),
            );
        }
    }
    for (name, one, mark) in look.drained() {
        let left = look
            .node(name)
            .and_then(Node::mark)
            .is_some_and(|own| own.serial == mark);
        let next = decision.ledger.as_ref();
        let same = next.is_none_or(|next| next.reservations.get(name) == Some(one));
        let ordered = matches!(decision.orders.get(name), Some(Order::Uncordon { .. }));
        if matches!(one.phase, Phase::Restoring { .. }) && left && same && !ordered {
            return broken("L15: nothing holds up clean-up", name.clone());
        }
    }
    for (name, one, mark) in look.drained() {
        proceeds(look, name, one, mark, next, machine(name))?;
    }
    yields(look, next)?;
    stays_available(look, next)
}

/// What is ordered was promised before, and is still to be done.
fn ordered(look: &Look<'_>, name: &str, order: &Order) -> Kept {
    let node = look.node(name);
    let (Order::Inspect { uid, serial }
    | Order::Cordon { uid, serial }
    | Order::Drain { uid, serial }
    | Order::Uncordon { uid, serial }) = order;
    let reserved = look.read.ledger.reservations.get(name);
    let reserved = reserved.filter(|one| one.mark == Some(*serial) && one.permit.uid == *uid);
    if let Order::Uncordon { .. } = order {
        let ours = node.and_then(Node::mark);
        if ours.is_none_or(|mark| mark.serial != *serial) {
            return broken("S5: what is not ours stays", name);
        }
        return match reserved.map(|one| &one.phase) {
            None | Some(Phase::Restoring { .. }) => Ok(()),
            Some(phase) => broken(
                "S3: who is at work stays cordoned",
                format!("{name} {phase:?}"),
            ),
        };
    }
    let Some(reserved) = reserved else {
        return broken(
            "S2: no cordon and no eviction without a slot",
            format!("{name} {order:?}"),
        );
    };
    if look.is_closed() {
        return broken(
            "S13: no cordon and no eviction while a gate is closed",
            format!("{name} {order:?}"),
        );
    }
    match order {
        Order::Cordon { .. } if node.is_none_or(|node| node.cordon != Cordon::None) => {
            broken("S5: who is cordoned is left alone", name)
        }
        Order::Cordon { .. } if !would_go(node, *serial) => {
            broken("no cordon before the pods are known to go", name)
        }
        Order::Drain { .. } if node.is_none_or(|node| !node.is_cordoned_for(*serial)) => {
            broken("S7: nobody is evicted once a human has uncordoned", name)
        }
        Order::Drain { .. } if !matches!(reserved.phase, Phase::Draining { .. }) => {
            broken("S2: no eviction before it is persisted", name)
        }
        _ => Ok(()),
    }
}

/// Whether evictions that change nothing have said that the pods of a node would go.
fn would_go(node: Option<&Node>, serial: u64) -> bool {
    let seen = node.and_then(|node| node.drain.as_ref());
    seen.is_some_and(|seen| seen.serial == serial && seen.blockers.is_empty())
}

/// A node that is drained takes steps that have come about, and no other ones.
fn proceeds(
    look: &Look<'_>,
    name: &str,
    former: &Reservation,
    mark: u64,
    next: &Ledger,
    machine: Option<&Machine>,
) -> Kept {
    let machine = machine.filter(|one| one.node.uid == former.permit.uid);
    let uid = &former.permit.uid;
    let after = next
        .reservations
        .get(name)
        .filter(|one| one.permit.uid == *uid);
    let Some(after) = after.filter(|after| after.mark == Some(mark)) else {
        if after.is_some() && former.why().is_none() {
            return broken("L12: no second drain", name);
        }
        let marked = machine.and_then(|one| one.node.mark());
        if marked.is_some_and(|own| own.serial == mark) {
            return broken("S3: a slot comes back after the node was uncordoned", name);
        }
        return Ok(());
    };
    match (&former.phase, &after.phase) {
        (Phase::Draining { .. }, Phase::Drained { .. }) => {
            let empty = |one: &Machine| one.pods.is_empty() && one.node.is_cordoned_for(mark);
            if machine.is_some_and(|one| !empty(one)) {
                return broken("S11: who is drained is empty, and cordoned by us", name);
            }
        }
        (Phase::Draining { since }, Phase::Draining { .. }) => {
            let overdue = |drain: Drain| look.now.since(*since) > drain.deadline;
            if look.node(name).is_none_or(|node| node.uid != *uid) {
                return Ok(());
            }
            let node = look.node(name);
            let taken_over = node.is_some_and(|node| {
                let ours = node.mark().is_some_and(|own| own.serial == mark);
                ours && !node.is_cordoned_for(mark)
            });
            if taken_over {
                return broken("S7: a node that a human uncordoned is left to them", name);
            }
            match look.read.policy.strategy {
                Strategy::Drain(drain) if !overdue(drain) => {}
                Strategy::Drain(_) => return broken("L3: a drain comes to an end", name),
                _ => return broken("L2: who is not to be drained any more is restored", name),
            }
        }
        (
            Phase::Draining { .. } | Phase::Drained { .. } | Phase::Verifying { .. },
            Phase::Reserved,
        ) => {
            return broken("L12: no second drain", name);
        }
        (_, Phase::Restoring { why: Why::Done, .. })
            if !matches!(former.phase, Phase::Restoring { .. })
                && machine.is_some_and(|one| !one.node.ready || one.down.is_some()) =>
        {
            return broken("S24: who is done is ready", name);
        }
        _ => {}
    }
    Ok(())
}

/// Of nodes that wait for each other one yields.
fn yields(look: &Look<'_>, next: &Ledger) -> Kept {
    let Strategy::Drain(drain) = look.read.policy.strategy else {
        return Ok(());
    };
    let stuck = look.drained().filter(|(name, one, mark)| {
        let node = look.node(name).filter(|node| {
            node.uid == one.permit.uid
                && node.is_cordoned_for(*mark)
                && matches!(one.phase, Phase::Draining { .. })
        });
        let seen = node.and_then(|node| node.drain.as_ref());
        seen.is_some_and(|seen| {
            seen.serial == *mark && seen.left > 0 && seen.idle >= drain.patience
        })
    });
    let stuck: Vec<_> = stuck.map(|(name, ..)| name).collect();
    let stays = |name: &&&String| {
        let after = next.reservations.get(**name);
        after.is_some_and(|after| matches!(after.phase, Phase::Draining { .. }))
    };
    if stuck.len() > 1 && stuck.iter().filter(stays).count() == stuck.len() {
        return broken(
            "L5: of two that wait for each other one yields",
            format!("{stuck:?}"),
        );
    }
    Ok(())
}

/// Nobody starts who would make more nodes unavailable than may be, as far as is known.
fn stays_available(look: &Look<'_>, next: &Ledger) -> Kept {
    let Rollout { policy, ledger, .. } = look.read;
    let limit = policy
        .max_unavailable
        .filter(|_| policy.strategy.restarts());
    let Some(limit) = limit else {
        return Ok(());
    };
    // Who is unavailable already makes it no worse.
    let available = |node: &Node| node.ready && node.is_schedulable();
    let new = |name: &&String| {
        !ledger.reservations.contains_key(*name) && look.node(name).is_some_and(available)
    };
    if !next.reservations.keys().any(|name| new(&name)) {
        return Ok(());
    }
    let others = look
        .fleet
        .nodes
        .iter()
        .filter(|(name, node)| !available(node) && !next.reservations.contains_key(*name));
    let unavailable = next.reservations.len() + others.count();
    let limit = limit.of(look.fleet.nodes.len());
    if unavailable > limit {
        return broken(
            "S4: no more nodes are unavailable than may be",
            format!("{unavailable} of {limit}"),
        );
    }
    Ok(())
}

impl Oath {
    /// A cordon arrives at a node.
    pub(crate) fn cordons(&self, name: &str, serial: u64, seen: u64, machine: &Machine) -> Kept {
        if !self.promised.contains(&(name.to_owned(), serial)) {
            return broken(
                "S2: no cordon without a slot that was persisted before",
                name,
            );
        }
        if machine.lifted.contains(&serial) {
            return broken("S7: what a human uncordoned is not cordoned again", name);
        }
        if machine.node_version != seen {
            return broken("S6: a cordon takes the place of what was seen", name);
        }
        Ok(())
    }

    /// A cordon was taken from a node.
    pub(crate) fn uncordons(name: &str, before: &Cordon, after: &Cordon, ledger: &Ledger) -> Kept {
        let reserved = ledger.reservations.get(name);
        if let (Cordon::Ours(mark), Some(reserved)) = (before, reserved)
            && reserved.mark == Some(mark.serial)
            && !matches!(reserved.phase, Phase::Restoring { .. })
        {
            return broken("S3: who is at work stays cordoned", name);
        }
        let foreign = match before {
            Cordon::Foreign
            | Cordon::TakenOver {
                schedulable: false, ..
            } => true,
            Cordon::Ours(mark) => mark.prior,
            Cordon::None | Cordon::TakenOver { .. } => false,
        };
        if foreign && *after != Cordon::Foreign {
            return broken("S5: what is not ours stays", format!("{name}: {before:?}"));
        }
        Ok(())
    }

    /// A pod is evicted.
    pub(crate) fn evicts(&self, name: &str, serial: u64) -> Kept {
        if self.promised.contains(&(name.to_owned(), serial)) {
            return Ok(());
        }
        broken(
            "S2: no eviction without a slot that was persisted before",
            name,
        )
    }
}
