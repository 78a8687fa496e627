//! What the sources offer, as far as it can be handed out.

use pullkeeper_core::authfile::{Credential, Entry, Key, Wanted};
use pullkeeper_core::directory::Directory;
use pullkeeper_core::query::Query;
use pullkeeper_core::wire::Answer;

use super::found;
use crate::delegation::Credentials;
use crate::gate::{Standing, Wish};

/// The entries of the sources' good states, and what keeps the picture from being complete.
#[derive(Debug, Default)]
pub(super) struct Known {
    directory: Directory,
    /// Entries that a source has, but none that can be used; by the source that has it.
    broken: Vec<(Query, String)>,
    /// Sources that nothing good is known of.
    silent: Vec<String>,
    /// Whether every source has said something, good or bad.
    complete: bool,
}

/// What a look at the entries gave.
#[derive(Debug)]
pub(super) enum Found {
    /// It stays like this until a source says something new.
    Final(Answer),
    /// A source that has not been read yet may have more to say.
    SoFar(Answer),
}

impl Known {
    pub(super) fn new(wish: &Wish) -> Self {
        let contributions = wish.contributions();
        let wanted = Wanted::join(&contributions, &mut Vec::new());
        let mut broken = Vec::new();
        for contribution in &contributions {
            let keys = contribution.broken.iter().flat_map(|key| Key::parse(key));
            let source = contribution.source;
            broken.extend(keys.map(|key| (Query::of_key(&key), source.to_owned())));
        }
        let silent = contributions
            .iter()
            .filter(|contribution| contribution.document.is_none());
        Self {
            directory: Directory::new(&wanted),
            broken,
            silent: silent
                .map(|contribution| contribution.source.to_owned())
                .collect(),
            complete: wish
                .items
                .iter()
                .all(|item| item.standing != Standing::Pending),
        }
    }

    /// Whether every source has said something.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Found wherever an entry is. Where none is, that counts as "not ours" only if every source has said so.
    pub(super) fn answer(&self, query: &Query) -> Found {
        let registry = query.registry();
        let unavailable = |message| Answer::Unavailable { message };
        if let Some(entry) = self.directory.find(query) {
            return Found::Final(found(&entry.credential()).unwrap_or_else(|| {
                unavailable(format!(
                    "the credential for {registry} is not UTF-8, which no client can take"
                ))
            }));
        }
        let is_broken = |(broken, _): &&(Query, String)| {
            broken.registry() == registry && query.is_below(broken.repository())
        };
        if let Some((_, source)) = self.broken.iter().find(is_broken) {
            return Found::Final(unavailable(format!(
                "the entry for {registry} in source {source} cannot be used; /statusz says why"
            )));
        }
        let answer = match self.silent.first() {
            None if self.complete => Answer::NotOurs,
            None => unavailable("no source has been read yet".to_owned()),
            Some(source) => unavailable(format!(
                "source {source} has nothing good to offer yet, so nobody knows whether {registry} is in it; \
                 /statusz says why"
            )),
        };
        if self.complete {
            Found::Final(answer)
        } else {
            Found::SoFar(answer)
        }
    }
}

impl Credentials for Known {
    fn of(&self, place: &Query) -> Option<Credential> {
        self.directory.find(place).map(Entry::credential)
    }
}
