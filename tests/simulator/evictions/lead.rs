//! Whoever wants nodes emptied: looks at their pods, cordons them, says so again and again, and gives them back.

use std::collections::BTreeMap;

use pullkeeper_core::drain::{Budget, BudgetName, Fate, Pod, Reason, Verdict, judge, preflight};

use super::engine::Task;
use super::flaw::Flaw;
use super::oath::Oath;
use super::server::{ApiNode, guards};
use super::{Event, NODES, Time, World};
use crate::oath::{Kept, broken};

/// What the lead wants.
#[derive(Default)]
pub(super) struct Lead {
    /// The nodes that are cordoned, and until when.
    pub(super) tasks: BTreeMap<String, (Task, Time)>,
    pub(super) paused: bool,
    /// Until when it says nothing.
    pub(super) silent: Time,
    serial: u64,
}

impl World {
    /// Says what is wanted now.
    pub(super) fn heed(&mut self) -> Kept {
        let wait = self.rng.u64(500..2_500);
        self.at(wait, Event::Heed);
        if self.now < self.lead.silent {
            return Ok(());
        }
        for name in NODES {
            match self.lead.tasks.get(name).cloned() {
                Some((task, until)) => self.go_on(name, &task, until)?,
                None if self.is_calm || self.rng.u32(0..12) == 0 => self.begin(name)?,
                None => {}
            }
        }
        let tasks = self.lead.tasks.iter();
        let tasks = tasks.map(|(name, (task, _))| (name.clone(), task.clone()));
        let paused = self.lead.paused;
        self.engine.orders = (self.now, tasks.filter(|_| !paused).collect());
        self.wake();
        Ok(())
    }

    fn begin(&mut self, name: &str) -> Kept {
        let Some(node) = self.server.nodes.get(name) else {
            return Ok(());
        };
        let uid = node.uid.clone();
        self.inspect(name)?;
        self.lead.serial += 1;
        let serial = self.lead.serial;
        self.cordon(name, Some(serial));
        let task = Task { uid, serial };
        self.tell(format!("{name} is to be emptied, {serial}"));
        let until = self.now + self.rng.u64(40_000..200_000);
        self.lead.tasks.insert(name.to_owned(), (task, until));
        Ok(())
    }

    pub(super) fn cordon(&mut self, name: &str, cordon: Option<u64>) {
        if let Some(node) = self.server.nodes.get(name) {
            let uid = node.uid.clone();
            self.server.set_node(name, Some(ApiNode { uid, cordon }));
        }
    }

    fn go_on(&mut self, name: &str, task: &Task, until: Time) -> Kept {
        let node = self.server.nodes.get(name);
        let ours =
            node.is_some_and(|node| node.uid == task.uid && node.cordon == Some(task.serial));
        if !ours {
            self.lead.tasks.remove(name);
            return Ok(());
        }
        let followed = self.engine.nodes.get(name);
        let seen = self
            .seen
            .get(name)
            .filter(|_| followed.is_some_and(|one| one.task == *task));
        let Some(seen) = seen else {
            return Ok(());
        };
        if seen.left.left == 0 && seen.settled >= self.settle {
            Oath::drained(name, task.serial, &self.server, &self.options)?;
            if self.done.contains(name) {
                return Ok(());
            }
            self.run.drains += 1;
            self.tell(format!("{name} is empty"));
            if self.is_calm {
                self.done.insert(name.to_owned());
                return Ok(());
            }
            self.cordon(name, None);
            self.lead.tasks.remove(name);
        } else if self.is_calm {
            let never = |reason| matches!(reason, Reason::NoController | Reason::EmptyDir);
            let blockers = seen.left.blockers.iter();
            if blockers.filter(|one| never(one.reason)).count() == seen.left.left {
                self.done.insert(name.to_owned());
            }
        } else if self.now > until {
            self.tell(format!("{name} takes too long"));
            self.cordon(name, None);
            self.lead.tasks.remove(name);
        }
        Ok(())
    }

    /// Finds out what would keep the pods of a node.
    fn inspect(&mut self, name: &str) -> Kept {
        if !self.engine.budgets.is_followed() {
            return Ok(());
        }
        let pods = self.server.pods_of(name);
        let pods: Vec<_> = pods.map(|one| one.pod.clone()).collect();
        let known = self.engine.budgets.objects.iter().flatten();
        let known: Vec<_> = known.map(|(_, one)| one.clone()).collect();
        let budgets = known.iter().cloned().collect();
        let mut before = preflight(&pods, &budgets, &self.options);
        if self.flaw == Some(Flaw::AsksNobody) {
            before.asks.clear();
        }
        let version = self.server.version();
        let mut blocked = before.blockers;
        for ask in &before.asks {
            Oath::arrives(ask, &self.server, &self.options)?;
            let answer = self.server.evict(ask, true, false, self.now);
            let pod = pods.iter().find(|pod| pod.uid == ask.uid);
            match pod.map(|pod| judge(pod, &budgets, &answer)) {
                Some(Verdict::Blocked(blocker)) => blocked.push(blocker),
                Some(Verdict::Fine) => {}
                Some(Verdict::Again) | None => return Ok(()),
            }
        }
        if self.server.version() != version {
            return broken("inspections change nothing", name);
        }
        self.run.inspections += 1;
        let there = self.server.budgets.values().map(|one| one.budget.clone());
        if there.collect::<Vec<_>>() != known {
            return Ok(());
        }
        // What one pod was told holds for whoever has the same budgets, and is as ready.
        let kind = |pod: &Pod| -> (Vec<BudgetName>, bool) {
            let mine = known.iter().filter(|one: &&Budget| guards(one, pod));
            (mine.map(|one| one.name.clone()).collect(), pod.ready)
        };
        let told = |path: &str| blocked.iter().any(|one| one.pod == path);
        let kinds = pods.iter().filter(|pod| told(&pod.path()));
        let kinds: Vec<_> = kinds.map(kind).collect();
        for pod in pods
            .iter()
            .filter(|pod| pod.fate(&self.options) == Fate::Goes)
        {
            let answer = self.server.evict(&pod.eviction(), true, false, self.now);
            let Verdict::Blocked(blocker) = judge(pod, &budgets, &answer) else {
                continue;
            };
            let by_budgets = matches!(
                blocker.reason,
                Reason::DisruptionBudget | Reason::ManyDisruptionBudgets
            );
            if by_budgets && !kinds.contains(&kind(pod)) {
                return broken("inspections find what blocks a pod", format!("{blocker:?}"));
            }
        }
        Ok(())
    }
}
