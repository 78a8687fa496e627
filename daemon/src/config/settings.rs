//! The configuration as the rest of the agent sees it: complete and valid.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use clap::ValueEnum;
use hyper::Uri;
use pullkeeper_core::authfile::Shape;
use pullkeeper_core::placement::Profile;

use super::delegation::DelegationSettings;

/// Everything that can be configured. Absent values mean "none", never "default".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the Node object, a DNS subdomain; without it no Events are written.
    pub node_name: Option<String>,
    /// Absolute directory of the agent's memory between runs.
    pub state_dir: PathBuf,
    /// Time between comparisons that no event asked for.
    pub resync_interval: Duration,
    /// At least one, in order of precedence: the first that knows a registry wins. Names are unique.
    pub sources: Vec<SourceSettings>,
    /// At least one. Paths are unique, and none is read by a source.
    pub targets: Vec<TargetSettings>,
    /// What is refused.
    pub validation: ValidationSettings,
    /// Where metrics, health and status are served.
    pub admin: AdminSettings,
    /// Where helpers are answered.
    pub broker: BrokerSettings,
    /// The program that is kept in a directory of the host; `None`: none is.
    pub credential_helper: Option<HelperSettings>,
    /// How kubelet comes to execute it.
    pub kubelet_provider: ProviderSettings,
    /// Registries whose credentials come from somewhere else; the first that fits answers. Names are unique.
    pub delegations: Vec<DelegationSettings>,
    /// Logs on standard error.
    pub log: LogSettings,
    /// The Kubernetes API.
    pub kubernetes: KubernetesSettings,
    /// What is restarted.
    pub activation: ActivationSettings,
    /// What only a coordinator asks for.
    pub coordinator: CoordinatorSettings,
}

/// A place that credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSettings {
    /// As configured, or kind and place such as `secret:openshift-config/pull-secret`.
    pub name: String,
    /// Where to look.
    pub origin: Origin,
    /// Whose pulls its credentials are for.
    pub scope: SourceScope,
}

/// Whose pulls a source's credentials are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SourceScope {
    /// every workload of the node
    #[default]
    Node,
    /// pods of the Secret's own namespace, answered through kubelet's provider; no file holds them
    Namespace,
}

impl SourceSettings {
    /// The namespace whose pods alone get the source's credentials.
    pub fn pods_of(&self) -> Option<&str> {
        match (&self.origin, self.scope) {
            (
                Origin::Secret { namespace, .. } | Origin::Selector { namespace, .. },
                SourceScope::Namespace,
            ) => Some(namespace),
            _ => None,
        }
    }
}

/// Where a source looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An auth file on this machine.
    File {
        /// Absolute.
        path: PathBuf,
        /// `None`: detected from the content.
        shape: Option<Shape>,
    },
    /// All Secrets of a namespace that a label selector matches.
    Selector {
        /// A DNS label.
        namespace: String,
        /// A selector in the API's own syntax, never empty.
        labels: String,
    },
    /// One Secret in the Kubernetes API.
    Secret {
        /// A DNS label.
        namespace: String,
        /// A DNS subdomain.
        name: String,
        /// `None`: `.dockerconfigjson`, else `.dockercfg`.
        key: Option<String>,
    },
    /// A directory that a Secret is mounted on.
    Volume {
        /// Absolute.
        directory: PathBuf,
        /// `None`: `.dockerconfigjson`, else `.dockercfg`.
        key: Option<String>,
    },
}

/// An auth file that the agent keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSettings {
    /// Whose rules the file follows.
    pub kind: TargetKind,
    /// Absolute, and not a directory's name by its form.
    pub path: PathBuf,
    /// Permission bits: read for the owner, at most `0o640`.
    pub mode: u32,
    /// `None`: that of the replaced file, else the agent's own.
    pub owner: Option<Owner>,
    /// What happens to entries that are already there.
    pub merge: MergePolicy,
}

/// User and group of a file, by number: a container does not know the host's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The program that reads a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum TargetKind {
    /// podman, skopeo, buildah and CRI-O.
    Containers,
    /// The docker CLI.
    Docker,
    /// kubelet's node-wide file.
    Kubelet,
}

/// What happens to the entries that a target has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum MergePolicy {
    /// Those of others stay, those of the agent follow the sources.
    Merge,
    /// Nothing: the file is never written, only compared and reported.
    Observe,
    /// They go: the file is the agent's alone.
    Replace,
    /// They go: the file gets the bytes of the first source as they are.
    Verbatim,
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationSettings {
    /// What one unusable entry costs.
    pub bad_entry: BadEntry,
    /// Whether no entries may replace some entries.
    pub allow_empty: bool,
    /// `host[:port][/path]` each, lower case.
    pub required_registries: Vec<String>,
    /// What a missing required registry costs.
    pub required_action: RequiredAction,
}

/// What one unusable entry costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum BadEntry {
    /// The whole document of its source, whose last good content stays.
    Refuse,
    /// That entry; the others are used.
    Skip,
}

/// What a missing required registry costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum RequiredAction {
    /// Nothing is written until it is back.
    Enforce,
    /// It is reported as a finding.
    Warn,
}

/// Where metrics, health and status are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// The one listener.
    pub listen: Listen,
}

/// Where helpers are answered, and who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSettings {
    /// A Unix socket, or nowhere.
    pub listen: Listen,
    /// Who may ask, by user number.
    pub allowed_users: Vec<u32>,
    /// Who may ask, by the number of their primary group.
    pub allowed_groups: Vec<u32>,
    /// What login tools are told that want to store or erase a credential.
    pub store: StorePolicy,
    /// Where `pullkeeper exchange` keeps what it obtained.
    pub exchange_cache: PathBuf,
}

