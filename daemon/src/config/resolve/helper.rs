//! The credential helper that is kept on the host.

use super::{Resolver, syntax};
use crate::config::merge::Merged;
use crate::config::settings::{HelperSettings, Settings};

impl Resolver {
    /// `None` also where none is installed; whoever reads it has looked for problems before.
    pub(super) fn helper(&mut self, merged: &Merged) -> Option<HelperSettings> {
        let key = "credential_helper.directory";
        let directory = self.optional(key, &merged.helper_directory, syntax::absolute_path);
        let key = "credential_helper.source";
        let source = self.required(key, &merged.helper_source, syntax::file_path);
        Some(HelperSettings {
            directory: directory?,
            source: source?,
        })
    }

    pub(super) fn check_helper(&mut self, merged: &Merged, settings: &Settings) {
        let (Some(helper), Some(directory)) =
            (&settings.credential_helper, &merged.helper_directory)
        else {
            return;
        };
        let path = helper.path();
        if helper.source == path {
            let why = "is where `credential_helper.source` is: that program is there already";
            self.bad(
                "credential_helper.directory",
                &directory.place,
                why.to_owned(),
            );
        }
        for (target, written) in settings.targets.iter().zip(&merged.targets) {
            if target.path == path {
                let why = format!("is where the credential helper goes ({})", directory.place);
                self.bad("target.path", &written.place, why);
            }
        }
    }
}
