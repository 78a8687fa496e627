//! What happens, by chance.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use pullkeeper_core::rollout::{
    Canary, Cordon, Drain, FailureBudget, Ledger, Limit, Node, Phase, Policy, SecretSource,
    Strategy, Time,
};

use crate::agent::{Machine, Temper};
use crate::coordinator::{Coordinator, Rollout, Write};
use crate::flaw::Flaw;
use crate::oath::{Look, Oath, Violation, decides};
use crate::pods::{Guard, Pod, SCHEDULER_LAG};
use crate::seeds::Outcome;

mod calm;
mod chaos;
mod lead;

/// What a run is made of, besides its seed.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many nodes there are at first.
    pub nodes: usize,
    /// How many coordinators compete.
    pub coordinators: usize,
    /// How many steps everything goes wrong.
    pub steps: usize,
    /// A mistake that all coordinators make.
    pub flaw: Option<Flaw>,
}

impl Plan {
    /// What tests and figures play, so that a seed is the same in both.
    pub const USUAL: Self = Self {
        nodes: 12,
        coordinators: 2,
        steps: 1500,
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
    /// Permits that were acted on.
    pub actions: usize,
    /// Generations that were rolled out.
    pub generations: u64,
    /// Pods that were evicted.
    pub evictions: usize,
    /// Nodes that were drained: no pod was left on them.
    pub drains: usize,
    /// Slots of drained nodes that were to come back, by the word for what for; permits that were called back as well.
    pub restored: BTreeMap<&'static str, usize>,
}

impl Outcome for Run {
    const TEST: &'static str = "tests::no_promise_is_broken";

    fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    fn trace(&self) -> &[String] {
        &self.trace
    }
}

struct World {
    rng: Rng,
    now: Time,
    rollout: Rollout,
    /// Which version the Secret has.
    secret: u64,
    machines: BTreeMap<String, Machine>,
    coordinators: Vec<Coordinator>,
    under_way: Vec<Write>,
    oath: Oath,
    born: usize,
    actions: usize,
    evictions: usize,
    drains: usize,
    restored: BTreeMap<&'static str, usize>,
    /// How nodes are drained when they are.
    drain: Drain,
    /// Whether nothing goes wrong any more.
    is_calm: bool,
    trace: Vec<String>,
    flaw: Option<Flaw>,
}

/// Plays a rollout. The same seed gives the same run.
pub fn run(seed: u64, plan: Plan) -> Run {
    let mut world = World::new(seed, plan);
    let violation = world.play(plan.steps).err();
    Run {
        violation,
        trace: world.trace,
        actions: world.actions,
        generations: world.rollout.ledger.generation,
        evictions: world.evictions,
        drains: world.drains,
        restored: world.restored,
    }
}

type Kept = Result<(), Violation>;

impl World {
    fn new(seed: u64, plan: Plan) -> Self {
        let mut rng = Rng::with_seed(seed);
        let drain = Drain {
            settle: Duration::from_secs(rng.u64(21..40)),
            deadline: Duration::from_secs(rng.u64(90..400)),
            patience: Duration::from_secs(rng.u64(20..60)),
            backoff: Duration::from_secs(rng.u64(5..30)),
        };
        let policy = Policy {
            sources: vec![SecretSource {
                namespace: "openshift-config".to_owned(),
                name: Some("pull-secret".to_owned()),
            }],
            strategy: match rng.u32(0..4) {
                0 => Strategy::FileOnly,
                1 => Strategy::Restart,
                _ => Strategy::Drain(drain),
            },
            canary: Canary::Count(rng.u32(0..3)),
            soak: Duration::from_secs(rng.u64(0..120)),
            slots: Limit::Count(rng.u32(1..5)),
            slots_per_zone: rng.bool().then_some(Limit::Count(2)),
            slots_per_pool: None,
            max_unavailable: rng.bool().then(|| Limit::Count(rng.u32(1..6))),
            failures: FailureBudget {
                count: rng.u32(0..4),
                percent: 100,
            },
            deadline: Duration::from_secs(120),
            paused: false,
            open: true,
            resumes: 0,
        };
        let mut world = Self {
            now: Time(0),
            rollout: Rollout {
                version: 1,
                policy,
                ledger: Ledger::default(),
            },
            secret: 1,
            machines: BTreeMap::new(),
            coordinators: vec![Coordinator::default(); plan.coordinators],
            under_way: Vec::new(),
            oath: Oath::default(),
            born: 0,
            actions: 0,
            evictions: 0,
            drains: 0,
            restored: BTreeMap::new(),
            drain,
            is_calm: false,
            trace: Vec::new(),
            flaw: plan.flaw,
            rng,
        };
        for number in 0..plan.nodes {
            let machine = world.machine(number < 3);
            world.machines.insert(format!("node-{number:04}"), machine);
        }
        world
    }

