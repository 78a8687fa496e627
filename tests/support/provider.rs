//! The product as kubelet's credential provider: a folder with the program under its second name, and the
//! configuration that kubelet reads.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::product::helper;
use crate::scratch::Scratch;

const NAME: &str = "pullkeeper-credential-provider";

/// What the two flags of kubelet name.
#[derive(Debug)]
pub struct KubeletProvider {
    folder: Scratch,
}

impl KubeletProvider {
    /// A provider for images of these hosts, which asks the agent at `socket`. With an audience kubelet passes each
    /// pod's service-account token on.
    ///
    /// # Errors
    /// When the helper is not built or the folder cannot be made.
    pub fn new(hosts: &[&str], socket: &Path, audience: Option<&str>) -> Result<Self> {
        Self::executing(helper()?.path(), hosts, socket, audience)
    }

    /// [`KubeletProvider::new`] with a helper of another build.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn executing(
        program: &Path,
        hosts: &[&str],
        socket: &Path,
        audience: Option<&str>,
    ) -> Result<Self> {
        let folder = Scratch::new("provider")?;
        std::fs::create_dir(folder.join("bin"))?;
        let mut provider = json!({
            "name": NAME,
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "matchImages": hosts,
            "defaultCacheDuration": "0s",
            "env": [
                { "name": "PULLKEEPER_BROKER_SOCKET", "value": socket },
                { "name": "PULLKEEPER_HELPER_TIMEOUT", "value": "5" },
            ],
        });
        if let Some(audience) = audience {
            provider["tokenAttributes"] = json!({
                "serviceAccountTokenAudience": audience,
                "cacheType": "Token",
                "requireServiceAccount": true,
            });
        }
        let config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [provider],
        });
        folder.write("config.json", config.to_string())?;
        let provider = Self { folder };
        provider.execute(program)?;
        Ok(provider)
    }

    /// Has it execute another program from now on, at a path of the node.
    ///
    /// # Errors
    /// When the folder cannot be written.
    #[expect(
        clippy::disallowed_methods,
        reason = "plays the part of somebody else; nothing here has to survive"
    )]
    pub fn execute(&self, program: &Path) -> Result<()> {
        let link = self.folder.join("link");
        std::os::unix::fs::symlink(program, &link)?;
        std::fs::rename(link, self.programs().join(NAME))?;
        Ok(())
    }

    /// For `--image-credential-provider-config`.
    pub fn config(&self) -> PathBuf {
        self.folder.join("config.json")
    }

    /// For `--image-credential-provider-bin-dir`.
    pub fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }
}
