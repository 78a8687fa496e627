//! New credentials are tried before they go on, where the permit asks for that.

use pullkeeper_core::authfile::Document;

use crate::delegation::probe::probe;
use crate::outbound::Outbound;
use crate::source::Payload;

/// At most one trial at a time, and what came of the last one.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    running: Option<(u64, Running)>,
    /// The permit whose credentials are good, as far as anybody can tell.
    pub(crate) passed: Option<u64>,
    /// The permit of which one is not, and which one.
    pub(crate) rejected: Option<(u64, String)>,
}

type Running = tokio::task::JoinHandle<Result<(), String>>;

impl Trial {
    /// Tries for this permit, unless that is being done or was. The candidates are what waits and what went on before.
    pub(crate) fn begin(
        &mut self,
        serial: u64,
        candidates: impl FnOnce() -> (Vec<Payload>, Vec<Payload>),
    ) {
        let rejected = self.rejected.as_ref().map(|(rejected, _)| *rejected);
        let running = self.running.as_ref().map(|(running, _)| *running);
        if rejected == Some(serial) || running == Some(serial) {
            return;
        }
        self.end();
        let (next, former) = candidates();
        self.running = Some((serial, tokio::spawn(run(next, former))));
    }

    /// Nothing is to be tried any more.
    pub(crate) fn end(&mut self) {
        if let Some((_, running)) = self.running.take() {
            running.abort();
        }
    }

    /// Waits until one has ended that was begun; for ever, when there is none.
    pub(crate) async fn ended(&mut self) {
        let Some((serial, running)) = &mut self.running else {
            return std::future::pending().await;
        };
        let (serial, ended) = (*serial, running.await);
        self.running = None;
        match ended {
            Ok(Err(why)) => {
                tracing::error!(
                    why,
                    "a new credential was rejected; the last good ones stay"
                );
                self.rejected = Some((serial, why));
            }
            Ok(Ok(())) => self.passed = Some(serial),
            // It broke: that is no word about the credentials.
            Err(error) => {
                tracing::warn!(%error, "new credentials could not be tried");
                self.passed = Some(serial);
            }
        }
    }
}

async fn run(next: Vec<Payload>, former: Vec<Payload>) -> Result<(), String> {
    let outbound = match Outbound::new(None) {
        Ok(outbound) => outbound,
        Err(error) => {
            let error = crate::exit::chain(&error);
            tracing::warn!(error, "new credentials could not be tried");
            return Ok(());
        }
    };
    let documents = |payloads: Vec<Payload>| -> Vec<Document> {
        let checked = payloads
            .iter()
            .map(|one| Document::check(&one.bytes, one.shape));
        checked.filter_map(|checked| checked.document).collect()
    };
    probe(&outbound, &documents(next), &documents(former)).await
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.end();
    }
}
