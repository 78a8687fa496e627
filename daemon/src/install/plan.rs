//! What one target should hold, given the wish, the bytes on disk and the record of what we put there.

use pullkeeper_core::authfile::{
    Changes, Document, Finding, Foreign, Ledger, Reason, Rules, Shape, Wanted, merge,
};
use pullkeeper_core::reader::Reader;
use zeroize::Zeroizing;

use crate::config::{MergePolicy, TargetKind};
use crate::gate::Wish;

/// A decision about one target. Nothing has happened yet.
#[derive(Debug)]
pub struct Plan {
    /// The bytes to put in place; `None` when the file is right as it is, or must not be touched.
    pub write: Option<Zeroizing<Vec<u8>>>,
    /// The record to keep once the file is right.
    pub ledger: Ledger,
    /// How the file differs from what it should be.
    pub changes: Changes,
    /// What people may want to know about this target.
    pub findings: Vec<Finding>,
    /// How many entries of the sources the file has when it is right.
    pub managed: usize,
}

impl Plan {
    /// Whether the file's content is as it should be.
    pub fn is_right(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Decides for one target. `disk` are the file's bytes, `None` when there is no file.
pub fn plan(
    kind: TargetKind,
    policy: MergePolicy,
    wish: &Wish,
    disk: Option<&[u8]>,
    ledger: &Ledger,
) -> Plan {
    match policy {
        MergePolicy::Verbatim => verbatim(wish, disk, ledger),
        policy => merged(kind, policy, wish, disk, ledger),
    }
}

fn merged(
    kind: TargetKind,
    policy: MergePolicy,
    wish: &Wish,
    disk: Option<&[u8]>,
    ledger: &Ledger,
) -> Plan {
    let contributions = wish.contributions();
    // Conflicts between sources are in the wish's own findings.
    let wanted = Wanted::join(&contributions, &mut Vec::new());
    let foreign = match policy {
        MergePolicy::Replace => Foreign::Drop,
        MergePolicy::Merge | MergePolicy::Observe | MergePolicy::Verbatim => Foreign::Keep,
    };
    let rules = Rules {
        readers: readers(kind),
        foreign,
    };
    let on_disk = disk.and_then(|bytes| Document::check(bytes, Shape::ConfigJson).document);
    let merged = merge(&wanted, on_disk.as_ref(), ledger, rules);

    let mut findings = merged.findings;
    if disk.is_some() && on_disk.is_none() {
        findings.push(Finding::new(
            Reason::TargetUnreadable,
            "the file was no auth file that any client can read; it gives way as soon as a source is good",
        ));
    }
    let managed = merged.ledger.keys().len();
    // A file without entries is never created, and never put in the place of one that nobody can read.
    let worth_it = managed > 0 || on_disk.is_some();
    let write =
        !merged.changes.is_empty() && worth_it && !wish.withheld && policy != MergePolicy::Observe;
    Plan {
        write: write.then_some(merged.bytes),
        ledger: merged.ledger,
        changes: merged.changes,
        findings,
        managed,
    }
}

/// The first source's bytes as they are: for files that somebody compares byte for byte.
fn verbatim(wish: &Wish, disk: Option<&[u8]>, ledger: &Ledger) -> Plan {
    let mut plan = Plan {
        write: None,
        ledger: ledger.clone(),
        changes: Changes::default(),
        findings: Vec::new(),
        managed: 0,
    };
    let Some(good) = wish
        .items_for(None)
        .next()
        .and_then(|item| item.good.as_ref())
    else {
        return plan;
    };
    plan.managed = good.document.entries().len();
    if good.flawed {
        plan.findings.push(Finding::new(
            Reason::LastGoodKept,
            "the target takes the source's bytes as they are, and these have errors; the file stays as it is",
        ));
        return plan;
    }
    if disk != Some(good.bytes.as_slice()) {
        plan.changes.document = true;
        plan.write = (!wish.withheld).then(|| (*good.bytes).clone());
    }
    plan
}

/// The clients that read a target. CRI-O reads kubelet's file too.
fn readers(kind: TargetKind) -> &'static [Reader] {
    match kind {
        TargetKind::Kubelet => &[Reader::Kubelet, Reader::Containers],
        TargetKind::Containers => &[Reader::Containers],
        TargetKind::Docker => &[Reader::Docker],
    }
}
