//! What has been tried with one pod.

use std::time::Duration;

use super::super::answer::Answer;
use super::super::blocker::{Blocker, Reason};
use super::super::budget::{Budget, BudgetName};
use super::super::pod::Pod;
use super::spread;

/// First and longest wait after a no, before it is spread, which makes up to a minute of the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(48));
/// Longest wait that the API server may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);
/// Until a pod with too many budgets is tried again, if nobody has changed them.
const MANY: Duration = Duration::from_secs(60);
/// How long the watch may take to tell what the API server has said already.
const TOLD: Duration = Duration::from_secs(10);
/// After so long a pod that waits for its turn is told of. One after the other is no trouble, one lost answer is.
const TURN: Duration = Duration::from_secs(10);

/// The evictions of a pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempt {
    sent: Option<Sent>,
    /// Refusals in a row.
    failures: u32,
    /// Lost races in a row.
    races: u32,
    not_before: Duration,
    recheck: Option<Recheck>,
    said: Said,
    /// Since when others have to be counted before it.
    turn: Option<Duration>,
    /// Its budgets when it was last sent, as they were meant then.
    budgets: Vec<(BudgetName, i64)>,
}

/// An eviction that waits for its answer.
#[derive(Clone, Debug)]
struct Sent {
    /// What it may spend.
    budget: Option<BudgetName>,
}

/// What is known of the pod is not enough to send anything.
#[derive(Clone, Copy, Debug)]
struct Recheck {
    /// Only a list that was not begun before tells.
    since: Duration,
    /// When to make one, if the watch has told nothing.
    from: Duration,
}

/// The last answer that matters.
#[derive(Clone, Debug, Default)]
enum Said {
    #[default]
    Nothing,
    Accepted,
    Gone,
    Replaced,
    Budget,
    Raced,
    Many,
    Namespace,
    Refused(String),
    Unanswered,
}

/// When a pod may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    /// Not before then.
    At(Duration),
    /// Not before its node's pods are listed.
    List,
    /// It waits for an answer, or for its end.
    Never,
}

impl Attempt {
    /// Whether it waits for its answer.
    pub(super) fn is_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// Whether it is not to be forgotten, wherever the pod is.
    pub(super) fn is_kept(&self) -> bool {
        self.is_sent() || matches!(self.said, Said::Replaced)
    }

    /// Whether the pod is as good as gone, and only the watch has not told so yet.
    pub(super) fn has_ended(&self) -> bool {
        let ended = matches!(self.said, Said::Accepted | Said::Gone | Said::Replaced);
        ended && self.recheck.is_some()
    }

    /// It is sent now.
    pub(super) fn sent(&mut self, budget: Option<BudgetName>, budgets: &[&Budget]) {
        self.sent = Some(Sent { budget });
        self.turn = None;
        // What was too many has changed, or is asked about anew. It is no reason to pass over what is said to this.
        if matches!(self.said, Said::Many) {
            (self.said, self.not_before) = (Said::Nothing, Duration::ZERO);
        }
        self.budgets = meaning(budgets);
    }

    /// It was not sent after all. Returns what it would have spent.
    pub(super) fn withdrawn(&mut self) -> Option<BudgetName> {
        self.sent.take()?.budget
    }

    /// Takes in an answer. Returns what it may have spent.
    pub(super) fn heard(
        &mut self,
        answer: &Answer,
        chance: f64,
        now: Duration,
    ) -> Option<BudgetName> {
        let sent = self.sent.take()?;
        let recheck = |wait| {
            Some(Recheck {
                since: now,
                from: now + wait,
            })
        };
        match answer {
            Answer::Accepted => {
                self.said = Said::Accepted;
                self.recheck = recheck(TOLD);
            }
            Answer::Gone => {
                self.said = Said::Gone;
                self.recheck = recheck(TOLD);
            }
            Answer::Replaced => {
                self.said = Said::Replaced;
                self.recheck = recheck(Duration::ZERO);
            }
            Answer::Unanswered => {
                self.said = Said::Unanswered;
                self.recheck = recheck(Duration::ZERO);
                self.fail(None, chance, now);
            }
            Answer::Budget { retry_after } => {
                self.said = Said::Budget;
                self.fail(*retry_after, chance, now);
            }
            Answer::Refused { message } => {
                self.said = Said::Refused(message.clone());
                self.fail(None, chance, now);
            }
            Answer::TooManyBudgets => {
                self.said = Said::Many;
                self.not_before = now + MANY;
            }
            Answer::NamespaceTerminating => self.said = Said::Namespace,
            // Neither says anything about the pod, but races may be lost for ever.
            Answer::Raced { retry_after } => {
                let wait = spread((*retry_after).min(LONGEST_RETRY_AFTER), chance);
                self.not_before = now + wait;
                self.races += 1;
                if self.races > 1 {
                    self.said = Said::Raced;
                }
            }
            Answer::Busy { .. } => {}
        }
        if !matches!(answer, Answer::Raced { .. } | Answer::Busy { .. }) {
            self.races = 0;
        }
        sent.budget
    }

    fn fail(&mut self, retry_after: Option<Duration>, chance: f64, now: Duration) {
        let (first, longest) = BACKOFF;
        let wait = first
            .saturating_mul(1 << self.failures.min(10))
            .min(longest);
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        self.not_before = now + spread(wait, chance).max(asked);
    }

    /// When it may be sent, as far as it is up to the pod.
    pub(super) fn due(&mut self, budgets: &[&Budget], listed: Duration, now: Duration) -> Due {
        if self.sent.is_some() {
            return Due::Never;
        }
        if let Some(recheck) = self.recheck {
            if listed < recheck.since {
                return if now < recheck.from {
                    Due::At(recheck.from)
                } else {
                    Due::List
                };
            }
            self.recheck = None;
            if matches!(self.said, Said::Accepted) {
                let message = "it is accepted, but the pod is not told to end";
                self.said = Said::Refused(message.to_owned());
                self.fail(None, 0.0, now);
            }
        }
        match self.said {
            Said::Gone | Said::Replaced | Said::Namespace => Due::Never,
            Said::Many if meaning(budgets) != self.budgets => Due::Now,
            _ if now < self.not_before => Due::At(self.not_before),
            _ => Due::Now,
        }
    }

    /// It could go, but for others that may have spent its budget. Returns from when on that is worth a word.
    pub(super) fn waits(&mut self, now: Duration) -> Duration {
        *self.turn.get_or_insert(now) + TURN
    }

    /// What keeps the pod, by what was said about it.
    pub(super) fn blocker(&self, pod: &Pod, budgets: &[&Budget]) -> Option<Blocker> {
        match &self.said {
            Said::Budget => Some(Blocker::of_budget(pod, budgets)),
            Said::Raced => Some(Blocker::of_races(pod, budgets)),
            Said::Many => Some(Blocker::of_many(pod, budgets)),
            Said::Namespace => Some(Blocker::of_namespace(pod)),
            Said::Refused(message) => Some(Blocker::of_refusal(pod, message)),
            Said::Unanswered => Some(Blocker::new(
                pod,
                Reason::Unanswered,
                "the API server has not answered the eviction, and nobody can tell what became of it",
            )),
            Said::Gone | Said::Replaced => Some(Blocker::of_refusal(
                pod,
                "the API server says that this pod is gone, and lists it all the same",
            )),
            Said::Nothing | Said::Accepted => None,
        }
    }
}

fn meaning(budgets: &[&Budget]) -> Vec<(BudgetName, i64)> {
    let meaning = |budget: &&Budget| (budget.name.clone(), budget.generation);
    budgets.iter().map(meaning).collect()
}
