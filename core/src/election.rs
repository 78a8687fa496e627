//! Which of several processes works: one that wants to, and what it makes of a lease that they compete on.
//!
//! ```text
//! look ─▶ step ─▶ write, or wait ─▶ hears ─▶ leads, until its term is over ─▶ again
//! ```
//!
//! No clock of another machine counts. All times are told by the candidate's own clock, one that nobody sets, from any moment
//! on. A holder is gone when its lease has not changed for as long as it is to last, counted from when the last change was
//! *seen*. A leader stops a third of that time before others may begin, counted from when it *asked* for its last renewal.
//! Clocks that run at different speeds are no danger up to that third.
//!
//! Nobody ever stops to stand for election: there is no state in which nothing is to be done.

use std::time::Duration;

/// One that wants to lead.
#[derive(Clone, Debug)]
pub struct Candidate {
    identity: String,
    duration: Duration,
    seen: Option<Seen>,
    term: Option<Duration>,
}

/// The lease as it was when it last changed.
#[derive(Clone, Debug)]
struct Seen {
    version: Option<String>,
    since: Duration,
}

/// A lease as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Which write of it was the last.
    pub version: Option<String>,
    /// Whose it is; empty where it is nobody's.
    pub holder: String,
    /// For how long it is to last, by its own word.
    pub duration: Duration,
}

/// What a candidate does about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Makes it.
    Create,
    /// Takes or renews the one that was read, and no other.
    Replace,
    /// Nothing yet.
    Wait,
}

/// What came of a look and its write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The lease is its own.
    Won,
    /// It is somebody else's.
    Lost,
    /// Nobody knows: another write was faster, there was an error, or no answer in time. A write of its own that nobody has
    /// waited for is faster, too.
    Unknown,
}

impl Candidate {
    /// One that has seen nothing. No two candidates may have the same identity; leases that it takes last so long.
    pub fn new(identity: String, duration: Duration) -> Self {
        Self {
            identity,
            duration,
            seen: None,
            term: None,
        }
    }

    /// What its leases say of whose they are.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// For how long its leases last.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// When it looks again after a look that was asked for then, however long that took: what was slow must not make the next
    /// one late.
    pub fn again(&self, asked: Duration) -> Duration {
        asked + self.duration / 6
    }

    /// How long it waits for what comes of a look and its write, less than until the next one: a look that comes to nothing
    /// must not cost the term.
    pub fn patience(&self) -> Duration {
        (self.duration / 7).min(Duration::from_secs(8))
    }

    /// Decides what to do about the lease as it was read; `None` where there is none.
    pub fn step(&mut self, lease: Option<&Lease>, now: Duration) -> Step {
        let Some(lease) = lease else {
            return Step::Create;
        };
        let seen = match self.seen.take() {
            Some(seen) if seen.version == lease.version => seen,
            _ => Seen {
                version: lease.version.clone(),
                since: now,
            },
        };
        // Its own word counts where that is longer: it may be configured otherwise.
        let lasts = self.duration.max(lease.duration);
        let over = now.saturating_sub(seen.since) >= lasts;
        self.seen = Some(seen);
        if lease.holder.is_empty() || lease.holder == self.identity || over {
            Step::Replace
        } else {
            Step::Wait
        }
    }

    /// Takes in what came of a look that was asked for then. A term that was won lasts, whatever one look comes to that says
    /// nothing.
    pub fn hears(&mut self, asked: Duration, answer: Answer) {
        match answer {
            Answer::Won => self.term = Some(asked + self.duration * 2 / 3),
            Answer::Lost => self.term = None,
            Answer::Unknown => {}
        }
    }

    /// Until when it leads, or has led; `None` where it never did, or has heard that somebody else does.
    pub fn term(&self) -> Option<Duration> {
        self.term
    }

    /// Whether it leads: others do not begin before its term is over.
    pub fn leads(&self, now: Duration) -> bool {
        self.term.is_some_and(|end| now < end)
    }
}

#[cfg(test)]
mod tests;
