//! Why services are not back.

use thiserror::Error;

/// What went wrong when units were restarted. It names units and their states, and never what is in a file.
#[derive(Debug, Error)]
pub(crate) enum RestartError {
    /// Nobody to ask. No unit was touched.
    #[error(
        "cannot reach systemd over D-Bus; in a container the host's /run/dbus has to be mounted"
    )]
    Unreachable(#[source] zbus::Error),
    /// systemd does not do it. The unit was not touched.
    #[error(
        "systemd refuses to restart {unit}; see that it exists and that the agent may restart it"
    )]
    Refused {
        /// Which one.
        unit: String,
        /// systemd's answer.
        #[source]
        source: zbus::Error,
    },
    /// systemd cannot be asked any more how the unit is.
    #[error("nobody can tell how {unit} is after it was restarted")]
    Lost {
        /// Which one.
        unit: String,
        /// What came instead of an answer.
        #[source]
        source: zbus::Error,
    },
    /// It was restarted, and is not up, or not any more.
    #[error("{unit} did not come back: {state}; look at `journalctl -u {unit}`")]
    Down {
        /// Which one.
        unit: String,
        /// Its state, as systemd tells it.
        state: String,
    },
    /// It came up, and was restarted by others or by systemd itself.
    #[error("{unit} does not stay up: {state}; look at `journalctl -u {unit}`")]
    Flaps {
        /// Which one.
        unit: String,
        /// Its state, as systemd tells it.
        state: String,
    },
    /// It takes too long.
    #[error(
        "{unit} was not back within `activation.timeout`: {state}; look at `journalctl -u {unit}`"
    )]
    Slow {
        /// Which one.
        unit: String,
        /// Its state, as systemd tells it.
        state: String,
    },
    /// All are up, and what they serve is not well.
    #[error("{url} does not answer 200 within `activation.timeout`: {answer}")]
    Unhealthy {
        /// Who was asked.
        url: String,
        /// What came.
        answer: String,
    },
    /// What was done cannot be written down, so it is not done.
    #[error("cannot keep the journal of the restart")]
    Journal(#[from] crate::install::TargetError),
}

impl RestartError {
    /// Whether a service may be the worse for it.
    pub(crate) fn has_touched(&self) -> bool {
        !matches!(
            self,
            Self::Unreachable(_) | Self::Refused { .. } | Self::Journal(_)
        )
    }

    /// The word by which restarts of a unit are counted; `None` where it says nothing of a unit.
    pub(crate) fn outcome(&self) -> Option<&'static str> {
        match self {
            Self::Refused { .. } => Some("refused"),
            Self::Lost { .. } => Some("lost"),
            Self::Down { .. } => Some("down"),
            Self::Flaps { .. } => Some("flapping"),
            Self::Slow { .. } => Some("slow"),
            Self::Unreachable(_) | Self::Unhealthy { .. } | Self::Journal(_) => None,
        }
    }
}
