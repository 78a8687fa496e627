//! Puts the credential helper in place as kubelet's image credential provider, on this node.
//!
//! ```text
//! root, process, look ─▶ core::provider{profile, plan} ─▶ overlay ─▶ change{guard, verify} ─▶ record
//! ```
//!
//! kubelet reads its providers when it starts, and ends where it cannot. So everything is in place and has been tried before it is
//! restarted, it is restarted once, and whatever happens then, it is back with what it had: see `guard`.

mod change;
mod command;
mod error;
mod guard;
mod identity;
mod keeper;
mod look;
mod overlay;
mod process;
mod record;
mod root;
mod survey;
mod trial;
mod verify;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use pullkeeper_core::placement::extra_args;
use pullkeeper_core::placement::plan::{Plan, Wish, names_ours, words};
use pullkeeper_core::provider::render::{OurToken, Ours, render};

pub use self::command::run;
use self::error::ChangeError;
use self::guard::Guard;
use self::identity::{Known, Registered};
#[cfg(test)]
pub(crate) use self::keeper::Answer;
pub(crate) use self::keeper::{Keeper, Provided};
use self::look::{Look, LookError};
use self::record::Record;
use self::root::Root;
use pullkeeper_core::wire::DEFAULT_SOCKET;

use crate::config::{Listen, ProviderSettings, Settings};
use crate::install::{Options, Target, TargetError};
use crate::service::Systemd;

/// Longest wait of the helper, in seconds: a pull must not hang for what another provider or the auth file could give.
const TIMEOUT: u8 = 5;

/// One node, and what is wanted there.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    settings: &'a ProviderSettings,
    root: Root,
    directory: String,
    wish: Wish,
    /// Where somebody can be asked about the node.
    registered: Option<Registered>,
    /// What was answered not long ago.
    known: Option<Known>,
    /// The permit under which it is changed; none where a human does so.
    permit: Option<u64>,
}

impl<'a> Node<'a> {
    /// The node of these settings.
    pub(crate) fn new(settings: &'a Settings) -> Self {
        let provider = &settings.kubelet_provider;
        let directory = provider.directory.display().to_string();
        let socket = match &settings.broker.listen {
            Listen::Unix(path) if path != Path::new(DEFAULT_SOCKET) => Some(path.as_path()),
            _ => None,
        };
        let audience = provider.token_audience.as_deref();
        let config = render(Ours {
            match_images: &provider.match_images,
            socket,
            timeout: Some(TIMEOUT),
            token: audience.map(|audience| OurToken {
                audience,
                require_service_account: false,
            }),
        });
        Self {
            root: Root::new(&provider.host_root),
            wish: Wish {
                directory: directory.clone(),
                helper: provider.helper.display().to_string(),
                config: config.into_bytes(),
            },
            directory,
            settings: provider,
            registered: None,
            known: None,
            permit: None,
        }
    }

    fn directory(&self) -> &str {
        &self.directory
    }

    fn guard(&self) -> Guard<'_> {
        Guard {
            root: &self.root,
            directory: &self.directory,
        }
    }

    /// How the node would be without us.
    async fn look(&self, systemd: &Systemd, known: &Known) -> Result<Look, ChangeError> {
        let record = Record::load(&self.root, &self.directory)?;
        // What is under way may have come about.
        let switching = record.switching.and_then(|switching| switching.to);
        let installed = record.installed.or(switching);
        let before = installed.as_ref().map(|installed| &installed.before);
        let ours = |value: &str| names_ours(value, &self.directory);
        let look = look::look(&self.root, systemd, known, ours, before);
        let mut look = look.await?;
        if let Some(installed) = &installed
            && let Some(text) = look.texts.get_mut(&installed.path)
        {
            let words = words(&installed.flags).join(" ");
            // One that cannot be read is left as it is; the plan says so.
            if let Ok(without) = extra_args::without(text, &words) {
                *text = without;
            }
        }
        Ok(look)
    }

    /// Keeps others out for as long as what it gives lives. Where there is no directory yet there is nothing to keep them out of.
    fn lock(&self) -> Result<Option<Flock<File>>, ChangeError> {
        let path = format!("{}/lock", self.directory);
        let failed = |source| ChangeError::Lock {
            path: path.clone(),
            source,
        };
        let mut options = File::options();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let file = match options.open(self.root.seen(&path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Err(ChangeError::Busy),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }

    fn save(&self, record: &Record) -> Result<(), ChangeError> {
        Ok(record.save(&self.root, &self.directory)?)
    }

    fn text(&self, path: &str) -> Result<Option<String>, LookError> {
        self.root.text(path).map_err(|source| LookError::Read {
            path: path.to_owned(),
            source,
        })
    }

    /// A file of the host that others may write as well. It keeps its mode and its owner.
    fn file(&self, path: &str) -> Result<Target, TargetError> {
        let seen = self.root.seen(path);
        let mode = fs::symlink_metadata(&seen).map_or(0o644, |metadata| metadata.mode());
        let options = Options {
            mode,
            follow: false,
            create_directory: Some(0o755),
            ..Options::default()
        };
        Target::new(seen, options)
    }

    fn live_flags(&self) -> Result<[Option<String>; 2], LookError> {
        Ok(self
            .process()?
            .map(|process| process.flags())
            .unwrap_or_default())
    }

    /// Whether kubelet runs with what the plan says, and nothing is left to be done.
    fn has(&self, record: &Record, plan: &Plan) -> Result<bool, LookError> {
        let now = self.text(&plan.switch.path)?;
        let wanted = plan.flags.clone().map(Some);
        let installed = record.installed.as_ref();
        Ok(
            installed.is_some_and(|installed| installed.flags == plan.flags)
                && now.as_deref() == Some(plan.switch.content.as_str())
                && (self.live_flags()? == wanted || self.has_kubelet_inside()?),
        )
    }

    fn has_kubelet_inside(&self) -> Result<bool, LookError> {
        Ok(self.process()?.is_some_and(|process| !process.is_kubelet()))
    }

    fn process(&self) -> Result<Option<process::Process>, LookError> {
        process::kubelet(&self.root).map_err(|source| LookError::Read {
            path: "/proc".to_owned(),
            source,
        })
    }
}
