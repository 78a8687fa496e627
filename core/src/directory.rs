//! Which entry of the pull secrets answers a query.
//!
//! The rule is ours, not a client's: the registry must be the same in every spelling, and of several entries the one
//! with the longest path of whole segments wins. So a path narrows an entry, for docker's helper too.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::authfile::{Entry, Key, Wanted};
use crate::query::Query;

/// The entries of all sources together, made to be asked thousands of times a second.
#[derive(Clone, Default)]
pub struct Directory {
    /// By `host[:port]`; the longest repository first.
    registries: HashMap<String, Vec<Listing>>,
    /// Entries whose host is a pattern; the longest repository first.
    patterns: Vec<(Query, Listing)>,
}

#[derive(Clone)]
struct Listing {
    repository: String,
    entry: Entry,
}

impl Directory {
    /// Lists what the sources wish for together. The entries are copied, and wiped with the directory.
    pub fn new(wanted: &Wanted<'_>) -> Self {
        let mut directory = Self::default();
        for entry in wanted.entries() {
            let Ok(key) = Key::parse(entry.key()) else {
                continue;
            };
            let query = Query::of_key(&key);
            let listing = Listing {
                repository: query.repository().to_owned(),
                entry: entry.clone(),
            };
            if query.host().contains('*') {
                directory.patterns.push((query, listing));
            } else {
                let of_registry = directory.registries.entry(query.registry());
                of_registry.or_default().push(listing);
            }
        }
        // Stable: of two spellings of one registry the first by key wins, always the same one.
        for listings in directory.registries.values_mut() {
            listings.sort_by_key(Listing::generality);
        }
        directory
            .patterns
            .sort_by_key(|(_, listing)| listing.generality());
        directory
    }

    /// The entry for this query, if there is one.
    pub fn find(&self, query: &Query) -> Option<&Entry> {
        let of_registry = self.registries.get(&query.registry());
        let literal = of_registry
            .into_iter()
            .flatten()
            .find(|listing| query.is_below(&listing.repository));
        literal.map(|listing| &listing.entry).or_else(|| {
            let mut patterns = self.patterns.iter();
            let found = patterns.find(|(pattern, _)| query.fits(pattern));
            found.map(|(_, listing)| &listing.entry)
        })
    }

    /// Every registry that has an entry of its own, with the user name of that entry, or `<token>` where the entry has
    /// only an identity token. Patterns are left out: they name no registry.
    pub fn registries(&self) -> BTreeMap<&str, String> {
        let user = |entry: &Entry| {
            let credential = entry.credential();
            match credential.username() {
                b"" => "<token>".to_owned(),
                user => String::from_utf8_lossy(user).into_owned(),
            }
        };
        self.registries
            .iter()
            .filter_map(|(registry, listings)| Some((registry.as_str(), listings.last()?)))
            .map(|(registry, listing)| (registry, user(&listing.entry)))
            .collect()
    }
}

impl Listing {
    /// Sorts the longest repository first.
    fn generality(&self) -> std::cmp::Reverse<usize> {
        std::cmp::Reverse(self.repository.len())
    }
}

/// Names no key, and nothing of an entry.
impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("registries", &self.registries.len())
            .field("patterns", &self.patterns.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authfile::{Contribution, Document, Shape};

    fn ask(keys: &[&str], query: &str) -> Option<String> {
        let entries: Vec<_> = keys
            .iter()
            .map(|key| format!("\"{key}\":{{\"auth\":\"dXNlcjpwYXNz\"}}"))
            .collect();
        let text = format!("{{\"auths\":{{{}}}}}", entries.join(","));
        let document = Document::check(text.as_bytes(), Shape::ConfigJson).document;
        let source = [Contribution {
            source: "s",
            document: document.as_ref(),
            broken: &[],
        }];
        let directory = Directory::new(&Wanted::join(&source, &mut Vec::new()));
        let found = directory.find(&Query::of_server(query).unwrap());
        found.map(|entry| entry.key().to_owned())
    }

    #[test]
    fn spellings_do_not_matter_and_the_longest_path_wins() {
        let keys = [
            "r.example",
            "r.example/team",
            "r.example/team/app",
            "r.example:5000",
        ];
        for (query, key) in [
            ("r.example", "r.example"),
            ("https://r.example:443/v2/", "r.example"),
            ("r.example/other/x", "r.example"),
            ("r.example/team/x", "r.example/team"),
            ("r.example/team-evil/x", "r.example"),
            ("r.example/team/app", "r.example/team/app"),
            ("r.example/team/app/more", "r.example/team/app"),
            ("r.example:5000/x", "r.example:5000"),
        ] {
            assert_eq!(ask(&keys, query).as_deref(), Some(key), "{query}");
        }
        assert_eq!(ask(&keys, "other.example"), None);
        assert_eq!(ask(&["r.example/team"], "r.example"), None);
        let hub = ask(&["https://index.docker.io/v1/"], "docker.io/library/nginx");
        assert_eq!(hub.as_deref(), Some("https://index.docker.io/v1/"));
        assert_eq!(
            ask(&["https://r.example:443"], "r.example").as_deref(),
            Some("https://r.example:443")
        );
    }

    #[test]
    fn a_literal_host_comes_before_a_pattern_and_a_star_stays_in_its_label() {
        let keys = [
            "*.example",
            "r.example",
            "app*.eu.example",
            "*.example/team",
        ];
        for (query, key) in [
            ("r.example", Some("r.example")),
            ("q.example", Some("*.example")),
            ("q.example/team/x", Some("*.example/team")),
            ("app7.eu.example", Some("app*.eu.example")),
            ("a.b.example", None),
            ("q.example:5000", None),
        ] {
            assert_eq!(ask(&keys, query).as_deref(), key, "{query}");
        }
    }
}
