//! What happens, by chance.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use pullkeeper_core::rollout::{
    Canary, Drain, FailureBudget, Ledger, Limit, Node, Policy, Pool, SecretSource, Strategy, Time,
};

use crate::agent::{Machine, Temper};
use crate::coordinator::{Coordinator, Rollout, Write};
use crate::flaw::Flaw;
use crate::oath::{Look, Oath, Violation, decides};
use crate::pods::{Guard, Pod};
use crate::seeds::Outcome;
use crate::stand::{Election, Tally};

mod calm;
mod chaos;
mod damage;
mod home;
mod lead;
mod writes;

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
        coordinators: 3,
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
    /// What else promises are about, and how often it happened.
    pub happened: BTreeMap<&'static str, usize>,
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
    happened: BTreeMap<&'static str, usize>,
    /// Groups of nodes that somebody else manages as well.
    pools: BTreeMap<String, Pool>,
    /// Who leads; without one all act at once.
    election: Option<Election>,
    /// How nodes are drained when they are.
    drain: Drain,
    /// Whether most pods stay, and little else happens: then nodes are tried again and again.
    is_stubborn: bool,
    /// Whether nothing goes wrong any more.
    is_calm: bool,
    trace: Vec<String>,
    flaw: Option<Flaw>,
}

/// Plays a rollout. The same seed gives the same run.
pub fn run(seed: u64, plan: Plan) -> Run {
    let mut world = World::new(seed, plan);
    let violation = world.play(plan.steps).err();
    if let Some(election) = &world.election {
        let Tally {
            changes,
            survived,
            lapsed,
        } = election.tally;
        world.happened.extend([
            ("leaders followed each other", changes),
            ("slow calls cost no term", survived),
            ("terms ran out", lapsed),
        ]);
    }
    Run {
        violation,
        trace: world.trace,
        actions: world.actions,
        generations: world.rollout.ledger.generation,
        evictions: world.evictions,
        drains: world.drains,
        restored: world.restored,
        happened: world.happened,
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
            provider_slots: Limit::Count(1),
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
                damage: None,
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
            happened: BTreeMap::new(),
            pools: BTreeMap::new(),
            election: None,
            drain,
            is_stubborn: rng.u32(0..4) == 0,
            is_calm: false,
            trace: Vec::new(),
            flaw: plan.flaw,
            rng,
        };
        if world.is_stubborn {
            // Those that stay are no canaries, which everybody else would wait for.
            world.rollout.policy.strategy = Strategy::Drain(drain);
            world.rollout.policy.canary = Canary::Count(0);
        }
        if world.rng.bool() {
            for pool in ["master", "worker", "infra"] {
                let pool = (pool.to_owned(), world.pool());
                world.pools.extend([pool]);
            }
        }
        for number in 0..plan.nodes {
            let machine = world.machine(number < 3);
            world.machines.insert(format!("node-{number:04}"), machine);
        }
        // Nothing is safe because somebody leads: half of all worlds have no election, and some one that nobody can trust.
        let honest = match world.rng.u32(0..8) {
            0..4 => None,
            4..7 => Some(true),
            _ => Some(false),
        };
        let chance = world.rng.fork();
        world.election =
            honest.map(|honest| Election::new(chance, plan.coordinators, honest, plan.flaw));
        for which in 0..plan.coordinators {
            world.coordinators[which].home = world.home();
        }
        world
    }

    fn machine(&mut self, control_plane: bool) -> Machine {
        self.born += 1;
        let node = Node {
            uid: format!("uid-{}", self.born),
            zone: Some(format!("zone-{}", self.rng.u32(0..3))),
            pool: None,
            managed: Some(
                match self.rng.u32(0..3) {
                    _ if control_plane => "master",
                    0 => "infra",
                    _ => "worker",
                }
                .to_owned(),
            ),
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
        let kinds = if self.is_stubborn { 6 } else { 40 };
        let guard = match self.rng.u32(0..kinds) {
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
            self.elect()?;
            let kinds = if self.is_stubborn && self.rng.u32(0..8) > 0 {
                90
            } else {
                100
            };
            match self.rng.u32(0..kinds) {
                0..35 => self.coordinate(false)?,
                35..60 => self.deliver()?,
                60..80 => self.act()?,
                80..90 => self.evict()?,
                90..95 => self.disturb(),
                _ => self.interfere()?,
            }
        }
        self.calm()
    }

    /// A pool, as whoever else manages it wants it.
    fn pool(&mut self) -> Pool {
        let max_unavailable = match self.rng.u32(0..4) {
            0 => None,
            1 => Some(Limit::Percent(self.rng.u8(20..=100))),
            _ => Some(Limit::Count(self.rng.u32(1..5))),
        };
        Pool {
            busy: false,
            max_unavailable,
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    fn any(&mut self, below: usize) -> Option<usize> {
        (below > 0).then(|| self.rng.usize(0..below))
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
            machine.renew_record();
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
            let reached = machine.finish(now, down);
            if let Some(permit) = reached {
                self.oath.reaches(&permit);
            }
        }
        Ok(())
    }

    /// Whoever evicts for one coordinator looks at one node.
    fn evict(&mut self) -> Kept {
        let Some(which) = self.any(self.coordinators.len()) else {
            return Ok(());
        };
        if !self.may_act(which) {
            return Ok(());
        }
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
        let guests = self.guests(uid);
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
        let left = machine.pods.iter().filter(there).count();
        watch.list(left + guests.len(), self.now);
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
        for guest in guests {
            self.note("coordinators were evicted");
            self.restart(guest, true);
        }
        Ok(())
    }
}
