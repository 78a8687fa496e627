//! `pullkeeper kubelet-provider`: the same by hand, on one node.

use std::env;
use std::io::{self, Write};
use std::process::Command;

use pullkeeper_core::provider::plan::{Plan, Refusal, plan};
use pullkeeper_core::provider::profile::{Detected, detect};
use thiserror::Error;

use super::change::Done;
use super::error::ChangeError;
use super::look::Look;
use super::{Node, process};
use crate::agent::{block_on, refuse_to_start};
use crate::cli::{KubeletProviderArgs, KubeletProviderCommand};
use crate::config;
use crate::exit::{Exit, complain};
use crate::service::Systemd;
use crate::telemetry;

/// Why nothing was done.
#[derive(Debug, Error)]
enum Stopped {
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("no kubelet runs on this host; start it first")]
    NoKubelet,
    #[error("kubelet was started by no unit of systemd, so that nobody knows how to restart it")]
    NoUnit,
    #[error("on this host the flags of kubelet belong to somebody else: {0}")]
    Elsewhere(&'static str),
}

/// Runs one of them.
pub fn run(arguments: &KubeletProviderArgs) -> Exit {
    let (file, flags) = (arguments.config.as_deref(), &arguments.settings.values);
    let loaded = match config::load(file, flags, &|name| env::var_os(name)) {
        Ok(loaded) => loaded,
        Err(error) => return refuse_to_start(&error),
    };
    let started = telemetry::start(&loaded.settings.log, &|name| env::var_os(name));
    let _log = match started {
        Ok(log) => log,
        Err(error) => {
            complain("cannot start logging", &error);
            return Exit::Usage;
        }
    };
    let node = Node::new(&loaded.settings);
    match block_on(perform(&node, arguments.command)) {
        Ok(Ok(())) => Exit::Ok,
        Ok(Err(error)) => {
            complain(arguments.command.complaint(), &error);
            error.exit()
        }
        Err(error) => {
            complain("cannot start", &error);
            Exit::Internal
        }
    }
}

impl Stopped {
    fn exit(&self) -> Exit {
        match self {
            Self::Change(_) => Exit::Unavailable,
            Self::Refused(_) | Self::NoKubelet | Self::NoUnit | Self::Elsewhere(_) => {
                Exit::Findings
            }
        }
    }
}

async fn perform(node: &Node<'_>, command: KubeletProviderCommand) -> Result<(), Stopped> {
    let systemd = Systemd::connect(None).await.map_err(ChangeError::from)?;
    let done = match command {
        KubeletProviderCommand::Plan => {
            let (look, plan) = planned(node, &systemd).await?;
            let mut out = io::stdout().lock();
            // Nobody is left to tell when the terminal is gone.
            let _ = show(&mut out, &look, &plan);
            return Ok(());
        }
        KubeletProviderCommand::Install => {
            let (_, plan) = planned(node, &systemd).await?;
            node.install(&systemd, &plan).await?
        }
        KubeletProviderCommand::Remove => node.remove(&systemd).await?,
    };
    let said = match done {
        Done::Already => "nothing to do; kubelet was not restarted",
        Done::Changed => "done; kubelet was restarted once, and is back",
    };
    // As above.
    let _ = writeln!(io::stdout().lock(), "{said}");
    Ok(())
}

async fn planned(node: &Node<'_>, systemd: &Systemd) -> Result<(Look, Plan), Stopped> {
    let minor = version(node);
    let look = node.look(systemd, minor).await?;
    let profile = match (node.settings.profile, detect(&look.host)) {
        (_, Detected::NoKubelet) => return Err(Stopped::NoKubelet),
        (_, Detected::NoUnit) => return Err(Stopped::NoUnit),
        (_, Detected::Elsewhere(owner)) => return Err(Stopped::Elsewhere(owner.as_str())),
        (Some(profile), Detected::Profile(_)) | (None, Detected::Profile(profile)) => profile,
    };
    let Some(unit) = &look.host.unit else {
        return Err(Stopped::NoUnit);
    };
    let plan = plan(
        &node.wish,
        profile,
        unit,
        &look.host,
        &look.vendor,
        &look.texts,
    )?;
    Ok((look, plan))
}

/// The minor version of Kubernetes that the running kubelet says it has.
fn version(node: &Node<'_>) -> Option<u32> {
    let process = process::kubelet(&node.root).ok()??;
    let program = node.root.seen(&format!("/proc/{}/exe", process.pid));
    let output = Command::new(program).arg("--version").output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let (_, rest) = said.split_once("v1.")?;
    rest.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// Everything that would be done, for people.
fn show(out: &mut impl Write, look: &Look, plan: &Plan) -> io::Result<()> {
    let vendor = look.vendor.config.as_deref().unwrap_or("none");
    writeln!(out, "Profile:    {}", plan.profile.as_str())?;
    writeln!(
        out,
        "kubelet:    1.{}, {}",
        look.host.minor.unwrap_or_default(),
        plan.unit
    )?;
    writeln!(out, "Providers:  {vendor} (stays as it is)")?;
    writeln!(out, "Restarts:   {}, once", plan.unit)?;
    writeln!(out, "Lasts over: {}", plan.profile.lasts())?;
    writeln!(out, "\nFiles of ours:")?;
    for path in plan.files.keys() {
        writeln!(out, "  {path}")?;
    }
    for (path, to) in &plan.links {
        writeln!(out, "  {path} -> {to}")?;
    }
    let whose = if plan.switch.ours {
        "ours"
    } else {
        "others' too"
    };
    writeln!(out, "\n{} ({whose}):", plan.switch.path)?;
    for line in plan.switch.content.lines() {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}
