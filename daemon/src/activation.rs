//! Services of the node are restarted after its files were replaced, and the files come back if they do not.
//!
//! ```text
//! permit ─▶ journal: what was there ─▶ install ─▶ restart{systemd} ─▶ health ─▶ the journal is forgotten ─▶ report
//!                      ▲                             │ not back
//!                      └──── install ◀───────────────┘ former files, and the services once more ─▶ rejected
//! ```
//!
//! Nothing is restarted unless the node's own configuration names units, a permit asks for it, and an entry that was there
//! before has changed or gone. What was begun is finished, by the next process too: the journal says how far it is.

mod journal;
mod restart;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use self::journal::Phase;
pub(crate) use self::journal::{Former, Journal, Rejected};
use self::restart::restart;
use crate::config::ActivationSettings;
use crate::event::Events;
use crate::exit::chain;
use crate::install::TargetError;
use crate::install::writer::Restore;
use crate::rollout::{Passed, Standing};
use crate::service::RestartError;
use crate::status::{Board, TargetState};

/// Before something that failed and has to be done is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What came of a permit that asked for a restart.
#[derive(Clone, Debug)]
pub(crate) struct Activated {
    /// The permit's serial number.
    pub(crate) serial: u64,
    /// Why services are not as they should be, and what was done about it.
    pub(crate) outcome: Result<(), String>,
    /// When a service was restarted last, if any was.
    pub(crate) restarted: Option<Time>,
}

/// Restarts what the configuration names.
#[derive(Debug)]
pub(crate) struct Activation {
    settings: ActivationSettings,
    journal: Arc<Journal>,
    activated: watch::Sender<Option<Activated>>,
    /// Events on the node.
    events: Events,
    /// Where systemd is asked; `None` is where it always is.
    bus: Option<String>,
}

type Writers = BTreeMap<PathBuf, mpsc::Sender<Restore>>;

impl Activation {
    /// One that tells what came of it. What an earlier process found out is told again.
    pub(crate) fn new(
        settings: ActivationSettings,
        journal: Arc<Journal>,
        events: Events,
    ) -> (Self, watch::Receiver<Option<Activated>>) {
        let former = match journal.stands() {
            Some((serial, Phase::Rejected(why))) => Some(Activated {
                serial,
                outcome: Err(why),
                restarted: journal.last_restart(),
            }),
            _ => None,
        };
        let (activated, told) = watch::channel(former);
        let activation = Self {
            settings,
            journal,
            activated,
            events,
            bus: None,
        };
        (activation, told)
    }

    /// Does what there is to do, until cancelled. Cancelled half-way, the journal says how to go on.
    pub(crate) async fn run(
        self,
        mut passed: watch::Receiver<Passed>,
        board: Arc<Board>,
        writers: Writers,
    ) {
        board.metrics().restarts(&self.settings.units);
        let mut targets = board.subscribe();
        loop {
            let current = passed.borrow_and_update().clone();
            targets.borrow_and_update();
            let stepped = self.step(&current, &board, &writers).await;
            if let Err(error) = &stepped {
                let error = chain(error);
                tracing::error!(error, "cannot keep the journal of a restart; trying on");
            }
            tokio::select! {
                changed = passed.changed() => if changed.is_err() { return },
                changed = targets.changed() => if changed.is_err() { return },
                () = sleep(RETRY), if stepped.is_err() => {}
            }
        }
    }

