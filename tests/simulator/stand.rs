//! Coordinators that stand for election: a Lease that is read and written late, or not at all, processes that stand still, and
//! clocks of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use pullkeeper_core::election::{Answer, Candidate, Lease, Step};
use pullkeeper_core::rollout::Time;

use crate::flaw::Flaw;
use crate::oath::{Kept, Term};

/// Milliseconds that a Lease lasts.
const DURATION: u64 = 60_000;

/// A clock that nobody sets, of one process. Its speed is told in thousandths.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Time,
    speed: u64,
}

impl Clock {
    fn read(self, now: Time) -> Duration {
        Duration::from_millis((now.0 - self.start.0) * self.speed / 1000)
    }

    /// When it shows this time.
    fn at(self, shown: Duration) -> Time {
        let millis = u64::try_from(shown.as_millis()).unwrap_or(u64::MAX / 1000);
        Time(self.start.0 + (millis * 1000).div_ceil(self.speed))
    }
}

/// A process that stands for election.
#[derive(Clone, Debug)]
struct Stand {
    candidate: Candidate,
    clock: Clock,
    /// The look that it waits for: which one it is, and when it was asked for.
    asked: (u64, Duration),
    /// What is known of its terms, by nobody's word.
    term: Term,
    /// Until when it reaches nobody.
    cut_off: Time,
    /// Until when it does nothing at all.
    still: Time,
    /// Whether it stops to stand, by mistake.
    resigned: bool,
}

/// What happens to a look.
#[derive(Clone, Debug)]
enum Event {
    Look,
    Read(u64),
    Found(u64, Option<Lease>),
    Write(u64, Option<String>),
    Written(u64, bool),
    GiveUp(u64),
}

/// What came of elections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Terms that began with another holder.
    pub(crate) changes: usize,
    /// Looks of leaders that came to nothing, after which they went on to lead.
    pub(crate) survived: usize,
    /// Terms that ran out.
    pub(crate) lapsed: usize,
}

/// An election, and all who stand.
#[derive(Clone, Debug)]
pub(crate) struct Election {
    rng: Rng,
    now: Time,
    lease: Option<Lease>,
    writes: u64,
    stands: Vec<Stand>,
    queue: BTreeMap<(Time, u64), (usize, String, Event)>,
    queued: u64,
    /// Whether clocks run at speeds that differ by less than the margin, and nobody deletes the Lease.
    pub(crate) is_honest: bool,
    /// Whether nothing goes wrong any more.
    pub(crate) is_calm: bool,
    flaw: Option<Flaw>,
    pub(crate) tally: Tally,
}

impl Election {
    pub(crate) fn new(
        mut rng: Rng,
        candidates: usize,
        is_honest: bool,
        flaw: Option<Flaw>,
    ) -> Self {
        let now = Time(0);
        let stands = (0..candidates)
            .map(|which| Stand::new(&mut rng, which as u64, now, is_honest))
            .collect();
        let mut election = Self {
            rng,
            now,
            lease: None,
            writes: 0,
            stands,
            queue: BTreeMap::new(),
            queued: candidates as u64,
            is_honest,
            is_calm: false,
            flaw,
            tally: Tally::default(),
        };
        for which in 0..candidates {
            let wait = election.rng.u64(0..3000);
            election.after(wait, which, Event::Look);
        }
        election
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, now: Time) -> Kept {
        while let Some((&(at, number), _)) = self.queue.first_key_value()
            && at <= now
        {
            self.now = at;
            let Some((which, identity, event)) = self.queue.remove(&(at, number)) else {
                break;
            };
            self.happen(which, identity, event)?;
        }
        self.now = now;
        for stand in &self.stands {
            let shown = |time: Time| stand.clock.read(time.max(stand.clock.start));
            let candidate = &stand.candidate;
            // Who stood still looks again afterwards, and no sooner.
            let due = candidate.again(stand.asked.1).max(shown(stand.still));
            Term::stands(candidate.identity(), shown(now).saturating_sub(due))?;
        }
        if self.is_honest {
            let leaders = self.stands.iter().filter(|one| self.leads(one));
            let leaders: Vec<_> = leaders.map(|one| one.candidate.identity()).collect();
            Term::alone(&leaders)?;
        }
        Ok(())
    }

