//! What happens, one after the other.

use pullkeeper_core::drain::{Answer, Eviction, Phase};

use super::engine::time;
use super::flaw::Flaw;
use super::oath::Oath;
use super::server::{Change, away, busy, odd};
use super::{Event, Time, World};
use crate::oath::Kept;

/// Between two looks when something changes all the time.
const BREATH: Time = 200;
/// Longest wait for an answer.
const PATIENCE: Time = 30_000;

impl World {
    pub(super) fn happen(&mut self, event: Event) -> Kept {
        match event {
            Event::Look(due) if self.look.0 == Some(due) => return self.look(),
            Event::Look(_) => {}
            Event::Heed => return self.heed(),
            Event::Send(epoch, eviction) if epoch == self.engine.epoch => {
                return self.send(eviction);
            }
            Event::Send(..) => {}
            Event::Arrive(epoch, eviction, sent) => return self.arrive(epoch, eviction, &sent),
            Event::Answer(epoch, eviction, answer) if epoch == self.engine.epoch => {
                self.hear(&eviction, &answer);
            }
            Event::Answer(..) => {}
            Event::Nodes(epoch, version) => self.show_nodes(epoch, version),
            Event::Disturb if self.is_calm => {}
            Event::Disturb => {
                self.disturb();
                let wait = self.rng.u64(200..3_500);
                self.at(wait, Event::Disturb);
            }
            Event::Count(name) => {
                self.counting.remove(&name);
                if let Some(again) = self.server.count(&name, self.now) {
                    let wait = again.saturating_sub(self.now).max(1);
                    self.at(wait, Event::Count(name));
                }
            }
            Event::Reconcile(index) => self.reconcile(index),
            Event::Bind(uid, node) => self.bind(uid, node),
            Event::Start(uid) => {
                let sick = !self.is_calm && self.rng.u32(0..12) == 0;
                self.server.change(&uid, |one| {
                    one.pod.phase = Phase::Running;
                    one.pod.ready = !sick;
                });
            }
            Event::End(uid) => self.server.remove(&uid),
            Event::Stamp(namespace) => {
                let pods = self.server.pods.values();
                let mine = pods.filter(|one| one.pod.namespace == namespace);
                let mine: Vec<_> = mine.map(|one| one.pod.uid.clone()).collect();
                for uid in mine {
                    self.server.delete(&uid, None, self.now);
                }
            }
            Event::Join(name) => self.join(&name),
            Event::Tell(..)
            | Event::Fetch(..)
            | Event::List(..)
            | Event::Mend(_)
            | Event::Again(_) => {
                self.follow(&event);
            }
        }
        Ok(())
    }

    /// What becomes of lists and watches.
    fn follow(&mut self, event: &Event) {
        let (now, fails) = (self.now, !self.is_calm && self.rng.u32(0..15) == 0);
        let number = match event {
            Event::Tell(number, _)
            | Event::Fetch(number, _)
            | Event::List(number, _)
            | Event::Mend(number)
            | Event::Again(number) => *number,
            _ => return,
        };
        let next = self.engine.number();
        let Some(feed) = self.engine.feed(number) else {
            return;
        };
        match *event {
            Event::Fetch(_, ticket) if fails && feed.ticket() == Some(ticket) => {
                feed.cut(now);
                let wait = self.rng.u64(500..10_000);
                self.at(wait, Event::Again(number));
            }
            Event::Tell(_, version) => _ = feed.hear(version, &self.server, now),
            Event::Fetch(_, ticket) => {
                feed.fetch(ticket, &self.server);
                self.overtake(number);
            }
            Event::List(_, ticket) if feed.hear_list(ticket, now) => {
                // The watch begins where the list was.
                let version = self.server.version();
                let wait = feed.silent().saturating_sub(now) + 1;
                self.at(wait, Event::Tell(number, version));
            }
            Event::Mend(_) if feed.ticket().is_none() => {
                feed.mend(now);
                let version = self.server.version();
                self.at(1, Event::Tell(number, version));
            }
            Event::Again(_) if feed.ticket().is_none() && !feed.is_watched() => {
                feed.ask(next, now);
            }
            _ => {}
        }
        self.wake();
    }

    /// Lists that were asked for are sent.
    fn begin_lists(&mut self) {
        let asked = self.engine.feeds();
        let asked = asked.filter_map(|feed| Some((feed.number(), feed.ticket()?)));
        for (number, ticket) in asked.collect::<Vec<_>>() {
            if self.listing.insert(ticket) {
                let (there, back) = (self.lag(), self.lag());
                self.at(there, Event::Fetch(number, ticket));
                self.at(there + back, Event::List(number, ticket));
            }
        }
    }

    fn show_nodes(&mut self, epoch: u64, version: usize) {
        if epoch != self.engine.epoch || version <= self.engine.told {
            return;
        }
        for change in &self.server.log[self.engine.told..version] {
            match change {
                Change::Node(name, Some(node)) => {
                    self.engine.seen.insert(name.clone(), node.clone());
                }
                Change::Node(name, None) => _ = self.engine.seen.remove(name),
                _ => {}
            }
        }
        self.engine.told = version;
        self.wake();
    }

