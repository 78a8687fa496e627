//! What is promised about who has a slot, with the eyes of whoever gives it back.

use pullkeeper_core::rollout::{Decision, Ledger, Node, Phase, Reservation, Strategy, Why};

use super::drain::Look;
use super::{Kept, broken};

/// A coordinator gives slots back, or does not.
pub(super) fn keeps(look: &Look<'_>, decision: &Decision, next: &Ledger) -> Kept {
    for (name, former) in &look.read.ledger.reservations {
        let uid = &former.permit.uid;
        let node = look.node(name).filter(|node| node.uid == *uid);
        let after = next.reservations.get(name);
        let after = after.filter(|after| after.permit.uid == *uid);
        let gone = look.fleet.gone.contains(uid);
        match (node, after) {
            (None, Some(_)) if gone => {
                return broken("L1: the slot of a node that is gone comes back", name);
            }
            (None, Some(_)) if !decision.missing.contains_key(uid) => {
                return broken("L1: a node that may be gone is looked up", name);
            }
            (None, None) if !gone => {
                return broken("S22: who could not be looked up is not gone", name);
            }
            (None, _) => {}
            (Some(node), after) => {
                is_well(next, name, former, after, node)?;
                finishes(look, name, former, after, node)?;
                is_silent(look, next, former, after, node)?;
            }
        }
    }
    Ok(())
}

/// Who is done was seen well. What could not be looked up was not.
fn is_well(
    next: &Ledger,
    name: &str,
    former: &Reservation,
    after: Option<&Reservation>,
    node: &Node,
) -> Kept {
    let verifying = matches!(former.phase, Phase::Verifying { .. });
    let done = after.is_none_or(|after| after.why() == Some(Why::Done));
    let failed = next.failures.contains_key(&node.uid);
    if verifying && done && !failed && !(node.current && node.ready) {
        return broken("S22: who could not be looked up is not well", name);
    }
    Ok(())
}

/// Whoever acts when a window ends goes on to its end.
fn finishes(
    look: &Look<'_>,
    name: &str,
    former: &Reservation,
    after: Option<&Reservation>,
    node: &Node,
) -> Kept {
    let policy = &look.read.policy;
    if policy.open || policy.strategy == Strategy::Immediate || !may_be_acting(former, node) {
        return Ok(());
    }
    let goes_on = |after: &Reservation| after.stands().0 == former.stands().0;
    if after.is_some_and(goes_on) {
        return Ok(());
    }
    broken("L11: who acts when a window ends goes on", name)
}

/// Who has said nothing within its deadline has failed, and keeps its slot: nobody knows what it does.
fn is_silent(
    look: &Look<'_>,
    next: &Ledger,
    former: &Reservation,
    after: Option<&Reservation>,
    node: &Node,
) -> Kept {
    let deadline = look.read.policy.deadline;
    let late = |permitted| look.now.since(permitted) > deadline;
    if !may_be_acting(former, node)
        || !node.has_permit(&former.permit)
        || !former.permitted.is_some_and(late)
    {
        return Ok(());
    }
    if after.is_none() {
        return broken("L14: who is silent keeps its slot", &node.uid);
    }
    // A new generation is a new permit, and a new deadline.
    if next.generation == look.read.ledger.generation && !next.failures.contains_key(&node.uid) {
        return broken(
            "L14: who is silent beyond its deadline has failed",
            &node.uid,
        );
    }
    Ok(())
}

/// Whether its agent may be acting on the permit of its slot.
pub(crate) fn may_be_acting(reserved: &Reservation, node: &Node) -> bool {
    let permitted = match reserved.phase {
        Phase::Reserved => reserved.mark.is_none(),
        Phase::Drained { .. } => true,
        _ => false,
    };
    let record = node.record.as_ref();
    let unanswered = record.is_some_and(|record| record.unanswered(&node.uid).is_some());
    // A ledger may be older than the permit in the record: what it waits for was answered then.
    permitted && unanswered && node.outcome(&reserved.permit).is_none()
}
