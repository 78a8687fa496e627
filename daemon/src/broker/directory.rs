//! What the sources offer, as far as it can be handed out, and to whom.

use std::collections::BTreeMap;

use pullkeeper_core::authfile::{Credential, Key, Wanted};
use pullkeeper_core::directory::Directory;
use pullkeeper_core::query::Query;
use pullkeeper_core::wire::Answer;

use crate::delegation::{Credentials, Obtained};
use crate::gate::{Standing, Wish};

/// Everything that may be handed out, each part to whom it is for.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// For every workload of the node.
    node: View,
    /// For pods of a namespace, before what is the node's.
    namespaces: BTreeMap<String, View>,
}

/// The entries of some sources' good states, and what keeps the picture from being complete.
#[derive(Debug, Default)]
struct View {
    directory: Directory,
    /// Entries that a source has, but none that can be used; by the source that has it.
    broken: Vec<(Query, String)>,
    /// Sources that nothing good is known of.
    silent: Vec<String>,
    /// Whether every source has said something, good or bad.
    complete: bool,
}

/// What one asker may have.
#[derive(Debug)]
pub(super) struct Offer<'k> {
    /// The namespace that has something of its own, with that.
    own: Option<(&'k str, &'k View)>,
    node: &'k View,
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
        let namespaces = wish.namespaces().into_iter();
        Self {
            node: View::new(wish, None),
            namespaces: namespaces
                .map(|namespace| (namespace.to_owned(), View::new(wish, Some(namespace))))
                .collect(),
        }
    }

    /// What pods of this namespace may have, or who shows no namespace.
    pub(super) fn offer(&self, namespace: Option<&str>) -> Offer<'_> {
        let own = namespace.and_then(|namespace| self.namespaces.get_key_value(namespace));
        Offer {
            own: own.map(|(namespace, view)| (namespace.as_str(), view)),
            node: &self.node,
        }
    }

    /// The node's own entries.
    pub(super) fn directory(&self) -> &Directory {
        &self.node.directory
    }
}

impl Offer<'_> {
    /// Whether every source has said something.
    pub(super) fn is_complete(&self) -> bool {
        self.views().all(|view| view.complete)
    }

    /// Found wherever an entry is, in the namespace first. What the namespace has or may have is never replaced by
    /// what is the node's. Where no entry is, that counts as "not ours" only if every source has said so.
    pub(super) fn answer(&self, query: &Query) -> Found {
        for view in self.views() {
            if let Some(answer) = view.answer(query) {
                return Found::Final(answer);
            }
            match view.doubt(query) {
                None => {}
                Some(message) if view.complete => {
                    return Found::Final(Answer::Unavailable { message });
                }
                Some(message) => return Found::SoFar(Answer::Unavailable { message }),
            }
        }
        Found::Final(Answer::NotOurs)
    }

    fn views(&self) -> impl Iterator<Item = &View> {
        self.own
            .map(|(_, view)| view)
            .into_iter()
            .chain([self.node])
    }
}

impl Credentials for Offer<'_> {
    fn namespace(&self) -> Option<&str> {
        self.own.map(|(namespace, _)| namespace)
    }

    fn of(&self, place: &Query) -> Option<Credential> {
        for view in self.views() {
            if let Some(entry) = view.directory.find(place) {
                return Some(entry.credential());
            }
            if view.answer(place).is_some() || view.doubt(place).is_some() {
                return None;
            }
        }
        None
    }
}

impl View {
    fn new(wish: &Wish, namespace: Option<&str>) -> Self {
        let items: Vec<_> = wish.items_for(namespace).collect();
        let contributions: Vec<_> = items.iter().map(|item| item.contribution()).collect();
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
            complete: items.iter().all(|item| item.standing != Standing::Pending),
        }
    }

    /// What an entry of the registry gives, good or broken.
    fn answer(&self, query: &Query) -> Option<Answer> {
        let registry = query.registry();
        if let Some(entry) = self.directory.find(query) {
            let offered = Obtained::entry(&entry.credential()).map(Into::into);
            return Some(offered.unwrap_or_else(|| {
                unavailable(format!(
                    "the credential for {registry} is not UTF-8, which no client can take"
                ))
            }));
        }
        let is_broken = |(broken, _): &&(Query, String)| {
            broken.registry() == registry && query.is_below(broken.repository())
        };
        let (_, source) = self.broken.iter().find(is_broken)?;
        Some(unavailable(format!(
            "the entry for {registry} in source {source} cannot be used; /statusz says why"
        )))
    }

    /// Why nobody knows whether there is an entry.
    fn doubt(&self, query: &Query) -> Option<String> {
        match self.silent.first() {
            None if self.complete => None,
            None => Some("no source has been read yet".to_owned()),
            Some(source) => Some(format!(
                "source {source} has nothing good to offer yet, so nobody knows whether {} is in it; /statusz says why",
                query.registry()
            )),
        }
    }
}

fn unavailable(message: String) -> Answer {
    Answer::Unavailable { message }
}
