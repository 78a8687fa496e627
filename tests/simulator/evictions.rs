//! Nodes that are emptied by `core::drain`, in virtual time: an API server that says everything it can say, controllers that make
//! pods anew and count them late, watches that lag and break, humans, engines that forget all they knew.
//!
//! A run is a function of its seed. What an engine promises is checked whenever it decides, sends, hears and tells something.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use pullkeeper_core::drain::{Answer, BudgetName, Eviction, Options};

use self::cluster::App;
use self::engine::{Engine, Seen};
pub use self::flaw::Flaw;
use self::lead::Lead;
use self::oath::Oath;
use self::server::Server;
use crate::oath::{Kept, Violation, broken};
use crate::seeds::Outcome;

mod calm;
mod chaos;
mod cluster;
mod engine;
mod events;
mod feed;
mod flaw;
mod lead;
mod oath;
mod server;

/// Milliseconds since a run began.
type Time = u64;

/// The nodes that are emptied. There is another one, which is not.
const NODES: [&str; 3] = ["n1", "n2", "n3"];
const SPARE: &str = "spare";
/// For how long after a cordon a scheduler may still send pods that it had chosen the node for.
const SCHEDULER_LAG: Time = 8_000;
/// How long it may take until every node is empty that can be, once nothing goes wrong any more.
const BOUND: Time = 1_200_000;

/// What a run is made of, besides its seed.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// For how many seconds everything goes wrong.
    pub seconds: u64,
    /// A mistake that all engines make.
    pub flaw: Option<Flaw>,
}

impl Plan {
    /// What tests and figures play, so that a seed is the same in both.
    pub const USUAL: Self = Self {
        seconds: 240,
        flaw: None,
    };
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The first broken promise.
    pub violation: Option<Violation>,
    /// What happened, in this order.
    pub trace: Vec<String>,
    /// What was answered to evictions, and how often.
    pub answers: BTreeMap<&'static str, usize>,
    /// Nodes that were found empty.
    pub drains: usize,
    /// Inspections that came to an end.
    pub inspections: usize,
    /// Engines that have forgotten everything.
    pub restarts: usize,
    /// Words for what kept pods, and at how many looks they were said.
    pub blockers: BTreeMap<&'static str, usize>,
    /// Seconds until every node was empty that could be, once nothing went wrong any more.
    pub calm: u64,
}

impl Outcome for Run {
    const TEST: &'static str = "evictions::tests::no_promise_is_broken";

    fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    fn trace(&self) -> &[String] {
        &self.trace
    }
}

/// What happens at some time.
#[derive(Clone, Debug)]
enum Event {
    /// The engine looks, unless another time was set.
    Look(Time),
    /// The lead says what it wants.
    Heed,
    /// There is a connection for an eviction, of an engine.
    Send(u64, Eviction),
    /// What was to be sent, and what was.
    Arrive(u64, Eviction, Eviction),
    Answer(u64, Eviction, Answer),
    /// An engine is told of the nodes up to a version.
    Nodes(u64, usize),
    /// Who follows something is told up to a version.
    Tell(u64, usize),
    /// The server makes a list.
    Fetch(u64, u64),
    /// The list is there.
    List(u64, u64),
    /// A watch that has broken goes on.
    Mend(u64),
    /// A list is tried again.
    Again(u64),
    /// A budget's pods are counted.
    Count(BudgetName),
    /// An app's pods are made anew.
    Reconcile(usize),
    /// A pod comes to the node that was chosen for it.
    Bind(String, String),
    /// A pod runs.
    Start(String),
    /// A pod ends.
    End(String),
    /// A namespace that is deleted tells its pods to end.
    Stamp(String),
    /// A node that was gone is back.
    Join(String),
    Disturb,
}

/// What goes wrong, and until when.
#[derive(Clone, Copy, Debug, Default)]
struct Luck {
    /// The server has too much to do.
    busy: Time,
    /// Requests and answers get lost.
    lossy: Time,
    /// Budgets are counted late.
    uncounted: Time,
    /// Budgets are changed by others all the time.
    raced: Time,
}

