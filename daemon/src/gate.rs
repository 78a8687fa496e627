//! Between sources and targets: every revision is checked, and only a good one takes the last good one's place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use pullkeeper_core::authfile::{Contribution, Document, Finding, Reason, Severity, Wanted};
use pullkeeper_core::gate::{Policy, Verdict};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::config::{BadEntry, RequiredAction, ValidationSettings};
use crate::source::{Item, Observation, Payload, Revision, SourceError};

/// Keeps the last good state of every item of every source.
#[derive(Debug)]
pub struct Gate {
    settings: ValidationSettings,
    judged: BTreeMap<Identity, Judged>,
    generation: u64,
}

/// The name of a source, and which object or file of it.
type Identity = (Arc<str>, String);

/// What all targets are to hold, and how it came about.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Counts the wishes of this process; a target that has applied it has nothing to do.
    pub generation: u64,
    /// In precedence order.
    pub items: Vec<WishedItem>,
    /// What the sources have to say together: conflicts and missing registries.
    pub findings: Vec<Finding>,
    /// Whether nothing may be written now, because a required registry is missing and that is enforced.
    pub withheld: bool,
    /// When the newest revision among the items was seen.
    pub seen: Option<Instant>,
    /// What services are restarted for, once targets hold it.
    pub restart: Option<Restart>,
}

/// The permit under which services are restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Its serial number.
    pub serial: u64,
    /// Whether it is answered: then nothing more is done for it.
    pub answered: bool,
}

/// One Secret or file, as the gate sees it.
#[derive(Clone, Debug)]
pub struct WishedItem {
    /// The configured name of its source.
    pub source: Arc<str>,
    /// The namespace whose pods alone may have what is in it; no file holds it.
    pub namespace: Option<Arc<str>>,
    /// Which object or file it is; absent while the source has not answered.
    pub id: Option<String>,
    /// How it stands.
    pub standing: Standing,
    /// The newest revision that was seen, good or not.
    pub revision: Option<Revision>,
    /// When that revision was seen.
    pub seen: Option<SystemTime>,
    /// What there is to say about the newest revision, worst first.
    pub findings: Vec<Finding>,
    /// The last good state.
    pub good: Option<Good>,
    broken: Arc<[String]>,
}

/// How an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The source has not answered yet.
    Pending,
    /// The newest revision is good.
    Good,
    /// The newest revision is missing or bad; an older good one is in use.
    LastGood,
    /// Nothing good has been seen in this process; what is on disk stays.
    Bad,
}

impl Standing {
    /// The word used in status and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Good => "good",
            Self::LastGood => "last-good",
            Self::Bad => "bad",
        }
    }
}

/// A good state of an item.
#[derive(Clone, Debug)]
pub struct Good {
    /// What it says.
    pub document: Arc<Document>,
    /// Which revision it is.
    pub revision: Option<Revision>,
    /// Whether something had to be left out of it.
    pub flawed: bool,
    /// The bytes as they were read, for targets that take them verbatim.
    pub bytes: Arc<Zeroizing<Vec<u8>>>,
}

impl Wish {
    /// The items that are for every workload of the node (`None`), or beyond these for the pods of a namespace.
    pub fn items_for<'w>(
        &'w self,
        namespace: Option<&'w str>,
    ) -> impl Iterator<Item = &'w WishedItem> {
        let items = self.items.iter();
        items.filter(move |item| item.namespace.as_deref() == namespace)
    }

    /// The namespaces that have items of their own.
    pub fn namespaces(&self) -> BTreeSet<&str> {
        let items = self.items.iter();
        items.filter_map(|item| item.namespace.as_deref()).collect()
    }

    /// What the sources contribute for the node's files, first one first.
    pub fn contributions(&self) -> Vec<Contribution<'_>> {
        self.items_for(None).map(WishedItem::contribution).collect()
    }

    /// Every finding there is, with the source it concerns.
    pub fn findings(&self) -> impl Iterator<Item = (&str, &Finding)> {
        let own = self
            .items
            .iter()
            .flat_map(|item| item.findings.iter().map(|f| (&*item.source, f)));
        own.chain(self.findings.iter().map(|finding| ("", finding)))
    }
}

impl WishedItem {
    /// What it contributes.
    pub fn contribution(&self) -> Contribution<'_> {
        Contribution {
            source: &self.source,
            document: self.good.as_ref().map(|good| &*good.document),
            broken: &self.broken,
        }
    }
}

impl Gate {
    /// A gate that has seen nothing.
    pub fn new(settings: ValidationSettings) -> Self {
        Self {
            settings,
            judged: BTreeMap::new(),
            generation: 0,
        }
    }

    /// Takes other rules, after a reload. What was judged is judged again; good states stay.
    pub fn configure(&mut self, settings: ValidationSettings) {
        if self.settings != settings {
            self.settings = settings;
            for judged in self.judged.values_mut() {
                judged.subject = None;
            }
        }
    }