    /// The engine looks again soon.
    pub(super) fn wake(&mut self) {
        let due = self.now.max(self.look.1 + BREATH);
        self.look_at(due);
    }

    fn look_at(&mut self, due: Time) {
        if self.look.0.is_none_or(|before| due < before) {
            self.look.0 = Some(due);
            self.at(due.saturating_sub(self.now), Event::Look(due));
        }
    }

    fn look(&mut self) -> Kept {
        self.look = (None, self.now);
        let looked = self.engine.look(self.now);
        self.oath.looked(&looked, &self.engine, self.now)?;
        let blockers = looked.seen.values().flat_map(|seen| &seen.left.blockers);
        for blocker in blockers {
            *self
                .run
                .blockers
                .entry(blocker.reason.as_str())
                .or_default() += 1;
        }
        for eviction in looked.step.evictions {
            let wait = match self.rng.u32(0..10) {
                0 if !self.is_calm => self.rng.u64(1..3_000),
                _ => 1,
            };
            self.at(wait, Event::Send(self.engine.epoch, eviction));
        }
        self.seen = looked.seen;
        self.begin_lists();
        self.look_at(looked.next.max(self.now + BREATH));
        Ok(())
    }

    fn send(&mut self, eviction: Eviction) -> Kept {
        let blind = matches!(
            self.flaw,
            Some(Flaw::NeverLooksAtOrders | Flaw::LooksAtOrdersOnce | Flaw::EvictsAll)
        );
        if !blind && !self.engine.lets(&eviction, self.now) {
            if self.flaw != Some(Flaw::WaitsForTheUnsent) {
                self.engine.plan.withdrawn(&eviction);
            }
            self.oath.withdrawn(&eviction);
            self.tell(format!("{} is not sent", eviction.uid));
            self.wake();
            return Ok(());
        }
        let mut sent = eviction.clone();
        if let Some(flaw) = self.flaw {
            let name = (eviction.namespace.clone(), eviction.name.clone());
            let namesake = self.server.pods.get(&name);
            let namesake = namesake.map(|one| one.pod.uid.clone());
            flaw.miswrites(&mut sent, namesake.as_deref());
        }
        self.oath.sent(&sent, &self.engine, self.now)?;
        let (epoch, wait) = (self.engine.epoch, self.lag());
        if self.is_unlucky() {
            self.tell(format!("{} gets lost", eviction.uid));
            self.fall_silent(eviction);
        } else {
            self.at(wait, Event::Arrive(epoch, eviction, sent));
        }
        Ok(())
    }

    fn is_unlucky(&mut self) -> bool {
        let lossy = self.now < self.luck.lossy;
        !self.is_calm && (self.rng.u32(0..60) == 0 || (lossy && self.rng.u32(0..3) == 0))
    }

    /// Nobody answers: a proxy says so, or nobody does.
    fn fall_silent(&mut self, eviction: Eviction) {
        let (wait, answer) = if self.rng.bool() {
            (self.rng.u64(50..5_000), away())
        } else {
            (PATIENCE, Answer::Unanswered)
        };
        let epoch = self.engine.epoch;
        self.at(wait, Event::Answer(epoch, eviction, answer));
    }

    /// The server gets an eviction.
    fn arrive(&mut self, epoch: u64, eviction: Eviction, sent: &Eviction) -> Kept {
        Oath::arrives(sent, &self.server, &self.options)?;
        let raced = self.now < self.luck.raced;
        let answer = if self.now < self.luck.busy {
            busy(self.rng.u32(0..4))
        } else if !self.is_calm && self.rng.u32(0..60) == 0 {
            odd(self.rng.usize(0..3))
        } else {
            self.server.evict(sent, false, raced, self.now)
        };
        Oath::costs(&self.server, sent, self.engine.epoch - 1)?;
        self.tell(format!(
            "{} {} on {}: {answer:?}",
            eviction.uid,
            eviction.path(),
            eviction.node
        ));
        if self.is_unlucky() {
            self.tell(format!("the answer to {} gets lost", eviction.uid));
            if epoch == self.engine.epoch {
                self.fall_silent(eviction);
            }
            return Ok(());
        }
        let mut wait = self.lag();
        if !self.server.is_quick(sent, &answer) {
            wait += 10_000;
        }
        self.at(wait, Event::Answer(epoch, eviction, answer));
        Ok(())
    }

    /// The engine gets an answer.
    fn hear(&mut self, eviction: &Eviction, answer: &Answer) {
        let chance = self.rng.f64();
        *self.run.answers.entry(answer.label()).or_default() += 1;
        self.engine.answered(eviction, answer, chance, self.now);
        self.oath.answered(eviction, answer, chance, time(self.now));
        self.wake();
    }
}
