//! What a node shows of itself and of its kubelet, before anything is decided.

use std::collections::BTreeSet;

/// One node, as its files and its processes have it. All paths are the node's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The words of the process that is kubelet, or has it inside; none where there is no such process.
    pub argv: Vec<String>,
    /// The unit of systemd that the process belongs to; none where systemd does not know.
    pub unit: Option<Unit>,
    /// `ID` of os-release(5), empty where it does not say.
    pub os: String,
    /// Which of [`Trace::ALL`] are there.
    pub traces: BTreeSet<Trace>,
    /// The minor version of kubelet's release: 34 for 1.34.
    pub minor: Option<u32>,
    /// Who else writes the node's files, as the API server has it.
    pub owner: Option<Owner>,
}

/// A unit of systemd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its name, such as `kubelet.service`.
    pub name: String,
    /// Its commands, as its manager tells them.
    pub exec_start: Vec<Command>,
    /// Its environment files, in their order.
    pub environment_files: Vec<String>,
    /// The file that it comes from, and its drop-ins.
    pub files: Vec<String>,
}

/// One command of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub path: String,
    /// Its words, the first one included. Variables are not replaced in them.
    pub argv: Vec<String>,
    /// What is special about how it is executed, in systemd's words, such as `ignore-failure`.
    pub flags: Vec<String>,
}

/// Who writes a node's files from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The Machine Config Operator of a self-managed cluster.
    MachineConfigOperator,
    /// A HyperShift `NodePool` of another cluster.
    NodePool,
}

/// A path by whose mere presence a distribution can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trace {
    /// The machine-config daemon's own copy of what the node is to be.
    MachineConfigDaemon,
    /// The deployment was booted by ostree or bootc: `/usr` is an image's.
    OsTree,
    /// A node of kind.
    Kind,
    /// The configuration of EKS's nodeadm.
    Eks,
    /// The provider configuration of Google's nodes.
    Gke,
    /// The cloud configuration of Azure's nodes.
    Azure,
}

impl Trace {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::MachineConfigDaemon,
        Self::OsTree,
        Self::Kind,
        Self::Eks,
        Self::Gke,
        Self::Azure,
    ];

    /// Where it is on a node.
    pub fn path(self) -> &'static str {
        match self {
            Self::MachineConfigDaemon => "/etc/machine-config-daemon/currentconfig",
            Self::OsTree => "/run/ostree-booted",
            Self::Kind => "/kind",
            Self::Eks => "/etc/eks",
            Self::Gke => "/etc/srv/kubernetes",
            Self::Azure => "/etc/kubernetes/azure.json",
        }
    }
}

impl Host {
    /// The name of the program, without its folder.
    pub fn program(&self) -> &str {
        let first = self.argv.first().map_or("", String::as_str);
        // k3s writes its subcommand into the same word.
        let first = first.split_whitespace().next().unwrap_or_default();
        first.rsplit('/').next().unwrap_or_default()
    }
}
