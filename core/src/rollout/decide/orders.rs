//! What is done for a ledger that was read back.

use std::collections::BTreeMap;

use super::super::cordon::Cordon;
use super::super::reservation::{Phase, Reservation};
use super::drain::seen;
use super::gates::closed;
use super::{Fleet, Ledger, Node, Permit, Policy};

/// What is to be done to a node. It is said again until it is seen done, so that it may be done twice, or be lost. Each one is
/// for the node with this UID, as it was seen: a write names the version that it takes the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// To see whether its pods would go, by evictions that change nothing, before it is cordoned.
    Inspect {
        /// The node's UID.
        uid: String,
        /// What its mark will say.
        serial: u64,
    },
    /// To set the flag and our mark with this serial number, in one write: once the ledger was read again, after the node,
    /// and is still the one that this was decided for. Otherwise what a human has uncordoned meanwhile, and others have
    /// cleaned up, would be cordoned again.
    Cordon {
        /// The node's UID.
        uid: String,
        /// What the mark says.
        serial: u64,
    },
    /// To evict its pods, for as long as this is said.
    Drain {
        /// The node's UID.
        uid: String,
        /// What its mark says; without it nobody is evicted.
        serial: u64,
    },
    /// To take our mark away, and with it the flag: but not where the mark says that it was there before, nor where it is
    /// not ours any more.
    Uncordon {
        /// The node's UID.
        uid: String,
        /// What the mark says.
        serial: u64,
    },
}

/// Reservations of the ledger that was read that are the same in the next one, with their nodes. For what was given back or
/// replaced just now nothing is done: whoever reads the next ledger sees to it.
pub(super) fn kept<'l>(
    read: &'l Ledger,
    next: &'l Ledger,
    fleet: &'l Fleet,
) -> impl Iterator<Item = (&'l String, &'l Reservation, &'l Node)> {
    read.reservations.iter().filter_map(|(name, reservation)| {
        let same = |next: &&Reservation| {
            next.permit == reservation.permit && next.phase == reservation.phase
        };
        next.reservations.get(name).filter(same)?;
        let node = fleet.nodes.get(name)?;
        (node.uid == reservation.permit.uid).then_some((name, reservation, node))
    })
}

/// Permits that nodes have not been given yet. The gates are looked at again: since a slot was given they may have closed.
/// Permits are called back whatever they are.
pub(super) fn permits(
    policy: &Policy,
    read: &Ledger,
    next: &Ledger,
    fleet: &Fleet,
) -> BTreeMap<String, Permit> {
    let closed = closed(policy, next).is_some();
    let owed = kept(read, next, fleet).filter_map(|(name, reservation, node)| {
        let permit = match (&reservation.phase, reservation.mark) {
            (Phase::Withdrawing { void, .. }, _) if !node.may_be_acting() => void,
            _ if closed => return None,
            (Phase::Reserved, None) => &reservation.permit,
            // Whoever acts already goes on with what there is, whatever became of the cordon.
            (Phase::Drained { .. }, Some(mark))
                if node.may_be_acting() || (node.current && node.is_cordoned_for(mark)) =>
            {
                &reservation.permit
            }
            _ => return None,
        };
        // A newer one was given by somebody who knows more.
        let owed = !node.has_permit(permit) && !node.has_newer_permit(permit);
        owed.then(|| (name.clone(), permit.clone()))
    });
    owed.collect()
}

/// What is to be done to nodes. Steps forward wait while a gate is closed; clean-up never does.
pub(super) fn orders(
    policy: &Policy,
    read: &Ledger,
    next: &Ledger,
    fleet: &Fleet,
) -> BTreeMap<String, Order> {
    let open = closed(policy, next).is_none();
    let forward = kept(read, next, fleet).filter_map(|(name, reservation, node)| {
        let (uid, serial) = (node.uid.clone(), reservation.mark?);
        let order = match reservation.phase {
            Phase::Reserved if open && node.cordon == Cordon::None => match seen(node, serial) {
                None => Order::Inspect { uid, serial },
                Some(_) => Order::Cordon { uid, serial },
            },
            Phase::Draining { .. } if open && node.is_cordoned_for(serial) => {
                Order::Drain { uid, serial }
            }
            _ => return None,
        };
        Some((name.clone(), order))
    });
    let back = fleet
        .nodes
        .iter()
        .filter(|(name, node)| is_left(read, next, name, node));
    let back = back.filter_map(|(name, node)| {
        let (uid, serial) = (node.uid.clone(), node.mark()?.serial);
        Some((name.clone(), Order::Uncordon { uid, serial }))
    });
    forward.chain(back).collect()
}

/// Whether our mark is to go: its slot comes back, or came back before a late write. A mark that is newer than the ledger that
/// was read belongs to somebody who knows more.
fn is_left(read: &Ledger, next: &Ledger, name: &str, node: &Node) -> bool {
    let Some(mark) = node.mark() else {
        return false;
    };
    let restoring = |ledger: &Ledger| {
        let reservation = ledger.reservations.get(name);
        let owner = reservation.filter(|one| one.mark == Some(mark.serial));
        owner.is_none_or(|owner| matches!(owner.phase, Phase::Restoring { .. }))
    };
    mark.serial <= read.permits && restoring(read) && restoring(next)
}
