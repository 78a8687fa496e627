//! How a distribution lets kubelet have further flags, and where it does not.

use super::extra_args::VARIABLE;
use super::host::{Host, Owner, Trace};

/// A way to put flags on kubelet's command line that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A unit of systemd that names kubelet in its one command.
    Generic,
    /// kubeadm's packages: an environment file that the unit reads.
    Kubeadm,
    /// The same in a container.
    Kind,
    /// EKS on Amazon Linux 2023.
    Eks,
    /// k3s, which has kubelet inside.
    K3s,
    /// RKE2.
    Rke2,
}

/// Whose configuration it is, where nothing on a node is to be touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// Talos: the machine's configuration and a system extension.
    Talos,
    /// Bottlerocket: settings, and no program but those of its image.
    Bottlerocket,
    /// OpenShift: a `MachineConfig`.
    MachineConfig,
    /// HyperShift: a `NodePool` of the management cluster.
    NodePool,
    /// An image-mode host: the image is built with it.
    ImageMode,
    /// MicroShift, whose own configuration has no place for it in any release so far.
    MicroShift,
    /// Google's nodes, which are made anew from an image with flags of its own.
    Gke,
    /// Azure's nodes, likewise.
    Aks,
}

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// This way.
    Profile(Profile),
    /// Not on the node.
    Elsewhere(Elsewhere),
    /// No kubelet was found.
    NoKubelet,
    /// There is one that no unit of systemd has started.
    NoUnit,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Generic,
        Self::Kubeadm,
        Self::Kind,
        Self::Eks,
        Self::K3s,
        Self::Rke2,
    ];

    /// Its word in configuration and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Kubeadm => "kubeadm",
            Self::Kind => "kind",
            Self::Eks => "eks",
            Self::K3s => "k3s",
            Self::Rke2 => "rke2",
        }
    }

    /// How long what is done lasts.
    pub fn lasts(self) -> &'static str {
        match self {
            Self::Generic | Self::Kubeadm | Self::K3s | Self::Rke2 => {
                "reboots and upgrades of Kubernetes; until the node is rebuilt"
            }
            Self::Eks => "reboots; until the node is replaced",
            Self::Kind => "until the container is made anew",
        }
    }
}

impl Elsewhere {
    /// Whose it is, in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Talos => "Talos",
            Self::Bottlerocket => "Bottlerocket",
            Self::MachineConfig => "the Machine Config Operator",
            Self::NodePool => "a HyperShift NodePool",
            Self::ImageMode => "the image of an image-mode host",
            Self::MicroShift => "MicroShift",
            Self::Gke => "GKE",
            Self::Aks => "AKS",
        }
    }
}