    async fn step(
        &self,
        passed: &Passed,
        board: &Board,
        writers: &Writers,
    ) -> Result<(), TargetError> {
        match self.journal.stands() {
            Some((serial, Phase::Restarting)) => self.restart(serial, board, writers).await,
            Some((serial, Phase::RollingBack(why))) => {
                self.roll_back(serial, why, board, writers).await
            }
            Some((serial, Phase::Replacing)) => {
                let Some(written) = written(passed, board) else {
                    return Ok(());
                };
                let answered = passed
                    .restart
                    .is_some_and(|one| one.serial == serial && one.answered);
                // Who has reported that it failed does nothing later, when its slot may be another node's.
                if !written || answered {
                    return self.end(serial, not_written()).await;
                }
                if !self.journal.is_useful() {
                    return self.end(serial, Ok(())).await;
                }
                if self.advance(serial, Phase::Restarting).await? {
                    self.restart(serial, board, writers).await?;
                }
                Ok(())
            }
            None | Some((_, Phase::Rejected(_))) => {
                let Some(asked) = passed.restart else {
                    return Ok(());
                };
                let told = self.activated.borrow().as_ref().map(|told| told.serial);
                match written(passed, board) {
                    Some(true) if told != Some(asked.serial) => {
                        self.end(asked.serial, Ok(())).await
                    }
                    Some(false) if told != Some(asked.serial) => {
                        self.end(asked.serial, not_written()).await
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    async fn restart(
        &self,
        serial: u64,
        board: &Board,
        writers: &Writers,
    ) -> Result<(), TargetError> {
        tracing::info!(units = ?self.settings.units, "restarting");
        match self.restart_all(board).await {
            Ok(()) => {
                tracing::info!(units = ?self.settings.units, "restarted, and back");
                board.metrics().activated("restarted");
                self.end(serial, Ok(())).await
            }
            Err(error) if error.has_touched() => {
                let why = chain(&error);
                tracing::error!(why, "a restart failed; the former files come back");
                let phase = Phase::RollingBack(why.clone());
                if self.advance(serial, phase).await? {
                    self.events.warn("RestartFailed", why.clone());
                    self.roll_back(serial, why, board, writers).await?;
                }
                Ok(())
            }
            Err(RestartError::Journal(error)) => Err(error),
            Err(error) => {
                let so_far = match self.journal.last_restart() {
                    Some(_) => "not everything",
                    None => "nothing",
                };
                let why = chain(&error);
                let why = format!("{so_far} was restarted, and the files are new: {why}");
                tracing::error!(why, "cannot restart");
                board.metrics().activated("refused");
                self.events.warn("RestartFailed", why.clone());
                self.end(serial, Err(why)).await
            }
        }
    }

    /// Puts former files back, and restarts once more.
    async fn roll_back(
        &self,
        serial: u64,
        why: String,
        board: &Board,
        writers: &Writers,
    ) -> Result<(), TargetError> {
        let formers = self.journal.formers();
        let lost = formers.iter().any(|(_, former)| former.is_lost());
        for (path, former) in formers {
            if former.is_lost() {
                tracing::warn!(
                    path = %path.display(),
                    "an earlier process knew what was in this file; it stays as it is"
                );
                continue;
            }
            let Some(writer) = writers.get(&path) else {
                tracing::warn!(path = %path.display(), "no target any more; the file stays as it is");
                continue;
            };
            while let Err(error) = put_back(writer, serial, &former).await {
                // Before it is back nothing else makes sense.
                tracing::error!(path = %path.display(), error, "cannot put a former file back; trying on");
                sleep(RETRY).await;
            }
            tracing::warn!(path = %path.display(), "the former file is back");
        }
        let again = self.restart_all(board).await;
        let files = if lost {
            "the agent was restarted meanwhile and does not know any more what was there, so that files stay as they are"
        } else {
            "the former files are back"
        };
        let (event, outcome) = if lost || again.is_err() {
            ("RestartNotRolledBack", "not-rolled-back")
        } else {
            ("RestartRolledBack", "rolled-back")
        };
        let why = match again {
            Ok(()) => format!("{why}; {files}; the services are back"),
            Err(RestartError::Journal(error)) => return Err(error),
            Err(error) => {
                let again = chain(&error);
                format!("{why}; {files}; the services are not back: {again}")
            }
        };
        tracing::error!(why, "rolled back");
        let restarted = self.journal.last_restart();
        if self.advance(serial, Phase::Rejected(why.clone())).await? {
            board.metrics().activated(outcome);
            self.events.warn(event, why.clone());
            self.tell(serial, Err(why), restarted);
            self.journal.publish();
        }
        Ok(())
    }

    async fn restart_all(&self, board: &Board) -> Result<(), RestartError> {
        let (bus, metrics) = (self.bus.as_deref(), board.metrics());
        restart(&self.settings, bus, &self.journal, metrics).await
    }

    async fn advance(&self, serial: u64, phase: Phase) -> Result<bool, TargetError> {
        let advance = move |journal: &Journal| journal.advance(serial, phase);
        self.journal.write(advance).await
    }

    async fn end(&self, serial: u64, outcome: Result<(), String>) -> Result<(), TargetError> {
        // What was restarted for a former permit was told with that.
        let stands = self.journal.stands();
        let own = stands.is_some_and(|(noted, _)| noted == serial);
        let restarted = self.journal.last_restart().filter(|_| own);
        if self
            .journal
            .write(move |journal| journal.end(serial))
            .await?
        {
            self.tell(serial, outcome, restarted);
        }
        Ok(())
    }

    fn tell(&self, serial: u64, outcome: Result<(), String>, restarted: Option<Time>) {
        self.activated.send_replace(Some(Activated {
            serial,
            outcome,
            restarted,
        }));
    }
}

fn not_written() -> Result<(), String> {
    let why = "a file could not be written under this permit, so that nothing was restarted";
    Err(why.to_owned())
}

/// Whether all targets have what is wished for; `None` while that is not known.
fn written(passed: &Passed, board: &Board) -> Option<bool> {
    if passed.standing == Standing::Unknown {
        return None;
    }
    if passed.wish.withheld {
        return Some(false);
    }
    let mut all = true;
    for target in board.status().targets {
        if target.generation < passed.wish.generation {
            return None;
        }
        match target.state {
            TargetState::InSync | TargetState::Observed => {}
            TargetState::Failed => all = false,
            TargetState::Pending | TargetState::Withheld => return None,
        }
    }
    Some(all)
}

async fn put_back(
    writer: &mpsc::Sender<Restore>,
    serial: u64,
    former: &Former,
) -> Result<(), String> {
    let (done, heard) = oneshot::channel();
    let former = former.clone();
    let asked = writer.send(Restore {
        serial,
        former,
        done,
    });
    asked.await.map_err(|_| "its writer has ended".to_owned())?;
    match heard.await {
        Ok(restored) => restored.map_err(|error| chain(&error)),
        Err(_) => Err("its writer has ended".to_owned()),
    }
}

#[cfg(test)]
mod real_systemd;