    /// Whether this one works now.
    pub(crate) fn may_act(&self, which: usize) -> bool {
        let stand = &self.stands[which];
        self.reaches(which) && self.leads(stand)
    }

    /// Whether it does anything, and anybody hears of it.
    pub(crate) fn reaches(&self, which: usize) -> bool {
        let stand = &self.stands[which];
        stand.still <= self.now && stand.cut_off <= self.now
    }

    /// It does something.
    pub(crate) fn acts(&self, which: usize) -> Kept {
        let stand = &self.stands[which];
        if self.is_honest {
            stand.term.acts(stand.candidate.identity(), self.now)
        } else {
            Ok(())
        }
    }

    /// Another process takes its place. One that was asked to end gives the Lease back.
    pub(crate) fn restart(&mut self, which: usize, asked: bool) {
        let former = self.stands[which].candidate.identity().to_owned();
        if let Some(lease) = self.lease.as_mut().filter(|one| one.holder == former)
            && asked
        {
            self.writes += 1;
            lease.version = Some(self.writes.to_string());
            lease.holder.clear();
        }
        self.queued += 1;
        self.stands[which] = Stand::new(&mut self.rng, self.queued, self.now, self.is_honest);
        let wait = self.rng.u64(0..3000);
        self.after(wait, which, Event::Look);
    }

    /// Something goes wrong.
    pub(crate) fn disturb(&mut self) {
        let which = self.rng.usize(0..self.stands.len());
        let until = Time(self.now.0 + self.rng.u64(0..2 * DURATION));
        match self.rng.u32(0..5) {
            0 | 1 => self.stands[which].cut_off = until,
            2 | 3 => self.stands[which].still = until.max(self.stands[which].still),
            _ if !self.is_honest => self.lease = None,
            _ => {}
        }
    }

    /// Nothing goes wrong any more.
    pub(crate) fn calm(&mut self) {
        self.is_calm = true;
        for stand in &mut self.stands {
            stand.cut_off = self.now;
        }
    }

    fn leads(&self, stand: &Stand) -> bool {
        match self.flaw {
            Some(Flaw::LeadsForEver) => stand.candidate.term().is_some(),
            _ => stand.candidate.leads(stand.clock.read(self.now)),
        }
    }

    fn after(&mut self, wait: u64, which: usize, event: Event) {
        self.at(Time(self.now.0 + wait), which, event);
    }

    fn at(&mut self, at: Time, which: usize, event: Event) {
        self.queued += 1;
        let identity = self.stands[which].candidate.identity().to_owned();
        self.queue
            .insert((at, self.queued), (which, identity, event));
    }

    /// One way of a request or an answer. Some take long, some never arrive.
    fn send(&mut self, which: usize, event: Event) {
        let wait = match self.rng.u32(0..12) {
            _ if self.is_calm => 50,
            0 => return,
            1 => self.rng.u64(0..15_000),
            _ => self.rng.u64(0..400),
        };
        if self.stands[which].cut_off <= self.now {
            self.after(wait, which, event);
        }
    }

