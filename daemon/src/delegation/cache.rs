//! What was obtained, for whom, and until when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use pullkeeper_core::authfile::Credential;

use super::slot::Slot;
use super::{Failure, Identity, Obtained};

/// The registry, and whom the credential is for.
type Key = (String, Identity);

/// Nothing in it outlives what the issuer said, and nothing is ever on disk.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<BTreeMap<Key, Arc<Slot<Obtained>>>>);

/// More identities than a node has pods.
const MOST: usize = 1024;

impl Cache {
    /// What is kept for the key, or what `exchange` obtains: once, however many ask at the same time.
    pub(super) async fn get(
        &self,
        key: Key,
        with: &[Credential],
        exchange: impl AsyncFnOnce() -> Result<Obtained, Failure>,
    ) -> Result<Obtained, Failure> {
        let lasting = async || {
            let obtained = exchange().await?;
            Ok((obtained.life, obtained))
        };
        self.slot(key).get(with, lasting).await
    }

    fn slot(&self, key: Key) -> Arc<Slot<Obtained>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST && !slots.contains_key(&key) {
            // Those that nobody waits for; what they hold can be obtained again.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pullkeeper_core::jwt::Account;
    use pullkeeper_core::wire::Secret;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn registries_and_accounts_are_kept_apart() {
        let cache = Cache::default();
        let account = |uid: &str| {
            Identity::Account(Account {
                namespace: "ns".to_owned(),
                name: "puller".to_owned(),
                uid: uid.to_owned(),
            })
        };
        let keys = [
            ("r.example", account("1")),
            ("r.example", account("2")),
            ("s.example", account("1")),
            ("r.example", Identity::Namespace("ns".to_owned())),
            ("r.example", Identity::Node),
        ];
        for round in ["first", "second"] {
            for (number, (registry, identity)) in keys.iter().enumerate() {
                let exchange = async || {
                    Ok(Obtained {
                        username: "u".to_owned(),
                        secret: Secret::new(format!("{number} of the {round}")),
                        life: Duration::from_secs(100),
                    })
                };
                let key = ((*registry).to_owned(), identity.clone());
                let got = cache.get(key, &[], exchange).await.unwrap();
                assert_eq!(got.secret.expose(), format!("{number} of the first"));
            }
        }
    }
}