    fn machine(&mut self, control_plane: bool) -> Machine {
        self.born += 1;
        let node = Node {
            uid: format!("uid-{}", self.born),
            zone: Some(format!("zone-{}", self.rng.u32(0..3))),
            pool: None,
            control_plane,
            ready: true,
            ..Node::default()
        };
        let temper = match self.rng.u32(0..20) {
            0 => Temper::Failing,
            1 => Temper::Silent,
            _ => Temper::Good,
        };
        let mut machine = Machine::new(node, temper);
        for _ in 0..self.rng.u32(0..3) {
            machine.pods.push(self.pod());
        }
        machine
    }

    fn pod(&mut self) -> Pod {
        let guard = match self.rng.u32(0..40) {
            _ if self.is_calm => Guard::None,
            0..3 => Guard::Always,
            3..6 => Guard::Until(Time(self.now.0 + self.rng.u64(0..300_000))),
            6..8 => Guard::From(Time(self.now.0 + self.rng.u64(0..300_000))),
            8..11 => Guard::Sibling(format!("node-{:04}", self.rng.u32(0..12))),
            _ => Guard::None,
        };
        Pod::new(guard, self.now)
    }

    fn tell(&mut self, what: String) {
        self.trace.push(format!("{:>9} {what}", self.now.0));
    }

    fn play(&mut self, steps: usize) -> Kept {
        for _ in 0..steps {
            self.now = Time(self.now.0 + self.rng.u64(0..3000));
            match self.rng.u32(0..100) {
                0..35 => self.coordinate(false)?,
                35..60 => self.deliver()?,
                60..80 => self.act()?,
                80..90 => self.evict()?,
                90..95 => self.disturb(),
                _ => self.interfere(),
            }
        }
        self.calm()
    }

    fn any(&mut self, below: usize) -> Option<usize> {
        (below > 0).then(|| self.rng.usize(0..below))
    }

    /// One write arrives, is lost, or arrives twice; or its sender does not hear that it did.
    fn deliver(&mut self) -> Kept {
        let Some(which) = self.any(self.under_way.len()) else {
            return Ok(());
        };
        let write = match self.rng.u32(0..10) {
            0 => self.under_way[which].clone(),
            _ => self.under_way.swap_remove(which),
        };
        if self.rng.u32(0..10) == 0 {
            return Ok(());
        }
        self.arrive(write)
    }

    fn arrive(&mut self, write: Write) -> Kept {
        match write {
            Write::Ledger { seen, blind, .. } if seen != self.rollout.version && !blind => {}
            Write::Ledger { by, ledger, .. } => {
                self.replace(*ledger)?;
                if self.rng.u32(0..4) > 0 {
                    self.coordinators[by].rollout = Some(self.rollout.clone());
                }
            }
            Write::Permit {
                name,
                permit,
                revision,
                restart,
                seen,
            } => {
                let machine = self.machines.get_mut(&name);
                let fits =
                    |one: &&mut Machine| one.node.uid == permit.uid && one.record_version == seen;
                if let Some(machine) = machine.filter(fits) {
                    machine.node.record.get_or_insert_default().permit = Some(permit.clone());
                    machine.record_version += 1;
                    machine.permitted = revision;
                    machine.restarts = restart;
                    self.tell(format!("{name} gets {permit:?}"));
                    self.oath.permitted(&name, &permit)?;
                }
            }
            Write::Cordon {
                name,
                uid,
                serial,
                seen,
                blind,
            } => {
                let mut late = self.pod();
                late.comes = Time(self.now.0 + self.rng.u64(0..SCHEDULER_LAG));
                let comes = self.rng.u32(0..4) == 0;
                let fits =
                    |one: &&mut Machine| one.node.uid == uid && (one.node_version == seen || blind);
                if let Some(machine) = self.machines.get_mut(&name).filter(fits) {
                    self.oath.cordons(&name, serial, seen, machine)?;
                    machine.cordon(serial, self.now);
                    machine.pods.extend(comes.then_some(late));
                    self.tell(format!("{name} is cordoned: {serial}"));
                }
            }
            Write::Uncordon {
                name,
                uid,
                seen,
                blunt,
            } => {
                let fits = |one: &&mut Machine| one.node.uid == uid && one.node_version == seen;
                if let Some(machine) = self.machines.get_mut(&name).filter(fits) {
                    let before = machine.node.cordon.clone();
                    machine.release(self.now);
                    if blunt {
                        machine.set_cordon(Cordon::None, self.now);
                    }
                    let after = &machine.node.cordon;
                    Oath::uncordons(&name, &before, after, &self.rollout.ledger)?;
                    self.tell(format!("{name} is uncordoned: {before:?}"));
                }
            }
        }
        Ok(())
    }

