//! kubectl of the built version, as one user.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Cluster;
use crate::patience;
use crate::process::Program;

/// kubectl with a kubeconfig and nothing of the developer's: no `~/.kube`, no proxy settings.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: Program,
}

impl Kubectl {
    pub(super) fn new(kubeconfig: &Path, cache: PathBuf) -> Result<Self> {
        let program = Program::new("kubectl", Cluster::bin("kubectl")?)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--cache-dir")
            .arg(cache);
        Ok(Self { program })
    }

    /// Runs it and returns its standard output.
    ///
    /// # Errors
    /// When it fails, with its standard error, or takes longer than twice [`patience`].
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        output(&self.program.clone().args(args)).await
    }

    /// Runs it with something to read, for `-f -` and `/dev/stdin`.
    ///
    /// # Errors
    /// As [`Kubectl::run`].
    pub async fn run_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        output(&self.program.clone().args(args).input(input)).await
    }

    /// `kubectl apply` of manifests, YAML or JSON.
    ///
    /// # Errors
    /// As [`Kubectl::run`].
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        self.run_with_input(&["apply", "-f", "-"], manifests).await
    }
}

async fn output(program: &Program) -> Result<String> {
    Ok(program.run(patience() * 2).await?.success()?.stdout)
}
