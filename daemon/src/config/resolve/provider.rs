//! How kubelet comes to have the credential helper as a provider.

use super::{DAY, Resolver, SECOND, syntax};
use crate::config::merge::Merged;
use crate::config::settings::{ProfileWord, ProviderSettings};

impl Resolver {
    pub(super) fn kubelet_provider(&mut self, merged: &Merged) -> Option<ProviderSettings> {
        let written = &merged.provider;
        let path = |name| format!("kubelet_provider.{name}");
        let management = self.required(&path("management"), &written.management, syntax::word);
        let profile = self.required(&path("profile"), &written.profile, |word| {
            syntax::word::<ProfileWord>(word)
        });
        let host_root = self.required(
            &path("host_root"),
            &written.host_root,
            syntax::absolute_path,
        );
        let directory = self.required(&path("directory"), &written.directory, syntax::plain_path);
        let helper = self.required(&path("helper"), &written.helper, syntax::plain_path);
        let key = path("match_images");
        let match_images = self.each(&key, &written.match_images, syntax::image_pattern);
        if let (Some([]), Some(written)) = (match_images.as_deref(), &written.match_images) {
            let why = "must name one pattern at least".to_owned();
            self.bad(&key, &written.place, why);
        }
        let token_audience = self.optional(
            &path("token_audience"),
            &written.token_audience,
            syntax::audience,
        );
        let hour = DAY / 24;
        let timeout = self.duration(&path("timeout"), &written.timeout, 10 * SECOND..=hour);
        let settle = self.duration(&path("settle"), &written.settle, SECOND..=hour / 6);
        let health_url = self.optional(&path("health_url"), &written.health_url, syntax::local_url);
        let (timeout, settle) = (timeout?, settle?);
        if let Some(written) = written.settle.as_ref().filter(|_| settle >= timeout) {
            let why = "must be less than `kubelet_provider.timeout`".to_owned();
            self.bad(&path("settle"), &written.place, why);
        }
        Some(ProviderSettings {
            management: management?,
            profile: profile?.profile(),
            host_root: host_root?,
            directory: directory?,
            helper: helper?,
            match_images: match_images?,
            token_audience,
            timeout,
            settle,
            health_url,
        })
    }
}
