//! The overlay of the site, on top of ours.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Installation, LONG};
use crate::process::Program;

/// Where it is, in the installation's folder.
const SITE: &str = "deploy/overlays/site";

impl Installation {
    /// Applies the overlay with this tag of the image.
    pub(super) async fn apply(&self, tag: &str) -> Result<()> {
        if !self.folder.join("deploy").exists() {
            let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
            let copy = Program::installed("cp")?.arg("-r");
            let copy = copy.args([deploy, self.folder.join("deploy")]);
            copy.run(LONG).await?.success()?;
        }
        let overlay = self.overlay(tag).to_string();
        let path = format!("{SITE}/kustomization.yaml");
        self.folder.write(path, overlay)?;
        let apply = ["apply", "--server-side", "-k", &self.site()];
        self.kubectl.run(&apply).await.map(drop)
    }

    fn overlay(&self, tag: &str) -> Value {
        // There is no Service `kubernetes` here, and nothing that would make one reachable.
        let reach = json!([
            {"op": "add", "path": "/spec/template/spec/hostAliases", "value": [
                {"ip": self.node.gateway(), "hostnames": ["kubernetes.default.svc"]},
            ]},
            {"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value":
                {"name": "KUBERNETES_SERVICE_HOST", "value": "kubernetes.default.svc"}},
            {"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value":
                {"name": "KUBERNETES_SERVICE_PORT", "value": self.relay.port().to_string()}},
        ])
        .to_string();
        let image = self.registry.image("pullkeeper");
        json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
            "resources": ["../kubernetes"], "components": ["../../components/credential-helper"],
            "images": [{"name": "pullkeeper", "newName": image, "newTag": tag}],
            "patches": [
                {"target": {"kind": "DaemonSet"}, "patch": reach},
                {"target": {"kind": "Deployment"}, "patch": reach},
            ],
        })
    }

    pub(super) fn site(&self) -> String {
        self.folder.join(SITE).display().to_string()
    }
}
