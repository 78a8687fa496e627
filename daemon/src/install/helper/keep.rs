//! The task that keeps the credential helper on the host.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Helper;
use crate::report::Reporter;
use crate::resync::Resync;
use crate::status::Board;

/// What the task needs.
pub(crate) struct Keep {
    pub(crate) reporter: Reporter,
    pub(crate) board: Arc<Board>,
    /// How often it is looked at without being asked for.
    pub(crate) resync_interval: Duration,
    /// Asks for a look now.
    pub(crate) resync: Resync,
    /// Ends the task between two attempts, never within one.
    pub(crate) cancel: CancellationToken,
}

impl Keep {
    /// Looks at the host now and at each resync, until cancelled. What fails is told, and tried again at the next one.
    pub(crate) async fn own(mut self, mut helper: Helper) {
        let mut resync = self.resync.subscribe();
        loop {
            // Not cancelled half-way: the file system decides how long a write takes.
            let looked = tokio::task::spawn_blocking(move || {
                let applied = helper.apply();
                (helper, applied)
            });
            let Ok((owned, applied)) = looked.await else {
                return;
            };
            helper = owned;
            applied.tell(&mut self.reporter);
            if let Some(result) = applied.result() {
                self.board.metrics().helper_attempted(result);
            }
            self.board.helper(Some(applied.status));
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                () = resync.requested() => {},
                () = tokio::time::sleep(self.resync_interval) => {},
            }
        }
    }
}