/// Tells distributions apart, the surest traces first.
pub fn detect(host: &Host) -> Detected {
    let has = |trace| host.traces.contains(&trace);
    let elsewhere = match (host.owner, host.os.as_str(), host.program()) {
        (Some(Owner::NodePool), ..) => Some(Elsewhere::NodePool),
        (Some(Owner::MachineConfigOperator), ..) => Some(Elsewhere::MachineConfig),
        _ if has(Trace::MachineConfigDaemon) => Some(Elsewhere::MachineConfig),
        (_, "talos", _) => Some(Elsewhere::Talos),
        (_, "bottlerocket", _) => Some(Elsewhere::Bottlerocket),
        (_, _, "microshift") => Some(Elsewhere::MicroShift),
        _ if has(Trace::OsTree) => Some(Elsewhere::ImageMode),
        (_, "cos", _) => Some(Elsewhere::Gke),
        _ if has(Trace::Gke) => Some(Elsewhere::Gke),
        _ if has(Trace::Azure) => Some(Elsewhere::Aks),
        _ => None,
    };
    if let Some(elsewhere) = elsewhere {
        return Detected::Elsewhere(elsewhere);
    }
    if host.argv.is_empty() {
        return Detected::NoKubelet;
    }
    let Some(unit) = &host.unit else {
        return Detected::NoUnit;
    };
    let words = unit.exec_start.iter().flat_map(|command| &command.argv);
    let reads_variable = words.into_iter().any(|word| {
        let name = word.trim_start_matches('$').trim_matches(['{', '}']);
        word.starts_with('$') && name == VARIABLE
    });
    let profile = match (host.program(), unit.name.as_str()) {
        ("k3s", _) => Profile::K3s,
        (_, "rke2-server.service" | "rke2-agent.service") => Profile::Rke2,
        _ if has(Trace::Eks) => Profile::Eks,
        _ if has(Trace::Kind) && reads_variable => Profile::Kind,
        _ if reads_variable && !unit.environment_files.is_empty() => Profile::Kubeadm,
        _ => Profile::Generic,
    };
    Detected::Profile(profile)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::host::{Command, Unit};
    use super::*;

    fn host(argv: &[&str], unit: &str, exec_start: &[&str], files: &[&str]) -> Host {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Host {
            argv: owned(argv),
            unit: Some(Unit {
                name: unit.to_owned(),
                exec_start: vec![Command {
                    argv: owned(exec_start),
                    ..Command::default()
                }],
                environment_files: owned(files),
                ..Unit::default()
            }),
            ..Host::default()
        }
    }

    fn kubelet(words: &[&str], files: &[&str]) -> Host {
        host(
            &["/usr/bin/kubelet", "--v=2"],
            "kubelet.service",
            words,
            files,
        )
    }

    fn with(mut host: Host, trace: Trace) -> Host {
        host.traces = BTreeSet::from([trace]);
        host
    }

    #[test]
    fn a_distribution_is_told_by_its_process_its_unit_and_its_traces() {
        let kubeadm = kubelet(
            &[
                "/usr/bin/kubelet",
                "$KUBELET_KUBEADM_ARGS",
                "$KUBELET_EXTRA_ARGS",
            ],
            &["/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet"],
        );
        let plain = kubelet(&["/usr/bin/kubelet", "--v=2"], &[]);
        let cases = [
            (plain.clone(), Profile::Generic),
            (kubeadm.clone(), Profile::Kubeadm),
            (
                kubelet(
                    &["/usr/bin/kubelet", "${KUBELET_EXTRA_ARGS}"],
                    &["/etc/sysconfig/kubelet"],
                ),
                Profile::Kubeadm,
            ),
            (
                kubelet(&["/usr/bin/kubelet", "$KUBELET_EXTRA_ARGS"], &[]),
                Profile::Generic,
            ),
            (with(kubeadm, Trace::Kind), Profile::Kind),
            (with(plain.clone(), Trace::Kind), Profile::Generic),
            (with(plain.clone(), Trace::Eks), Profile::Eks),
            (
                host(&["/usr/local/bin/k3s server"], "k3s.service", &[], &[]),
                Profile::K3s,
            ),
            (
                host(
                    &["/usr/local/bin/k3s", "agent"],
                    "k3s-agent.service",
                    &[],
                    &[],
                ),
                Profile::K3s,
            ),
            (
                host(&["kubelet", "--v=0"], "rke2-server.service", &[], &[]),
                Profile::Rke2,
            ),
        ];
        for (host, profile) in cases {
            assert_eq!(detect(&host), Detected::Profile(profile), "{host:?}");
        }
        let unowned = Host {
            unit: None,
            ..plain
        };
        assert_eq!(detect(&unowned), Detected::NoUnit);
        assert_eq!(detect(&Host::default()), Detected::NoKubelet);
    }

    #[test]
    fn where_somebody_else_is_the_owner_nothing_is_touched() {
        let plain = kubelet(&["/usr/bin/kubelet"], &[]);
        let os = |id: &str| Host {
            os: id.to_owned(),
            ..plain.clone()
        };
        let owned = |owner| Host {
            owner: Some(owner),
            ..plain.clone()
        };
        let cases = [
            (os("talos"), Elsewhere::Talos),
            (os("bottlerocket"), Elsewhere::Bottlerocket),
            (os("cos"), Elsewhere::Gke),
            (
                owned(Owner::MachineConfigOperator),
                Elsewhere::MachineConfig,
            ),
            (owned(Owner::NodePool), Elsewhere::NodePool),
            (
                with(plain.clone(), Trace::MachineConfigDaemon),
                Elsewhere::MachineConfig,
            ),
            (with(plain.clone(), Trace::OsTree), Elsewhere::ImageMode),
            (with(plain.clone(), Trace::Gke), Elsewhere::Gke),
            (with(plain.clone(), Trace::Azure), Elsewhere::Aks),
            (
                host(
                    &["/usr/bin/microshift", "run"],
                    "microshift.service",
                    &[],
                    &[],
                ),
                Elsewhere::MicroShift,
            ),
        ];
        for (host, elsewhere) in cases {
            assert_eq!(detect(&host), Detected::Elsewhere(elsewhere), "{host:?}");
        }
    }
}
