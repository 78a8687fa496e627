//! What is to be written on a node so that its kubelet has our provider beside whatever it has now.
//!
//! Nothing of others is edited where that can be helped: kubelet is pointed at folders of ours, in which links lead to what the
//! vendor has. What tells kubelet so depends on the profile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::exec_start;
use super::extra_args::{self, ExtraArgsError};
use super::host::{Host, Unit};
use super::profile::Profile;
use super::stub;
use crate::provider::config::{self, Fault, File, Kubelet, Loaded, Program, Programs, Source};
use crate::provider::render::{FILE_NAME, PROVIDER_NAME};
use crate::provider::{flags, folder};

/// kubelet's flags for the configuration and for the folder with the programs.
pub const FLAGS: [&str; 2] = [flags::CONFIG, flags::BIN_DIR];
/// The folder with the programs, below [`Wish::directory`].
pub const PROGRAMS: &str = "bin";
/// How the names of folders with configurations begin, below [`Wish::directory`].
pub const CONFIGS: &str = "config-";
/// What is wanted, the same on every node. Paths are the node's own, and need no quotes anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The folder for everything that is ours.
    pub directory: String,
    /// The program that answers.
    pub helper: String,
    /// Our part of kubelet's configuration.
    pub config: Vec<u8>,
}

/// The providers that a kubelet has without us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vendor {
    /// What its configuration flag names; none without the flag.
    pub config: Option<String>,
    /// The files that kubelet reads there, by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The folder of its programs; none without the flag.
    pub directory: Option<String>,
    /// What is in that folder.
    pub programs: Programs,
}

/// A file of a node, as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFile {
    /// What it holds.
    pub content: Vec<u8>,
    /// Whether it is a program.
    pub executable: bool,
}

/// Everything that is to be done on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The way in which kubelet has further flags.
    pub profile: Profile,
    /// The unit that is restarted.
    pub unit: String,
    /// Files of ours, by path. They have no effect until kubelet has the flags.
    pub files: BTreeMap<String, NodeFile>,
    /// Links of ours, by path, and where they lead.
    pub links: BTreeMap<String, String>,
    /// What kubelet's flags are to name, in the order of [`FLAGS`].
    pub flags: [String; 2],
    /// The file that gives kubelet the flags.
    pub switch: Switch,
    /// What kubelet has after its start.
    pub loaded: Loaded,
}

/// The one file whose change changes kubelet's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Where it is.
    pub path: String,
    /// Whether it is ours alone; otherwise others have written it too, and it is theirs.
    pub ours: bool,
    /// What it is to hold.
    pub content: String,
    /// Whether systemd has to read its unit files anew.
    pub reload: bool,
}

/// Why nothing is done on a node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The unit starts something else than one plain command.
    #[error(
        "{unit} starts kubelet in a way that cannot be added to ({why}); add both flags yourself, see `pullkeeper kubelet-provider plan`"
    )]
    Command {
        /// Which one.
        unit: String,
        /// What is special about it.
        why: String,
    },
    /// The unit has no environment file in which the variable is set.
    #[error(
        "{unit} reads ${} and no file that sets it; choose the profile `generic`",
        extra_args::VARIABLE
    )]
    NoEnvironmentFile {
        /// Which one.
        unit: String,
    },
    /// The environment file cannot be added to.
    #[error("cannot add to {path}: {why}")]
    ExtraArgs {
        /// The file.
        path: String,
        /// What is in the way.
        #[source]
        why: ExtraArgsError,
    },
    /// A file of the distribution names providers as well, and which one wins depends on names of files.
    #[error("{path} names an image credential provider; take that out, or have its owner add ours")]
    OtherFile {
        /// The file.
        path: String,
    },
    /// kubelet reads one file, and somebody has one already.
    #[error(
        "kubelet 1.{minor} reads one provider configuration, and has {vendor}; from 1.34 on both are possible"
    )]
    OneFile {
        /// Its version.
        minor: u32,
        /// What it has.
        vendor: String,
    },
    /// What kubelet has now would not be read at its next start, whoever restarts it.
    #[error("kubelet would not start again with the configuration of its providers as it is; mend that first: {}", all(.0))]
    Vendor(Vec<Fault>),
    /// With ours beside it, it would not be read.
    #[error("kubelet would not start with this: {}", all(.0))]
    Invalid(Vec<Fault>),
    /// Its version is not known, so neither is what it would accept.
    #[error("cannot tell the version of this kubelet")]
    Version,
    /// kubelet has one of both flags.
    #[error(
        "kubelet has --{0} and not the other flag of image credential providers; it would not start like this again"
    )]
    OneFlag(&'static str),
    /// A vendor's program has our name.
    #[error("{path} has the name of our provider; take it away")]
    NameTaken {
        /// Which one.
        path: String,
    },
}

