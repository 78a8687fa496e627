//! From merged to validated: first every value by itself, then what they mean together.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    error::{ConfigError, Fault, Place, Problem},
    merge::{Merged, Placed},
    settings::{
        ActivationSettings, AdminSettings, BrokerSettings, CoordinatorSettings, KubernetesSettings,
        LogSettings, MergePolicy, Origin, Settings, ShapeWord, SourceScope, SourceSettings,
        TargetSettings, ValidationSettings,
    },
    syntax,
    table::{Source, Target},
};

mod helper;
mod provider;

type Text = Option<Placed<String>>;

const SECOND: Duration = Duration::from_secs(1);
const FIVE_MINUTES: Duration = Duration::from_mins(5);
const DAY: Duration = Duration::from_hours(24);

/// Checks everything.
///
/// # Errors
/// Everything that is wrong, not only the first. What values mean together is looked at when each is right.
pub(crate) fn resolve(merged: &Merged) -> Result<Settings, ConfigError> {
    let mut resolver = Resolver::default();
    match resolver.settings(merged) {
        Some(settings) if resolver.problems.is_empty() => {
            resolver.check_names(merged, &settings);
            resolver.check_paths(merged, &settings);
            resolver.check_verbatim(merged, &settings);
            resolver.check_helper(merged, &settings);
            ConfigError::check(resolver.problems).map(|()| settings)
        }
        _ => Err(ConfigError::new(resolver.problems)),
    }
}

/// Collects problems. Whoever returns `None` has added one.
#[derive(Default)]
pub(super) struct Resolver {
    problems: Vec<Problem>,
}

impl Resolver {
    fn settings(&mut self, merged: &Merged) -> Option<Settings> {
        let node_name = self.optional("node_name", &merged.node_name, syntax::dns_subdomain);
        let state_dir = self.required("state_dir", &merged.state_dir, syntax::absolute_path);
        let resync_interval =
            self.duration("resync_interval", &merged.resync_interval, SECOND..=DAY);
        let sources: Vec<_> = merged
            .sources
            .iter()
            .map(|source| self.source(source))
            .collect();
        let targets: Vec<_> = merged
            .targets
            .iter()
            .map(|target| self.target(target))
            .collect();
        let validation = self.validation(merged);
        let listen = self.required("admin.listen", &merged.listen, syntax::listen);
        let broker = self.broker(merged);
        let credential_helper = self.helper(merged);
        let kubelet_provider = self.kubelet_provider(merged);
        let delegations: Vec<_> = merged
            .delegations
            .iter()
            .map(|delegation| self.delegation(delegation))
            .collect();
        let format = self.required("log.format", &merged.format, syntax::word);
        let level = self.required("log.level", &merged.level, syntax::log_filter);
        let kubernetes = self.kubernetes(merged);
        let coordinator = self.coordinator(merged);
        let activation = self.activation(merged);
        Some(Settings {
            node_name,
            state_dir: state_dir?,
            resync_interval: resync_interval?,
            sources: sources.into_iter().collect::<Option<_>>()?,
            targets: targets.into_iter().collect::<Option<_>>()?,
            validation: validation?,
            admin: AdminSettings { listen: listen? },
            broker: broker?,
            credential_helper,
            kubelet_provider: kubelet_provider?,
            delegations: delegations.into_iter().collect::<Option<_>>()?,
            log: LogSettings {
                format: format?,
                level: level?,
            },
            kubernetes: kubernetes?,
            activation: activation?,
            coordinator: coordinator?,
        })
    }

    fn activation(&mut self, merged: &Merged) -> Option<ActivationSettings> {
        let units = self.each("activation.units", &merged.units, syntax::unit);
        let hour = DAY / 24;
        let timeout = self.duration(
            "activation.timeout",
            &merged.activation_timeout,
            SECOND..=hour,
        );
        let settle = self.duration("activation.settle", &merged.settle, SECOND..=hour / 6);
        let health_url = self.optional(
            "activation.health_url",
            &merged.health_url,
            syntax::local_url,
        );
        let (timeout, settle) = (timeout?, settle?);
        if let Some(written) = merged.settle.as_ref().filter(|_| settle >= timeout) {
            let why = "must be less than `activation.timeout`".to_owned();
            self.bad("activation.settle", &written.place, why);
        }
        Some(ActivationSettings {
            units: units?,
            timeout,
            settle,
            health_url,
        })
    }