/// The credential helper that the agent keeps on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelperSettings {
    /// Absolute: the host's directory, as the agent sees it.
    pub directory: PathBuf,
    /// Absolute: what is installed there.
    pub source: PathBuf,
}

/// What login tools are told that want to store or erase a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum StorePolicy {
    /// That it is done, although nothing is kept.
    Ignore,
    /// That it cannot be done.
    Refuse,
}

/// A listening address. `Display` gives the form that the configuration takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// The Unix socket that systemd hands over.
    Systemd,
    /// TCP; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A Unix socket at an absolute path.
    Unix(PathBuf),
}

/// Logs on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The form of a line.
    pub format: LogFormat,
    /// Directives that `tracing_subscriber::filter::Targets` accepts.
    pub level: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum LogFormat {
    /// JSON in a pod, otherwise text.
    Auto,
    /// One JSON object per line.
    Json,
    /// Lines of text; for the systemd journal with its priority instead of time and level.
    Text,
}

/// The Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSettings {
    /// `None`: the usual places of Kubernetes clients, and the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// Whether Events about findings are written.
    pub events: bool,
    /// Whether new versions of Secrets may wait for a permit.
    pub rollouts: bool,
    /// Length of one watch request, in whole seconds.
    pub watch_timeout: Duration,
    /// Deadline of any other request.
    pub request_timeout: Duration,
}

/// How kubelet comes to have the credential helper as a provider. Paths are the host's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSettings {
    /// Whether it is to.
    pub management: Management,
    /// How its unit takes flags; `None`: that is found out.
    pub profile: Option<Profile>,
    /// Where the host's root is seen.
    pub host_root: PathBuf,
    /// Where the configuration and the links are.
    pub directory: PathBuf,
    /// The program.
    pub helper: PathBuf,
    /// Images for which it is asked; at least one.
    pub match_images: Vec<String>,
    /// Whose tokens are passed on.
    pub token_audience: Option<String>,
    /// How long kubelet may take to be back.
    pub timeout: Duration,
    /// How long it has to stay up.
    pub settle: Duration,
    /// What has to answer 200 then.
    pub health_url: Option<Uri>,
}

/// Whether something of the host is kept, left alone, or taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Management {
    /// kubelet's flags are left as they are
    #[default]
    Unmanaged,
    /// kubelet is to have the provider
    Managed,
    /// what was done to kubelet is to be undone
    Removed,
}

/// The word for a [`Profile`] in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileWord {
    /// told by the running kubelet and its unit
    Auto,
    /// a unit of systemd that names kubelet in its one command
    Generic,
    /// kubeadm's packages: KUBELET_EXTRA_ARGS in an environment file
    Kubeadm,
    /// the same in a container
    Kind,
    /// EKS on Amazon Linux 2023
    Eks,
    /// k3s
    K3s,
    /// RKE2
    Rke2,
}

impl ProfileWord {
    pub(crate) fn profile(self) -> Option<Profile> {
        match self {
            Self::Auto => None,
            Self::Generic => Some(Profile::Generic),
            Self::Kubeadm => Some(Profile::Kubeadm),
            Self::Kind => Some(Profile::Kind),
            Self::Eks => Some(Profile::Eks),
            Self::K3s => Some(Profile::K3s),
            Self::Rke2 => Some(Profile::Rke2),
        }
    }
}

/// What is restarted after files were replaced, under a permit that asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationSettings {
    /// Units of systemd, in this order; none are none.
    pub units: Vec<String>,
    /// How long all of them together may take to be back.
    pub timeout: Duration,
    /// How long each has to stay up.
    pub settle: Duration,
    /// What has to answer 200 then.
    pub health_url: Option<Uri>,
}

/// Which of several coordinators works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorSettings {
    /// Where the Lease is.
    pub lease_namespace: String,
    /// The Lease's name.
    pub lease_name: String,
    /// How long one that ended without a word is waited for.
    pub lease_duration: Duration,
}

/// The word for a [`Shape`] in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShapeWord {
    /// Entries under `auths`, as in config.json and auth.json.
    ConfigJson,
    /// Entries at the top, as in the legacy .dockercfg.
    #[value(name = "dockercfg")]
    DockerCfg,
}

impl TargetKind {
    /// The word in the configuration, also used as label in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::Docker => "docker",
            Self::Kubelet => "kubelet",
        }
    }

    /// Where that program looks by itself when it runs as root.
    pub fn default_path(self) -> &'static str {
        match self {
            Self::Containers => "/etc/containers/auth.json",
            Self::Docker => "/root/.docker/config.json",
            Self::Kubelet => "/var/lib/kubelet/config.json",
        }
    }
}

impl HelperSettings {
    /// Where the program is installed. docker and podman know it by this name only.
    pub fn path(&self) -> PathBuf {
        self.directory.join("docker-credential-pullkeeper")
    }
}

impl MergePolicy {
    /// The word in the configuration, also used as label in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Observe => "observe",
            Self::Replace => "replace",
            Self::Verbatim => "verbatim",
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Systemd => f.write_str("systemd"),
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<ShapeWord> for Shape {
    fn from(word: ShapeWord) -> Self {
        match word {
            ShapeWord::ConfigJson => Self::ConfigJson,
            ShapeWord::DockerCfg => Self::DockerCfg,
        }
    }
}
