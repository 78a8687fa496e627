//! `agent --once`: for hosts that sync at boot, for images under construction, and for trying things out.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::pipeline::{inquiry, source_context};
use crate::cluster::Cluster;
use crate::config::{Settings, TargetKind};
use crate::event::Events;
use crate::exit::Exit;
use crate::gate::{Gate, Standing};
use crate::install::helper::Helper;
use crate::install::installer::Installer;
use crate::install::ownership::Ownership;
use crate::list_watch::Terms;
use crate::report::Reporter;
use crate::resync::Resync;
use crate::source::{self, Observation};
use crate::status::{HelperState, TargetState};

/// How long sources and the question of ownership may take together.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads every source once, brings every target up to date once, and says by its exit how that went.
pub(super) async fn run(settings: &Settings) -> Exit {
    let mut reporter = Reporter::new(Events::off());
    // First, for it waits for nobody.
    let helper = settings.credential_helper.as_ref();
    let helper_failed = helper.is_some_and(|helper| {
        // Nothing else runs in this process, so blocking its one thread is fine.
        let applied = Helper::new(helper).apply();
        applied.tell(&mut reporter);
        applied.status.state == HelperState::Failed
    });

    let cluster = Cluster::new(&settings.kubernetes);
    let observed = observe(settings, &cluster, PATIENCE).await;
    let complete = observed.iter().all(|source| source.items.is_some());

    let wish = Gate::new(settings.validation.clone()).pass(&observed);
    reporter.tell_wish(&wish);

    let owner = owner(settings, &cluster).await;
    let mut exit = if complete { Exit::Ok } else { Exit::TryAgain };
    for target in &settings.targets {
        let mut installer = Installer::new(target.clone(), &settings.state_dir);
        let applied = installer.apply(&wish, owner);
        reporter.tell_target(&applied.status);
        exit = match applied.status.state {
            TargetState::Failed => Exit::Unavailable,
            TargetState::Pending | TargetState::Withheld if exit == Exit::Ok => Exit::Findings,
            _ => exit,
        };
    }
    let flawless = wish
        .items
        .iter()
        .all(|item| item.standing == Standing::Good);
    if helper_failed {
        Exit::Unavailable
    } else if exit == Exit::Ok && !flawless {
        Exit::Findings
    } else {
        exit
    }
}

/// What every source says, as far as they answer in time.
pub(crate) async fn observe(
    settings: &Settings,
    cluster: &Cluster,
    patience: Duration,
) -> Vec<Observation> {
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    let terms = Terms::of(&settings.kubernetes, cluster, &Resync::default(), &cancel);
    let context = source_context(settings, terms);
    let mut observations = source::spawn(&settings.sources, &context);
    let answered = observations.wait_for(|all| all.iter().all(|source| source.items.is_some()));
    // Whether all of them did is in the observations.
    drop(tokio::time::timeout(patience, answered).await);
    observations.borrow().clone()
}

async fn owner(settings: &Settings, cluster: &Cluster) -> Ownership {
    if settings
        .targets
        .iter()
        .all(|target| target.kind != TargetKind::Kubelet)
    {
        return Ownership::Ours;
    }
    let (found, mut ownership) = watch::channel(Ownership::Unknown);
    let inquiry = tokio::spawn(inquiry(settings, cluster).run(found));
    let known = ownership.wait_for(|owner| *owner != Ownership::Unknown);
    let owner = match tokio::time::timeout(PATIENCE, known).await {
        Ok(Ok(owner)) => *owner,
        Ok(Err(_)) | Err(_) => Ownership::Unknown,
    };
    inquiry.abort();
    owner
}
