//! kubelet's image credential providers, read as kubelet reads them.
//!
//! kubelet reads its configuration once, at its start, and ends when anything in it is wrong. So whoever
//! changes it has to know beforehand. The rules are those of Kubernetes 1.33 to 1.36
//! (`pkg/credentialprovider/plugin/{config,plugin}.go`), and are tested against that code, linked into a
//! program of its own (`tests/readers`): what kubelet refuses is refused here.
//!
//! ```text
//! argv ─▶ flags ─▶ paths      listing ─▶ folder ─▶ file names
//!
//! bytes ─▶ document ─▶ Value ─▶ shape ─▶ File ─▶ rules ─▶ config::Loaded   providers, hash, doubts
//!           json, yaml                                 └▶ config::Fault    file, field, what to do
//! ```

pub mod config;
pub mod flags;
pub mod folder;
pub mod pattern;
pub mod render;

mod annotation;
mod document;
mod duration;
mod fault;
mod rules;
mod shape;
mod yaml;
