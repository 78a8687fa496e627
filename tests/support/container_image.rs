//! The container image of the product, made by `deploy/image/build`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::fixture::{Credential, config_json};
use crate::process::Program;
use crate::product;
use crate::registry::Registry;
use crate::scratch::Scratch;

/// What one step may take; the image itself takes seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// An image that is not made yet.
#[derive(Clone, Debug)]
pub struct ImagePlan {
    pullkeeper: PathBuf,
    helper: PathBuf,
    environment: Vec<(String, PathBuf)>,
    umask: &'static str,
}

/// An image, as an archive.
#[derive(Clone, Debug)]
pub struct ContainerImage {
    folder: PathBuf,
    helper: PathBuf,
    said: BTreeMap<String, String>,
}

impl ImagePlan {
    /// Of the programs of the build that this test belongs to.
    ///
    /// # Errors
    /// As [`product::pullkeeper`].
    pub fn new() -> Result<Self> {
        let (pullkeeper, helper) = (product::pullkeeper()?, product::helper()?);
        Ok(Self::of(pullkeeper.path(), helper.path()))
    }

    /// Of programs of another build.
    pub fn of(pullkeeper: &Path, helper: &Path) -> Self {
        Self {
            pullkeeper: pullkeeper.to_owned(),
            helper: helper.to_owned(),
            environment: Vec::new(),
            umask: "022",
        }
    }

    /// Replaces the credential helper that goes into it.
    #[must_use]
    pub fn with_helper(mut self, helper: PathBuf) -> Self {
        self.helper = helper;
        self
    }

    /// Sets a variable in the environment of the script.
    #[must_use]
    pub fn env(mut self, name: &str, value: &Path) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the umask under which it is made.
    #[must_use]
    pub fn umask(mut self, umask: &'static str) -> Self {
        self.umask = umask;
        self
    }

    /// The credential helper that goes into it.
    pub fn helper(&self) -> &Path {
        &self.helper
    }

    /// Makes it in a folder of this name within `folder`.
    ///
    /// # Errors
    /// When the script fails; shows what it said.
    pub async fn build(&self, folder: &Scratch, name: &str) -> Result<ContainerImage> {
        let programs = folder.join(format!("{name}-programs"));
        std::fs::create_dir(&programs)?;
        for (program, name_inside) in [
            (&self.pullkeeper, product::PULLKEEPER),
            (&self.helper, product::HELPER),
        ] {
            let to = programs.join(name_inside);
            let strip = Program::installed("strip")?.arg("-o").arg(&to).arg(program);
            strip.run(LIMIT).await?.success()?;
            // No build has the times of another.
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 * name.len() as u64);
            let file = std::fs::File::options().write(true).open(&to)?;
            file.set_modified(at)?;
        }
        let output = self.script(folder, name, &programs)?.run(LIMIT).await?;
        let output = output.success()?;
        let said = output.stdout.lines();
        let said = said.filter_map(|line| line.split_once(": "));
        Ok(ContainerImage {
            folder: folder.join(name),
            helper: programs.join(product::HELPER),
            said: said
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    fn script(&self, folder: &Scratch, name: &str, programs: &Path) -> Result<Program> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/image/build");
        let home = PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?);
        let mut program = Program::installed("sh")?
            .args(["-c", r#"umask "$0" && exec "$@""#, self.umask])
            .args([script, folder.join(name), programs.to_owned()])
            .directory(folder.path())
            .env("HOME", &home);
        for (variable, usual) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let value = std::env::var_os(variable);
            program = program.env(variable, value.unwrap_or_else(|| home.join(usual).into()));
        }
        for (variable, value) in &self.environment {
            program = program.env(variable, value);
        }
        Ok(program)
    }
}

impl ContainerImage {
    /// The OCI archive.
    pub fn archive(&self) -> PathBuf {
        self.folder.join("pullkeeper.oci.tar")
    }

    /// The folder with the archive and the bill of materials.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A copy of the credential helper that is in it.
    pub fn helper(&self) -> &Path {
        &self.helper
    }

    /// What the script said of it: `digest`, `compressed`.
    ///
    /// # Errors
    /// When it said nothing of the kind.
    pub fn said(&self, what: &str) -> Result<&str> {
        let said = self.said.get(what);
        said.map(String::as_str)
            .with_context(|| format!("no {what} in {:?}", self.said))
    }

    /// Pushes it as this user, under the name that [`Registry::image`] completes.
    ///
    /// # Errors
    /// When the registry refuses it.
    pub async fn push(&self, registry: &Registry, user: &Credential, name: &str) -> Result<()> {
        let login = config_json([(registry.host().as_str(), user)]);
        let folder = Scratch::new("push")?;
        let skopeo = Program::installed("skopeo")?
            .args(["copy", "--quiet", "--dest-tls-verify=false"])
            .arg("--dest-authfile")
            .arg(folder.write("login.json", login)?)
            .arg(format!("oci-archive:{}", self.archive().display()))
            .arg(format!("docker://{}", registry.image(name)));
        skopeo.run(LIMIT).await?.success().map(drop)
    }
}