    fn coordinator(&mut self, merged: &Merged) -> Option<CoordinatorSettings> {
        let key = "coordinator.lease";
        let lease = self.required(key, &merged.lease, syntax::secret_reference);
        let range = Duration::from_secs(3)..=2 * FIVE_MINUTES;
        let key = "coordinator.lease_duration";
        let lease_duration = self.duration(key, &merged.lease_duration, range);
        let (lease_namespace, lease_name) = lease?;
        Some(CoordinatorSettings {
            lease_namespace,
            lease_name,
            lease_duration: lease_duration?,
        })
    }

    fn validation(&mut self, merged: &Merged) -> Option<ValidationSettings> {
        let bad_entry = self.required("validation.bad_entry", &merged.bad_entry, syntax::word);
        let key = "validation.required_action";
        let required_action = self.required(key, &merged.required_action, syntax::word);
        let allow_empty = self.present("validation.allow_empty", &merged.allow_empty);
        let key = "validation.required_registries";
        let registries = self.each(key, &merged.required_registries, syntax::registry);
        Some(ValidationSettings {
            bad_entry: bad_entry?,
            allow_empty: allow_empty?.value,
            required_registries: registries?,
            required_action: required_action?,
        })
    }

    fn broker(&mut self, merged: &Merged) -> Option<BrokerSettings> {
        let listen = self.required(
            "broker.listen",
            &merged.broker_listen,
            syntax::socket_listen,
        );
        let users = self.each("broker.allowed_users", &merged.allowed_users, syntax::id);
        let groups = self.each("broker.allowed_groups", &merged.allowed_groups, syntax::id);
        let store = self.required("broker.store", &merged.store, syntax::word);
        let key = "broker.exchange_cache";
        let exchange_cache = self.required(key, &merged.exchange_cache, syntax::absolute_path);
        Some(BrokerSettings {
            listen: listen?,
            allowed_users: users?,
            allowed_groups: groups?,
            store: store?,
            exchange_cache: exchange_cache?,
        })
    }

    fn kubernetes(&mut self, merged: &Merged) -> Option<KubernetesSettings> {
        let kubeconfig = self.optional(
            "kubernetes.kubeconfig",
            &merged.kubeconfig,
            syntax::file_path,
        );
        let events = self.present("kubernetes.events", &merged.events);
        let key = "kubernetes.rollouts";
        let rollouts = self.present(key, &merged.rollouts);
        if let Some(written) = rollouts
            && written.value
            && merged.node_name.is_none()
        {
            self.bad(key, &written.place, "needs `node_name`".to_owned());
        }
        let key = "kubernetes.watch_timeout";
        // Much shorter watches would be a load on the API server; kube knows whole seconds only.
        let watch_timeout = self.duration(
            key,
            &merged.watch_timeout,
            Duration::from_secs(5)..=FIVE_MINUTES,
        );
        if let (Some(timeout), Some(written)) = (watch_timeout, &merged.watch_timeout)
            && timeout.subsec_nanos() != 0
        {
            self.bad(key, &written.place, "must be whole seconds".to_owned());
        }
        let key = "kubernetes.request_timeout";
        let request_timeout = self.duration(key, &merged.request_timeout, SECOND..=FIVE_MINUTES);
        Some(KubernetesSettings {
            kubeconfig,
            events: events?.value,
            rollouts: rollouts?.value,
            watch_timeout: watch_timeout?,
            request_timeout: request_timeout?,
        })
    }

