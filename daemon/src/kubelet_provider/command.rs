//! `pullkeeper kubelet-provider`: the same by hand, on one node.

use std::env;
use std::io::{self, Write};

use pullkeeper_core::placement::plan::Plan;

use super::Node;
use super::change::Done;
use super::error::ChangeError;
use super::look::Look;
use super::survey::Stopped;
use crate::agent::{block_on, refuse_to_start};
use crate::cli::{KubeletProviderArgs, KubeletProviderCommand};
use crate::config;
use crate::exit::{Exit, complain};
use crate::service::Systemd;
use crate::telemetry;

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
            Self::Unregistered(_) => Exit::TryAgain,
            Self::Refused(_)
            | Self::NoKubelet
            | Self::NoUnit
            | Self::NoHelper(_)
            | Self::Elsewhere(_) => Exit::Findings,
        }
    }
}

async fn perform(node: &Node<'_>, command: KubeletProviderCommand) -> Result<(), Stopped> {
    let systemd = Systemd::connect(None).await.map_err(ChangeError::from)?;
    let done = match command {
        KubeletProviderCommand::Plan => {
            let (look, plan) = node.plan(&systemd).await?;
            let mut out = io::stdout().lock();
            // Nobody is left to tell when the terminal is gone.
            let _ = show(&mut out, &look, &plan);
            return Ok(());
        }
        KubeletProviderCommand::Install => {
            let (_, plan) = node.plan(&systemd).await?;
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
    writeln!(
        out,
        "\nkubelet has then, in this order ({}):",
        plan.loaded.hash
    )?;
    for provider in &plan.loaded.providers {
        let images = provider.match_images.join(" ");
        writeln!(out, "  {}: {images}", provider.name)?;
    }
    for doubt in &plan.loaded.doubts {
        writeln!(out, "  warning: {doubt}")?;
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
