//! The configuration as merged: every layer laid over the one below, defaults at the bottom.
//!
//! A higher layer replaces single values. Lists of tables follow a rule of their own: among *files*, a
//! `[[source]]` or `[[delegation]]` takes the place of the one with the same name, a `[[target]]` that of the one with
//! the same path, and others are appended. Sources given by environment or flag replace all of those below; so do
//! targets.

use std::path::Path;

use clap::ValueEnum as _;
use toml::Spanned;

use super::{
    error::{Place, Problem},
    file::{self, Layer, LayerOrigin},
    keys::{Fallback, KEYS, Key},
    settings::TargetKind,
    table::{Delegation, Source, Target, WrittenDelegation, WrittenSource, WrittenTarget, placed},
};

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

type Text = Option<Placed<String>>;
type List = Option<Placed<Vec<String>>>;

/// Every setting with the value that won. `None` where no layer has one, not even the defaults.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) node_name: Text,
    pub(crate) state_dir: Text,
    pub(crate) resync_interval: Text,
    pub(crate) sources: Vec<Placed<Source>>,
    pub(crate) targets: Vec<Placed<Target>>,
    pub(crate) bad_entry: Text,
    pub(crate) allow_empty: Option<Placed<bool>>,
    pub(crate) required_registries: List,
    pub(crate) required_action: Text,
    pub(crate) units: List,
    pub(crate) activation_timeout: Text,
    pub(crate) settle: Text,
    pub(crate) health_url: Text,
    pub(crate) listen: Text,
    pub(crate) broker_listen: Text,
    pub(crate) allowed_users: List,
    pub(crate) allowed_groups: List,
    pub(crate) store: Text,
    pub(crate) exchange_cache: Text,
    pub(crate) helper_directory: Text,
    pub(crate) helper_source: Text,
    pub(crate) provider: KubeletProvider,
    pub(crate) delegations: Vec<Placed<Delegation>>,
    pub(crate) format: Text,
    pub(crate) level: Text,
    pub(crate) kubeconfig: Text,
    pub(crate) events: Option<Placed<bool>>,
    pub(crate) rollouts: Option<Placed<bool>>,
    pub(crate) watch_timeout: Text,
    pub(crate) request_timeout: Text,
    pub(crate) lease: Text,
    pub(crate) lease_duration: Text,
}

/// What the table `kubelet_provider` has.
#[derive(Debug, Default)]
pub(crate) struct KubeletProvider {
    pub(crate) management: Text,
    pub(crate) profile: Text,
    pub(crate) host_root: Text,
    pub(crate) directory: Text,
    pub(crate) helper: Text,
    pub(crate) match_images: List,
    pub(crate) token_audience: Text,
    pub(crate) timeout: Text,
    pub(crate) settle: Text,
    pub(crate) health_url: Text,
}

/// Lays `layers` over the defaults, lowest first.
///
/// # Errors
/// None for any input: only a table of settings whose own defaults are broken.
pub(crate) fn merge(layers: Vec<Layer>) -> Result<Merged, Vec<Problem>> {
    let tables = ["source.", "target.", "delegation."];
    let outside = |key: &Key| !tables.iter().any(|table| key.path.starts_with(table));
    let defaults = Layer::parse(&defaults("", outside), LayerOrigin::Defaults)?;
    let mut merged = Merged::default();
    for layer in std::iter::once(defaults).chain(layers) {
        merged.lay_over(layer);
    }
    for target in &mut merged.targets {
        target.value.fill(default_target()?);
    }
    Ok(merged)
}

/// The defaults of some settings as TOML, with keys relative to `prefix`.
fn defaults(prefix: &str, wanted: impl Fn(&Key) -> bool) -> String {
    let assignment = |key: &Key| match key.default {
        Fallback::Toml(value) => Some(format!("{} = {value}\n", key.path.strip_prefix(prefix)?)),
        Fallback::Unset(_) | Fallback::Required => None,
    };
    KEYS.iter()
        .filter(|key| wanted(key))
        .filter_map(assignment)
        .collect()
}

/// What a `[[target]]` has that says nothing.
fn default_target() -> Result<Target, Vec<Problem>> {
    let text = format!("[[target]]\n{}", defaults("target.", |_| true));
    let Layer { file, origin } = Layer::parse(&text, LayerOrigin::Defaults)?;
    let target = file.target.into_iter().next();
    Ok(target
        .map(|target| Target::written(target, &origin).value)
        .unwrap_or_default())
}

