//! What is told of a node.

use std::time::Duration;

use pullkeeper_core::drain::{Fate, Reason};

use super::wait::Why;
use super::{CRITICAL, Oath, known};
use crate::evictions::Time;
use crate::evictions::engine::{Engine, Looked, time};
use crate::oath::{Kept, broken};

/// After so long without progress there is a blocker. Waited for in silence are 30 seconds for an answer, as much as the server
/// asks for after a lost race, and 10 for the turn of a pod whose budget others may have spent.
const PATIENCE: Time = 60_000;

impl Oath {
    /// What is said of each node.
    pub(super) fn tells(&mut self, looked: &Looked, engine: &Engine, now: Time) -> Kept {
        let left = &looked.step.left;
        self.throttled.retain(|name, _| left.contains_key(name));
        for (name, left) in left {
            let (count, throttled) = self.throttled.entry(name.clone()).or_default();
            *count = left.left;
            if left.throttled.abs_diff(*throttled) > Duration::from_millis(1) {
                let what = format!("{name}: {:?}, not {throttled:?}", left.throttled);
                return broken("L8: how long the server was busy is told", what);
            }
            self.names_both(name, looked, engine)?;
            self.gives_a_reason(name, looked, engine, now)?;
        }
        Ok(())
    }

    /// Who has two budgets is told once, with both.
    fn names_both(&self, name: &str, looked: &Looked, engine: &Engine) -> Kept {
        let blockers = &looked.step.left[name].blockers;
        for pod in &looked.pods[name].pods {
            if pod.fate(&engine.options) != Fate::Goes {
                continue;
            }
            let budgets = known(engine, pod);
            let wait = self.waits.get(&pod.uid);
            if budgets.len() < 2 || wait.is_some_and(|wait| wait.why == Why::End) {
                continue;
            }
            let path = pod.path();
            let mine = blockers
                .iter()
                .filter(|one| one.pod == path && one.reason == Reason::ManyDisruptionBudgets);
            let mine: Vec<_> = mine.collect();
            let names = |message: &str| {
                let mut names = budgets.iter().map(|budget| budget.name.to_string());
                names.all(|name| message.contains(&name))
            };
            if mine.len() != 1 || !names(&mine[0].message) {
                let what = format!("{path}: {blockers:?}");
                return broken("L10: who has two budgets is told once, with both", what);
            }
        }
        Ok(())
    }

    /// What makes no progress has a reason.
    fn gives_a_reason(&mut self, name: &str, looked: &Looked, engine: &Engine, now: Time) -> Kept {
        let (left, node) = (&looked.step.left[name], &looked.pods[name]);
        let others = node.pods.iter().any(|pod| {
            let fate = pod.fate(&engine.options);
            pod.priority < CRITICAL && matches!(fate, Fate::Goes | Fate::Leaving)
        });
        let counts = node.open && self.busy <= time(now);
        for pod in &node.pods {
            let (path, fate) = (pod.path(), pod.fate(&engine.options));
            let told = left.blockers.iter().any(|one| one.pod == path);
            let ends = fate == Fate::Leaving && !pod.overdue;
            let last = pod.priority >= CRITICAL && others;
            let mute = self.mute.entry(pod.uid.clone()).or_insert((0, now));
            if counts {
                mute.0 += now.saturating_sub(mute.1);
            }
            mute.1 = now;
            if told || fate == Fate::Stays || ends || last {
                mute.0 = 0;
            }
            if mute.0 > PATIENCE {
                let what = format!("{path}: {fate:?} {:?}", self.waits.get(&pod.uid));
                return broken("L13: what makes no progress has a reason", what);
            }
        }
        Ok(())
    }
}
