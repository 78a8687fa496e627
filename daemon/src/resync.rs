//! A look now, instead of at the next opportunity.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks everybody who looks at something to look again now: files are read, objects listed and watched anew.
#[derive(Clone, Debug, Default)]
pub struct Resync(Arc<watch::Sender<()>>);

impl Resync {
    /// Asks all. What they find unchanged wakes nobody.
    pub fn request(&self) {
        self.0.send_modify(|()| {});
    }

    pub(crate) fn subscribe(&self) -> Requests {
        Requests {
            requests: self.0.subscribe(),
            _resync: self.clone(),
        }
    }
}

/// One looker's view of the requests.
pub(crate) struct Requests {
    requests: watch::Receiver<()>,
    /// Keeps the channel open, so that waiting never ends without a request.
    _resync: Resync,
}

impl Requests {
    /// Waits for a request that was not waited for before.
    pub(crate) async fn requested(&mut self) {
        if self.requests.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
