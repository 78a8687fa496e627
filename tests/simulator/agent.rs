//! A node and the agent on it.

use pullkeeper_core::rollout::{Node, Outcome, Permit, Report, Revision, SecretRevision, Time};

/// A node as it is, whoever knows it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) node: Node,
    /// Which write of its record was the last.
    pub(crate) record_version: u64,
    pub(crate) temper: Temper,
    /// What the agent does, and until when.
    pub(crate) acting: Option<(Permit, Time)>,
    /// What the permit of its record is for.
    pub(crate) permitted: Revision,
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
            node,
            record_version: 0,
            temper,
            acting: None,
            permitted: Revision::default(),
        }
    }

    /// The permit that the agent has not answered or begun to act on, for what it sees.
    pub(crate) fn unanswered(&self) -> Option<&Permit> {
        let record = self.node.record.as_ref()?;
        let permit = record.unanswered(&self.node.uid);
        let sees = record.seen.as_ref() == Some(&self.permitted);
        permit.filter(|_| sees && self.acting.is_none())
    }

    /// Looks at the Secret, and says what it sees.
    pub(crate) fn look(&mut self, secret: u64) {
        let record = self.node.record.get_or_insert_default();
        let seen = Some(revision(secret));
        if record.seen != seen {
            record.seen = seen;
            self.record_version += 1;
        }
    }

    /// Ends what the agent does, and reports.
    pub(crate) fn finish(&mut self) {
        let Some((permit, _)) = self.acting.take() else {
            return;
        };
        let outcome = match self.temper {
            Temper::Good => Outcome::Reached,
            Temper::Failing => Outcome::Failed("a registry refuses the credential".to_owned()),
            Temper::Silent => return,
        };
        let record = self.node.record.get_or_insert_default();
        record.report = Some(Report { permit, outcome });
        self.record_version += 1;
    }
}
