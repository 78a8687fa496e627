//! Telling people: a log line and a Kubernetes Event when something new is found, a log line when it is gone.

use std::collections::{BTreeMap, BTreeSet};

use pullkeeper_core::authfile::{Finding, Severity};

use crate::event::Events;
use crate::gate::Wish;
use crate::status::{HelperStatus, TargetFailure, TargetStatus};

/// Findings logged one by one at a time; beyond that their number is logged.
const MOST: usize = 20;

/// Remembers what was told, so that nothing is told twice while it lasts.
#[derive(Debug)]
pub struct Reporter {
    told: BTreeMap<String, BTreeSet<Finding>>,
    failed: BTreeMap<String, TargetFailure>,
    events: Events,
}

impl Reporter {
    /// A reporter that has told nothing.
    pub fn new(events: Events) -> Self {
        Self {
            told: BTreeMap::new(),
            failed: BTreeMap::new(),
            events,
        }
    }

    /// Tells what is new among the findings about one thing (`source quay`, `/var/lib/kubelet/config.json`)
    /// and what is gone from them.
    pub fn tell<'f>(&mut self, about: &str, findings: impl Iterator<Item = &'f Finding>) {
        let now: BTreeSet<Finding> = findings.cloned().map(without_position).collect();
        let before = self.told.remove(about).unwrap_or_default();
        let mut new: Vec<_> = now.difference(&before).collect();
        new.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        for finding in new.iter().take(MOST) {
            log(about, finding);
            if finding.severity > Severity::Info {
                self.events
                    .warn(finding.reason.as_str(), format!("{about}: {finding}"));
            }
        }
        if new.len() > MOST {
            tracing::warn!(
                about,
                more = new.len() - MOST,
                "more findings; /statusz has them all"
            );
        }
        let gone = before.difference(&now).count();
        if gone > 0 {
            tracing::info!(about, findings = gone, "findings are gone");
        }
        if !now.is_empty() {
            self.told.insert(about.to_owned(), now);
        }
    }
}

impl Reporter {
    /// Tells what is new about the sources, each by its name.
    pub fn tell_wish(&mut self, wish: &Wish) {
        let mut by_source: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
        for item in &wish.items {
            by_source
                .entry(&item.source)
                .or_default()
                .extend(&item.findings);
        }
        for (source, findings) in by_source {
            self.tell(&format!("source {source}"), findings.into_iter());
        }
        self.tell("sources", wish.findings.iter());
    }

    /// Tells what is new about a target: findings, a failure, the end of one.
    pub fn tell_target(&mut self, target: &TargetStatus) {
        let path = &target.path;
        self.tell(path, target.findings.iter());
        self.tell_failure("target", "WriteFailed", path, target.error.as_ref());
    }

    /// Tells what is new about the credential helper on the host: a failure, the end of one.
    pub fn tell_helper(&mut self, helper: &HelperStatus) {
        let (path, error) = (&helper.path, helper.error.as_ref());
        self.tell_failure("credential helper", "HelperInstallFailed", path, error);
    }

    fn tell_failure(
        &mut self,
        what: &str,
        reason: &str,
        path: &str,
        failure: Option<&TargetFailure>,
    ) {
        match (failure, self.failed.remove(path)) {
            (Some(failure), former) => {
                if former.as_ref() != Some(failure) {
                    tracing::error!(
                        path,
                        kind = failure.kind,
                        error = failure.message,
                        "cannot update the {what}"
                    );
                    self.events.warn(reason, failure.message.clone());
                }
                self.failed.insert(path.to_owned(), failure.clone());
            }
            (None, Some(_)) => tracing::info!(path, "the {what} can be updated again"),
            (None, None) => {}
        }
    }
}

fn log(about: &str, finding: &Finding) {
    let reason = finding.reason.as_str();
    let registry = finding.registry.as_deref();
    let detail = &*finding.detail;
    match finding.severity {
        Severity::Error => tracing::error!(about, reason, registry, detail, "finding"),
        Severity::Warning => tracing::warn!(about, reason, registry, detail, "finding"),
        Severity::Info => tracing::info!(about, reason, registry, detail, "finding"),
    }
}

/// The same finding on another line is no news.
fn without_position(mut finding: Finding) -> Finding {
    finding.position = None;
    finding
}
