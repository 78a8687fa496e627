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
//! ```
//!
//! Everything is started by the suite itself on free loopback ports below `target/tmp/it`, and
//! nothing outlives the test process, whichever way it ends. `tests/cluster/build` makes the
//! programs; a suite that misses one fails and says so.

pub mod agent;
pub mod budget;
pub mod cluster;
pub mod eventually;
pub mod evidence;
pub mod fixture;
pub mod http;
pub mod node;
pub mod ports;
pub mod process;
pub mod product;
pub mod proxy;
pub mod scratch;
pub mod scripted;
pub mod writer;

pub use eventually::{eventually, patience};
