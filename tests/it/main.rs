//! Black-box tests, in one binary so that they share one control plane.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "all of this is test code; clippy recognizes only the functions marked as tests"
)]

mod agent_admin;
mod agent_cluster;
mod agent_files;
mod agent_kill;
mod agent_metrics;
mod agent_outages;
mod cluster_harness;
mod commands;
mod compromise;
mod delegated_sso;
mod delegation_hostile;
mod delegation_outages;
mod delegation_products;
mod drain_conditions;
mod drains;
mod helper_budget;
mod helper_install;
mod helper_protocols;
mod image;
mod install_faults;
mod install_kill;
mod install_mounts;
mod kubelet_provider;
mod leaks;
mod manifests;
mod node_harness;
mod on_node;
mod provider_config;
mod reader_models;
mod registry_harness;
mod restarts;
mod rollouts;