    fn happen(&mut self, which: usize, identity: String, event: Event) -> Kept {
        let there = self.stands[which].candidate.identity() == identity;
        match event {
            Event::Read(number) => {
                if there {
                    let lease = self.lease.clone();
                    self.send(which, Event::Found(number, lease));
                }
                return Ok(());
            }
            // It arrives, whatever has become of who sent it.
            Event::Write(number, seen) => {
                let version = self.lease.as_ref().and_then(|one| one.version.clone());
                let fits = version == seen;
                if fits {
                    self.write(identity);
                }
                if there {
                    self.stands[which].term.written(fits, number);
                    self.send(which, Event::Written(number, fits));
                }
                return Ok(());
            }
            _ if !there => return Ok(()),
            event if self.stands[which].still > self.now => {
                self.at(self.stands[which].still, which, event);
                return Ok(());
            }
            Event::Look => self.look(which),
            Event::Found(number, lease) if self.waits_for(which, number) => {
                let stand = &mut self.stands[which];
                let step = stand.candidate.step(lease.as_ref(), stand.asked.1);
                let seen = lease.and_then(|one| one.version);
                match step {
                    Step::Wait if self.flaw != Some(Flaw::Usurps) => {
                        return self.hear(which, Answer::Lost);
                    }
                    Step::Create | Step::Replace | Step::Wait => {
                        self.send(which, Event::Write(number, seen));
                    }
                }
            }
            Event::Written(number, won) if self.waits_for(which, number) => {
                let beaten = match self.flaw {
                    Some(Flaw::YieldsToItself) => Answer::Lost,
                    _ => Answer::Unknown,
                };
                return self.hear(which, if won { Answer::Won } else { beaten });
            }
            Event::GiveUp(number) if self.waits_for(which, number) => {
                return self.hear(which, Answer::Unknown);
            }
            Event::Found(..) | Event::Written(..) | Event::GiveUp(_) => {}
        }
        Ok(())
    }

    fn write(&mut self, holder: String) {
        self.writes += 1;
        let former = self.lease.as_ref().map(|one| one.holder.clone());
        self.tally.changes += usize::from(former.is_some_and(|former| former != holder));
        self.lease = Some(Lease {
            version: Some(self.writes.to_string()),
            holder,
            duration: Duration::from_millis(DURATION),
        });
    }

    fn waits_for(&self, which: usize, number: u64) -> bool {
        self.stands[which].asked.0 == number
    }

    fn look(&mut self, which: usize) {
        if self.stands[which].resigned {
            return;
        }
        self.queued += 1;
        let (number, now) = (self.queued, self.now);
        let stand = &mut self.stands[which];
        let asked = stand.clock.read(now);
        stand.asked = (number, asked);
        stand.term.asked(number, now);
        let patience = match self.flaw {
            Some(Flaw::WaitsForOneAnswer) => stand.candidate.duration(),
            _ => stand.candidate.patience(),
        };
        let until = stand.clock.at(asked + patience);
        self.at(until, which, Event::GiveUp(number));
        self.send(which, Event::Read(number));
    }

    fn hear(&mut self, which: usize, answer: Answer) -> Kept {
        let now = self.now;
        let stand = &mut self.stands[which];
        let local = stand.clock.read(now);
        let led = stand.candidate.leads(local);
        let had = stand.candidate.term().is_some();
        let heard = match (self.flaw, answer) {
            (Some(Flaw::Abdicates), Answer::Unknown) => Answer::Lost,
            _ => answer,
        };
        let asked = stand.asked.1;
        stand.candidate.hears(asked, heard);
        // Nothing that comes for this look counts any more.
        stand.asked.0 = 0;
        let leads = stand.candidate.leads(local);
        self.tally.survived += usize::from(led && leads && answer == Answer::Unknown);
        self.tally.lapsed += usize::from(had && !led);
        let stood_still = stand.still.0 + DURATION > now.0 && stand.still > Time(0);
        if stood_still {
            stand.term.forgive();
        }
        stand.resigned |= self.flaw == Some(Flaw::Resigns) && had && !leads;
        let again = stand.clock.at(stand.candidate.again(asked)).max(now);
        let own = self
            .lease
            .as_ref()
            .is_some_and(|one| one.holder == stand.candidate.identity());
        let kept = stand.term.heard(answer, led, leads, own);
        self.at(again, which, Event::Look);
        if self.is_honest { kept } else { Ok(()) }
    }
}

impl Stand {
    fn new(rng: &mut Rng, number: u64, now: Time, is_honest: bool) -> Self {
        let speed = if is_honest {
            rng.u64(900..1100)
        } else {
            rng.u64(400..2500)
        };
        Self {
            candidate: Candidate::new(number.to_string(), Duration::from_millis(DURATION)),
            clock: Clock { start: now, speed },
            asked: (0, Duration::ZERO),
            term: Term::default(),
            cut_off: Time(0),
            still: Time(0),
            resigned: false,
        }
    }
}
