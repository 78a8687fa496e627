//! What a node has now: its kubelet, whoever owns that, and its providers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use pullkeeper_core::placement::host::{Host, Trace};
use pullkeeper_core::placement::plan::Vendor;
use pullkeeper_core::provider::config::Program;
use pullkeeper_core::provider::folder;
use thiserror::Error;

use super::identity::Known;
use super::process::{self, Process};
use super::root::Root;
use crate::service::{RestartError, Systemd};

/// Where k3s looks by itself. RKE2 does too, and tells its kubelet so by flags.
const RANCHER: [&str; 2] = [
    "/var/lib/rancher/credentialprovider/config.yaml",
    "/var/lib/rancher/credentialprovider/bin",
];

/// What was seen.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) host: Host,
    pub(super) vendor: Vendor,
    /// Files that others write too and that kubelet's flags may come from, as they are now.
    pub(super) texts: BTreeMap<String, String>,
}

/// Why a node cannot be looked at.
#[derive(Debug, Error)]
pub(super) enum LookError {
    /// Its files.
    #[error("cannot read {path} of the host; see `kubelet_provider.host_root`")]
    Read {
        /// Which one.
        path: String,
        /// What came instead.
        #[source]
        source: io::Error,
    },
    /// Its services.
    #[error(transparent)]
    Service(#[from] RestartError),
}

/// Looks. `ours` tells whether a flag names what is ours, and `before` what kubelet had instead.
pub(super) async fn look(
    root: &Root,
    systemd: &Systemd,
    known: &Known,
    ours: impl Fn(&str) -> bool,
    before: Option<&[Option<String>; 2]>,
) -> Result<Look, LookError> {
    let process = read("/proc", process::kubelet(root))?;
    let unit = match &process {
        Some(process) => systemd.unit_of(process.pid).await?,
        None => None,
    };
    let unit = match unit {
        Some(name) => Some(systemd.unit(&name).await?.description().await?),
        None => None,
    };
    let mut texts = BTreeMap::new();
    let environment = unit.iter().flat_map(|unit| &unit.environment_files);
    let environment = environment.cloned().collect::<BTreeSet<_>>();
    for path in environment.into_iter().chain(rancher(root)?) {
        if let Some(text) = read(&path, root.text(&path))? {
            texts.insert(path, text);
        }
    }
    let flags = process.as_ref().map(Process::flags).unwrap_or_default();
    let argv = process.map(|process| process.argv).unwrap_or_default();
    let os = read("/etc/os-release", root.text("/etc/os-release"))?.unwrap_or_default();
    let host = Host {
        argv,
        unit,
        os: os_id(&os),
        traces: Trace::ALL
            .into_iter()
            .filter(|trace| root.has(trace.path()))
            .collect(),
        minor: known.minor,
        owner: known.owner,
    };
    let others = match before {
        Some(before) if flags.iter().flatten().any(|path| ours(path)) => before.clone(),
        _ => flags,
    };
    let others = match (&others, host.program()) {
        // Both, or it takes no notice.
        ([None, None], "k3s") if RANCHER.iter().all(|path| root.has(path)) => {
            RANCHER.map(|path| Some(path.to_owned()))
        }
        _ => others,
    };
    let vendor = vendor(root, &others)?;
    Ok(Look {
        host,
        vendor,
        texts,
    })
}

/// The configuration of k3s and RKE2, in which the flags may stand as well.
fn rancher(root: &Root) -> Result<Vec<String>, LookError> {
    let mut paths = Vec::new();
    for name in ["k3s", "rke2"] {
        let file = format!("/etc/rancher/{name}/config.yaml");
        let directory = format!("{file}.d");
        paths.push(file);
        let entries = read(&directory, root.list(&directory))?;
        paths.extend(
            entries
                .into_keys()
                .map(|entry| format!("{directory}/{entry}")),
        );
    }
    Ok(paths)
}

fn vendor(root: &Root, [config, directory]: &[Option<String>; 2]) -> Result<Vendor, LookError> {
    let mut files = BTreeMap::new();
    if let Some(config) = config {
        let paths = if root.has_directory(config) {
            let entries = read(config, root.list(config))?;
            let names = entries
                .into_iter()
                .filter(|(name, kind)| folder::counts(name) && *kind != Program::Directory);
            names.map(|(name, _)| format!("{config}/{name}")).collect()
        } else {
            vec![config.clone()]
        };
        for path in paths {
            let missing = || io::Error::new(io::ErrorKind::NotFound, "it is not there");
            let bytes = root.read(&path).and_then(|bytes| bytes.ok_or_else(missing));
            let bytes = read(&path, bytes)?;
            files.insert(path, bytes);
        }
    }
    let programs = match directory {
        Some(directory) => read(directory, root.list(directory))?,
        None => BTreeMap::new(),
    };
    Ok(Vendor {
        config: config.clone(),
        files,
        directory: directory.clone(),
        programs,
    })
}

fn read<T>(path: &str, result: io::Result<T>) -> Result<T, LookError> {
    result.map_err(|source| LookError::Read {
        path: path.to_owned(),
        source,
    })
}

/// `ID` of os-release(5).
fn os_id(text: &str) -> String {
    let id = text.lines().find_map(|line| line.strip_prefix("ID="));
    id.unwrap_or_default()
        .trim()
        .trim_matches(['"', '\''])
        .to_owned()
}
