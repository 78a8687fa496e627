//! One target from end to end: read, decide, record, replace, record again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use pullkeeper_core::authfile::{Finding, Ledger, Reason};
use pullkeeper_core::pacing::Corrections;

use super::ownership::Ownership;
use super::plan::plan;
use super::record::{Record, RecordError};
use super::{Cause as Fault, Options, Target, TargetError};
use crate::activation::{Former, Journal};
use crate::config::{MergePolicy, TargetKind, TargetSettings};
use crate::gate::Wish;
use crate::status::{Cause, TargetFailure, TargetState, TargetStatus};

/// The only writer of one target.
#[derive(Debug)]
pub struct Installer {
    settings: TargetSettings,
    record: Record,
    corrections: Corrections,
    started: Instant,
    applied: Option<u64>,
    sweep_due: bool,
    /// What the last replacement put right, which nobody finds any more.
    told: Vec<Finding>,
    status: TargetStatus,
    journal: Option<Arc<Journal>>,
    /// The permit for which the file was replaced and is as it was before again.
    undone: Option<u64>,
}

/// What one look at the target led to.
#[derive(Debug)]
pub struct Applied {
    /// How the target stands now.
    pub status: TargetStatus,
    /// Why the file was replaced, when it was.
    pub written: Option<Cause>,
    /// When to look again at the latest, because a correction was put off or an attempt failed.
    pub again_in: Option<Duration>,
}

/// Why a target could not be brought up to date. The last good file stays.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The file itself.
    #[error(transparent)]
    Replace(#[from] TargetError),
    /// The record of managed entries.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl InstallError {
    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Replace(error) => error.kind(),
            Self::Record(_) => "record",
        }
    }
}

/// How soon a failed target is tried again when nothing else happens.
const RETRY: Duration = Duration::from_secs(10);
/// How soon it is looked whether former files are back.
const SOON: Duration = Duration::from_secs(1);
/// How often in a row another writer may be faster before that counts as a failure.
const RACES: u32 = 5;

impl Installer {
    /// An installer that has not looked at its target yet.
    pub fn new(settings: TargetSettings, state_dir: &Path) -> Self {
        let status = TargetStatus::pending(&settings);
        let record = Record::of(state_dir, &settings.path);
        Self {
            settings,
            record,
            corrections: Corrections::default(),
            started: Instant::now(),
            applied: None,
            sweep_due: true,
            told: Vec::new(),
            status,
            journal: None,
            undone: None,
        }
    }

    /// Keeps what is there in this journal, before it is replaced under a permit to restart services.
    #[must_use]
    pub(crate) fn journaled(mut self, journal: Option<Arc<Journal>>) -> Self {
        self.journal = journal;
        self
    }

    /// Puts the file back as it was before it was replaced under this permit, and leaves it so while that is wished for.
    pub(crate) fn restore(&mut self, serial: u64, former: &Former) -> Result<(), InstallError> {
        let target = self.target()?;
        let (content, record) = former.parts();
        let ours = self.record.load()?;
        let former = Ledger::from_json(record).unwrap_or_else(|_| ours.clone());
        // Both are recognised as ours, whenever this ends.
        self.record.keep(&former.or(&ours))?;
        match content {
            Some(bytes) => target.replace(bytes).map(drop)?,
            None => target.remove()?,
        }
        self.record.keep(&former)?;
        self.undone = Some(serial);
        self.status.last_write = Some(Timestamp::now());
        Ok(())
    }

    /// Where the target is.
    pub fn path(&self) -> &Path {
        &self.settings.path
    }

    /// Looks at the target and brings it up to date. Blocks on the file system.
    pub fn apply(&mut self, wish: &Wish, owner: Ownership) -> Applied {
        let undone = wish
            .restart
            .is_some_and(|one| self.undone == Some(one.serial));
        if undone {
            // What is wished for was just taken back; a wish without it is on its way.
            return Applied {
                status: self.status.clone(),
                written: None,
                again_in: None,
            };
        }
        let policy = match (self.settings.kind, owner) {
            (TargetKind::Kubelet, Ownership::MachineConfigOperator) => MergePolicy::Observe,
            (TargetKind::Kubelet, Ownership::Unknown) => {
                return Applied {
                    status: self.status.clone(),
                    written: None,
                    again_in: None,
                };
            }
            _ => self.settings.merge,
        };
        match self.try_apply(wish, policy) {
            Ok(applied) => applied,
            Err(error) => {
                let failure = TargetFailure {
                    kind: error.kind(),
                    message: crate::exit::chain(&error),
                };
                if let InstallError::Replace(error) = &error {
                    self.sweep_due |= error.leftover().is_some();
                }
                self.status.state = TargetState::Failed;
                self.status.generation = wish.generation;
                self.status.error = Some(failure);
                Applied {
                    status: self.status.clone(),
                    written: None,
                    again_in: Some(RETRY),
                }
            }
        }
    }

