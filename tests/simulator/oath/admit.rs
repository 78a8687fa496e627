//! What is promised about who gets a slot, with the eyes of whoever gives it.

use pullkeeper_core::rollout::{Ledger, Limit, Node, Order, Stage, Strategy};

use super::drain::Look;
use super::{Kept, broken};
use crate::coordinator::Rollout;

/// A coordinator gives slots, and orders what they are for.
pub(super) fn admits(look: &Look<'_>, next: &Ledger) -> Kept {
    for (name, node) in new(look, next) {
        let Some(node) = node else {
            return broken("S22: who is not known gets no slot", name);
        };
        if !node.ready {
            return broken("S22: who is not known to be ready gets no slot", name);
        }
        if node.has_reached(next.generation) {
            return broken("L11: who is done does not begin again", name);
        }
        maintained(look, name, node)?;
    }
    shares(look, next)?;
    overtakes(look, next)
}

/// Somebody is to be looked at, cordoned or drained.
pub(super) fn orders(look: &Look<'_>, name: &str, order: &Order) -> Kept {
    match (order, look.node(name)) {
        (Order::Uncordon { .. }, _) | (_, None) => Ok(()),
        (_, Some(node)) => maintained(look, name, node),
    }
}

/// Nodes that have no slot in the ledger that was read, and get one.
fn new<'l>(
    look: &'l Look<'_>,
    next: &'l Ledger,
) -> impl Iterator<Item = (&'l String, Option<&'l Node>)> {
    let former = &look.read.ledger.reservations;
    let new = next.reservations.iter().filter(|(name, one)| {
        let former = former.get(*name);
        former.is_none_or(|former| former.permit.uid != one.permit.uid)
    });
    new.map(|(name, one)| {
        let node = look.node(name);
        (name, node.filter(|node| node.uid == one.permit.uid))
    })
}

/// Nobody starts, or goes on, on a node that somebody else is at work on.
fn maintained(look: &Look<'_>, name: &str, node: &Node) -> Kept {
    if node.held {
        return broken("S21: a node that others maintain is left alone", name);
    }
    let pool = node
        .managed
        .as_ref()
        .and_then(|pool| look.fleet.pools.get(pool));
    if look.read.policy.strategy.restarts() && pool.is_some_and(|pool| pool.busy) {
        return broken("S21: a pool that others change is left alone", name);
    }
    Ok(())
}

/// Of a pool that others manage as well no more nodes are unavailable than may be, whoever is the reason.
fn shares(look: &Look<'_>, next: &Ledger) -> Kept {
    let Rollout { policy, .. } = look.read;
    if !policy.strategy.restarts() {
        return Ok(());
    }
    let available = |node: &Node| node.ready && node.is_schedulable();
    for (pool, limit) in &look.fleet.pools {
        let Some(limit) = limit.max_unavailable else {
            continue;
        };
        let of_pool = |node: &Node| node.managed.as_ref() == Some(pool);
        let costs = |node: Option<&Node>| node.is_some_and(|one| of_pool(one) && available(one));
        if !new(look, next).any(|(_, node)| costs(node)) {
            continue;
        }
        let members = look.fleet.nodes.iter().filter(|(_, node)| of_pool(node));
        let unavailable = members
            .clone()
            .filter(|(name, node)| !available(node) || next.reservations.contains_key(*name));
        let (unavailable, limit) = (unavailable.count(), Limit::of(limit, members.count()));
        if unavailable > limit {
            return broken(
                "S21: no more of a shared pool is unavailable than may be",
                format!("{unavailable} of {limit} in {pool}"),
            );
        }
    }
    Ok(())
}

/// Of two nodes that could both have had the slot, nobody gets it who was tried more often, or has got further. So everybody has
/// had a turn before anybody has another one, and whom one generation did not come to goes first in the next.
fn overtakes(look: &Look<'_>, next: &Ledger) -> Kept {
    let Rollout { policy, ledger, .. } = look.read;
    let same = next.generation == ledger.generation && ledger.resumes == policy.resumes;
    if !same || ledger.stage != Stage::Waves || policy.strategy == Strategy::Immediate {
        return Ok(());
    }
    let turns = |node: &Node| {
        let times = ledger.parked.get(&node.uid).map_or(0, |one| one.times);
        (times, reached(node))
    };
    for (name, node) in new(look, next) {
        // Who is cordoned already makes it no worse, and may go where others may not.
        let Some(node) = node.filter(|node| node.is_schedulable()) else {
            continue;
        };
        let waiting = look.fleet.nodes.iter().filter(|(other, one)| {
            !next.reservations.contains_key(*other)
                && !ledger.reservations.contains_key(*other)
                && could(look, next, one)
                && share_limits(look, one, node)
        });
        for (other, one) in waiting {
            if turns(one) < turns(node) {
                return broken(
                    "L4: nobody is overtaken by who was tried more often, or is further",
                    format!("{other} {:?} by {name} {:?}", turns(one), turns(node)),
                );
            }
        }
    }
    Ok(())
}

/// Whether all limits are the same for both.
fn share_limits(look: &Look<'_>, one: &Node, other: &Node) -> bool {
    let policy = &look.read.policy;
    (one.zone == other.zone || policy.slots_per_zone.is_none())
        && (one.pool == other.pool || policy.slots_per_pool.is_none())
        && (one.managed == other.managed || look.fleet.pools.is_empty())
        && one.control_plane == other.control_plane
}

/// The last generation that it has.
fn reached(node: &Node) -> u64 {
    let report = node
        .record
        .as_ref()
        .and_then(|record| record.report.as_ref());
    let own = report.filter(|report| report.permit.uid == node.uid);
    own.map_or(0, |report| report.permit.generation)
}

/// Whether it could have a slot now, as far as is certain: it was not given up.
fn could(look: &Look<'_>, next: &Ledger, node: &Node) -> bool {
    let agent = node.record.as_ref().is_some_and(|one| one.seen.is_some());
    node.ready
        && agent
        && node.is_schedulable()
        && node.mark().is_none()
        && maintained(look, "", node).is_ok()
        && !node.has_reached(next.generation)
        && !next.failures.contains_key(&node.uid)
        && !next.parked.contains_key(&node.uid)
}
