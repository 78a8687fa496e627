//! What would be done on this node now, or why nothing.

use std::process::Command;

use pullkeeper_core::placement::plan::{Plan, Refusal, plan};
use pullkeeper_core::placement::profile::{Detected, detect};
use pullkeeper_core::provider::config::Program;
use thiserror::Error;

use super::error::ChangeError;
use super::identity::{Known, minor};
use super::look::Look;
use super::{Node, process};
use crate::service::Systemd;

/// Why nothing can be done.
#[derive(Debug, Error)]
pub(super) enum Stopped {
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
    #[error(
        "{0} is not there, or no program; install the credential helper first, see `kubelet_provider.helper`"
    )]
    NoHelper(String),
    #[error("cannot ask the API server for this node's version and owner: {0}")]
    Unregistered(String),
}

impl Node<'_> {
    /// Looks at the node, and makes the plan for it.
    pub(super) async fn plan(&self, systemd: &Systemd) -> Result<(Look, Plan), Stopped> {
        let known = match (&self.known, &self.registered) {
            (Some(known), _) => known.clone(),
            (None, Some(registered)) => registered.ask().await.map_err(Stopped::Unregistered)?,
            (None, None) => Known {
                minor: self.minor(),
                owner: None,
            },
        };
        let look = self.look(systemd, &known).await?;
        let profile = match (self.settings.profile, detect(&look.host)) {
            (_, Detected::NoKubelet) => return Err(Stopped::NoKubelet),
            (_, Detected::NoUnit) => return Err(Stopped::NoUnit),
            (_, Detected::Elsewhere(owner)) => return Err(Stopped::Elsewhere(owner.as_str())),
            (Some(profile), Detected::Profile(_)) | (None, Detected::Profile(profile)) => profile,
        };
        let helper = &self.wish.helper;
        if self.root.program(helper) != Program::Executable {
            return Err(Stopped::NoHelper(helper.clone()));
        }
        let unit = look.host.unit.as_ref().ok_or(Stopped::NoUnit)?;
        let (vendor, texts) = (&look.vendor, &look.texts);
        let plan = plan(&self.wish, profile, unit, &look.host, vendor, texts)?;
        Ok((look, plan))
    }

    /// The minor version of Kubernetes that the running kubelet says it has.
    fn minor(&self) -> Option<u32> {
        let process = process::kubelet(&self.root).ok()??;
        let program = self.root.seen(&format!("/proc/{}/exe", process.pid));
        let output = Command::new(program).arg("--version").output().ok()?;
        minor(&String::from_utf8_lossy(&output.stdout))
    }
}
