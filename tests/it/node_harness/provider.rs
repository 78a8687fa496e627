//! A kubelet credential provider that writes down what it is asked and answers what it was told to.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use support::fixture::Credential;
use support::scratch::Scratch;

pub(super) struct Provider {
    folder: Scratch,
}

impl Provider {
    /// The provider has no answer until [`Provider::answer`].
    pub(super) fn new() -> Result<Self> {
        let folder = Scratch::new("provider")?;
        let (asked, answer) = (folder.join("asked"), folder.join("answer.json"));
        // The request and its end go out in one write: kubelet may ask twice at once.
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$(cat)\" >>'{}'\nexec cat '{}'\n",
            asked.display(),
            answer.display()
        );
        let program = folder.write("bin/fixed", script)?;
        set_permissions(program, Permissions::from_mode(0o700))?;
        Ok(Self { folder })
    }

    /// Writes the configuration for images of `host`; `extra` is added to the only provider.
    pub(super) fn configure(&self, host: &str, extra: &Value) -> Result<()> {
        let mut provider = json!({
            "name": "fixed",
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "matchImages": [host],
            "defaultCacheDuration": "1h",
        });
        let fields = provider.as_object_mut().context("an object")?;
        fields.extend(extra.as_object().cloned().unwrap_or_default());
        let config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [provider],
        });
        self.folder.write("config.json", config.to_string())?;
        Ok(())
    }

    /// Hands out `credential` for `host` from now on, to be asked again for each pull.
    pub(super) fn answer(&self, host: &str, credential: &Credential) -> Result<()> {
        let answer = json!({
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "kind": "CredentialProviderResponse",
            "cacheKeyType": "Registry",
            "cacheDuration": "0s",
            "auth": { host: { "username": credential.username, "password": credential.password } },
        });
        self.folder.write("answer.json", answer.to_string())?;
        Ok(())
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("config.json")
    }

    pub(super) fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// Every request so far.
    pub(super) fn asked(&self) -> Result<Vec<Value>> {
        match std::fs::read_to_string(self.folder.join("asked")) {
            Ok(text) => text
                .lines()
                .map(|line| Ok(serde_json::from_str(line)?))
                .collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
