//! What happens, by chance.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use pullkeeper_core::rollout::{
    Canary, FailureBudget, Ledger, Limit, Node, Policy, SecretSource, Strategy, Time,
};

use crate::agent::{Machine, Temper, revision};
use crate::coordinator::{Coordinator, Flaw, Rollout, Write};
use crate::oath::{Oath, Violation};

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

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The first broken promise.
    pub violation: Option<Violation>,
    /// What happened last, newest first.
    pub trace: Vec<String>,
    /// Permits that were acted on.
    pub actions: usize,
    /// Generations that were rolled out.
    pub generations: u64,
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
    trace: Vec<String>,
    flaw: Option<Flaw>,
}

/// Plays a rollout. The same seed gives the same run.
pub fn run(seed: u64, plan: Plan) -> Run {
    let mut world = World::new(seed, plan);
    let violation = world.play(plan.steps).err();
    let mut trace = world.trace;
    trace.reverse();
    trace.truncate(60);
    Run {
        violation,
        trace,
        actions: world.actions,
        generations: world.rollout.ledger.generation,
    }
}

type Kept = Result<(), Violation>;

impl World {
    fn new(seed: u64, plan: Plan) -> Self {
        let mut rng = Rng::with_seed(seed);
        let policy = Policy {
            sources: vec![SecretSource {
                namespace: "openshift-config".to_owned(),
                name: Some("pull-secret".to_owned()),
            }],
            strategy: Strategy::FileOnly,
            canary: Canary::Count(rng.u32(0..3)),
            soak: Duration::from_secs(rng.u64(0..120)),
            slots: Limit::Count(rng.u32(1..5)),
            slots_per_zone: rng.bool().then_some(Limit::Count(2)),
            slots_per_pool: None,
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
            held: false,
            record: None,
        };
        let temper = match self.rng.u32(0..20) {
            0 => Temper::Failing,
            1 => Temper::Silent,
            _ => Temper::Good,
        };
        Machine::new(node, temper)
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
                60..90 => self.act()?,
                90..95 => self.disturb(),
                _ => self.interfere(),
            }
        }
        self.calm()
    }

    fn any(&mut self, below: usize) -> Option<usize> {
        (below > 0).then(|| self.rng.usize(0..below))
    }

    /// One coordinator looks at something, or decides.
    fn coordinate(&mut self, carefully: bool) -> Kept {
        let Some(which) = self.any(self.coordinators.len()) else {
            return Ok(());
        };
        let look = if carefully { 3 } else { self.rng.u32(0..4) };
        if matches!(look, 0 | 3) {
            self.coordinators[which].rollout = Some(self.rollout.clone());
        }
        if matches!(look, 1 | 3) {
            self.coordinators[which].see(&self.machines);
        }
        let mut decided = self.coordinators[which].decide(which, self.now, self.flaw);
        if decided.outdated {
            self.coordinators[which].see(&self.machines);
            self.coordinators[which].fleet.fresh = true;
            decided = self.coordinators[which].decide(which, self.now, self.flaw);
            self.coordinators[which].fleet.fresh = false;
        }
        // Looked up at the API server, after the ledger was read.
        for (uid, name) in decided.missing {
            let there = self
                .machines
                .get(&name)
                .is_some_and(|one| one.node.uid == uid);
            if !there {
                self.coordinators[which].fleet.gone.insert(uid);
            }
        }
        let machines = &self.machines;
        let supersedes = decided.writes.iter().find_map(|write| match write {
            Write::Ledger { ledger, .. } => Some(&ledger.revision),
            Write::Permit { .. } => None,
        });
        if let (Some(wanted), Some(read)) = (supersedes, &self.coordinators[which].rollout)
            && *wanted != read.ledger.revision
        {
            Oath::supersedes(wanted, machines.values())?;
        }
        self.rng.shuffle(&mut decided.writes);
        self.under_way.extend(decided.writes);
        Ok(())
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
                seen,
            } => {
                let machine = self.machines.get_mut(&name);
                let fits =
                    |one: &&mut Machine| one.node.uid == permit.uid && one.record_version == seen;
                if let Some(machine) = machine.filter(fits) {
                    machine.node.record.get_or_insert_default().permit = Some(permit.clone());
                    machine.record_version += 1;
                    machine.permitted = revision;
                    self.tell(format!("{name} gets {permit:?}"));
                    self.oath.permitted(&name, &permit)?;
                }
            }
        }
        Ok(())
    }

    fn replace(&mut self, ledger: Ledger) -> Kept {
        let reserved: BTreeSet<_> = ledger.reservations.keys().cloned().collect();
        self.tell(format!("{:?} {reserved:?} {:?}", ledger.stage, ledger.halt));
        let machines = &self.machines;
        let find = |name: &str| machines.get(name);
        // A view may be older, and have had as many nodes as there ever were.
        let nodes = self.born;
        self.oath
            .written(&self.rollout, &ledger, find, nodes, self.now.0)?;
        self.rollout.ledger = ledger;
        self.rollout.version += 1;
        Ok(())
    }

    /// One agent begins or ends what it does.
    fn act(&mut self) -> Kept {
        let names: Vec<_> = self.machines.keys().cloned().collect();
        let Some(which) = self.any(names.len()) else {
            return Ok(());
        };
        let until = Time(self.now.0 + self.rng.u64(0..60_000));
        let looks = self.rng.u32(0..3) == 0;
        let secret = self.secret;
        let Some(machine) = self.machines.get_mut(&names[which]) else {
            return Ok(());
        };
        if looks {
            machine.look(secret);
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
            machine.finish();
        }
        Ok(())
    }

    /// Something breaks: a coordinator, a node, a condition.
    fn disturb(&mut self) {
        let names: Vec<_> = self.machines.keys().cloned().collect();
        let (Some(node), Some(coordinator)) =
            (self.any(names.len()), self.any(self.coordinators.len()))
        else {
            return;
        };
        let name = names[node].clone();
        match self.rng.u32(0..5) {
            0 => self.coordinators[coordinator] = Coordinator::default(),
            1 => {
                self.machines.remove(&name);
                self.tell(format!("{name} is gone"));
            }
            2 => {
                let control_plane = self.machines[&name].node.control_plane;
                let machine = self.machine(control_plane);
                self.tell(format!("{name} is {} now", machine.node.uid));
                self.machines.insert(name, machine);
            }
            3 => {
                let name = format!("node-{:04}", self.born);
                let machine = self.machine(false);
                self.machines.insert(name, machine);
            }
            _ => {
                if let Some(machine) = self.machines.get_mut(&name) {
                    machine.node.ready = !machine.node.ready;
                }
            }
        }
    }

    /// A human does something. Every change of what is wanted is a new version of the object.
    fn interfere(&mut self) {
        let policy = &mut self.rollout.policy;
        match self.rng.u32(0..9) {
            0 => policy.paused = !policy.paused,
            1 => policy.open = !policy.open,
            2 => policy.slots = Limit::Count(self.rng.u32(0..5)),
            3 => policy.resumes += u64::from(self.rollout.ledger.is_halted()),
            4 => {
                self.secret += 1;
                self.tell(format!("the Secret changes: {}", self.secret));
                return;
            }
            5 => policy.failures.count = self.rng.u32(0..4),
            6 => {
                policy.strategy = match self.rng.u32(0..5) {
                    0 => Strategy::Immediate,
                    _ => Strategy::FileOnly,
                };
                policy.slots = Limit::Percent(self.rng.u8(1..=50));
            }
            _ => {
                let held = self.rng.bool();
                if let Some(which) = self.any(self.machines.len())
                    && let Some(machine) = self.machines.values_mut().nth(which)
                {
                    machine.node.held = held;
                }
                return;
            }
        }
        self.rollout.version += 1;
        let what = format!("wanted: {:?}", self.rollout.policy);
        self.tell(what);
    }

    /// Nothing goes wrong any more, and everybody is well: then everything has to come to an end.
    fn calm(&mut self) -> Kept {
        self.tell("calm".to_owned());
        self.under_way.clear();
        self.rollout.policy.paused = false;
        self.rollout.policy.open = true;
        self.rollout.policy.slots = Limit::Count(2);
        self.rollout.version += 1;
        for machine in self.machines.values_mut() {
            machine.node.ready = true;
            machine.node.held = false;
            machine.temper = Temper::Good;
            // Who was silent is restarted, and begins anew.
            machine.acting = None;
            machine.look(self.secret);
        }
        for _ in 0..self.machines.len() * 40 + 400 {
            self.now = Time(self.now.0 + 5000);
            // Who failed is tried again when a human says so, and not before.
            let ledger = &self.rollout.ledger;
            if ledger.is_halted() || (!ledger.failures.is_empty() && ledger.reservations.is_empty())
            {
                self.rollout.policy.resumes += 1;
                self.rollout.version += 1;
            }
            self.coordinate(true)?;
            for write in std::mem::take(&mut self.under_way) {
                self.arrive(write)?;
            }
            for _ in 0..4 {
                self.act()?;
            }
            if self.is_done() {
                return Ok(());
            }
        }
        let generation = self.rollout.ledger.generation;
        let behind = |one: &&Machine| !one.node.has_reached(generation);
        let behind = self.machines.values().filter(behind).count();
        Err(Violation {
            promise: "L2, L4: when all is well, everybody gets there",
            seen: format!(
                "{behind} of {} have not, {} slots are taken, {:?}",
                self.machines.len(),
                self.rollout.ledger.reservations.len(),
                self.rollout.ledger.stage
            ),
        })
    }

    fn is_done(&self) -> bool {
        let Ledger {
            generation,
            revision: wanted,
            ..
        } = &self.rollout.ledger;
        let there = self
            .machines
            .values()
            .all(|one| one.node.has_reached(*generation));
        // Without a node nobody sees anything.
        let seen = self.machines.is_empty() || *wanted == revision(self.secret);
        there && seen && self.rollout.ledger.reservations.is_empty()
    }
}
