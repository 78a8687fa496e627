//! The one table of settings: TOML key, flag, environment variable, type, default and meaning.
//!
//! Known keys and their suggestions, flags and their help, environment names, the built-in defaults and
//! `docs/usage/configure.md` all come from [`KEYS`], so that they cannot say different things.

use clap::{ValueEnum, builder::PossibleValue};

use super::delegation::{GrantWord, HandOutWord, PresetWord, Scheme};
use super::settings::{
    BadEntry, LogFormat, Management, MergePolicy, ProfileWord, RequiredAction, ShapeWord,
    SourceScope, StorePolicy, TargetKind,
};

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Dotted path in TOML. `source.x` is a field of every `[[source]]`, and so for `[[target]]` and `[[delegation]]`.
    pub path: &'static str,
    /// The flag, without dashes, and the name of its value.
    pub flag: Option<(&'static str, &'static str)>,
    /// An environment variable that is read besides the one named after the flag, and loses to it.
    pub also_environment: Option<&'static str>,
    /// What may be written as value.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub default: Fallback,
    /// What the setting does: plain text, shown by `--help` and in the documentation.
    pub meaning: &'static str,
}

/// What may be written as value of a setting.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A number with a unit: `60s`, `5m`, `1h30m`.
    Duration,
    /// Strings: an array in TOML, the flag repeated, commas in the environment.
    List,
    /// An absolute path; a flag may be relative to the current directory.
    Path,
    /// A table of strings, under names that are not ours.
    Strings,
    /// An array of tables: `[[source]]`, `[[target]]`.
    Tables,
    /// Any other string, with the form that the meaning describes.
    Text,
    /// One of the words that the function lists.
    Word(fn() -> Vec<PossibleValue>),
}

