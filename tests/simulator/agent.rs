//! A node and the agent on it.

use pullkeeper_core::rollout::{Node, Outcome, Permit, Report, Time};

/// A node as it is, whoever knows it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) node: Node,
    /// Which write of its record was the last.
    pub(crate) record_version: u64,
    pub(crate) temper: Temper,
    /// What the agent does, and until when.
    pub(crate) acting: Option<(Permit, Time)>,
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
        }
    }

    /// The permit that the agent has not answered or begun to act on.
    pub(crate) fn unanswered(&self) -> Option<&Permit> {
        let permit = self.node.record.as_ref()?.unanswered(&self.node.uid);
        permit.filter(|_| self.acting.is_none())
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
