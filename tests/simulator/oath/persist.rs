//! What is promised about what one ledger has of the one before it.

use pullkeeper_core::rollout::{Ledger, Phase, Stage};

use super::{Kept, broken};

/// Whoever has a slot that it did not have before begins with nothing.
pub(super) fn begins(before: &Ledger, after: &Ledger) -> Kept {
    for (name, one) in &after.reservations {
        let former = before.reservations.get(name);
        if former.is_some_and(|former| former.permit.uid == one.permit.uid) {
            continue;
        }
        let own = one.mark.is_none_or(|mark| mark == one.permit.serial);
        let new = one.permit.serial > before.permits && own;
        if !new || one.permitted.is_some() || one.phase != Phase::Reserved {
            return broken("S18: a node that was made anew inherits no slot", name);
        }
    }
    Ok(())
}

/// No time begins anew that one ledger has of the one before it, nor what was reached.
pub(super) fn carries_on(before: &Ledger, after: &Ledger) -> Kept {
    for (name, one) in &after.reservations {
        let former = before.reservations.get(name);
        let Some(former) = former.filter(|former| former.permit == one.permit) else {
            continue;
        };
        let permitted = former.permitted.is_none() || former.permitted == one.permitted;
        let ((word, since), (former_word, former_since)) = (one.stands(), former.stands());
        let stays = word != former_word || since == former_since;
        if !permitted || !stays || former.since != one.since {
            return broken("L7: no deadline begins anew", name);
        }
    }
    if before.generation != after.generation {
        return Ok(());
    }
    if rank(after.stage) < rank(before.stage) {
        let seen = format!("{:?} after {:?}", after.stage, before.stage);
        return broken("L11: what was reached is not begun again", seen);
    }
    if let (Stage::Soak { since: former }, Stage::Soak { since }) = (before.stage, after.stage)
        && former != since
    {
        return broken("L7: no time to soak begins anew", format!("{since:?}"));
    }
    if before.resumes != after.resumes {
        return Ok(());
    }
    for (uid, former) in &before.parked {
        let next = after.parked.get(uid);
        if next.is_some_and(|next| next.times == former.times && next.since != former.since) {
            return broken("L7: no pause begins anew", uid);
        }
    }
    for (uid, former) in &before.failures {
        if after.failures.get(uid).is_none_or(|next| next != former) {
            return broken("L14: who has failed has failed once", uid);
        }
    }
    Ok(())
}

fn rank(stage: Stage) -> u8 {
    match stage {
        Stage::Canary => 0,
        Stage::Soak { .. } => 1,
        Stage::Waves => 2,
    }
}
