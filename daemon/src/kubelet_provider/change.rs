//! Gives kubelet the provider, or takes it away: one restart, and the former state if it does not come back.
//!
//! ```text
//! look ─▶ plan ─▶ overlay ─▶ trial ─▶ guard armed ─▶ record ─▶ switch ─▶ restart ─▶ verify ─▶ disarmed ─▶ record
//!    nothing of kubelet's is touched ─┘                                      └─▶ fire ─▶ verify ─▶ record: failed
//! ```

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use pullkeeper_core::placement::extra_args;
use pullkeeper_core::placement::plan::{Plan, words};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::ChangeError;
use super::guard::State;
use super::overlay::{self, parent};
use super::record::{Failure, Installed, Record, Switching};
use super::{Node, trial, verify};
use crate::exit::chain;
use crate::service::{Systemd, slow};

/// So many times as long as kubelet may take the guard waits.
const GUARD_WAITS: u32 = 2;
/// Between two looks at the guard's work.
const LOOK: Duration = Duration::from_millis(250);

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was so already; nothing was restarted.
    Already,
    /// kubelet was restarted, and has it.
    Changed,
}

impl Node<'_> {
    /// Brings a plan about.
    pub(super) async fn install(
        &self,
        systemd: &Systemd,
        plan: &Plan,
    ) -> Result<Done, ChangeError> {
        overlay::make(&self.root, self.directory())?;
        let _lock = self.lock()?;
        let mut record = self.resume(systemd).await?;
        overlay::write(&self.root, plan)?;
        trial::run(&self.root, plan).await?;
        let path = &plan.switch.path;
        let now = self.text(path)?;
        let live = self.live_flags()?;
        let wanted = plan.flags.clone().map(Some);
        if self.has(&record, plan)? {
            self.settled(&mut record, plan)?;
            return Ok(Done::Already);
        }
        let earlier = record.installed.as_ref();
        let ours = |one: &&Installed| one.path == *path && now.as_deref() == Some(&one.written);
        let to = Installed {
            unit: plan.unit.clone(),
            path: path.clone(),
            ours: plan.switch.ours,
            former: match earlier.filter(ours) {
                Some(earlier) => earlier.former.clone(),
                None => now.clone(),
            },
            written: plan.switch.content.clone(),
            before: earlier.map_or(live.clone(), |earlier| earlier.before.clone()),
            flags: plan.flags.clone(),
        };
        let switching = Switching {
            unit: plan.unit.clone(),
            path: path.clone(),
            from: live,
            wanted,
            to: Some(to),
            permit: self.permit,
        };
        let content = Some(plan.switch.content.as_str());
        self.switch(systemd, &mut record, switching, now.as_deref(), content)
            .await?;
        self.settled(&mut record, plan)?;
        Ok(Done::Changed)
    }

    /// Undoes what was done, and leaves nothing behind.
    pub(super) async fn remove(&self, systemd: &Systemd) -> Result<Done, ChangeError> {
        let _lock = self.lock()?;
        let mut record = self.resume(systemd).await?;
        let mut done = Done::Already;
        let ours = record.installed.as_ref().filter(|installed| installed.ours);
        let own_directory = ours.map(|installed| parent(&installed.path).to_owned());
        if let Some(installed) = record.installed.clone() {
            let now = self.text(&installed.path)?;
            let content = without_us(&installed, now.as_deref())?;
            let from = self.live_flags()?;
            if content != now || from != installed.before {
                let switching = Switching {
                    unit: installed.unit,
                    path: installed.path,
                    from,
                    wanted: installed.before,
                    to: None,
                    permit: self.permit,
                };
                let (now, content) = (now.as_deref(), content.as_deref());
                self.switch(systemd, &mut record, switching, now, content)
                    .await?;
                done = Done::Changed;
            }
        }
        let leftover = |path: &str| {
            let path = path.to_owned();
            |source| ChangeError::Leftover { path, source }
        };
        if let Some(directory) = own_directory {
            overlay::remove_empty(&self.root, &directory).map_err(leftover(&directory))?;
        }
        let directory = self.directory();
        overlay::remove(&self.root, directory).map_err(leftover(directory))?;
        Ok(done)
    }

    /// What is no longer needed goes, and former failures are history.
    fn settled(&self, record: &mut Record, plan: &Plan) -> Result<(), ChangeError> {
        if record.failure.take().is_some() {
            self.save(record)?;
        }
        Ok(overlay::sweep(&self.root, plan)?)
    }

    /// Replaces the one file and restarts kubelet, under a guard. `now` is what the file holds.
    async fn switch(
        &self,
        systemd: &Systemd,
        record: &mut Record,
        switching: Switching,
        now: Option<&str>,
        content: Option<&str>,
    ) -> Result<(), ChangeError> {
        let guard = self.guard();
        let after = self.settings.timeout * GUARD_WAITS;
        let armed = guard.arm(systemd, &switching.unit, &switching.path, now, after);
        armed.await?;
        record.switching = Some(switching.clone());
        if let Err(error) = self.write(record, &switching.path, content)
            && self
                .text(&switching.path)
                .is_ok_and(|text| text.as_deref() == now)
        {
            // kubelet's flags are as they were: nothing has to be put back.
            guard.disarm()?;
            record.switching = None;
            // Where even this cannot be written, the guard that is not armed says the same to whoever comes next.
            let saved = self.save(record);
            guard.dismiss(systemd).await?;
            return saved.and(Err(error));
        }
        let outcome = self.restart(systemd, record, &switching).await;
        let why = match outcome {
            Ok(()) if guard.disarm()? => return self.commit(systemd, record, switching).await,
            Ok(()) => "it took so long that systemd has undone it".to_owned(),
            Err(error) => chain(&error),
        };
        Err(self.roll_back(systemd, record, &switching, why).await)
    }

    /// Replaces the file of the flags, once the record says so.
    fn write(&self, record: &Record, path: &str, content: Option<&str>) -> Result<(), ChangeError> {
        self.save(record)?;
        let file = self.file(path)?;
        if let Some(content) = content {
            file.replace(content.as_bytes())?;
        } else {
            file.remove()?;
        }
        Ok(())
    }

    async fn restart(
        &self,
        systemd: &Systemd,
        record: &mut Record,
        switching: &Switching,
    ) -> Result<(), ChangeError> {
        let Switching {
            unit, path, wanted, ..
        } = switching;
        record.restarts += 1;
        record.last_restart = Some(Time(Timestamp::now()));
        self.save(record)?;
        systemd.reload().await?;
        let deadline = Instant::now() + self.settings.timeout;
        let named = systemd.unit(unit).await?;
        match timeout_at(deadline, named.restart()).await {
            Ok(result) => drop(result?),
            Err(_) => return Err(slow(&named, unit).await.into()),
        }
        verify::verify(self, systemd, unit, wanted, path, deadline).await?;
        let since = record.last_restart.as_ref();
        Ok(verify::hear(self, since, deadline).await?)
    }

    async fn commit(
        &self,
        systemd: &Systemd,
        record: &mut Record,
        switching: Switching,
    ) -> Result<(), ChangeError> {
        record.installed = switching.to;
        record.switching = None;
        self.save(record)?;
        Ok(self.guard().dismiss(systemd).await?)
    }

    /// Lets the guard put everything back, and tells what came of that.
    async fn roll_back(
        &self,
        systemd: &Systemd,
        record: &mut Record,
        switching: &Switching,
        why: String,
    ) -> ChangeError {
        tracing::error!(why, "kubelet gets its former flags back");
        record.restarts += 1;
        let again = self.try_roll_back(systemd, switching).await;
        record.switching = None;
        record.failure = Some(Failure {
            why: match &again {
                Ok(()) => why.clone(),
                Err(error) => format!("{why}; then: {}", chain(error)),
            },
            rolled_back: again.is_ok(),
            permit: switching.permit,
        });
        let saved = self.save(record);
        match (again, saved) {
            (Ok(()), Ok(())) => ChangeError::RolledBack(why),
            (Ok(()), Err(error)) => error,
            (Err(error), _) => ChangeError::NotRolledBack {
                why,
                source: Box::new(error),
            },
        }
    }

    async fn try_roll_back(
        &self,
        systemd: &Systemd,
        switching: &Switching,
    ) -> Result<(), ChangeError> {
        let guard = self.guard();
        if guard.state() != State::Fired {
            guard.fire(systemd).await?;
        }
        let deadline = Instant::now() + self.settings.timeout;
        while guard.state() != State::Fired {
            if Instant::now() >= deadline {
                return Err(ChangeError::GuardStuck);
            }
            sleep(LOOK).await;
        }
        let Switching {
            unit, path, from, ..
        } = switching;
        verify::verify(self, systemd, unit, from, path, deadline).await?;
        Ok(guard.dismiss(systemd).await?)
    }

    /// Ends what an earlier process has begun, unless another one is at it.
    pub(super) async fn end_former(&self, systemd: &Systemd) -> Result<(), ChangeError> {
        let _lock = self.lock()?;
        self.resume(systemd).await.map(drop)
    }

    async fn resume(&self, systemd: &Systemd) -> Result<Record, ChangeError> {
        let mut record = Record::load(&self.root, self.directory())?;
        let guard = self.guard();
        let state = guard.state();
        let Some(switching) = record.switching.clone() else {
            if state != State::None {
                // Armed for what was never begun, or left after what has ended.
                guard.dismiss(systemd).await?;
            }
            return Ok(record);
        };
        tracing::warn!(
            unit = switching.unit,
            ?state,
            "an earlier process has ended half-way"
        );
        let went_well = match state {
            State::Disarmed => true,
            State::Armed => {
                let Switching {
                    unit, path, wanted, ..
                } = &switching;
                let deadline = Instant::now() + self.settings.timeout;
                let back = verify::verify(self, systemd, unit, wanted, path, deadline).await;
                back.is_ok() && guard.disarm()?
            }
            State::None | State::Firing | State::Fired => false,
        };
        if went_well {
            self.commit(systemd, &mut record, switching).await?;
            return Ok(record);
        }
        let why =
            "the agent ended while kubelet was restarted, and nobody saw it come back".to_owned();
        Err(self.roll_back(systemd, &mut record, &switching, why).await)
    }
}

/// What the file of the flags is to hold without us.
fn without_us(installed: &Installed, now: Option<&str>) -> Result<Option<String>, ChangeError> {
    match now {
        None => Ok(None),
        Some(now) if now == installed.written => Ok(installed.former.clone()),
        Some(_) if installed.ours => Ok(None),
        Some(now) => {
            let words = words(&installed.flags).join(" ");
            let text = extra_args::without(now, &words);
            let text = text.map_err(|why| ChangeError::ExtraArgs {
                path: installed.path.clone(),
                why,
            })?;
            Ok(Some(text))
        }
    }
}
