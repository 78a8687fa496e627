//! The product as kubelet's credential provider: a folder with the program under its second name, and the
//! configuration that kubelet reads.

use std::path::{Path, PathBuf};

use anyhow::Result;
use pullkeeper_core::provider::render::{FILE_NAME, OurToken, Ours, PROVIDER_NAME, render};

use crate::product::helper;
use crate::scratch::Scratch;

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
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let text = render(Ours {
            match_images: &hosts,
            socket: Some(socket),
            timeout: Some(5),
            token: audience.map(|audience| OurToken {
                audience,
                require_service_account: true,
            }),
        });
        folder.write(FILE_NAME, text)?;
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
        std::fs::rename(link, self.programs().join(PROVIDER_NAME))?;
        Ok(())
    }

    /// For `--image-credential-provider-config`.
    pub fn config(&self) -> PathBuf {
        self.folder.join(FILE_NAME)
    }

    /// For `--image-credential-provider-bin-dir`.
    pub fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }
}
