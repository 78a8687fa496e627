//! What must hold for decoded providers (`validateCredentialProviderConfig` in config.go, and the look for the
//! programs in plugin.go).

use std::path::Path;

use super::annotation;
use super::config::{Fault, Kubelet, Program, Programs, Provider, TokenAttributes, What};
use super::duration::{self, Signed};
use super::pattern::{self, Doubt};
use super::shape::{Raw, RawToken};

/// The versions of the protocol.
const PROTOCOLS: [&str; 3] = [
    "credentialprovider.kubelet.k8s.io/v1",
    "credentialprovider.kubelet.k8s.io/v1beta1",
    "credentialprovider.kubelet.k8s.io/v1alpha1",
];

/// What came of the providers of all files.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) providers: Vec<Provider>,
    pub(super) faults: Vec<Fault>,
    pub(super) doubts: Vec<Doubt>,
}

/// Checks all providers. Without `programs` their directory is known to be missing, and nothing is said about each.
pub(super) fn check(
    raws: &[(&Path, Raw)],
    programs: Option<&Programs>,
    kubelet: Kubelet,
) -> Checked {
    let mut checked = Checked::default();
    for (at, (file, raw)) in raws.iter().enumerate() {
        let mut rules = Rules {
            file,
            raw,
            faults: &mut checked.faults,
        };
        if raws[..at].iter().any(|(_, other)| other.name == raw.name) {
            rules.fault("name", What::DuplicateName);
        }
        let provider = rules.provider(programs, kubelet);
        for (at, pattern) in raw.match_images.iter().enumerate() {
            checked
                .doubts
                .extend(pattern::doubt(pattern).map(|reason| Doubt {
                    file: file.to_path_buf(),
                    field: format!("providers[{}].matchImages[{at}]", raw.at),
                    provider: raw.name.clone(),
                    pattern: pattern.clone(),
                    reason,
                }));
        }
        checked.providers.push(provider);
    }
    checked
}

/// The rules of one provider.
struct Rules<'r> {
    file: &'r Path,
    raw: &'r Raw,
    faults: &'r mut Vec<Fault>,
}

impl Rules<'_> {
    fn provider(&mut self, programs: Option<&Programs>, kubelet: Kubelet) -> Provider {
        let raw = self.raw;
        self.name(programs);
        if !PROTOCOLS.contains(&raw.api_version.as_str()) {
            let found = raw.api_version.clone();
            self.fault("apiVersion", What::Protocol { found });
        }
        if raw.match_images.is_empty() {
            self.fault("matchImages", What::Missing);
        }
        for (at, pattern) in raw.match_images.iter().enumerate() {
            if !pattern::is_readable(pattern) {
                let pattern = pattern.clone();
                self.fault(&format!("matchImages[{at}]"), What::Pattern { pattern });
            }
        }
        Provider {
            file: self.file.to_path_buf(),
            name: raw.name.clone(),
            api_version: raw.api_version.clone(),
            match_images: raw.match_images.clone(),
            default_cache_duration: self.duration(),
            token: raw.token.as_ref().map(|token| self.token(token, kubelet)),
        }
    }

    fn name(&mut self, programs: Option<&Programs>) {
        let name = &self.raw.name;
        if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', ' ', '\0']) {
            let found = name.clone();
            return self.fault("name", What::Name { found });
        }
        let Some(programs) = programs else {
            return;
        };
        match programs.get(name).copied().unwrap_or(Program::Missing) {
            Program::Executable => {}
            Program::Missing => self.fault("name", What::ProgramMissing),
            Program::Directory => self.fault("name", What::ProgramDirectory),
            Program::NotExecutable => self.fault("name", What::ProgramMode),
        }
    }

    fn duration(&mut self) -> std::time::Duration {
        let Some(text) = &self.raw.default_cache_duration else {
            self.fault("defaultCacheDuration", What::Missing);
            return std::time::Duration::ZERO;
        };
        let found = text.clone();
        match duration::parse(text) {
            Some(Signed::Positive(duration)) => return duration,
            Some(Signed::Negative) => {
                self.fault("defaultCacheDuration", What::NegativeDuration { found });
            }
            None => self.fault("defaultCacheDuration", What::Duration { found }),
        }
        std::time::Duration::ZERO
    }

    fn token(&mut self, token: &RawToken, kubelet: Kubelet) -> TokenAttributes {
        let field = |name: &str| format!("tokenAttributes.{name}");
        if !kubelet.tokens {
            self.fault("tokenAttributes", What::TokensOff);
        }
        if self.raw.api_version != PROTOCOLS[0] {
            self.fault("tokenAttributes", What::TokensProtocol);
        }
        if token.audience.is_empty() {
            self.fault(&field("serviceAccountTokenAudience"), What::Missing);
        }
        if token.require_service_account.is_none() {
            self.fault(&field("requireServiceAccount"), What::Missing);
        }
        let known = matches!(token.cache_type.as_str(), "Token" | "ServiceAccount");
        if kubelet.minor >= 34 && !known {
            let found = token.cache_type.clone();
            self.fault(&field("cacheType"), What::CacheType { found });
        }
        let required = field("requiredServiceAccountAnnotationKeys");
        if token.require_service_account == Some(false) && !token.required_annotations.is_empty() {
            self.fault(&required, What::ServiceAccountNotRequired);
        }
        self.keys(&required, &token.required_annotations, &[]);
        let optional = field("optionalServiceAccountAnnotationKeys");
        self.keys(
            &optional,
            &token.optional_annotations,
            &token.required_annotations,
        );
        TokenAttributes {
            audience: token.audience.clone(),
            cache_type: token.cache_type.clone(),
            require_service_account: token.require_service_account.unwrap_or_default(),
            required_annotations: token.required_annotations.clone(),
            optional_annotations: token.optional_annotations.clone(),
        }
    }

    fn keys(&mut self, field: &str, keys: &[String], others: &[String]) {
        for (at, key) in keys.iter().enumerate() {
            let place = format!("{field}[{at}]");
            let owned = key.clone();
            if !annotation::is_key(key) {
                self.fault(&place, What::AnnotationKey { key: owned.clone() });
            }
            if keys[..at].contains(key) || others.contains(key) {
                self.fault(&place, What::AnnotationKeyTwice { key: owned });
            }
        }
    }

    fn fault(&mut self, field: &str, what: What) {
        self.faults.push(Fault {
            file: Some(self.file.to_path_buf()),
            field: format!("providers[{}].{field}", self.raw.at),
            provider: (!self.raw.name.is_empty()).then(|| self.raw.name.clone()),
            what,
        });
    }
}