    fn replace(&mut self, ledger: Ledger) -> Kept {
        let reserved = ledger.reservations.iter();
        let reserved: BTreeMap<_, _> = reserved
            .map(|(name, one)| (name.clone(), (one.stands().0, one.why())))
            .collect();
        self.tell(format!("{:?} {reserved:?} {:?}", ledger.stage, ledger.halt));
        let machines = &self.machines;
        let find = |name: &str| machines.get(name);
        // A view may be older, and have had as many nodes as there ever were.
        let nodes = self.born;
        self.oath
            .written(&self.rollout, &ledger, find, nodes, self.now.0)?;
        self.count(&ledger);
        self.rollout.ledger = ledger;
        self.rollout.version += 1;
        Ok(())
    }

    /// Counts why slots of drained nodes are to come back, and permits that are called back.
    fn count(&mut self, next: &Ledger) {
        for (name, one) in &next.reservations {
            let former = self.rollout.ledger.reservations.get(name);
            if former.is_some_and(|former| former.phase == one.phase) {
                continue;
            }
            let why = match one.phase {
                Phase::Withdrawing { .. } => "Withdrawing",
                Phase::Restoring { why, .. } => why.as_str(),
                _ => continue,
            };
            *self.restored.entry(why).or_default() += 1;
        }
    }

    /// One agent begins or ends what it does.
    fn act(&mut self) -> Kept {
        let names: Vec<_> = self.machines.keys().cloned().collect();
        let Some(which) = self.any(names.len()) else {
            return Ok(());
        };
        let until = Time(self.now.0 + self.rng.u64(0..60_000));
        let looks = self.rng.u32(0..3) == 0;
        let beats = self.is_calm || self.rng.bool();
        let (now, down) = (self.now, self.rng.u64(0..90_000));
        let secret = self.secret;
        let Some(machine) = self.machines.get_mut(&names[which]) else {
            return Ok(());
        };
        if looks {
            machine.look(secret);
        }
        if beats {
            machine.beat(now);
        }
        if let Some(permit) = machine.unanswered().cloned() {
            machine.acting = Some((permit.clone(), until));
            self.actions += 1;
            self.tell(format!("{} acts", names[which]));
            return self.oath.acts(&names[which], &permit, &self.rollout);
        }
        if machine
            .acting
            .as_ref()
            .is_some_and(|(_, until)| *until <= self.now)
        {
            machine.finish(now, down);
        }
        Ok(())
    }

    /// Whoever evicts for one coordinator looks at one node.
    fn evict(&mut self) -> Kept {
        let Some(which) = self.any(self.coordinators.len()) else {
            return Ok(());
        };
        let uids: Vec<_> = self.coordinators[which]
            .engine
            .watches
            .keys()
            .cloned()
            .collect();
        match self.any(uids.len()) {
            Some(one) => self.look_at_pods(which, &uids[one]),
            None => Ok(()),
        }
    }

    fn look_at_pods(&mut self, which: usize, uid: &str) -> Kept {
        let leaves = Time(self.now.0 + self.rng.u64(0..20_000));
        let Some(watch) = self.coordinators[which].engine.watches.get_mut(uid) else {
            return Ok(());
        };
        let schedulable: BTreeMap<_, _> = self
            .machines
            .iter()
            .map(|(name, one)| (name.clone(), one.node.is_schedulable()))
            .collect();
        let machine = self.machines.get_mut(&watch.name);
        let Some(machine) = machine.filter(|machine| machine.node.uid == uid) else {
            return Ok(());
        };
        let gone = |pod: &Pod| pod.leaves.is_some_and(|leaves| leaves <= self.now);
        machine.pods.retain(|pod| !gone(pod));
        let there = |pod: &&Pod| pod.comes <= self.now;
        watch.list(machine.pods.iter().filter(there).count(), self.now);
        let is_schedulable = |name: &str| schedulable.get(name).copied().unwrap_or(true);
        if watch.cordoned.is_none() {
            let stays = |pod: &&Pod| pod.leaves.is_none() && !pod.may_go(self.now, is_schedulable);
            let pods = machine.pods.iter().filter(there).filter(stays);
            watch.inspect(pods.map(|pod| format!("{:?}", pod.guard)).collect());
        }
        if !watch.ordered {
            return Ok(());
        }
        let pods = machine.pods.iter_mut();
        for pod in pods.filter(|pod| pod.may_go(self.now, is_schedulable)) {
            pod.leaves = Some(leaves);
            self.evictions += 1;
            self.oath.evicts(&watch.name, watch.serial)?;
        }
        Ok(())
    }
}
