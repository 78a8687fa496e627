//! Whether the pods of nodes would go.

use std::collections::BTreeMap;
use std::time::Duration;

use pullkeeper_core::drain::Blocker;
use pullkeeper_core::rollout::{Fleet, Forecast};
use tokio::time::{Instant, timeout};

use super::super::drain::{Engine, Task, What};
use super::super::intent::Intent;
use super::super::view::View;

/// After so long without anything new nobody waits for the rest.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two times that the engine is told what is wanted.
const TICK: Duration = Duration::from_secs(2);

/// What evictions of a node's pods would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// So many pods would have to go, and these would not.
    Found { pods: usize, blockers: Vec<Blocker> },
    /// Nobody can tell.
    Unknown(String),
}

/// Has the engine try the pods of all nodes that would go, by name.
pub(super) async fn try_pods(
    view: &View,
    engine: &Engine,
    intent: &Intent,
    forecast: &Forecast,
    fleet: &Fleet,
) -> BTreeMap<String, Tried> {
    let names = forecast.waves.iter().flat_map(|wave| &wave.nodes);
    let task = |name: &String| {
        let task = Task {
            uid: fleet.nodes.get(name)?.uid.clone(),
            serial: 0,
            what: What::Inspect,
        };
        Some((name.clone(), task))
    };
    let wanted: BTreeMap<_, _> = names.filter_map(task).collect();
    let mut tried = BTreeMap::new();
    let mut news = Instant::now();
    while tried.len() < wanted.len() && news.elapsed() < PATIENCE {
        engine.heed(wanted.clone(), intent.drains());
        let _changed = timeout(TICK, view.changed()).await;
        let known = tried.len();
        for (name, seen) in engine.views() {
            let (pods, blockers) = (seen.left, seen.blockers);
            tried.insert(name, Tried::Found { pods, blockers });
        }
        if tried.len() > known {
            news = Instant::now();
        }
    }
    let troubles = engine.troubles().join("; ");
    for name in wanted.into_keys() {
        let unknown = || Tried::Unknown(troubles.clone());
        tried.entry(name).or_insert_with(unknown);
    }
    tried
}
