//! The command line: what may be given, and its form. What the commands do is elsewhere.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::setting_flags::SettingFlags;
use crate::{config, exit::Exit};

mod setting_flags;

/// Keeps the registry credentials of a Kubernetes node in order.
#[derive(Debug, Parser)]
#[command(
    name = "pullkeeper",
    version,
    max_term_width = 100,
    after_help = "Exit status: 0 done, 1 findings, 64 usage or configuration, 66 input missing, \
                  69 unavailable, 70 internal fault, 75 try again later, 77 no permission."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keep the node's auth files up to date.
    Agent(Box<AgentArgs>),
    /// Pace changes of pull secrets over all nodes of a cluster.
    Coordinator(CoordinatorArgs),
    /// Answer one request of a credential helper without an agent.
    Exchange(ExchangeArgs),
    /// Show which credential each client would use for an image, and why.
    Explain(ExplainArgs),
    /// Have this node's kubelet ask the credential helper, or undo that.
    KubeletProvider(Box<KubeletProviderArgs>),
    /// Check an auth file for every client at once.
    Validate(ValidateArgs),
}

/// Arguments of `pullkeeper agent`.
#[derive(Debug, Args)]
#[command(after_long_help = AGENT_EXAMPLES)]
pub struct AgentArgs {
    /// Configuration file; `conf.d/*.toml` beside it is read too [env: PULLKEEPER_CONFIG] [default:
    /// /etc/pullkeeper/config.toml, which may be missing].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check the configuration, print what would run, and exit.
    #[arg(long, conflicts_with = "once")]
    pub check: bool,

    /// Bring the targets up to date once, and exit.
    #[arg(long)]
    pub once: bool,

    /// Settings, which win over environment and files.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// Arguments of `pullkeeper coordinator`.
#[derive(Debug, Args)]
#[command(after_long_help = COORDINATOR_EXAMPLES)]
pub struct CoordinatorArgs {
    /// Configuration file, whose tables `log`, `admin`, `kubernetes` and `coordinator` count; `conf.d/*.toml` beside it is read too
    /// [env: PULLKEEPER_CONFIG] [default: /etc/pullkeeper/config.toml, which may be missing].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Say what a rollout would do to each node, and end. Nothing is changed; pods are tried by evictions without effect
    /// (dryRun=All). It needs the coordinator's rights to read, and no Lease.
    #[arg(long)]
    pub dry_run: bool,

    /// A PullSecretRollout that is not applied yet, as YAML or JSON, instead of the cluster's; '-' is standard input.
    #[arg(short, long, value_name = "FILE", requires = "dry_run")]
    pub filename: Option<Input>,

    /// Form of what is said.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table, requires = "dry_run")]
    pub output: OutputFormat,
}

/// Arguments of `pullkeeper exchange`.
#[derive(Debug, Args)]
#[command(after_long_help = EXCHANGE_EXAMPLES)]
pub struct ExchangeArgs {
    /// Configuration file; `conf.d/*.toml` beside it is read too [env: PULLKEEPER_CONFIG] [default:
    /// /etc/pullkeeper/config.toml, which may be missing].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The protocol of the request on standard input, and of the answer.
    #[arg(long, value_enum, default_value_t = Protocol::Docker)]
    pub protocol: Protocol,

    /// Send nothing: tell step by step what would be sent where for this registry or image.
    #[arg(long, value_name = "REGISTRY", conflicts_with = "protocol")]
    pub dry_run: Option<String>,
}

/// A protocol by which clients execute a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// `get` of the docker credential helper protocol.
    Docker,
    /// kubelet's exec credential provider.
    Kubelet,
}

/// Arguments of `pullkeeper validate`.
#[derive(Debug, Args)]
#[command(after_long_help = VALIDATE_EXAMPLES)]
pub struct ValidateArgs {
    /// The auth file; '-' is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    pub input: Input,

    /// What the file contains.
    #[arg(long, value_enum, default_value_t = ShapeArg::Auto)]
    pub shape: ShapeArg,

    /// Refuse the whole document for one bad entry.
    #[arg(long)]
    pub strict: bool,

    /// A registry that must have a credential; may be given several times.
    #[arg(
        long = "required-registry",
        value_name = "HOST[:PORT][/PATH]",
        value_parser = config::parse_registry
    )]
    pub required_registries: Vec<String>,

    /// Form of the result.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub output: OutputFormat,
}

/// Arguments of `pullkeeper explain`.
#[derive(Debug, Args)]
#[command(after_long_help = EXPLAIN_EXAMPLES)]
pub struct ExplainArgs {
    /// The image, as in a pod or on the command line of podman.
    #[arg(value_name = "IMAGE")]
    pub image: String,

