//! What somebody knows who lists and watches.

use std::collections::BTreeMap;

use super::Time;
use pullkeeper_core::drain::Budget;

use super::server::{ApiPod, Change, Server};

/// Something that is followed.
pub(super) trait Kind: Clone {
    /// What tells it from all others.
    fn id(&self) -> String;
    /// All that there are on a node.
    fn all(server: &Server, node: &str) -> Vec<Self>;
    /// What a change is to whom follows the node: another object, or one less.
    fn of(change: &Change, node: &str) -> Option<Result<Self, String>>;
}

/// What is known, and how well.
#[derive(Clone, Debug)]
pub(super) struct Feed<K> {
    pub(super) number: u64,
    pub(super) node: String,
    pub(super) objects: Option<BTreeMap<String, K>>,
    /// What the last list had.
    pub(super) list: Vec<K>,
    /// When the last list was begun, or earlier.
    pub(super) listed: Time,
    pub(super) trouble: bool,
    /// A list that is told from now on was not begun before.
    since: Time,
    /// The version up to which everything was told.
    told: usize,
    /// Until when the watch is silent.
    silent: Time,
    /// The list that is waited for.
    pub(super) ticket: Option<u64>,
    fetched: Option<(usize, Vec<K>)>,
}

/// Whoever keeps it up.
pub(super) trait Follow {
    fn number(&self) -> u64;
    /// The list that is waited for.
    fn ticket(&self) -> Option<u64>;
    /// Whether there was a list, and the watch has not broken since.
    fn is_watched(&self) -> bool;
    /// The server answers a list.
    fn fetch(&mut self, ticket: u64, server: &Server);
    /// The answer is there.
    fn hear_list(&mut self, ticket: u64, now: Time) -> bool;
    /// The watch tells what has happened up to a version.
    fn hear(&mut self, version: usize, server: &Server, now: Time) -> bool;
    /// Nothing can be relied on for now, and that is told.
    fn cut(&mut self, now: Time);
    /// The watch goes on where it was.
    fn mend(&mut self, now: Time);
    /// Asks for a list. One that is under way is given up.
    fn ask(&mut self, ticket: u64, now: Time);
    /// Until when the watch is silent, and nobody knows.
    fn silence(&mut self, until: Time);
    fn silent(&self) -> Time;
}

impl<K: Kind> Feed<K> {
    pub(super) fn new(number: u64, node: &str, now: Time) -> Self {
        Self {
            number,
            node: node.to_owned(),
            objects: None,
            list: Vec::new(),
            listed: now,
            trouble: false,
            since: now,
            told: 0,
            silent: 0,
            ticket: None,
            fetched: None,
        }
    }

    /// Whether it can be relied on.
    pub(super) fn is_followed(&self) -> bool {
        self.objects.is_some() && !self.trouble
    }
}

impl<K: Kind> Follow for Feed<K> {
    fn number(&self) -> u64 {
        self.number
    }

    fn ticket(&self) -> Option<u64> {
        self.ticket
    }

    fn is_watched(&self) -> bool {
        self.is_followed() && self.ticket.is_none()
    }

    fn silence(&mut self, until: Time) {
        self.silent = until;
    }

    fn silent(&self) -> Time {
        self.silent
    }

    fn fetch(&mut self, ticket: u64, server: &Server) {
        if self.ticket == Some(ticket) {
            self.fetched = Some((server.version(), K::all(server, &self.node)));
        }
    }

    fn hear_list(&mut self, ticket: u64, now: Time) -> bool {
        if self.ticket != Some(ticket) {
            return false;
        }
        let Some((version, list)) = self.fetched.take() else {
            return false;
        };
        let named = list.iter().map(|one| (one.id(), one.clone()));
        self.objects = Some(named.collect());
        (self.list, self.listed, self.told) = (list, self.since, version);
        (self.ticket, self.trouble, self.since) = (None, false, now);
        true
    }

    fn hear(&mut self, version: usize, server: &Server, now: Time) -> bool {
        if self.trouble || self.ticket.is_some() || self.told >= version {
            return false;
        }
        let Some(objects) = &mut self.objects else {
            return false;
        };
        let mut news = false;
        for change in &server.log[self.told..version] {
            match K::of(change, &self.node) {
                Some(Ok(object)) => {
                    objects.insert(object.id(), object);
                }
                Some(Err(id)) => {
                    objects.remove(&id);
                }
                None => continue,
            }
            news = true;
        }
        self.told = version;
        if news {
            self.since = now;
        }
        news
    }

    fn cut(&mut self, now: Time) {
        (self.trouble, self.since) = (true, now);
        (self.ticket, self.fetched) = (None, None);
    }

    fn mend(&mut self, now: Time) {
        (self.trouble, self.since) = (false, now);
    }

    fn ask(&mut self, ticket: u64, now: Time) {
        self.since = now;
        (self.ticket, self.fetched) = (Some(ticket), None);
    }
}

impl Kind for ApiPod {
    fn id(&self) -> String {
        self.pod.uid.clone()
    }

    fn all(server: &Server, node: &str) -> Vec<Self> {
        server.pods_of(node).cloned().collect()
    }

    fn of(change: &Change, node: &str) -> Option<Result<Self, String>> {
        match change {
            Change::Pod(one) if one.pod.node == node => Some(Ok(one.clone())),
            Change::NoPod(one) if one.pod.node == node => Some(Err(one.id())),
            _ => None,
        }
    }
}

impl Kind for Budget {
    fn id(&self) -> String {
        self.name.to_string()
    }

    fn all(server: &Server, _: &str) -> Vec<Self> {
        let all = server.budgets.values();
        all.map(|one| one.budget.clone()).collect()
    }

    fn of(change: &Change, _: &str) -> Option<Result<Self, String>> {
        match change {
            Change::Budget(budget) => Some(Ok(budget.clone())),
            Change::NoBudget(name) => Some(Err(name.to_string())),
            _ => None,
        }
    }
}