    fn try_apply(&mut self, wish: &Wish, policy: MergePolicy) -> Result<Applied, InstallError> {
        let target = self.target()?;
        if self.sweep_due && policy != MergePolicy::Observe {
            target.sweep()?;
            self.sweep_due = false;
        }
        let mut races = 0;
        loop {
            match self.try_once(&target, wish, policy) {
                // Somebody else was faster: what they wrote is merged in, instead of overwritten.
                Err(InstallError::Replace(error))
                    if error.cause() == Fault::Changed && races < RACES =>
                {
                    races += 1;
                }
                answer => return answer,
            }
        }
    }

    fn try_once(
        &mut self,
        target: &Target,
        wish: &Wish,
        policy: MergePolicy,
    ) -> Result<Applied, InstallError> {
        let observed = policy == MergePolicy::Observe;
        let current = target.read()?;
        let ledger = self.record.load()?;
        let disk = current.as_ref().map(|current| current.bytes.as_slice());
        let mut plan = plan(self.settings.kind, policy, wish, disk, &ledger);
        if let (None, Some(current)) = (&plan.write, &current)
            && plan.is_right()
            && plan.managed > 0
            && !observed
            && !target.conforms(current)
        {
            // The content is right and mode or owner are not: a credential may be readable for too many.
            plan.write = Some(current.bytes.clone());
        }

        let cause = if self.applied == Some(wish.generation) {
            Cause::Drift
        } else {
            Cause::Source
        };
        let now = self.started.elapsed();
        // Only corrections wait: what a source asks for is written at once.
        let wait = match cause {
            Cause::Drift => self.corrections.due_in(now),
            Cause::Source => Duration::ZERO,
        };
        let mut written = None;
        if let (Some(bytes), true) = (&plan.write, wait.is_zero()) {
            if let (Some(restart), Some(journal)) = (wish.restart, &self.journal)
                && cause == Cause::Source
            {
                let useful = plan.changes.replace_something()
                    || (policy == MergePolicy::Verbatim && current.is_some());
                let former = Former::new(disk, &ledger.to_json(), useful);
                if !journal.begin(restart, &self.settings.path, former)? {
                    // Former files come back first.
                    return Ok(Applied {
                        status: self.status.clone(),
                        written: None,
                        again_in: Some(SOON),
                    });
                }
            }
            // Before the write the record recognises old and new values, so that a crash between the
            // two leaves no entry that nobody owns.
            self.record.keep(&ledger.or(&plan.ledger))?;
            let seen = current.as_ref().map(|current| &current.identity);
            let installed = target.replace_if(seen, bytes)?;
            if cause == Cause::Drift {
                self.corrections.made(now);
            }
            if installed.other_links > 0 {
                tracing::warn!(
                    path = %self.settings.path.display(),
                    links = installed.other_links,
                    "the file had other hard links; they keep the old content"
                );
            }
            self.status.last_write = Some(Timestamp::now());
            self.told.clone_from(&plan.findings);
            // That one holds as long as it is found, whoever writes.
            self.told
                .retain(|finding| finding.reason != Reason::LastGoodKept);
            written = Some(cause);
        }
        let put_off = plan.write.is_some() && written.is_none();
        let right = written.is_some() || plan.is_right();
        if right && !observed {
            self.record.keep(&plan.ledger)?;
        }
        self.applied = Some(wish.generation);
        let complete = wish.items_for(None).all(|item| item.good.is_some());
        self.status.state = if right && (plan.managed > 0 || (complete && current.is_some())) {
            // Also when all entries are kept from an earlier run: they serve the node.
            TargetState::InSync
        } else if observed {
            TargetState::Observed
        } else if put_off || wish.withheld {
            TargetState::Withheld
        } else {
            TargetState::Pending
        };
        self.status.generation = wish.generation;
        self.status.entries = plan.managed;
        self.status.error = None;
        self.status.findings = plan.findings;
        for finding in &self.told {
            if !self.status.findings.contains(finding) {
                self.status.findings.push(finding.clone());
            }
        }
        let again_in = put_off.then(|| wait.max(Duration::from_millis(1)));
        Ok(Applied {
            status: self.status.clone(),
            written,
            again_in,
        })
    }

    fn target(&self) -> Result<Target, TargetError> {
        let options = Options {
            mode: self.settings.mode,
            owner: self.settings.owner,
            ..Options::default()
        };
        Target::new(&self.settings.path, options)
    }
}
