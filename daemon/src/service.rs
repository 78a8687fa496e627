//! The node's services: systemd is asked over D-Bus, and what comes of a restart is looked at.

mod error;
mod health;
mod settle;
mod systemd;

pub(crate) use self::error::RestartError;
pub(crate) use self::settle::{healthy, settled, slow, stays};
#[cfg(test)]
pub(crate) use self::systemd::UnitState;
pub(crate) use self::systemd::{Named, Systemd};
