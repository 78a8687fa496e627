//! Every version of the ledger that was stored.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use support::cluster::Watch;
use tokio::task::JoinHandle;

/// Writes down every version while a rollout goes on.
pub(crate) struct Recorder(JoinHandle<Result<Vec<Value>>>);

/// What there was, oldest first.
pub(crate) struct History(Vec<Value>);

impl Recorder {
    /// Listens until it is told that a version is the last one.
    pub(crate) fn on(mut history: Watch, last: impl Fn(&Value) -> bool + Send + 'static) -> Self {
        Self(tokio::spawn(async move {
            let mut versions = Vec::new();
            loop {
                let event = history.next().await?.context("the watch has ended")?;
                let version = event["object"].clone();
                let done = last(&version);
                versions.push(version);
                if done {
                    return Ok(versions);
                }
            }
        }))
    }

    /// Everything, once the last version has been stored.
    pub(crate) async fn history(self) -> Result<History> {
        Ok(History(self.0.await??))
    }
}

/// Whether a version says that the generation is complete.
pub(crate) fn complete(generation: u64) -> impl Fn(&Value) -> bool {
    move |version| {
        let status = &version["status"];
        status["phase"] == "Complete" && status["generation"] == generation
    }
}

impl History {
    /// The nodes that had a slot in each version.
    fn reserved(&self) -> impl Iterator<Item = BTreeSet<&str>> {
        self.0.iter().map(|version| {
            let reservations = version["status"]["ledger"]["reservations"].as_object();
            reservations
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str())
                .collect()
        })
    }

    /// Every node that ever had a slot, in the order in which they got it: that of their permits.
    pub(crate) fn admitted(&self) -> Vec<&str> {
        let mut serials = BTreeMap::new();
        for version in &self.0 {
            let reservations = version["status"]["ledger"]["reservations"].as_object();
            for (name, reservation) in reservations.into_iter().flatten() {
                let serial = reservation["permit"]["serial"].as_u64().unwrap_or(0);
                serials.entry(serial).or_insert(name.as_str());
            }
        }
        serials.into_values().collect()
    }

    /// The most nodes of one group that had a slot at once.
    pub(crate) fn most(&self, group: impl Fn(&str) -> String) -> usize {
        let largest = |reserved: BTreeSet<&str>| {
            let mut groups = BTreeMap::<_, usize>::new();
            for name in reserved {
                *groups.entry(group(name)).or_default() += 1;
            }
            groups.into_values().max().unwrap_or(0)
        };
        self.reserved().map(largest).max().unwrap_or(0)
    }

    /// The phases, each once in a row.
    pub(crate) fn phases(&self) -> Vec<&str> {
        let phases = self
            .0
            .iter()
            .filter_map(|version| version["status"]["phase"].as_str());
        let mut phases: Vec<_> = phases.collect();
        phases.dedup();
        phases
    }

    /// How far a node's slot was, each phase once in a row; the first has no name.
    pub(crate) fn slot_phases(&self, node: &str) -> Vec<&str> {
        let slots = self.0.iter().filter_map(|version| {
            let slot = &version["status"]["ledger"]["reservations"][node];
            let phase = slot["phase"]["name"].as_str().unwrap_or("Reserved");
            slot.is_object().then_some(phase)
        });
        let mut phases: Vec<_> = slots.collect();
        phases.dedup();
        phases
    }

    /// How many versions there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What never may be, whatever happens: a slot given while it is halted or paused, a ledger that goes back.
    pub(crate) fn is_lawful(&self) -> Result<()> {
        let mut former: Option<&Value> = None;
        for version in &self.0 {
            let ledger = &version["status"]["ledger"];
            if let Some(before) = former
                && before.is_object()
            {
                for counter in ["generation", "permits", "resumes"] {
                    ensure!(
                        ledger[counter].as_u64() >= before[counter].as_u64(),
                        "{counter} goes back: {before} then {ledger}"
                    );
                }
                let serial = |ledger: &Value, name: &str| {
                    ledger["reservations"][name]["permit"]["serial"].as_u64()
                };
                let held = ledger["halt"].is_object() && before["halt"].is_object();
                let paused = version["spec"]["paused"] == true;
                let same = ledger["generation"] == before["generation"];
                let names = ledger["reservations"].as_object();
                for name in names.into_iter().flatten().map(|(name, _)| name) {
                    let new = serial(before, name).is_none();
                    ensure!(
                        !(new && same && (held || paused)),
                        "{name} got a slot while nobody may start: {ledger}"
                    );
                }
            }
            former = Some(ledger);
        }
        Ok(())
    }
}