/// The value of a setting that nobody set.
#[derive(Clone, Copy, Debug)]
pub enum Fallback {
    /// This value, written as in TOML.
    Toml(&'static str),
    /// No value; the text says what happens then.
    Unset(&'static str),
    /// There is none: whoever writes the table must write the key.
    Required,
}

/// Every setting, in the order of the documentation.
pub static KEYS: &[Key] = &[
    Key {
        path: "node_name",
        flag: Some(("node-name", "NAME")),
        also_environment: Some("NODE_NAME"),
        kind: Kind::Text,
        default: Fallback::Unset("none: no Kubernetes Events are written"),
        meaning: "Name of the Node object that this agent runs on.",
    },
    Key {
        path: "state_dir",
        flag: Some(("state-dir", "DIR")),
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Toml("\"/var/lib/pullkeeper\""),
        meaning: "Directory for what the agent must remember between runs: names of the entries that it manages and keyed hashes, and how far a restart of services is.",
    },
    Key {
        path: "resync_interval",
        flag: Some(("resync-interval", "DURATION")),
        also_environment: None,
        kind: Kind::Duration,
        default: Fallback::Toml("\"60s\""),
        meaning: "How often sources and targets are compared although no change was reported. From 1s to 24h.",
    },
    Key {
        path: "source",
        flag: None,
        also_environment: None,
        kind: Kind::Tables,
        default: Fallback::Toml("[{ secret = \"openshift-config/pull-secret\" }]"),
        meaning: "Where credentials come from, in order of precedence: for a registry that several sources know, the first one wins. Without any, the Secret openshift-config/pull-secret.",
    },
    Key {
        path: "source.name",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("kind and place, such as `secret:NAMESPACE/NAME` or `file:/PATH`"),
        meaning: "Name of the source in logs, metrics and status; unique; lower-case letters, digits, '-' and '.'.",
    },
    Key {
        path: "source.secret",
        flag: Some(("source-secret", "NAMESPACE/NAME")),
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("exactly one of `secret`, `file`, `volume`, `label_selector`"),
        meaning: "Watch this Secret through the Kubernetes API.",
    },
    Key {
        path: "source.file",
        flag: Some(("source-file", "PATH")),
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Unset("exactly one of `secret`, `file`, `volume`, `label_selector`"),
        meaning: "Watch this auth file.",
    },
    Key {
        path: "source.volume",
        flag: Some(("source-volume", "DIR")),
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Unset("exactly one of `secret`, `file`, `volume`, `label_selector`"),
        meaning: "Watch the directory that a Secret is mounted on.",
    },
    Key {
        path: "source.label_selector",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("exactly one of `secret`, `file`, `volume`, `label_selector`"),
        meaning: "Watch every Secret in `namespace` with these labels, ordered by name, such as `team=web,stage in (test,prod)`.",
    },
    Key {
        path: "source.namespace",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("required with `label_selector`, refused without"),
        meaning: "Namespace that `label_selector` looks in.",
    },
    Key {
        path: "source.key",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("`.dockerconfigjson`, else `.dockercfg`"),
        meaning: "Data key of the Secret, or file name in the volume. Only with `secret` and `volume`.",
    },
    Key {
        path: "source.shape",
        flag: None,
        also_environment: None,
        kind: Kind::Word(words::<ShapeWord>),
        default: Fallback::Unset("detected from the content"),
        meaning: "What the file contains. Only with `file`.",
    },
    Key {
        path: "source.scope",
        flag: None,
        also_environment: None,
        kind: Kind::Word(words::<SourceScope>),
        default: Fallback::Toml("\"node\""),
        meaning: "Whose pulls the credentials are for. `namespace` only with `secret` or `label_selector`.",
    },
    Key {
        path: "target",
        flag: Some(("target", "KIND[=PATH]")),
        also_environment: None,
        kind: Kind::Tables,
        default: Fallback::Toml("[{ kind = \"kubelet\" }]"),
        meaning: "The auth files that the agent keeps; without any, kubelet's.",
    },
    Key {
        path: "target.kind",
        flag: None,
        also_environment: None,
        kind: Kind::Word(words::<TargetKind>),
        default: Fallback::Required,
        meaning: "The program whose rules the file follows.",
    },
    Key {
        path: "target.path",
        flag: None,
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Unset(
            "by kind: `/var/lib/kubelet/config.json`, `/etc/containers/auth.json`, `/root/.docker/config.json`",
        ),
        meaning: "The file; unique among the targets.",
    },
    Key {
        path: "target.mode",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Toml("\"0600\""),
        meaning: "Permissions, octal: 0400, 0440, 0600 or 0640. Others never get access, and a group may only read.",
    },
    Key {
        path: "target.owner",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("that of the file that is replaced, else the agent's own"),
        meaning: "Owner as `UID:GID`, in numbers because names differ between host and container.",
    },
    Key {
        path: "target.merge",
        flag: None,
        also_environment: None,
        kind: Kind::Word(words::<MergePolicy>),
        default: Fallback::Toml("\"merge\""),
        meaning: "What happens to the entries that are in the file already.",
    },
    Key {
        path: "validation.bad_entry",
        flag: Some(("bad-entry", "ACTION")),
        also_environment: None,
        kind: Kind::Word(words::<BadEntry>),
        default: Fallback::Toml("\"skip\""),
        meaning: "What one unusable entry costs.",
    },
    Key {
        path: "validation.allow_empty",
        flag: Some(("allow-empty", "BOOL")),
        also_environment: None,
        kind: Kind::Bool,
        default: Fallback::Toml("false"),
        meaning: "Let a source without any entry take the place of one that had some.",
    },
    Key {
        path: "validation.required_registries",
        flag: Some(("required-registry", "HOST[:PORT][/PATH]")),
        also_environment: None,
        kind: Kind::List,
        default: Fallback::Toml("[]"),
        meaning: "Registries that the sources together must have a credential for.",
    },
    Key {
        path: "validation.required_action",
        flag: Some(("required-action", "ACTION")),
        also_environment: None,
        kind: Kind::Word(words::<RequiredAction>),
        default: Fallback::Toml("\"warn\""),
        meaning: "What a missing required registry costs.",
    },
    Key {
        path: "activation.units",
        flag: None,
        also_environment: None,
        kind: Kind::List,
        default: Fallback::Toml("[]"),
        meaning: "Units of systemd that are restarted one after the other, such as kubelet.service, after an entry that was there has changed or gone, under a permit that asks for it. Without any, nothing is ever restarted.",
    },
    Key {
        path: "activation.timeout",
        flag: None,
        also_environment: None,
        kind: Kind::Duration,
        default: Fallback::Toml("\"2m\""),
        meaning: "How long all of them together may take to be back. Then the former files come back, and the units are restarted once more. From 1s to 1h.",
    },
    Key {
        path: "activation.settle",
        flag: None,
        also_environment: None,
        kind: Kind::Duration,
        default: Fallback::Toml("\"10s\""),
        meaning: "How long a unit has to stay up before it counts as back. From 1s to 10m, and less than `activation.timeout`.",
    },
    Key {
        path: "activation.health_url",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("none is asked"),
        meaning: "An address on this host that has to answer 200 once all units are back, such as kubelet's http://127.0.0.1:10248/healthz. An address by number; only http.",
    },
    Key {
        path: "admin.listen",
        flag: Some(("admin-listen", "ADDRESS")),
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Toml("\"127.0.0.1:9409\""),
        meaning: "Where metrics, health and status are served: `IP:PORT`, `unix:/PATH` or `off`.",
    },
    Key {
        path: "broker.listen",
        flag: Some(("broker-listen", "ADDRESS")),
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Toml("\"off\""),
        meaning: "Where the credential helper and kubelet's credential provider are answered: `unix:/PATH` (the helper looks at `unix:/run/pullkeeper/broker.sock`), `systemd` for a socket unit, or `off`.",
    },
    Key {
        path: "broker.allowed_users",
        flag: Some(("broker-allowed-user", "UID")),
        also_environment: None,
        kind: Kind::List,
        default: Fallback::Toml("[\"0\"]"),
        meaning: "User numbers that may ask for credentials. The kernel says who asks.",
    },
    Key {
        path: "broker.allowed_groups",
        flag: Some(("broker-allowed-group", "GID")),
        also_environment: None,
        kind: Kind::List,
        default: Fallback::Toml("[]"),
        meaning: "Numbers of primary groups whose members may ask for credentials.",
    },
    Key {
        path: "broker.store",
        flag: Some(("broker-store", "ACTION")),
        also_environment: None,
        kind: Kind::Word(words::<StorePolicy>),
        default: Fallback::Toml("\"ignore\""),
        meaning: "What login tools (`docker login`, `podman login`) are told that want to store or erase a credential in the helper.",
    },
    Key {
        path: "broker.exchange_cache",
        flag: None,
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Toml("\"/run/pullkeeper/exchange\""),
        meaning: "Directory in which `pullkeeper exchange`, which answers where no agent listens, keeps the tokens of delegations. Used only on a tmpfs, and where nobody else can read it.",
    },
    Key {
        path: "credential_helper.directory",
        flag: Some(("credential-helper-directory", "DIR")),
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Unset("none: no program is installed"),
        meaning: "Directory of the host, as the agent sees it, in which docker-credential-pullkeeper is installed and kept up to date, such as /opt/pullkeeper/bin. Made if it is missing, with mode 0755; the one above it must be there.",
    },
    Key {
        path: "credential_helper.source",
        flag: Some(("credential-helper-source", "PATH")),
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Toml("\"/usr/bin/docker-credential-pullkeeper\""),
        meaning: "The program that is installed there; this is where the agent's image has it.",
    },
    Key {
        path: "kubelet_provider.management",
        flag: Some(("kubelet-provider-management", "WORD")),
        also_environment: None,
        kind: Kind::Word(words::<Management>),
        default: Fallback::Toml("\"unmanaged\""),
        meaning: "Whether kubelet is to have the credential helper as its image credential provider. It is restarted once for that, and only under a permit of the coordinator, or by `pullkeeper kubelet-provider`.",
    },
    Key {
        path: "kubelet_provider.profile",
        flag: Some(("kubelet-provider-profile", "WORD")),
        also_environment: None,
        kind: Kind::Word(words::<ProfileWord>),
        default: Fallback::Toml("\"auto\""),
        meaning: "How kubelet's unit takes further flags on this distribution.",
    },
    Key {
        path: "kubelet_provider.host_root",
        flag: Some(("kubelet-provider-host-root", "DIR")),
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Toml("\"/\""),
        meaning: "Where the agent sees the root of the host's file system, such as /host in a container. All other paths of this table are the host's own.",
    },
    Key {
        path: "kubelet_provider.directory",
        flag: Some(("kubelet-provider-directory", "DIR")),
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Toml("\"/opt/pullkeeper/kubelet\""),
        meaning: "Directory for the configuration and the links that kubelet's flags name. The one above it must be there, belong to root, and let root execute programs.",
    },
    Key {
        path: "kubelet_provider.helper",
        flag: Some(("kubelet-provider-helper", "PATH")),
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Toml("\"/opt/pullkeeper/bin/docker-credential-pullkeeper\""),
        meaning: "The credential helper that kubelet executes, as `credential_helper.directory` keeps it there.",
    },
    Key {
        path: "kubelet_provider.match_images",
        flag: Some(("kubelet-provider-match-images", "PATTERN")),
        also_environment: None,
        kind: Kind::List,
        default: Fallback::Toml(
            "[\"*.*\", \"*.*.*\", \"*.*.*.*\", \"*.*.*.*.*\", \"*.*.*.*.*.*\"]",
        ),
        meaning: "Images for which kubelet asks the helper, as in its CredentialProviderConfig. A later change needs another restart of kubelet, so they are wide: what is not known here is answered with nothing. Registries with a port, and those without a dot in their name, have to be named.",
    },
    Key {
        path: "kubelet_provider.token_audience",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("none: kubelet passes no token on"),
        meaning: "Audience of the pod's service-account token that kubelet passes to the helper, for delegations that need it. From Kubernetes 1.34 on.",
    },
    Key {
        path: "kubelet_provider.timeout",
        flag: None,
        also_environment: None,
        kind: Kind::Duration,
        default: Fallback::Toml("\"180s\""),
        meaning: "How long kubelet may take to be back. After twice as long a timer of systemd on the host gives kubelet its former flags back, whatever became of the agent. From 10s to 1h.",
    },
    Key {
        path: "kubelet_provider.settle",
        flag: None,
        also_environment: None,
        kind: Kind::Duration,
        default: Fallback::Toml("\"30s\""),
        meaning: "How long kubelet has to stay up before it counts as back. From 1s to 10m, and less than `kubelet_provider.timeout`.",
    },
    Key {
        path: "kubelet_provider.health_url",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("none is asked"),
        meaning: "An address that has to answer 200 once kubelet is back, such as its http://127.0.0.1:10248/healthz, where the agent can reach it. An address by number; only http.",
    },
    Key {
        path: "delegation",
        flag: None,
        also_environment: None,
        kind: Kind::Tables,
        default: Fallback::Unset("none"),
        meaning: "Registries whose credentials come from somewhere else: a single sign-on that the registry delegates to, a token endpoint, or the pod's own service account. The first that fits answers.",
    },
    Key {
        path: "delegation.name",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("the first of `registries`"),
        meaning: "Name of the delegation in logs, metrics and status; unique; lower-case letters, digits, '-' and '.'.",
    },
    Key {
        path: "delegation.registries",
        flag: None,
        also_environment: None,
        kind: Kind::List,
        default: Fallback::Required,
        meaning: "The registries: `HOST[:PORT][/PATH]`, a `*` for any part of one label of the host.",
    },
    Key {
        path: "delegation.grant",
        flag: None,
        also_environment: None,
        kind: Kind::Word(words::<GrantWord>),
        default: Fallback::Unset("`registry-token`, without a `preset`"),
        meaning: "How the credential is obtained.",
    },
    Key {
        path: "delegation.preset",
        flag: None,
        also_environment: None,
        kind: Kind::Word(words::<PresetWord>),
        default: Fallback::Unset("none"),
        meaning: "In place of `grant`: how the credential is obtained with a product that has a way of its own, from the pod's service-account token.",
    },
    Key {
        path: "delegation.realms",
        flag: None,
        also_environment: None,
        kind: Kind::List,
        default: Fallback::Unset("required with `registry-token`"),
        meaning: "Origins that the registry may send clients to for tokens, such as `https://sso.example.com`. A registry that names another one gets nothing.",
    },
    Key {
        path: "delegation.issuer",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("none"),
        meaning: "OpenID Connect issuer, in place of `token_endpoint`: its discovery document names the endpoint, which must be at the same origin.",
    },
    Key {
        path: "delegation.token_endpoint",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset(
            "the preset's; this or `issuer` is required with every other grant that has one",
        ),
        meaning: "URL of the OAuth 2.0 token endpoint. It is never taken from a registry, a token or an annotation.",
    },
    Key {
        path: "delegation.parameters",
        flag: None,
        also_environment: None,
        kind: Kind::Strings,
        default: Fallback::Unset("none"),
        meaning: "Further parameters for the token endpoint, such as `{resource = \"https://registry.example.com\"}`. Of a preset's some are required. Never a secret.",
    },
    Key {
        path: "delegation.scope",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("none"),
        meaning: "Scope that is asked for at the token endpoint.",
    },
    Key {
        path: "delegation.audience",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset(
            "required where a service-account token is handed out or exchanged",
        ),
        meaning: "The one audience that the service-account token must have, as in `serviceAccountTokenAudience` of kubelet's provider configuration. Not one of the API server's.",
    },
    Key {
        path: "delegation.service_account_issuer",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("any"),
        meaning: "The issuer that the service-account token must have, as in `--service-account-issuer` of the API server.",
    },
    Key {
        path: "delegation.token_file",
        flag: None,
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Unset("the token of the pod that the image is for"),
        meaning: "File with a token for the whole node, read at every use: one that a projected volume renews, or the refresh token of `refresh-token`, which is replaced there when the endpoint gives a new one.",
    },
    Key {
        path: "delegation.credential",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("the host of the realm or of the token endpoint"),
        meaning: "Key of the entry for the token service: `HOST[:PORT][/PATH]`. With a token endpoint its user name is the client ID. With `token-exchange` and `refresh-token` a client authenticates itself only where this or `credential_file` is set.",
    },
    Key {
        path: "delegation.credential_file",
        flag: None,
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Unset("the pull secret"),
        meaning: "Auth file with the entry for the token service, read at every use. What it holds is in no other file.",
    },
    Key {
        path: "delegation.username",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Unset("`jwt`, or the preset's"),
        meaning: "User name under which the registry takes a token as password. Not with `registry-token`, whose user name is that of the credential.",
    },
    Key {
        path: "delegation.hand_out",
        flag: None,
        also_environment: None,
        kind: Kind::Word(words::<HandOutWord>),
        default: Fallback::Unset("`credential`"),
        meaning: "What clients get with `registry-token`.",
    },
    Key {
        path: "delegation.ca_file",
        flag: None,
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Unset("none"),
        meaning: "Certificates in PEM form that registry and token service may be signed by, besides the system's and those in their `certs.d` directories.",
    },
    Key {
        path: "delegation.registry_scheme",
        flag: None,
        also_environment: None,
        kind: Kind::Word(words::<Scheme>),
        default: Fallback::Toml("\"https\""),
        meaning: "How the registry is asked: for its realm, or by a preset whose token endpoint is at the registry.",
    },
    Key {
        path: "log.format",
        flag: Some(("log-format", "FORMAT")),
        also_environment: None,
        kind: Kind::Word(words::<LogFormat>),
        default: Fallback::Toml("\"auto\""),
        meaning: "Form of the log lines on standard error. Read at start only.",
    },
    Key {
        path: "log.level",
        flag: Some(("log-level", "FILTER")),
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Toml("\"info\""),
        meaning: "error, warn, info, debug, trace or off, and exceptions as `target=level`, separated by commas: `info,kube=debug`.",
    },
    Key {
        path: "kubernetes.kubeconfig",
        flag: Some(("kubeconfig", "PATH")),
        also_environment: None,
        kind: Kind::Path,
        default: Fallback::Unset(
            "`$KUBECONFIG`, else `~/.kube/config`, else the pod's service account",
        ),
        meaning: "How to reach the Kubernetes API.",
    },
    Key {
        path: "kubernetes.events",
        flag: Some(("kubernetes-events", "BOOL")),
        also_environment: None,
        kind: Kind::Bool,
        default: Fallback::Toml("true"),
        meaning: "Write Kubernetes Events about findings and failures on the Node; needs `node_name`.",
    },
    Key {
        path: "kubernetes.rollouts",
        flag: Some(("kubernetes-rollouts", "BOOL")),
        also_environment: None,
        kind: Kind::Bool,
        default: Fallback::Toml("false"),
        meaning: "Follow the coordinator's rollouts: new versions of the Secrets that this node's NodePullSecret names wait there for a permit. Without that object they are taken at once. Needs `node_name`.",
    },
    Key {
        path: "kubernetes.watch_timeout",
        flag: Some(("watch-timeout", "DURATION")),
        also_environment: None,
        kind: Kind::Duration,
        default: Fallback::Toml("\"45s\""),
        meaning: "How long one watch request lasts; a dead connection is noticed a little later. Whole seconds, from 5s to 5m.",
    },
    Key {
        path: "kubernetes.request_timeout",
        flag: Some(("request-timeout", "DURATION")),
        also_environment: None,
        kind: Kind::Duration,
        default: Fallback::Toml("\"10s\""),
        meaning: "How long one other request to the Kubernetes API may take. From 1s to 5m.",
    },
    Key {
        path: "coordinator.lease",
        flag: None,
        also_environment: None,
        kind: Kind::Text,
        default: Fallback::Toml("\"pullkeeper/pullkeeper-coordinator\""),
        meaning: "The Lease that decides which of several coordinators works. Two that work at once break no limit; they are in each other's way.",
    },
    Key {
        path: "coordinator.lease_duration",
        flag: None,
        also_environment: None,
        kind: Kind::Duration,
        default: Fallback::Toml("\"60s\""),
        meaning: "How long a coordinator that ended without a word is waited for. It is renewed every sixth part of that. From 3s to 10m.",
    },
];

impl Key {
    /// The key at this dotted path.
    pub fn find(path: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.path == path)
    }

    /// The variable named after the flag: `PULLKEEPER_` and the flag in capitals.
    pub fn environment(&self) -> Option<String> {
        self.flag
            .map(|(flag, _)| format!("PULLKEEPER_{}", flag.replace('-', "_").to_uppercase()))
    }

    /// Whether the flag may be given several times.
    pub fn is_repeated(&self) -> bool {
        matches!(self.kind, Kind::List | Kind::Tables) || self.path.starts_with("source.")
    }
}

impl Kind {
    /// What TOML must have as value, with an example.
    pub fn toml_type(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Duration => "a string with a unit, such as \"60s\"",
            Self::List => "an array of strings, such as [\"quay.io\"]",
            Self::Path => "a string with an absolute path",
            Self::Strings => "a table of strings, such as {name = \"value\"}",
            Self::Tables => "an array of tables, written with a header in double brackets",
            Self::Text | Self::Word(_) => "a string, in quotes",
        }
    }
}

/// The words of an enum.
fn words<T: ValueEnum>() -> Vec<PossibleValue> {
    T::value_variants()
        .iter()
        .filter_map(ValueEnum::to_possible_value)
        .collect()
}