    /// Judges what is new in the observations and says what the targets are to hold.
    pub fn pass(&mut self, observations: &[Observation]) -> Wish {
        let mut items = Vec::new();
        let mut seen = None;
        let mut present = BTreeSet::new();
        for observation in observations {
            let Some(found) = &observation.items else {
                items.push(self.unanswered(observation));
                continue;
            };
            for item in found {
                seen = seen.max(Some(item.seen));
                present.insert((Arc::clone(&observation.source), item.id.clone()));
                items.push(self.judge(observation, item));
            }
        }
        // A Secret that a selector no longer finds is gone on purpose; a source that cannot be asked keeps its items.
        let silent: BTreeSet<_> = observations
            .iter()
            .filter(|o| o.items.is_none())
            .map(|o| &*o.source)
            .collect();
        self.judged
            .retain(|id, _| present.contains(id) || silent.contains(&*id.0));
        self.generation += 1;
        let mut wish = Wish {
            generation: self.generation,
            items,
            findings: Vec::new(),
            withheld: false,
            seen,
            restart: None,
        };
        let for_node = observations.iter().any(|o| o.namespace.is_none());
        self.together(&mut wish, for_node);
        wish
    }

    fn judge(&mut self, observation: &Observation, item: &Item) -> WishedItem {
        let subject = Subject::of(item);
        let id = (Arc::clone(&observation.source), item.id.clone());
        let former = self.judged.remove(&id);
        let judged = match former {
            Some(former) if former.subject.as_ref() == Some(&subject) => former,
            former => self.judge_anew(item, subject, former.and_then(|f| f.good)),
        };
        let standing = match (judged.admitted, &judged.good) {
            (true, _) => Standing::Good,
            (false, Some(_)) => Standing::LastGood,
            (false, None) => Standing::Bad,
        };
        let wished = WishedItem {
            source: Arc::clone(&observation.source),
            namespace: observation.namespace.clone(),
            id: Some(item.id.clone()),
            standing,
            revision: item.revision.clone(),
            seen: Some(judged.seen),
            findings: judged
                .findings
                .iter()
                .cloned()
                .chain(trouble(observation))
                .collect(),
            good: judged.good.clone(),
            broken: Arc::clone(&judged.broken),
        };
        self.judged.insert(id, judged);
        wished
    }

    fn judge_anew(&self, item: &Item, subject: Subject, former: Option<Good>) -> Judged {
        let mut judged = Judged {
            subject: Some(subject),
            seen: SystemTime::now(),
            findings: Vec::new(),
            admitted: false,
            good: former,
            broken: Arc::default(),
        };
        let payload = match &item.content {
            Ok(payload) => payload,
            Err(error) => {
                judged.findings.push(error.finding());
                return judged;
            }
        };
        let mut checked = Document::check(&payload.bytes, payload.shape);
        let policy = Policy {
            strict: self.settings.bad_entry == BadEntry::Refuse,
            allow_empty: self.settings.allow_empty,
        };
        match policy.judge(&mut checked) {
            Verdict::Admitted(document) => {
                judged.broken = document.left_out().map(str::to_owned).collect();
                judged.good = Some(Good {
                    document: Arc::new(document),
                    revision: item.revision.clone(),
                    flawed: checked
                        .findings
                        .iter()
                        .any(|f| f.severity == Severity::Error),
                    bytes: Arc::clone(&payload.bytes),
                });
                judged.admitted = true;
            }
            Verdict::Refused(finding) => judged.findings.push(finding),
        }
        judged.findings.append(&mut checked.findings);
        judged
            .findings
            .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        judged
    }

    /// A source that has not answered, or not since a reload: what it had before still counts.
    fn unanswered(&self, observation: &Observation) -> WishedItem {
        WishedItem {
            source: Arc::clone(&observation.source),
            namespace: observation.namespace.clone(),
            id: None,
            standing: Standing::Pending,
            revision: None,
            seen: None,
            findings: trouble(observation).collect(),
            good: None,
            broken: Arc::default(),
        }
    }

    /// What can only be said about all sources of the node's files together, if there are any.
    fn together(&self, wish: &mut Wish, for_node: bool) {
        let mut findings = Vec::new();
        let enforced = self.settings.required_action == RequiredAction::Enforce;
        let severity = if enforced {
            Severity::Error
        } else {
            Severity::Warning
        };
        let contributions = wish.contributions();
        let wanted = Wanted::join(&contributions, &mut findings);
        // While a source has not answered, what it would add is not known.
        let complete = contributions
            .iter()
            .all(|contribution| contribution.document.is_some());
        let missing = if complete {
            wanted.missing(&self.settings.required_registries, severity)
        } else {
            Vec::new()
        };
        let incomplete = enforced && !missing.is_empty();
        findings.extend(missing);
        // Selectors that find nothing are no reason to take everything away.
        let nothing = wanted.is_empty() && !self.settings.allow_empty;
        if nothing && complete && for_node {
            findings.push(Finding::new(
                Reason::EmptyAuths,
                "no source has an entry; the last good files stay unless `allow_empty` is set",
            ));
        }
        wish.findings = findings;
        wish.withheld = incomplete || nothing;
    }
}

fn trouble(observation: &Observation) -> impl Iterator<Item = Finding> {
    observation.trouble.iter().map(SourceError::finding)
}

/// The judgement on one revision of one item, kept so that only what changed is checked again.
#[derive(Debug)]
struct Judged {
    subject: Option<Subject>,
    seen: SystemTime,
    findings: Vec<Finding>,
    admitted: bool,
    good: Option<Good>,
    broken: Arc<[String]>,
}

/// What was judged: equal subjects get equal judgements.
#[derive(Debug, PartialEq)]
struct Subject {
    revision: Option<Revision>,
    content: Result<Payload, Finding>,
}

impl Subject {
    fn of(item: &Item) -> Self {
        Self {
            revision: item.revision.clone(),
            content: item.content.clone().map_err(|error| error.finding()),
        }
    }
}

#[cfg(test)]
mod tests;
