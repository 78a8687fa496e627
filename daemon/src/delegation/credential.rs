//! The credential for a token service: an entry of the pull secret, or of an auth file of its own.

use std::path::Path;

use nix::fcntl::AT_FDCWD;
use pullkeeper_core::authfile::{Contribution, Credential, Document, Shape, Wanted};
use pullkeeper_core::directory::Directory;
use pullkeeper_core::query::Query;

use super::{Credentials, Failure};
use crate::config::DelegationSettings;
use crate::source;

/// The configured entry, or else that of the service's own host.
pub(super) fn find(
    settings: &DelegationSettings,
    authority: &str,
    credentials: &dyn Credentials,
) -> Result<Credential, Failure> {
    let place = match &settings.credential {
        Some(place) => place.clone(),
        None => Query::of_server(authority).map_err(|error| Failure::new(error.to_string()))?,
    };
    let (found, holder) = match &settings.credential_file {
        None => (credentials.of(&place), credentials.holder()),
        Some(path) => (of_file(path, &place)?, path.display().to_string()),
    };
    let found = found.filter(|found| !found.username().is_empty());
    found.ok_or_else(|| {
        Failure::new(format!(
            "there is no entry with user name and password for the token service {} in {holder}; add one",
            place.registry()
        ))
    })
}

fn of_file(path: &Path, place: &Query) -> Result<Option<Credential>, Failure> {
    let read = source::read_regular(AT_FDCWD, path, path)
        .map_err(|error| Failure::new(crate::exit::chain(&error)))?;
    let checked = Document::check(&read.bytes, Shape::of_content(&read.bytes));
    let document = checked.document.as_ref().ok_or_else(|| {
        Failure::new(format!(
            "{0} is no auth file; `pullkeeper validate {0}` says why",
            path.display()
        ))
    })?;
    let contribution = [Contribution {
        source: "credential_file",
        document: Some(document),
        broken: &[],
    }];
    let directory = Directory::new(&Wanted::join(&contribution, &mut Vec::new()));
    Ok(directory.find(place).map(|entry| entry.credential()))
}