fn all(faults: &[Fault]) -> String {
    let faults = faults
        .iter()
        .map(|fault| format!("{fault}: {}", fault.what));
    faults.collect::<Vec<_>>().join("; ")
}

/// Makes the plan for a node. `texts` are files that others write too, as they are now: environment files of the unit, and
/// configurations of the distribution.
///
/// # Errors
/// Why it has to be left as it is.
pub fn plan(
    wish: &Wish,
    profile: Profile,
    unit: &Unit,
    host: &Host,
    vendor: &Vendor,
    texts: &BTreeMap<String, String>,
) -> Result<Plan, Refusal> {
    let minor = host.minor.ok_or(Refusal::Version)?;
    let kubelet = Kubelet::of_minor(minor);
    match (&vendor.config, &vendor.directory) {
        (Some(_), None) => return Err(Refusal::OneFlag(FLAGS[0])),
        (None, Some(_)) => return Err(Refusal::OneFlag(FLAGS[1])),
        _ => {}
    }
    let directory = &wish.directory;
    let configs = format!("{directory}/{CONFIGS}{}", version(wish, vendor));
    let programs = format!("{directory}/{PROGRAMS}");
    let own = format!("{configs}/{FILE_NAME}");
    let mut links = BTreeMap::new();
    for path in vendor.files.keys() {
        links.insert(format!("{configs}/{}", link_name(path)), path.clone());
    }
    if let Some(vendor) = vendor
        .config
        .as_ref()
        .filter(|_| !kubelet.reads_directories())
    {
        return Err(Refusal::OneFile {
            minor,
            vendor: vendor.clone(),
        });
    }
    if vendor.programs.contains_key(PROVIDER_NAME) {
        let directory = vendor.directory.as_deref().unwrap_or_default();
        let path = format!("{directory}/{PROVIDER_NAME}");
        return Err(Refusal::NameTaken { path });
    }
    let loaded = load(wish, vendor, kubelet)?;
    for (name, kind) in &vendor.programs {
        let path = format!("{}/{name}", vendor.directory.as_deref().unwrap_or_default());
        if *kind == Program::Executable {
            links.insert(format!("{programs}/{name}"), path);
        }
    }
    let files = BTreeMap::from([
        (
            format!("{programs}/{PROVIDER_NAME}"),
            NodeFile {
                content: stub::script(&wish.helper).into_bytes(),
                executable: true,
            },
        ),
        (
            own.clone(),
            NodeFile {
                content: wish.config.clone(),
                executable: false,
            },
        ),
    ]);
    let config = if kubelet.reads_directories() {
        configs
    } else {
        own
    };
    let flags = [config, programs];
    Ok(Plan {
        profile,
        unit: unit.name.clone(),
        files,
        links,
        switch: switch(directory, profile, unit, &flags, texts)?,
        flags,
        loaded,
    })
}

/// What kubelet makes of the vendor's files and of ours. That the vendor's alone are good is seen first: whoever restarts kubelet
/// would be told to have broken it.
fn load(wish: &Wish, vendor: &Vendor, kubelet: Kubelet) -> Result<Loaded, Refusal> {
    let files = vendor.files.iter();
    let mut files: Vec<_> = files
        .map(|(path, bytes)| File {
            path: Path::new(path),
            bytes,
        })
        .collect();
    let mut programs = vendor.programs.clone();
    if vendor.config.is_some() {
        let alone = Source::Directory(&files);
        config::load(alone, Some(&programs), kubelet).map_err(Refusal::Vendor)?;
    }
    programs.insert(PROVIDER_NAME.to_owned(), Program::Executable);
    files.push(File {
        path: Path::new(FILE_NAME),
        bytes: &wish.config,
    });
    let source = match (kubelet.reads_directories(), files.as_slice()) {
        (false, [ours]) => Source::File(*ours),
        _ => Source::Directory(&files),
    };
    config::load(source, Some(&programs), kubelet).map_err(Refusal::Invalid)
}

/// Both flags as words of a command line.
pub fn words(flags: &[String; 2]) -> [String; 2] {
    let [config, programs] = flags;
    [
        format!("--{}={config}", FLAGS[0]),
        format!("--{}={programs}", FLAGS[1]),
    ]
}

