//! What holds everybody up.

use super::{Ledger, Policy, Strategy};

/// Why no further node gets a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Not enough agents have said which versions of the Secrets they see.
    Revision,
    /// The rollout does harm; somebody has to say that it goes on.
    Halted,
    /// Somebody does not want it to go on now.
    Paused,
    /// No window is open.
    Window,
    /// The first nodes are not done.
    Canary,
    /// Harm is given time to show.
    Soaking,
    /// All slots that the limits allow are taken.
    Slots,
    /// As many nodes are unavailable as may be.
    Unavailable,
    /// Those that are left were given up for a while.
    Parked,
    /// Nobody who could have a slot is ready, or may be touched.
    Nodes,
}

impl Waiting {
    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revision => "Revision",
            Self::Halted => "Halted",
            Self::Paused => "Paused",
            Self::Window => "Window",
            Self::Canary => "Canary",
            Self::Soaking => "Soaking",
            Self::Slots => "Slots",
            Self::Unavailable => "Unavailable",
            Self::Parked => "Parked",
            Self::Nodes => "Nodes",
        }
    }
}

/// Why no node may take a step forward now, whichever it is.
pub(super) fn closed(policy: &Policy, ledger: &Ledger) -> Option<Waiting> {
    let careful = policy.strategy != Strategy::Immediate;
    if careful && ledger.is_halted() {
        Some(Waiting::Halted)
    } else if policy.paused {
        Some(Waiting::Paused)
    } else if careful && !policy.open {
        Some(Waiting::Window)
    } else {
        None
    }
}