impl Merged {
    fn lay_over(&mut self, Layer { file, origin }: Layer) {
        let origin = &origin;
        put(&mut self.node_name, file.node_name, origin);
        put(&mut self.state_dir, file.state_dir, origin);
        put(&mut self.resync_interval, file.resync_interval, origin);
        let sources = file
            .source
            .into_iter()
            .map(|source| Source::written(source, origin));
        put_all(&mut self.sources, sources.collect(), Source::is_same);
        let targets = file
            .target
            .into_iter()
            .map(|target| Target::written(target, origin));
        put_all(&mut self.targets, targets.collect(), Target::is_same);
        put(&mut self.bad_entry, file.validation.bad_entry, origin);
        put(&mut self.allow_empty, file.validation.allow_empty, origin);
        put(
            &mut self.required_registries,
            file.validation.required_registries,
            origin,
        );
        put(
            &mut self.required_action,
            file.validation.required_action,
            origin,
        );
        put(&mut self.listen, file.admin.listen, origin);
        let broker = file.broker;
        put(&mut self.broker_listen, broker.listen, origin);
        put(&mut self.allowed_users, broker.allowed_users, origin);
        put(&mut self.allowed_groups, broker.allowed_groups, origin);
        put(&mut self.store, broker.store, origin);
        put(&mut self.exchange_cache, broker.exchange_cache, origin);
        let helper = file.credential_helper;
        put(&mut self.helper_directory, helper.directory, origin);
        put(&mut self.helper_source, helper.source, origin);
        self.provider.lay_over(file.kubelet_provider, origin);
        let delegations = file
            .delegation
            .into_iter()
            .map(|delegation| Delegation::written(delegation, origin));
        put_all(
            &mut self.delegations,
            delegations.collect(),
            Delegation::is_same,
        );
        put(&mut self.format, file.log.format, origin);
        put(&mut self.level, file.log.level, origin);
        put(&mut self.kubeconfig, file.kubernetes.kubeconfig, origin);
        put(&mut self.events, file.kubernetes.events, origin);
        put(&mut self.rollouts, file.kubernetes.rollouts, origin);
        put(
            &mut self.watch_timeout,
            file.kubernetes.watch_timeout,
            origin,
        );
        put(
            &mut self.request_timeout,
            file.kubernetes.request_timeout,
            origin,
        );
        let activation = file.activation;
        put(&mut self.units, activation.units, origin);
        put(&mut self.activation_timeout, activation.timeout, origin);
        put(&mut self.settle, activation.settle, origin);
        put(&mut self.health_url, activation.health_url, origin);
        put(&mut self.lease, file.coordinator.lease, origin);
        put(
            &mut self.lease_duration,
            file.coordinator.lease_duration,
            origin,
        );
    }
}

impl KubeletProvider {
    fn lay_over(&mut self, file: file::KubeletProvider, origin: &LayerOrigin) {
        put(&mut self.management, file.management, origin);
        put(&mut self.profile, file.profile, origin);
        put(&mut self.host_root, file.host_root, origin);
        put(&mut self.directory, file.directory, origin);
        put(&mut self.helper, file.helper, origin);
        put(&mut self.match_images, file.match_images, origin);
        put(&mut self.token_audience, file.token_audience, origin);
        put(&mut self.timeout, file.timeout, origin);
        put(&mut self.settle, file.settle, origin);
        put(&mut self.health_url, file.health_url, origin);
    }
}

impl Source {
    fn written(written: Spanned<WrittenSource>, origin: &LayerOrigin) -> Placed<Self> {
        let place = origin.place(&written.span());
        let mut source = Self::of(written.into_inner(), origin);
        if source.name.is_none() {
            source.name = source.default_name();
        }
        Placed {
            value: source,
            place,
        }
    }

    /// Kind and place: unique, and never equal to a name that a user may give.
    pub(crate) fn default_name(&self) -> Text {
        let namespace = self
            .namespace
            .as_ref()
            .map_or("", |namespace| &namespace.value);
        let (value, origin) = if let Some(secret) = &self.secret {
            (format!("secret:{}", secret.value), secret)
        } else if let Some(file) = &self.file {
            (format!("file:{}", file.value), file)
        } else if let Some(volume) = &self.volume {
            (format!("volume:{}", volume.value), volume)
        } else {
            let labels = self.label_selector.as_ref()?;
            (format!("selector:{namespace}/{}", labels.value), labels)
        };
        Some(Placed {
            value,
            place: origin.place.clone(),
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        match (&self.name, &other.name) {
            (Some(name), Some(other)) => name.value == other.value,
            _ => false,
        }
    }
}

impl Target {
    fn written(written: Spanned<WrittenTarget>, origin: &LayerOrigin) -> Placed<Self> {
        let place = origin.place(&written.span());
        let mut target = Self::of(written.into_inner(), origin);
        if target.path.is_none() {
            target.path = target.default_path();
        }
        Placed {
            value: target,
            place,
        }
    }

    fn default_path(&self) -> Text {
        let kind = TargetKind::from_str(&self.kind.as_ref()?.value, false).ok()?;
        Some(Placed {
            value: kind.default_path().to_owned(),
            place: Place::Default,
        })
    }

    fn fill(&mut self, defaults: Self) {
        self.mode = self.mode.take().or(defaults.mode);
        self.owner = self.owner.take().or(defaults.owner);
        self.merge = self.merge.take().or(defaults.merge);
    }

    fn is_same(&self, other: &Self) -> bool {
        match (&self.path, &other.path) {
            // As paths, so that doubled slashes make no difference.
            (Some(path), Some(other)) => Path::new(&path.value) == Path::new(&other.value),
            _ => false,
        }
    }
}

impl Delegation {
    fn written(written: Spanned<WrittenDelegation>, origin: &LayerOrigin) -> Placed<Self> {
        let place = origin.place(&written.span());
        let value = Self::of(written.into_inner(), origin);
        Placed { value, place }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (&self.name, &other.name) {
            (Some(name), Some(other)) => name.value == other.value,
            _ => false,
        }
    }
}

fn put<T>(below: &mut Option<Placed<T>>, above: Option<Spanned<T>>, origin: &LayerOrigin) {
    if above.is_some() {
        *below = placed(above, origin);
    }
}

fn put_all<T>(below: &mut Vec<Placed<T>>, above: Vec<Placed<T>>, is_same: impl Fn(&T, &T) -> bool) {
    if above.is_empty() {
        return;
    }
    if above
        .iter()
        .chain(below.iter())
        .any(|item| item.place.file().is_none())
    {
        *below = above;
        return;
    }
    for item in above {
        // Two of a kind in one file stay two, and are reported as what they are: a mistake.
        let former = below.iter().position(|former| {
            former.place.file() != item.place.file() && is_same(&former.value, &item.value)
        });
        match former {
            Some(index) => below[index] = item,
            None => below.push(item),
        }
    }
}
