//! What monitoring sees of the credential helper on the host.

use super::Metrics;
use crate::status::{HelperState, HelperStatus};

/// What may come of an attempt to install it.
const RESULTS: [&str; 3] = ["installed", "updated", "failed"];

impl Metrics {
    pub(crate) fn helper(&self, helper: Option<&HelperStatus>) {
        let _consistent = self.lock();
        self.helper_up_to_date.clear();
        let Some(helper) = helper else { return };
        // Begins to count at zero: what appears with its first increment is no increase to Prometheus.
        for result in RESULTS {
            let labels = [("result", result.to_owned())];
            let _at_zero = self.helper_installs.get_or_create(&labels);
        }
        let up_to_date = i64::from(helper.state == HelperState::UpToDate);
        self.helper_up_to_date
            .get_or_create(&[("path", helper.path.clone())])
            .set(up_to_date);
    }

    pub(crate) fn helper_attempted(&self, result: &'static str) {
        self.helper_installs
            .get_or_create(&[("result", result.to_owned())])
            .inc();
    }
}
