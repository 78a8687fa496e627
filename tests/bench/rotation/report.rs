//! What the comparison comes to, in figures.

use std::time::Duration;

use super::contender::Contender;
use crate::figures::{Figures, percentile};

pub(super) struct Outcome<'a> {
    pub(super) versions: String,
    /// How long kubelet had known its file when the password was changed that it then waited for.
    pub(super) age: Duration,
    pub(super) file_only: &'a Contender,
    pub(super) restarted: &'a Contender,
    pub(super) pullkeeper: &'a Contender,
}

impl Outcome<'_> {
    pub(super) fn figures(&self, figures: &mut Figures) {
        let rounds = self.pullkeeper.seconds.len();
        let (alone, restart, ours) = self.medians();
        let how = format!(
            "from the moment the agent has the new credential until a new pod runs with it, container start included: \
             median of {rounds} rotations, kubelet's credential provider"
        );
        figures.lower("rotation_seconds", ours, "s", None, how);
        let how = format!("pulls that failed in these {rounds} rotations");
        let failed = self.pullkeeper.failed;
        figures.lower("rotation_failed_pulls", failed, "", Some(0.0), how);
        let how = "restarts of that kubelet";
        let restarts = self.pullkeeper.restarts;
        figures.lower("rotation_kubelet_restarts", restarts, "", Some(0.0), how);

        let how = format!(
            "the same for a kubelet that has the file alone and is restarted right after it was replaced: median of the same {rounds} rotations"
        );
        figures.lower("rotation_seconds_kubelet_restart", restart, "s", None, how);
        let how = "pulls that failed in those";
        let failed = self.restarted.failed;
        figures.lower(
            "rotation_failed_pulls_kubelet_restart",
            failed,
            "",
            None,
            how,
        );
        let how = "from SIGTERM until kubelet is healthy again, median";
        let away = percentile(&mut self.restarted.away.clone(), 0.5);
        figures.lower("rotation_kubelet_away_seconds", away, "s", None, how);
        let how = "rotation_seconds_kubelet_restart / rotation_seconds";
        let ratio = restart / ours;
        figures.higher("rotation_ratio_kubelet_restart", ratio, "", None, how);

        let how = "the same for a kubelet that has the file alone, which held the new credential from the first moment: one \
                   rotation of the same run";
        figures.lower("rotation_seconds_file_only", alone, "s", None, how);
        let how = "rotation_seconds_file_only / rotation_seconds";
        let ratio = alone / ours;
        figures.higher("rotation_ratio_file_only", ratio, "", None, how);
        let how = "pulls that failed in that rotation";
        let failed = self.file_only.failed;
        figures.lower("rotation_failed_pulls_file_only", failed, "", None, how);
    }

    /// Of the seconds until the pod ran: the file alone, the restart, Pullkeeper.
    pub(super) fn medians(&self) -> (f64, f64, f64) {
        let median = |one: &Contender| percentile(&mut one.seconds.clone(), 0.5);
        (
            median(self.file_only),
            median(self.restarted),
            median(self.pullkeeper),
        )
    }
}
