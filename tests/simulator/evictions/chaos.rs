//! What goes wrong, and what humans do.

use pullkeeper_core::drain::{Phase, Pod};

use super::engine::Engine;
use super::server::{ApiNode, Wanted};
use super::{Event, NODES, Time, World};

impl World {
    fn until(&mut self, longest: Time) -> Time {
        self.now + self.rng.u64(500..longest)
    }

    /// Something breaks.
    pub(super) fn disturb(&mut self) {
        let name = NODES[self.rng.usize(0..NODES.len())];
        match self.rng.u32(0..26) {
            0 if self.rng.u32(0..3) == 0 => self.restart(),
            1 | 2 => self.cut(),
            3 => {
                let until = self.until(25_000);
                if let Some(number) = self.any_feed()
                    && let Some(feed) = self.engine.feed(number)
                {
                    feed.silence(until);
                }
            }
            4 if self.lead.tasks.contains_key(name) => {
                self.tell(format!("by hand: {name} is uncordoned"));
                self.cordon(name, None);
            }
            5 => self.lead.paused = !self.lead.paused,
            6 => self.lead.silent = self.until(20_000),
            7 | 8 => self.meddle(),
            9 => {
                let index = self.rng.usize(0..self.apps.len());
                let app = self.apps[index].name.clone();
                let more = self.server.budgets.keys();
                let mut more = more.filter(|one| one.name == format!("more-{app}"));
                match more.next().cloned() {
                    Some(name) => self.server.remove_budget(&name),
                    None => self.guard(index, "more"),
                }
            }
            10 if self.rng.u32(0..4) == 0 => {
                let namespace = ["web", "db"][self.rng.usize(0..2)].to_owned();
                self.tell(format!("{namespace} is deleted"));
                self.server.terminating.insert(namespace.clone());
                let wait = self.rng.u64(1_000..30_000);
                self.at(wait, Event::Stamp(namespace));
            }
            11 => self.luck.busy = self.until(8_000),
            12 => self.luck.lossy = self.until(15_000),
            13 => self.luck.uncounted = self.until(30_000),
            14 => self.luck.raced = self.luck.raced.max(self.until(150_000)),
            15 => {
                let app = &self.apps[self.rng.usize(0..self.apps.len())];
                let app = app.name.clone();
                if !self.server.vetoed.remove(&app) {
                    self.server.vetoed.insert(app);
                }
            }
            16 if self.rng.u32(0..3) == 0 => self.vanish(name),
            17 => {
                let pod = self.loner(name);
                if self
                    .server
                    .nodes
                    .get(name)
                    .is_some_and(|node| node.cordon.is_none())
                {
                    self.put(pod, false);
                }
            }
            _ => self.handle(),
        }
    }

    fn any_feed(&mut self) -> Option<u64> {
        let feeds = self.engine.feeds();
        let feeds = feeds.filter(|feed| feed.is_watched());
        let feeds: Vec<_> = feeds.map(|feed| feed.number()).collect();
        (!feeds.is_empty()).then(|| feeds[self.rng.usize(0..feeds.len())])
    }

    /// A watch breaks.
    fn cut(&mut self) {
        let Some(number) = self.any_feed() else {
            return;
        };
        let (now, wait) = (self.now, self.rng.u64(200..12_000));
        if let Some(feed) = self.engine.feed(number) {
            feed.cut(now);
        }
        let event = if self.rng.bool() {
            Event::Mend(number)
        } else {
            Event::Again(number)
        };
        self.at(wait, event);
        self.wake();
    }

    /// The engine forgets everything.
    fn restart(&mut self) {
        self.tell("the engine begins again");
        self.run.restarts += 1;
        let (epoch, options) = (self.engine.epoch + 1, self.options.clone());
        self.engine = Engine::new(epoch, options, self.settle, self.flaw);
        self.oath.forgets();
        self.seen.clear();
        let (wait, version) = (self.lag(), self.server.version());
        self.at(wait, Event::Nodes(epoch, version));
        self.wake();
    }

    /// A human wants something else of a budget.
    fn meddle(&mut self) {
        let budgets: Vec<_> = self.server.budgets.values().cloned().collect();
        if budgets.is_empty() {
            return;
        }
        let mut one = budgets[self.rng.usize(0..budgets.len())].clone();
        one.wanted = match self.rng.u32(0..4) {
            0 => Wanted::Healthy(self.rng.i64(0..5)),
            number => Wanted::Unavailable(number.into()),
        };
        one.budget.generation += 1;
        self.server.put_budget(one);
    }

    /// Something happens to a pod.
    fn handle(&mut self) {
        let pods = self.server.pods.values();
        let pods = pods.filter(|one| !one.pod.mirror && one.pod.namespace != "kube-system");
        // Humans look at what happens.
        let at_work = self.rng.bool();
        let tasks = &self.lead.tasks;
        let pods = pods.filter(|one| !at_work || tasks.contains_key(&one.pod.node));
        let uids: Vec<_> = pods.map(|one| one.pod.uid.clone()).collect();
        if uids.is_empty() {
            return;
        }
        let uid = &uids[self.rng.usize(0..uids.len())];
        match self.rng.u32(0..6) {
            0 => {
                self.server.change(uid, |one| {
                    one.pod.ready = !one.pod.ready && one.pod.phase == Phase::Running;
                });
            }
            1 if self.rng.u32(0..4) == 0 => {
                self.server.change(uid, |one| {
                    one.pod.phase = Phase::Finished;
                    one.pod.ready = false;
                });
            }
            2 => self.server.delete(uid, None, self.now),
            _ => {
                self.tell(format!("by hand: {uid} is deleted"));
                self.server.remove(uid);
            }
        }
    }

    /// A pod makes place for another one of its name just when it was listed, and the watch does not tell.
    pub(super) fn overtake(&mut self, number: u64) {
        if self.is_calm || self.rng.bool() {
            return;
        }
        let mut nodes = self.engine.nodes.iter();
        let followed = nodes.find(|(_, node)| node.pods.number == number);
        let Some(name) = followed.map(|(name, _)| name.clone()) else {
            return;
        };
        let stateful = |pod: &Pod| pod.controller.as_deref() == Some("StatefulSet");
        let uid = {
            let mut pods = self.server.pods_of(&name).map(|one| &one.pod);
            pods.find(|pod| stateful(pod)).map(|pod| pod.uid.clone())
        };
        let Some(uid) = uid else {
            return;
        };
        self.tell(format!("{uid} is replaced behind the watch's back"));
        self.server.remove(&uid);
        let until = self.until(8_000);
        if let Some(feed) = self.engine.feed(number) {
            feed.silence(until);
        }
    }

    fn vanish(&mut self, name: &str) {
        if !self.server.nodes.contains_key(name) {
            return;
        }
        self.tell(format!("{name} is gone"));
        let pods = self.server.pods_of(name);
        let uids: Vec<_> = pods.map(|one| one.pod.uid.clone()).collect();
        self.server.set_node(name, None);
        for uid in uids {
            let wait = self.rng.u64(10..8_000);
            self.at(wait, Event::End(uid));
        }
        let wait = self.rng.u64(10_000..40_000);
        self.at(wait, Event::Join(name.to_owned()));
    }

    /// A node of this name comes back as another one.
    pub(super) fn join(&mut self, name: &str) {
        if self.server.nodes.contains_key(name) {
            return;
        }
        let (uid, cordon) = (self.uid(), None);
        self.server.set_node(name, Some(ApiNode { uid, cordon }));
        self.settle_in(name);
    }
}
