//! Whether a registry takes a credential, before anybody relies on it: `/v2/` and the registry's own token flow.
//!
//! A credential is sent to the registry that it is for, and to the token service of the same origin (for Docker Hub to its own),
//! over https; http is used on loopback alone. What cannot be tried that way is not rejected: only a registry's or its token
//! service's 401 to the credential is.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use hyper::StatusCode;
use pullkeeper_core::authfile::{Document, Entry, Key};
use pullkeeper_core::challenge;
use pullkeeper_core::origin::{Origin, Url};
use pullkeeper_core::query::Query;
use tokio::time::timeout;

use super::Failure;
use super::message::{challenges, get, send, show, text_of, unexpected};
use crate::outbound::{Outbound, Reply};

/// Registries that are asked at the same time.
const PARALLEL: usize = 8;
/// More entries than that are not tried one by one.
const MOST: usize = 100;
/// For all of them together; the canary's deadline is much longer.
const LIMIT: Duration = Duration::from_secs(60);

/// What came of trying one credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// The registry takes it.
    Accepted,
    /// It does not.
    Rejected(String),
    /// Nobody can tell, and why.
    Unknown(String),
}

/// Tries what is new in `next`. The first rejection, if there is one, names the registry.
///
/// # Errors
/// The rejection.
pub(crate) async fn probe(
    outbound: &Outbound,
    next: &[Document],
    former: &[Document],
) -> Result<(), String> {
    let entries = changed(next, former).take(MOST);
    let attempts: Vec<_> = entries.map(|entry| attempt(outbound, entry)).collect();
    let trials = stream::iter(attempts).buffered(PARALLEL);
    let tried = timeout(LIMIT, async {
        let mut trials = std::pin::pin!(trials);
        while let Some((key, trial)) = trials.next().await {
            match trial {
                Trial::Accepted => tracing::info!(entry = key, "the registry takes the credential"),
                Trial::Unknown(why) => {
                    tracing::info!(entry = key, why, "the credential could not be tried");
                }
                Trial::Rejected(why) => return Err(format!("the entry {key} is no good: {why}")),
            }
        }
        Ok(())
    });
    tried.await.unwrap_or_else(|_| {
        tracing::info!("not every credential could be tried in time");
        Ok(())
    })
}

/// Entries that are not the same in the former documents.
fn changed<'d>(next: &'d [Document], former: &'d [Document]) -> impl Iterator<Item = &'d Entry> {
    let known = |entry: &Entry| {
        former
            .iter()
            .filter_map(|document| document.entry(entry.key()))
            .any(|former| former.body() == entry.body())
    };
    let entries = next.iter().flat_map(Document::entries);
    entries.filter(move |entry| !known(entry))
}

async fn attempt<'e>(outbound: &Outbound, entry: &'e Entry) -> (&'e str, Trial) {
    let trial = match tried(outbound, entry).await {
        Ok(trial) => trial,
        Err(failure) => Trial::Unknown(failure.message),
    };
    (entry.key(), trial)
}

async fn tried(outbound: &Outbound, entry: &Entry) -> Result<Trial, Failure> {
    let unknown = |why: &str| Ok(Trial::Unknown(why.to_owned()));
    let credential = entry.credential();
    let tokens = [credential.identity_token(), credential.registry_token()];
    if tokens.iter().any(|token| !token.is_empty()) {
        return unknown("it is a token and not a password");
    }
    let Some((registry, realms)) = places(entry.key()) else {
        return unknown("its key is a pattern, or no registry");
    };
    let url = Url::parse(&format!("{registry}/v2/"))
        .map_err(|error| Failure::new(format!("the registry cannot be asked: {error}")))?;
    let reply = send(outbound, &url, get(&url)?).await?;
    if reply.status == StatusCode::OK {
        return unknown("the registry asks nobody for a credential");
    }
    if reply.status != StatusCode::UNAUTHORIZED {
        return Err(unexpected(&registry, reply.status, &reply));
    }
    if let Some(found) = challenge::bearer(challenges(&reply)) {
        let realm = challenge::realm(&found, &realms)
            .map_err(|_| Failure::new(format!("{registry} sends clients elsewhere for tokens")))?;
        let service = found.service.as_deref().unwrap_or_default();
        let (username, _) = text_of(&credential)?;
        let url = realm.with_query(&[("service", service), ("account", &username)]);
        return verdict(url.origin(), &show(outbound, &url, &credential).await?);
    }
    if challenge::basic(challenges(&reply)) {
        return verdict(url.origin(), &show(outbound, &url, &credential).await?);
    }
    unknown("the registry asks for neither a password nor a token")
}

