//! The task that owns one target.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::installer::{InstallError, Installer};
use super::ownership::Ownership;
use crate::activation::Former;
use crate::gate::Wish;
use crate::notice::{Bell, Notice};
use crate::report::Reporter;
use crate::resync::Resync;
use crate::status::{Board, Cause};

/// What the writers of all targets share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What the targets are to hold.
    pub wish: watch::Receiver<Arc<Wish>>,
    /// Whose kubelet's file is.
    pub ownership: watch::Receiver<Ownership>,
    /// How often targets are looked at without being told that they changed.
    pub resync_interval: Duration,
    /// Asks for a look now.
    pub resync: Resync,
    /// Where the outcome is shown.
    pub board: Arc<Board>,
    /// Ends the writers between two writes, never within one.
    pub cancel: CancellationToken,
}

/// Asks a writer to put its file back as it was, and hears what came of it.
#[derive(Debug)]
pub(crate) struct Restore {
    pub(crate) serial: u64,
    pub(crate) former: Former,
    pub(crate) done: oneshot::Sender<Result<(), InstallError>>,
}

/// Keeps one target as the wish says, and puts it back when that is asked for, until cancelled. Nobody else writes it in this
/// process.
pub(crate) async fn own(
    installer: Installer,
    shared: Shared,
    mut reporter: Reporter,
    mut restores: mpsc::Receiver<Restore>,
) {
    let Shared {
        mut wish,
        mut ownership,
        resync_interval,
        resync,
        board,
        cancel,
    } = shared;
    // Before the gate has judged for the first time nobody wishes for anything, which must not be taken for
    // the wish that everything go.
    let judged = cancel.run_until_cancelled(wish.wait_for(|wish| wish.generation > 0));
    if judged.await.is_none_or(|judged| judged.is_err()) {
        return;
    }
    let bell = Arc::new(Bell::default());
    let mut resync = resync.subscribe();
    let mut work = Some((installer, Notice::new(Arc::clone(&bell))));
    loop {
        let current = Arc::clone(&wish.borrow_and_update());
        let owner = *ownership.borrow_and_update();
        let Some((mut installer, mut notice)) = work.take() else {
            return;
        };
        let seen = current.seen;
        // Not cancelled half-way: the file system decides how long a write takes.
        let looked = tokio::task::spawn_blocking(move || {
            // Watched before it is read, so that no change falls in between.
            let (watched, _) = notice.attend(&[installer.path().to_owned()]);
            let applied = installer.apply(&current, owner);
            (installer, notice, watched, applied)
        });
        let Ok((installer, notice, watched, applied)) = looked.await else {
            return;
        };
        work = Some((installer, notice));
        if let Some(cause) = applied.written {
            // Only what a source asked for has come the whole way.
            let took = seen
                .filter(|_| cause == Cause::Source)
                .map(|seen| seen.elapsed());
            board.written(&applied.status, cause, took);
            let (path, entries) = (&applied.status.path, applied.status.entries);
            tracing::info!(path, entries, cause = cause.as_str(), "target replaced");
        }
        reporter.tell_target(&applied.status);
        let again_in = applied.again_in.unwrap_or(resync_interval);
        let again_in = if watched {
            again_in
        } else {
            again_in.min(UNWATCHED)
        };
        board.target(applied.status);

        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            changed = wish.changed() => if changed.is_err() { return },
            changed = ownership.changed() => if changed.is_err() { return },
            Some(restore) = restores.recv() => {
                let Some((mut installer, notice)) = work.take() else {
                    return;
                };
                let Restore { serial, former, done } = restore;
                let restored = tokio::task::spawn_blocking(move || {
                    let restored = installer.restore(serial, &former);
                    (installer, restored)
                });
                let Ok((installer, restored)) = restored.await else {
                    return;
                };
                work = Some((installer, notice));
                // Who asked may have been stopped.
                let _heard = done.send(restored);
            }
            _ = bell.wait() => {},
            () = resync.requested() => {},
            () = tokio::time::sleep(again_in) => {},
        }
    }
}

/// How often a target is looked at while its directory cannot be watched.
const UNWATCHED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