    fn source(
        &mut self,
        Placed {
            value: source,
            place,
        }: &Placed<Source>,
    ) -> Option<SourceSettings> {
        let origins = [
            &source.secret,
            &source.file,
            &source.volume,
            &source.label_selector,
        ];
        let given = origins.iter().filter(|origin| origin.is_some()).count();
        if given != 1 {
            let found = if given == 0 { "none" } else { "more than one" };
            let why = format!(
                "must have exactly one of `secret`, `file`, `volume`, `label_selector`, and has {found}"
            );
            self.bad("source", place, why);
            return None;
        }
        let secretish = source.secret.is_some() || source.volume.is_some();
        let fits = [
            ("source.key", &source.key, secretish, "`secret` or `volume`"),
            (
                "source.namespace",
                &source.namespace,
                source.label_selector.is_some(),
                "`label_selector`",
            ),
            (
                "source.shape",
                &source.shape,
                source.file.is_some(),
                "`file`",
            ),
        ];
        for (key, value, fits, with) in fits {
            if let (Some(value), false) = (value, fits) {
                self.bad(key, &value.place, format!("can only be used with {with}"));
            }
        }
        let name = self.source_name(source, place);
        let origin = self.origin(source, place);
        let scope = match &source.scope {
            None => SourceScope::default(),
            scope => self.optional("source.scope", scope, syntax::word)?,
        };
        let namespaced = source.secret.is_some() || source.label_selector.is_some();
        if let (Some(written), SourceScope::Namespace, false) = (&source.scope, scope, namespaced) {
            let why = "can be `namespace` only with `secret` or `label_selector`".to_owned();
            self.bad("source.scope", &written.place, why);
        }
        Some(SourceSettings {
            name: name?,
            origin: origin?,
            scope,
        })
    }

    /// The name as given, by the rules for names; one that was made up from the origin is as right as that.
    fn source_name(&mut self, source: &Source, place: &Place) -> Option<String> {
        let made_up = source.default_name();
        match (&source.name, made_up) {
            (Some(name), Some(made_up)) if name.value == made_up.value => Some(made_up.value),
            (name, _) => self.required_at("source.name", name, place, syntax::source_name),
        }
    }

    fn origin(&mut self, source: &Source, place: &Place) -> Option<Origin> {
        let key = self.optional("source.key", &source.key, syntax::secret_key);
        let shape = self.optional("source.shape", &source.shape, syntax::word::<ShapeWord>);
        if source.secret.is_some() {
            let secret = self.required("source.secret", &source.secret, syntax::secret_reference);
            return secret.map(|(namespace, name)| Origin::Secret {
                namespace,
                name,
                key,
            });
        }
        if source.file.is_some() {
            let path = self.required("source.file", &source.file, syntax::file_path);
            return path.map(|path| Origin::File {
                path,
                shape: shape.map(Into::into),
            });
        }
        if source.volume.is_some() {
            let directory = self.required("source.volume", &source.volume, syntax::absolute_path);
            return directory.map(|directory| Origin::Volume { directory, key });
        }
        let labels = self.required(
            "source.label_selector",
            &source.label_selector,
            syntax::selector,
        );
        let namespace = self.required_at(
            "source.namespace",
            &source.namespace,
            place,
            syntax::dns_label,
        );
        Some(Origin::Selector {
            namespace: namespace?,
            labels: labels?,
        })
    }

    fn target(
        &mut self,
        Placed {
            value: target,
            place,
        }: &Placed<Target>,
    ) -> Option<TargetSettings> {
        let kind = self.required_at("target.kind", &target.kind, place, syntax::word);
        // Without a kind there is no default path, which is not a second mistake.
        let path = match &target.path {
            None => None,
            path => self.required("target.path", path, syntax::file_path),
        };
        let mode = self.required("target.mode", &target.mode, syntax::mode);
        let owner = self.optional("target.owner", &target.owner, syntax::owner);
        let merge = self.required("target.merge", &target.merge, syntax::word);
        Some(TargetSettings {
            kind: kind?,
            path: path?,
            mode: mode?,
            owner,
            merge: merge?,
        })
    }

    fn check_names(&mut self, merged: &Merged, settings: &Settings) {
        let sources = settings.sources.iter().map(|source| source.name.as_str());
        let places = merged.sources.iter().map(|source| {
            let name = source.value.name.as_ref();
            name.map_or(&source.place, |name| &name.place)
        });
        self.unique("source", sources.zip(places).collect());
        let delegations = settings.delegations.iter().map(|one| one.name.as_str());
        let places = merged
            .delegations
            .iter()
            .map(|delegation| &delegation.place);
        self.unique("delegation", delegations.zip(places).collect());
        let places = merged.delegations.iter().map(|one| &one.place);
        let all: Vec<_> = settings.delegations.iter().zip(places).collect();
        self.check_audiences(&all);
    }