fn verdict(from: &Origin, reply: &Reply) -> Result<Trial, Failure> {
    match reply.status {
        StatusCode::OK => Ok(Trial::Accepted),
        StatusCode::UNAUTHORIZED => Ok(Trial::Rejected(format!(
            "{from} refuses it with status 401"
        ))),
        status => Err(unexpected(from, status, reply)),
    }
}

/// Where the registry of a key is, and the token services that its credential may be shown to.
fn places(key: &str) -> Option<(Origin, Vec<Origin>)> {
    let query = Query::of_key(&Key::parse(key).ok()?);
    if query.host().contains('*') {
        return None;
    }
    if query.registry() == "docker.io" {
        let registry = Origin::of_authority(true, "registry-1.docker.io").ok()?;
        let realm = Origin::of_authority(true, "auth.docker.io").ok()?;
        return Some((registry, vec![realm]));
    }
    let secure = Origin::of_authority(true, &query.registry()).ok()?;
    let registry = if secure.is_loopback() {
        Origin::of_authority(false, &query.registry()).ok()?
    } else {
        secure
    };
    Some((registry.clone(), vec![registry]))
}

#[cfg(test)]
mod tests {
    use pullkeeper_core::authfile::Shape;

    use super::*;

    fn document(text: &str) -> Document {
        let checked = Document::check(text.as_bytes(), Shape::ConfigJson);
        checked.document.unwrap()
    }

    #[test]
    fn only_what_is_new_is_tried() {
        let former = [document(
            r#"{"auths":{"a.example":{"auth":"dTpw"},"b.example":{"auth":"dTpw"}}}"#,
        )];
        let next = [document(
            r#"{"auths":{"a.example":{"auth":"dTpw"},"b.example":{"auth":"dTpx"},"c.example":{"auth":"dTpw"}}}"#,
        )];
        let keys: Vec<_> = changed(&next, &former).map(Entry::key).collect();
        assert_eq!(keys, ["b.example", "c.example"]);
        assert_eq!(changed(&next, &next).count(), 0);
    }

    #[test]
    fn a_credential_goes_to_its_registry_and_nowhere_else() {
        let origins = |key: &str| {
            let (registry, realms) = places(key)?;
            let realms: Vec<_> = realms.iter().map(ToString::to_string).collect();
            Some((registry.to_string(), realms.join(" ")))
        };
        for (key, registry, realm) in [
            ("quay.io", "https://quay.io", "https://quay.io"),
            ("quay.io/team/app", "https://quay.io", "https://quay.io"),
            (
                "r.example:5000",
                "https://r.example:5000",
                "https://r.example:5000",
            ),
            (
                "127.0.0.1:5000",
                "http://127.0.0.1:5000",
                "http://127.0.0.1:5000",
            ),
            (
                "https://index.docker.io/v1/",
                "https://registry-1.docker.io",
                "https://auth.docker.io",
            ),
        ] {
            let expected = Some((registry.to_owned(), realm.to_owned()));
            assert_eq!(origins(key), expected, "{key}");
        }
        assert_eq!(origins("*.dkr.ecr.eu-west-1.amazonaws.com"), None);
    }
}