struct World {
    rng: Rng,
    now: Time,
    queue: BTreeMap<(Time, u64), Event>,
    queued: u64,
    server: Server,
    /// The version up to which changes were spread.
    spread: usize,
    /// Pods that are about to end.
    ending: BTreeSet<String>,
    /// Budgets that are about to be counted.
    counting: BTreeSet<BudgetName>,
    /// Apps that are about to be looked at.
    reconciling: BTreeSet<usize>,
    apps: Vec<App>,
    born: u64,
    engine: Engine,
    options: Options,
    settle: Duration,
    /// When the engine looks, and when it last did.
    look: (Option<Time>, Time),
    /// Lists that are under way.
    listing: BTreeSet<u64>,
    seen: BTreeMap<String, Seen>,
    lead: Lead,
    luck: Luck,
    oath: Oath,
    is_calm: bool,
    /// Nodes that are as empty as they can be.
    done: BTreeSet<String>,
    flaw: Option<Flaw>,
    run: Run,
}

/// Empties nodes. The same seed gives the same run.
pub fn run(seed: u64, plan: Plan) -> Run {
    let mut world = World::new(seed, plan);
    let violation = world.play(plan.seconds * 1000).err();
    let mut run = world.run;
    run.violation = violation;
    run
}

impl World {
    fn new(seed: u64, plan: Plan) -> Self {
        let mut rng = Rng::with_seed(seed);
        let skip = serde_json::from_str(r#"{"matchLabels": {"keep": "yes"}}"#);
        let options = Options {
            force: rng.u32(0..3) == 0,
            delete_empty_dir_data: rng.bool(),
            skip: skip.ok(),
        };
        let settle = Duration::from_millis(SCHEDULER_LAG + rng.u64(500..6_000));
        let mut world = Self {
            rng,
            now: 1_000,
            queue: BTreeMap::new(),
            queued: 0,
            server: Server::default(),
            spread: 0,
            ending: BTreeSet::new(),
            counting: BTreeSet::new(),
            reconciling: BTreeSet::new(),
            apps: Vec::new(),
            born: 0,
            engine: Engine::new(1, options.clone(), settle, plan.flaw),
            options,
            settle,
            look: (None, 0),
            listing: BTreeSet::new(),
            seen: BTreeMap::new(),
            lead: Lead::default(),
            luck: Luck::default(),
            oath: Oath::default(),
            is_calm: false,
            done: BTreeSet::new(),
            flaw: plan.flaw,
            run: Run {
                violation: None,
                trace: Vec::new(),
                answers: BTreeMap::new(),
                drains: 0,
                inspections: 0,
                restarts: 0,
                blockers: BTreeMap::new(),
                calm: 0,
            },
        };
        world.populate();
        world
    }

    fn play(&mut self, chaos: Time) -> Kept {
        self.at(0, Event::Heed);
        self.at(0, Event::Look(self.now));
        self.look.0 = Some(self.now);
        self.at(500, Event::Disturb);
        let mut end = Time::MAX;
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            if !self.is_calm && at >= chaos {
                self.calm();
                end = at + BOUND;
            }
            if at > end {
                let left = format!("{:?}", self.seen);
                return broken("L9: every node becomes empty that can", left);
            }
            self.happen(event)?;
            self.spread();
            if self.is_calm && self.done.len() == NODES.len() {
                self.run.calm = (at + BOUND - end) / 1000;
                break;
            }
        }
        Ok(())
    }

    /// Something is to happen after so many milliseconds.
    fn at(&mut self, wait: Time, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + wait, self.queued), event);
    }

    /// How long a message takes.
    fn lag(&mut self) -> Time {
        let longest = match self.rng.u32(0..20) {
            0 if !self.is_calm => 5_000,
            1..4 => 800,
            _ => 100,
        };
        self.rng.u64(1..=longest)
    }

    fn tell(&mut self, what: impl Into<String>) {
        let seconds = Duration::from_millis(self.now).as_secs_f64();
        self.run.trace.push(format!("{seconds:.3} {}", what.into()));
    }
}

#[cfg(test)]
mod tests;
