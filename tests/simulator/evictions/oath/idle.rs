//! Nobody waits without a reason.

use std::time::Duration;

use pullkeeper_core::drain::{Fate, Pod};

use super::wait::Why;
use super::{AT_ONCE, CRITICAL, Oath, SPENT, allowed, known};
use crate::evictions::engine::{Engine, Looked, time};
use crate::evictions::server::spares;
use crate::oath::{Kept, broken};

/// Rounding.
const BREATH: Duration = Duration::from_millis(5);

impl Oath {
    /// Whoever was not sent has a reason.
    pub(super) fn idles(&self, looked: &Looked, engine: &Engine, now: Duration) -> Kept {
        for (name, node) in &looked.pods {
            let flights = self.flights.values();
            let flights = flights.filter(|flight| flight.node == *name).count();
            if !node.open || now < self.busy + BREATH || flights >= AT_ONCE {
                continue;
            }
            let fates = node.pods.iter();
            let fates = fates.map(|pod| (pod, pod.fate(&engine.options)));
            let goes = |fate| matches!(fate, Fate::Goes | Fate::Leaving);
            let others = fates
                .clone()
                .any(|(pod, fate)| goes(fate) && pod.priority < CRITICAL);
            let listed = time(engine.nodes[name].pods.listed);
            for (pod, _) in fates.filter(|(_, fate)| *fate == Fate::Goes) {
                let last = pod.priority >= CRITICAL && others;
                if !last && self.may_go(pod, listed, engine, now) {
                    let wait = self.waits.get(&pod.uid);
                    let what = format!("{} {} {wait:?}", pod.path(), pod.uid);
                    return broken("L8, L9: who may go goes", what);
                }
            }
        }
        Ok(())
    }

    /// Whether nothing keeps a pod that is to go.
    fn may_go(&self, pod: &Pod, listed: Duration, engine: &Engine, now: Duration) -> bool {
        let waits = self.waits.get(&pod.uid).is_some_and(|wait| {
            let holds = match wait.why {
                Why::Time => false,
                Why::List(since) => listed < since,
                Why::End => true,
            };
            holds || now < wait.latest + BREATH
        });
        if waits || self.replaced.contains(&pod.uid) || self.flights.contains_key(&pod.uid) {
            return false;
        }
        let budget = match known(engine, pod)[..] {
            [] => return true,
            [budget] if spares(budget, pod) => return true,
            [budget] => budget,
            _ => return false,
        };
        let spent = self.spent.get(&budget.name).into_iter().flatten();
        let mut spent = spent.filter(|one| one.version == budget.version);
        let closed = self.closed.get(&budget.name);
        let closed = closed
            .is_some_and(|(version, until)| *version == budget.version && now < *until + BREATH);
        allowed(budget) > 0
            && !closed
            && !self.in_flight(&budget.name)
            && !spent.any(|one| now < one.at + SPENT + BREATH)
    }
}
