//! A node and the agent on it.

use std::collections::BTreeSet;

use pullkeeper_core::rollout::{
    Cordon, Mark, Node, Outcome, Permit, Record, Report, Revision, SecretRevision, Time,
};

use crate::pods::{Pod, SCHEDULER_LAG};

/// A node as it is, whoever knows it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) node: Node,
    /// The UID of the node that its record was made for: one of a former node of this name stays for a while.
    pub(crate) record_of: String,
    /// Whether nothing is heard from it, so that nobody knows whether it is ready.
    pub(crate) mute: bool,
    /// Whether it is about to be deleted.
    pub(crate) leaving: bool,
    /// Which write of its record was the last.
    pub(crate) record_version: u64,
    /// Which change of the node itself was the last.
    pub(crate) node_version: u64,
    /// Since when pods are kept off it.
    pub(crate) cordoned: Option<Time>,
    /// Marks whose cordon a human has undone.
    pub(crate) lifted: BTreeSet<u64>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) temper: Temper,
    /// What the agent does, and until when.
    pub(crate) acting: Option<(Permit, Time)>,
    /// What the permit of its record is for.
    pub(crate) permitted: Revision,
    /// Whether that asks for services to be restarted.
    pub(crate) restarts: bool,
    /// Until when they are down, since they were restarted. What the node has said before stands meanwhile.
    pub(crate) down: Option<Time>,
}

/// The version of the only Secret that there is.
pub(crate) fn revision(version: u64) -> Revision {
    let secret = SecretRevision {
        namespace: "openshift-config".to_owned(),
        name: "pull-secret".to_owned(),
        uid: "uid-of-the-secret".to_owned(),
        resource_version: version.to_string(),
    };
    [secret].into_iter().collect()
}

/// How an agent answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    Good,
    Failing,
    Silent,
}

impl Machine {
    pub(crate) fn new(node: Node, temper: Temper) -> Self {
        Self {
            record_of: node.uid.clone(),
            mute: false,
            leaving: false,
            node,
            record_version: 0,
            node_version: 0,
            cordoned: None,
            lifted: BTreeSet::new(),
            pods: Vec::new(),
            temper,
            acting: None,
            permitted: Revision::default(),
            restarts: false,
            down: None,
        }
    }

    /// Its record, unless that is still a former node's.
    pub(crate) fn own_record(&self) -> Option<&Record> {
        let record = self.node.record.as_ref();
        record.filter(|_| self.record_of == self.node.uid)
    }

    /// The record of a former node of this name goes, and one of its own takes its place.
    pub(crate) fn renew_record(&mut self) {
        if self.record_of != self.node.uid {
            self.record_of.clone_from(&self.node.uid);
            self.node.record = None;
            self.record_version += 1;
        }
    }

    /// The permit that the agent has not answered or begun to act on, for what it sees.
    pub(crate) fn unanswered(&self) -> Option<&Permit> {
        let record = self.own_record()?;
        let permit = record.unanswered(&self.node.uid);
        let sees = record.seen.as_ref() == Some(&self.permitted);
        permit.filter(|_| sees && self.acting.is_none())
    }

    /// Looks at the Secret, and says what it sees.
    pub(crate) fn look(&mut self, secret: u64) {
        if self.record_of != self.node.uid {
            return;
        }
        let record = self.node.record.get_or_insert_default();
        let seen = Some(revision(secret));
        if record.seen != seen {
            record.seen = seen;
            self.record_version += 1;
        }
    }

    /// Changes who keeps pods off it.
    pub(crate) fn set_cordon(&mut self, cordon: Cordon, now: Time) {
        self.node.cordon = cordon;
        self.node_version += 1;
        if self.node.is_schedulable() {
            self.cordoned = None;
        } else {
            self.cordoned.get_or_insert(now);
        }
    }

    /// What a coordinator's cordon does here.
    pub(crate) fn cordon(&mut self, serial: u64, now: Time) {
        let mark = Mark {
            uid: self.node.uid.clone(),
            serial,
            prior: !self.node.is_schedulable(),
        };
        self.set_cordon(Cordon::Ours(mark), now);
    }

    /// What it does to give up what is ours.
    pub(crate) fn release(&mut self, now: Time) {
        let rest = match &self.node.cordon {
            Cordon::Ours(mark) if mark.prior => Cordon::Foreign,
            Cordon::TakenOver {
                schedulable: false, ..
            } => Cordon::Foreign,
            Cordon::Ours(_) | Cordon::TakenOver { .. } => Cordon::None,
            Cordon::None | Cordon::Foreign => return,
        };
        self.set_cordon(rest, now);
    }

    /// What a human with `kubectl uncordon` does, who may remove the mark as well.
    pub(crate) fn uncordon_by_hand(&mut self, with_mark: bool, now: Time) {
        let rest = match &self.node.cordon {
            Cordon::Ours(mark) | Cordon::TakenOver { mark, .. } if !with_mark => {
                self.lifted.insert(mark.serial);
                Cordon::TakenOver {
                    mark: mark.clone(),
                    schedulable: true,
                }
            }
            _ => Cordon::None,
        };
        self.set_cordon(rest, now);
    }

    /// What one with `kubectl cordon` does. It changes nothing where the flag is set.
    pub(crate) fn cordon_by_hand(&mut self, now: Time) {
        match &self.node.cordon {
            Cordon::None => self.set_cordon(Cordon::Foreign, now),
            Cordon::TakenOver { mark, .. } => {
                let mark = mark.clone();
                let cordon = Cordon::TakenOver {
                    mark,
                    schedulable: false,
                };
                self.set_cordon(cordon, now);
            }
            Cordon::Ours(_) | Cordon::Foreign => {}
        }
    }

    /// Whether a pod may come: a scheduler may not have heard of a cordon yet.
    pub(crate) fn takes_pods(&self, now: Time) -> bool {
        self.cordoned
            .is_none_or(|cordoned| now.0 < cordoned.0 + SCHEDULER_LAG)
    }

    /// Whether its agent acts, or may begin to.
    pub(crate) fn may_act(&self) -> bool {
        let record = self.node.record.as_ref();
        let owed = record.is_some_and(|record| record.unanswered(&self.node.uid).is_some());
        owed || self.acting.is_some()
    }

    /// The node says how it is: that it is ready, once its services are back.
    pub(crate) fn beat(&mut self, now: Time) {
        if self.mute {
            return;
        }
        if self.down.take_if(|until| *until <= now).is_some() {
            self.node.ready = true;
        }
        if self.down.is_none() {
            self.node.heartbeat = Some(now);
            self.node_version += 1;
        }
    }

    /// Ends what the agent does, and reports. Services that it restarts are down for so long. The permit, if it has taken what
    /// that names.
    pub(crate) fn finish(&mut self, now: Time, down: u64) -> Option<Permit> {
        let (permit, _) = self.acting.take()?;
        let outcome = match self.temper {
            Temper::Good => Outcome::Reached,
            Temper::Failing => Outcome::Failed("a registry refuses the credential".to_owned()),
            Temper::Silent => return None,
        };
        let reached = (outcome == Outcome::Reached).then(|| permit.clone());
        let record = self.node.record.get_or_insert_default();
        let former = record.report.as_ref().and_then(|report| report.restarted);
        let restarted = self.restarts.then_some(now);
        if restarted.is_some() {
            self.down = Some(Time(now.0 + down));
        }
        record.report = Some(Report {
            permit,
            outcome,
            restarted: restarted.or(former),
        });
        self.record_version += 1;
        reached
    }
}