    /// Configuration file whose delegations count; `conf.d/*.toml` beside it is read too [env: PULLKEEPER_CONFIG]
    /// [default: /etc/pullkeeper/config.toml, which may be missing].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// An auth file to look in instead of the node's; may be given several times.
    #[arg(long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Form of the result.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub output: OutputFormat,
}

/// Arguments of `pullkeeper kubelet-provider`.
#[derive(Debug, Args)]
#[command(after_long_help = KUBELET_PROVIDER_EXAMPLES)]
pub struct KubeletProviderArgs {
    /// What to do.
    #[arg(value_enum, value_name = "COMMAND")]
    pub command: KubeletProviderCommand,

    /// Configuration file, whose tables `kubelet_provider` and `broker` count; `conf.d/*.toml` beside it is read too
    /// [env: PULLKEEPER_CONFIG] [default: /etc/pullkeeper/config.toml, which may be missing].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Settings, which win over environment and files.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// What to do about kubelet's provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KubeletProviderCommand {
    /// Print what would be written and restarted; nothing is changed.
    Plan,
    /// Do it: kubelet is restarted once, and gets its former flags back if it does not come back.
    Install,
    /// Undo it, with one more restart, and leave nothing behind.
    Remove,
}

impl KubeletProviderCommand {
    /// What to say when it fails.
    pub fn complaint(self) -> &'static str {
        match self {
            Self::Plan => "cannot make a plan",
            Self::Install => "cannot give kubelet the provider",
            Self::Remove => "cannot take the provider away from kubelet",
        }
    }
}

/// A file or standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A path as given.
    File(PathBuf),
    /// `-`.
    Stdin,
}

/// What an auth file contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ShapeArg {
    /// Find out from the content.
    Auto,
    /// Entries under `auths`: config.json, auth.json.
    ConfigJson,
    /// Entries at the top: the legacy .dockercfg.
    #[value(name = "dockercfg")]
    DockerCfg,
}

/// Form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For programs.
    Json,
    /// For people.
    Table,
}

const AGENT_EXAMPLES: &str = "\
Examples:
  Run with /etc/pullkeeper/config.toml:
      pullkeeper agent
  See what a configuration means before it is used:
      pullkeeper agent --check --config ./config.toml
  Without Kubernetes, from one file to podman's:
      pullkeeper agent --source-file ./pull-secret.json --target containers
  Once, into a file of your own:
      pullkeeper agent --once --source-file ./pull-secret.json --target docker=./out/config.json

SIGHUP reads the configuration again, SIGUSR1 compares sources and targets now.";

const COORDINATOR_EXAMPLES: &str = "\
Examples:
  In a pod, with its service account:
      pullkeeper coordinator
  From outside the cluster:
      PULLKEEPER_KUBECONFIG=~/.kube/config pullkeeper coordinator --config ./config.toml
  Which nodes a rollout would go to, in which order, and whose pods would not go:
      PULLKEEPER_KUBECONFIG=~/.kube/config pullkeeper coordinator --dry-run -f rollout.yaml

SIGTERM gives the Lease back, so that another one begins at once.";

const EXCHANGE_EXAMPLES: &str = "\
Examples:
  What docker-credential-pullkeeper does when no agent runs:
      echo quay.io | pullkeeper exchange --config ./config.toml
  What a delegation would do:
      pullkeeper exchange --dry-run privateregistry.example.com/team/app";

const VALIDATE_EXAMPLES: &str = "\
Examples:
  pullkeeper validate ~/.docker/config.json
  kubectl get secret -n openshift-config pull-secret -o json \\
      | jq -r '.data[\".dockerconfigjson\"] | @base64d' | pullkeeper validate --strict -
  pullkeeper validate --required-registry quay.io --output json pull-secret.json";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  pullkeeper explain quay.io/team/app:1.2
  pullkeeper explain --file ./config.json registry.example:5000/app@sha256:…";

const KUBELET_PROVIDER_EXAMPLES: &str = "\
Examples:
  Which files would be written, and what would be restarted:
      pullkeeper kubelet-provider plan
  On this node, now:
      pullkeeper kubelet-provider install
  Back to how it was:
      pullkeeper kubelet-provider remove";

/// Reads the command line.
///
/// # Errors
/// How to exit when there is nothing to run: help and version have been printed on standard output, mistakes
/// on standard error.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Exit> {
    Cli::try_parse_from(arguments).map_err(|error| {
        // Nobody is left to tell when the terminal is gone.
        let _ = error.print();
        exit(&error)
    })
}

fn exit(error: &clap::Error) -> Exit {
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Ok
    }
}

impl From<OsString> for Input {
    fn from(text: OsString) -> Self {
        if text == "-" {
            Self::Stdin
        } else {
            Self::File(text.into())
        }
    }
}

#[cfg(test)]
mod tests;