    fn unique(&mut self, table: &str, names: Vec<(&str, &Place)>) {
        for (index, (name, place)) in names.iter().enumerate() {
            if let Some((_, first)) = names[..index].iter().find(|(other, _)| other == name) {
                let why = format!("is taken by another {table} ({first})");
                self.bad(&format!("{table}.name"), place, why);
            }
        }
    }

    fn check_paths(&mut self, merged: &Merged, settings: &Settings) {
        for (index, target) in settings.targets.iter().enumerate() {
            let place = &merged.targets[index].place;
            if let Some(first) = settings.targets[..index]
                .iter()
                .position(|first| first.path == target.path)
            {
                let why = format!(
                    "is the file of another target ({})",
                    merged.targets[first].place
                );
                self.bad("target.path", place, why);
            }
            let reader = settings
                .sources
                .iter()
                .position(|source| match &source.origin {
                    Origin::File { path, .. } => *path == target.path,
                    Origin::Volume { directory, .. } => target.path.starts_with(directory),
                    Origin::Secret { .. } | Origin::Selector { .. } => false,
                });
            // Else what was written once would be a source for ever.
            if let Some(source) = reader {
                let why = format!("is read by a source ({})", merged.sources[source].place);
                self.bad("target.path", place, why);
            }
        }
    }

    fn check_verbatim(&mut self, merged: &Merged, settings: &Settings) {
        // What is a namespace's own is in no file.
        let mut sources = settings.sources.iter();
        let first = sources.find(|source| source.pods_of().is_none());
        if !matches!(
            first.map(|source| &source.origin),
            Some(Origin::Selector { .. })
        ) {
            return;
        }
        for (target, written) in settings.targets.iter().zip(&merged.targets) {
            if target.merge == MergePolicy::Verbatim {
                let why = "cannot be verbatim when the first source is a `label_selector`: it may find several Secrets";
                self.bad("target.merge", &written.place, why.to_owned());
            }
        }
    }

    fn duration(
        &mut self,
        key: &str,
        written: &Text,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.required(key, written, |text| {
            let duration = syntax::duration(text)?;
            if range.contains(&duration) {
                return Ok(duration);
            }
            let [least, most] = [range.start(), range.end()].map(|bound| syntax::friendly(*bound));
            Err(format!("must be from {least} to {most}"))
        })
    }

    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        written: &Text,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Placed { value, place } = written.as_ref()?;
        parse(value).map_err(|why| self.bad(key, place, why)).ok()
    }

    fn required<T>(
        &mut self,
        key: &str,
        written: &Text,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.required_at(key, written, &Place::Default, parse)
    }

    /// `place` is where the value should have been.
    pub(super) fn required_at<T>(
        &mut self,
        key: &str,
        written: &Text,
        place: &Place,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if written.is_none() {
            self.missing(key, place);
        }
        self.optional(key, written, parse)
    }

    /// Every item of a list by itself; `None` when one is wrong.
    pub(super) fn each<T>(
        &mut self,
        key: &str,
        written: &Option<Placed<Vec<String>>>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let list = self.present(key, written)?;
        let mut items = Vec::new();
        for (index, item) in list.value.iter().enumerate() {
            match parse(item) {
                Ok(item) => items.push(item),
                Err(why) => self.bad(key, &list.place, format!("item {}: {why}", index + 1)),
            }
        }
        (items.len() == list.value.len()).then_some(items)
    }

    fn present<'a, T>(
        &mut self,
        key: &str,
        written: &'a Option<Placed<T>>,
    ) -> Option<&'a Placed<T>> {
        if written.is_none() {
            self.missing(key, &Place::Default);
        }
        written.as_ref()
    }

    pub(super) fn missing(&mut self, key: &str, place: &Place) {
        self.problems.push(Problem::new(
            place.clone(),
            Fault::Missing {
                key: key.to_owned(),
            },
        ));
    }

    pub(super) fn bad(&mut self, key: &str, place: &Place, why: String) {
        let fault = Fault::BadValue {
            key: key.to_owned(),
            why,
        };
        self.problems.push(Problem::new(place.clone(), fault));
    }
}

#[cfg(test)]
pub(super) mod tests;