/// Tells one configuration from another. Each has a folder of its own, so that the former one is there as long as kubelet may
/// have to go back to it. What the vendor writes into its files makes no difference: it is followed without us.
fn version(wish: &Wish, vendor: &Vendor) -> String {
    let mut digest = Sha256::new_with_prefix(&wish.config);
    for path in vendor.files.keys() {
        digest.update(path.as_bytes());
        digest.update([0]);
    }
    let digest = digest.finalize();
    digest.iter().take(6).fold(String::new(), |mut hex, byte| {
        // Writing to a String does not fail.
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

/// The name of a link to a vendor's file: before ours, and one that kubelet reads whatever the file is called.
fn link_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    let suffix = if folder::counts(name) { "" } else { ".yaml" };
    format!("10-{name}{suffix}")
}

fn switch(
    directory: &str,
    profile: Profile,
    unit: &Unit,
    flags: &[String; 2],
    texts: &BTreeMap<String, String>,
) -> Result<Switch, Refusal> {
    let words = words(flags);
    match profile {
        Profile::Generic | Profile::Eks => Ok(Switch {
            path: format!("/etc/systemd/system/{}.d/90-pullkeeper.conf", unit.name),
            ours: true,
            content: exec_start::drop_in(&command(unit, directory)?, &words),
            reload: true,
        }),
        Profile::Kubeadm | Profile::Kind => {
            let path = environment_file(unit, texts)?;
            let text = texts.get(&path).map_or("", String::as_str);
            let content = extra_args::with(text, &words.join(" "));
            let content = content.map_err(|why| Refusal::ExtraArgs {
                path: path.clone(),
                why,
            })?;
            Ok(Switch {
                path,
                ours: false,
                content,
                reload: false,
            })
        }
        Profile::K3s | Profile::Rke2 => {
            let name = profile.as_str();
            let path = format!("/etc/rancher/{name}/config.yaml.d/90-pullkeeper.yaml");
            let other = texts.iter().find(|(other, text)| {
                **other != path && text.contains("image-credential-provider")
            });
            if let Some((path, _)) = other {
                return Err(Refusal::OtherFile { path: path.clone() });
            }
            let [config, programs] = flags;
            let content = format!(
                "# Pullkeeper's. `pullkeeper kubelet-provider remove` takes it away.\n\
                 {}: \"{config}\"\n{}: \"{programs}\"\n",
                FLAGS[0], FLAGS[1]
            );
            Ok(Switch {
                path,
                ours: true,
                content,
                reload: false,
            })
        }
    }
}

/// The words of the one command that the unit has without us.
fn command(unit: &Unit, directory: &str) -> Result<Vec<String>, Refusal> {
    let refused = |why: String| Refusal::Command {
        unit: unit.name.clone(),
        why,
    };
    let [command] = unit.exec_start.as_slice() else {
        return Err(refused(format!(
            "it has {} commands",
            unit.exec_start.len()
        )));
    };
    if let Some(flag) = command.flags.first() {
        return Err(refused(format!("the command is executed with `{flag}`")));
    }
    if command.argv.first() != Some(&command.path) {
        return Err(refused("the program is given another name".to_owned()));
    }
    let mut argv = command.argv.clone();
    argv.retain(|word| !is_ours(word, directory));
    Ok(argv)
}

/// Whether a word of a command line is one of those that a plan with this directory adds.
fn is_ours(word: &str, directory: &str) -> bool {
    let value = FLAGS.iter().find_map(|flag| {
        let rest = word.strip_prefix("--")?.strip_prefix(flag)?;
        rest.strip_prefix('=')
    });
    value.is_some_and(|value| names_ours(value, directory))
}

/// Whether a value of one of the flags is below the directory that is ours.
pub fn names_ours(value: &str, directory: &str) -> bool {
    value
        .strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// The environment file that is meant for administrators, which is the last one that sets the variable.
fn environment_file(unit: &Unit, texts: &BTreeMap<String, String>) -> Result<String, Refusal> {
    let sets = |path: &&String| {
        let text = texts.get(*path).map_or("", String::as_str);
        let own = ["/etc/default/kubelet", "/etc/sysconfig/kubelet"].contains(&path.as_str());
        own || text.contains(extra_args::VARIABLE)
    };
    let files = unit.environment_files.iter().rev();
    let file = files.into_iter().find(sets);
    file.cloned().ok_or_else(|| Refusal::NoEnvironmentFile {
        unit: unit.name.clone(),
    })
}

#[cfg(test)]
mod tests;
