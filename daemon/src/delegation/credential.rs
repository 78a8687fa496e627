//! The credential for a token service: an entry of the pull secret, or of an auth file of its own.

use std::path::Path;

use nix::fcntl::AT_FDCWD;
use pullkeeper_core::authfile::{Contribution, Credential, Document, Shape, Wanted};
use pullkeeper_core::directory::Directory;
use pullkeeper_core::query::Query;

use super::{Credentials, Failure, blocking};
use crate::config::DelegationSettings;
use crate::source;

/// Where one request's credentials are looked up. The file is read once, and not on the thread that serves everybody.
pub(super) struct Lookup<'l> {
    settings: &'l DelegationSettings,
    credentials: &'l dyn Credentials,
    file: Option<Directory>,
}

impl<'l> Lookup<'l> {
    pub(super) async fn new(
        settings: &'l DelegationSettings,
        credentials: &'l dyn Credentials,
    ) -> Result<Self, Failure> {
        let file = match settings.credential_file.clone() {
            None => None,
            Some(path) => Some(blocking(move || of_file(&path)).await?),
        };
        Ok(Self {
            settings,
            credentials,
            file,
        })
    }

    /// The configured entry, or else that of the service's own host.
    pub(super) fn find(&self, authority: &str) -> Result<Credential, Failure> {
        let place = match &self.settings.credential {
            Some(place) => place.clone(),
            None => Query::of_server(authority).map_err(|error| Failure::new(error.to_string()))?,
        };
        let found = match &self.file {
            None => self.credentials.of(&place),
            Some(file) => file.find(&place).map(|entry| entry.credential()),
        };
        let found = found.filter(|found| !found.username().is_empty());
        found.ok_or_else(|| {
            let file = self.settings.credential_file.as_ref();
            let holder = file.map_or_else(
                || self.credentials.holder(),
                |path| path.display().to_string(),
            );
            Failure::new(format!(
                "there is no entry with user name and password for the token service {} in {holder}; add one",
                place.registry()
            ))
        })
    }
}

fn of_file(path: &Path) -> Result<Directory, Failure> {
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
    Ok(Directory::new(&Wanted::join(
        &contribution,
        &mut Vec::new(),
    )))
}
