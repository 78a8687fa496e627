//! What Pullkeeper put into a target: key names and keyed hashes, never a second copy of a credential.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The memory of one target between runs.
///
/// It is written *before* the target with the digests of old and new values together, and again afterwards
/// with the new ones alone: a crash between the two leaves every managed entry recognisable.
#[derive(Clone, PartialEq, Eq)]
pub struct Ledger {
    key: HashKey,
    entries: BTreeMap<String, Managed>,
    fields: BTreeMap<String, Managed>,
}

/// The secret key of the hashes; made once for each target from the system's random numbers.
pub type HashKey = Zeroizing<[u8; 32]>;

/// HMAC-SHA256 of a rendered value under the ledger's key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

/// One member of the target that Pullkeeper wrote.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Managed {
    /// The name of the source it came from.
    pub(super) source: String,
    /// The values it may have: one, or two while a write is under way.
    pub(super) digests: Vec<Digest>,
}

/// Why a stored ledger cannot be used. Everything on disk then counts as put there by others.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the record of managed entries: {what}")]
pub struct LedgerError {
    what: &'static str,
    #[source]
    source: Option<serde_json::Error>,
}

impl Ledger {
    /// A ledger that manages nothing yet.
    pub fn new(key: HashKey) -> Self {
        Self {
            key,
            entries: BTreeMap::new(),
            fields: BTreeMap::new(),
        }
    }

    /// Reads what [`Ledger::to_json`] wrote.
    pub fn from_json(bytes: &[u8]) -> Result<Self, LedgerError> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|source| LedgerError {
            what: "it is not the JSON that was written",
            source: Some(source),
        })?;
        let error = |what| LedgerError { what, source: None };
        if stored.version != VERSION {
            return Err(error("it has a version that this program does not know"));
        }
        let key = Zeroizing::new(
            STANDARD_NO_PAD
                .decode(&*stored.key)
                .map_err(|_| error("its key is damaged"))?,
        );
        let key = <[u8; 32]>::try_from(key.as_slice()).map_err(|_| error("its key is damaged"))?;
        Ok(Self {
            key: Zeroizing::new(key),
            entries: stored.entries,
            fields: stored.fields,
        })
    }

    /// The stored form. It holds the hash key, so it belongs in a file that only root reads.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let stored = Stored {
            version: VERSION,
            key: Zeroizing::new(STANDARD_NO_PAD.encode(self.key.as_slice())),
            entries: self.entries.clone(),
            fields: self.fields.clone(),
        };
        #[allow(
            clippy::expect_used,
            reason = "maps with string keys always have a JSON form"
        )]
        Zeroizing::new(serde_json::to_vec(&stored).expect("a ledger has a JSON form"))
    }

    /// The keys of the entries that Pullkeeper manages.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// A hasher under the ledger's key.
    pub(super) fn hasher(&self) -> Hasher {
        #[allow(clippy::expect_used, reason = "HMAC takes keys of every length")]
        Hasher(Hmac::new_from_slice(self.key.as_slice()).expect("HMAC takes a key of 32 bytes"))
    }

    pub(super) fn part(&self, part: Part) -> &BTreeMap<String, Managed> {
        match part {
            Part::Entries => &self.entries,
            Part::Fields => &self.fields,
        }
    }

    pub(super) fn with(
        &self,
        entries: BTreeMap<String, Managed>,
        fields: BTreeMap<String, Managed>,
    ) -> Self {
        Self {
            key: self.key.clone(),
            entries,
            fields,
        }
    }

    /// The record for the time of the write: either ledger's values are recognised.
    #[must_use]
    pub fn or(&self, next: &Self) -> Self {
        let join = |old: &BTreeMap<String, Managed>, new: &BTreeMap<String, Managed>| {
            let mut both = old.clone();
            for (key, managed) in new {
                let entry = both.entry(key.clone()).or_insert_with(|| Managed {
                    source: managed.source.clone(),
                    digests: Vec::new(),
                });
                entry.source.clone_from(&managed.source);
                for digest in &managed.digests {
                    if !entry.digests.contains(digest) {
                        entry.digests.push(*digest);
                    }
                }
            }
            both
        };
        self.with(
            join(&self.entries, &next.entries),
            join(&self.fields, &next.fields),
        )
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// The two halves of a document that are merged by the same rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Entries,
    Fields,
}

/// A keyed hash with its key schedule done once.
pub(super) struct Hasher(Hmac<Sha256>);

impl Hasher {
    pub(super) fn digest(&self, value: &[u8]) -> Digest {
        let mut mac = self.0.clone();
        mac.update(value);
        Digest(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD_NO_PAD
            .decode(text)
            .map_err(serde::de::Error::custom)?;
        <[u8; 32]>::try_from(bytes.as_slice())
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    key: Zeroizing<String>,
    entries: BTreeMap<String, Managed>,
    fields: BTreeMap<String, Managed>,
}
