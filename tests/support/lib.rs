//! Real parts for the suites, and the means to break them.
//!
//! ```text
//!   test ── product ── pullkeeper, helper ───┐ kubeconfig
//!     │                                      ▼
//!     │                        proxy::Proxy (delay, cut, silence, 429, 500)
//!     │                                      ▼
//!     └── cluster::Cluster ── kubectl ── kube-apiserver ── etcd
//!           ▲                          kube-controller-manager, kube-scheduler
//!   node::Node ── kubelet ── containerd ── pods, in a machine of their own
//!   services::Services ── systemd, dbus-daemon, units, there or in namespaces of their own
//!   cluster::FakeNodes ── KWOK, in place of a thousand kubelets
//! ```
//!
//! What a cluster runs, from its image: installation::Installation. And what pulls are for:
//!
//! ```text
//!   clients::Clients ── skopeo, podman, … ── registry::Registry
//!     │ asks for a token                       │ trusts the keys of
//!     ├──────────── keycloak::Keycloak ────────┤
//!     ├──────── token_service::TokenService ───┤
//!     └─────── workload_realm::WorkloadRealm ──┘
//! ```
//!
//! Everything is started by the suite itself on free loopback ports below `target/tmp/it`, and
//! nothing outlives the test process, whichever way it ends. `tests/*/build` make the programs; a
//! suite that misses one fails and says so.

pub mod agent;
pub mod budget;
mod built;
pub mod clients;
pub mod cluster;
pub mod container_image;
pub mod deploy;
pub mod draining;
pub mod eventually;
pub mod evidence;
pub mod fixture;
pub mod fleet;
pub mod forward;
pub mod http;
pub mod installation;
pub mod issuer;
pub mod keycloak;
mod listener;
pub mod node;
pub mod part;
pub mod ports;
pub mod process;
pub mod product;
pub mod provider;
pub mod proxy;
pub mod registry;
pub mod relay;
pub mod scratch;
pub mod scripted;
pub mod services;
mod token_request;
pub mod token_service;
pub mod workload_realm;
pub mod workloads;
pub mod writer;

pub use eventually::{eventually, patience};
