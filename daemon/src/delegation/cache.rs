//! What was obtained, for whom, and until when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pullkeeper_core::authfile::Credential;

use super::shelf::Shelf;
use super::slot::Slot;
use super::{Failure, Identity, Obtained};
use crate::config::DelegationSettings;

/// The registry, and whom the credential is for.
pub(super) type Key = (String, Identity);

/// Nothing in it outlives what the issuer said, and nothing is ever on disk.
#[derive(Debug, Default)]
pub(super) struct Cache {
    slots: Mutex<BTreeMap<Key, Arc<Slot<Obtained>>>>,
    /// What other processes share, with everything that it depends on besides key and credentials.
    shelf: Option<(Shelf, String)>,
}

/// More identities than a node has pods.
const MOST: usize = 1024;

impl Cache {
    /// One whose content other processes share, if they do exactly the same.
    pub(super) fn sharing(shelf: Option<&Shelf>, settings: &DelegationSettings) -> Self {
        Self {
            slots: Mutex::default(),
            shelf: shelf.map(|shelf| (shelf.clone(), format!("{settings:?}"))),
        }
    }

    /// What is kept for the key, with its age, or what `exchange` obtains: once, however many ask at the same time.
    pub(super) async fn get(
        &self,
        key: Key,
        with: &[Credential],
        exchange: impl AsyncFnOnce() -> Result<Obtained, Failure>,
    ) -> Result<(Obtained, Option<Duration>), Failure> {
        let slot = self.slot(&key);
        let lasting = async || {
            let obtained = match &self.shelf {
                None => exchange().await?,
                Some((shelf, origin)) => shelf.get(&key, origin, with, exchange).await?,
            };
            Ok((obtained.life, obtained))
        };
        slot.get(with, lasting).await
    }

    fn slot(&self, key: &Key) -> Arc<Slot<Obtained>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST && !slots.contains_key(key) {
            // Those that nobody waits for; what they hold can be obtained again.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
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
                let (got, _) = cache.get(key, &[], exchange).await.unwrap();
                assert_eq!(got.secret.expose(), format!("{number} of the first"));
            }
        }
    }
}
