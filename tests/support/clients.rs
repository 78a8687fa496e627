//! The programs that pull and push, as somebody runs them who has one auth file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::built;
use crate::node::Image;
use crate::patience;
use crate::process::{Output, Program};
use crate::scratch::Scratch;

/// A program that pulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Debian's skopeo.
    Skopeo,
    /// Debian's podman.
    Podman,
    /// Debian's buildah.
    Buildah,
    /// crane of go-containerregistry, which reads auth files as `docker` does.
    Crane,
    /// oras, which reads auth files as `docker` does, with a library of its own. It pulls [`by_name`].
    Oras,
    /// The docker command, without an engine: it can read manifests, which needs the same
    /// credential.
    Docker,
}

impl Client {
    /// Every one of them.
    pub const ALL: [Self; 6] = [
        Self::Skopeo,
        Self::Podman,
        Self::Buildah,
        Self::Crane,
        Self::Oras,
        Self::Docker,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Skopeo => "skopeo",
            Self::Podman => "podman",
            Self::Buildah => "buildah",
            Self::Crane => "crane",
            Self::Oras => "oras",
            Self::Docker => "docker",
        }
    }
}

/// A home directory with one auth file, `config.json`, that every [`Client`] started from here
/// uses, and with an image store of its own. Auth files and images of the machine's users are
/// neither read nor written.
#[derive(Debug)]
pub struct Clients {
    home: Scratch,
}

impl Clients {
    /// A home with this auth file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(config_json: &str) -> Result<Self> {
        let home = Scratch::new("clients")?;
        let clients = Self { home };
        clients.set_auth_file(config_json)?;
        Ok(clients)
    }

    /// Replaces the content of the auth file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_auth_file(&self, config_json: &str) -> Result<()> {
        self.home.write("config.json", config_json).map(drop)
    }

    /// Makes these the authorities (PEM) that podman, buildah and skopeo trust at this registry, and at where that
    /// sends them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn trust(&self, registry: &str, authorities: &str) -> Result<()> {
        let name = format!(".config/containers/certs.d/{registry}/ca.crt");
        self.home.write(name, authorities).map(drop)
    }

    /// The auth file.
    pub fn auth_file(&self) -> PathBuf {
        self.home.join("config.json")
    }

    /// The home directory, also that of `config.json`.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A client in this home, without arguments yet. `PATH` is that of the suite.
    ///
    /// # Errors
    /// When it is missing; says how to get it.
    pub fn program(&self, client: Client) -> Result<Program> {
        let program = match client {
            Client::Crane | Client::Oras => {
                let name = client.name();
                Program::new(name, built::program("registry", name)?)
            }
            _ => Program::installed(client.name())?,
        };
        let program = program
            .env("HOME", self.home())
            .env("DOCKER_CONFIG", self.home())
            .env("REGISTRY_AUTH_FILE", self.auth_file())
            .env("XDG_RUNTIME_DIR", self.home())
            .env("TMPDIR", self.home());
        // Overlay mounts would outlive a killed test; plain folders do not.
        let store = |program: Program| {
            program
                .arg("--root")
                .arg(self.home.join("store"))
                .arg("--runroot")
                .arg(self.home.join("run"))
                .arg("--storage-driver=vfs")
        };
        Ok(match client {
            Client::Podman => store(program).arg("--tmpdir").arg(self.home.join("tmp")),
            Client::Buildah => store(program),
            Client::Skopeo | Client::Crane | Client::Oras | Client::Docker => program,
        })
    }

    /// Pulls an image (docker: its manifest) from a registry without TLS. What was pulled before
    /// is asked for again.
    ///
    /// # Errors
    /// When the client cannot be run. Whether it succeeded is not judged.
    pub async fn pull(&self, client: Client, image: &str) -> Result<Output> {
        self.pull_with(client, image, |program| program).await
    }

    /// [`Clients::pull`] by a program that was changed first, as in its environment.
    ///
    /// # Errors
    /// As [`Clients::pull`].
    pub async fn pull_with(
        &self,
        client: Client,
        image: &str,
        change: impl FnOnce(Program) -> Program,
    ) -> Result<Output> {
        let program = change(self.program(client)?);
        let program = match client {
            Client::Skopeo => program
                .args(["copy", "--src-tls-verify=false"])
                .arg(format!("docker://{image}"))
                .arg(format!("dir:{}", self.home.join("pulled").display())),
            Client::Podman => program.args(["pull", "--tls-verify=false", image]),
            Client::Buildah => {
                program.args(["pull", "--policy=always", "--tls-verify=false", image])
            }
            Client::Crane => program
                .args(["pull", "--insecure", image])
                .arg(self.home.join("pulled.tar")),
            Client::Oras => {
                let config = by_name(&std::fs::read_to_string(self.auth_file())?);
                let config = self.home.write("oras/config.json", config)?;
                program
                    .env("DOCKER_CONFIG", config.with_file_name(""))
                    .args([
                        "copy",
                        "--from-plain-http",
                        &by_name(image),
                        "--to-oci-layout",
                    ])
                    .arg(format!("{}:pulled", self.home.join("layout").display()))
            }
            Client::Docker => program.args(["manifest", "inspect", "--insecure", image]),
        };
        program.run(patience()).await
    }

    /// Pushes an image that containers can be made of.
    ///
    /// # Errors
    /// When the registry refuses it.
    pub async fn push_image(&self, image: &str, content: &Image) -> Result<()> {
        let archive = self.home.write("image.tar", content.archive(image))?;
        let source = format!("oci-archive:{}", archive.display());
        let pushed = self
            .program(Client::Skopeo)?
            .args(["copy", "--dest-tls-verify=false", &source])
            .arg(format!("docker://{image}"))
            .run(patience())
            .await?;
        pushed.success().map(drop)
    }

    /// Pushes an image made from nothing but one file, `content`, and returns its digest. Equal
    /// content gives an equal digest.
    ///
    /// # Errors
    /// When the registry refuses it.
    pub async fn push(&self, image: &str, content: &str) -> Result<String> {
        self.home.write("layer/content", content)?;
        let layer = self.home.join("layer.tar");
        Program::installed("tar")?
            .args(["--create", "--owner=0", "--group=0", "--mtime=@0", "--file"])
            .arg(&layer)
            .arg("--directory")
            .arg(self.home.join("layer"))
            .arg("content")
            .run(patience())
            .await?
            .success()?;
        let pushed = self
            .program(Client::Crane)?
            .args(["append", "--insecure", "--oci-empty-base", "--new_layer"])
            .arg(&layer)
            .args(["--new_tag", image])
            .run(patience())
            .await?
            .success()?;
        let digest = pushed.stdout.trim().rsplit_once('@');
        let (_, digest) = digest.with_context(|| format!("crane told {:?}", pushed.stdout))?;
        Ok(digest.to_owned())
    }
}

/// The same registry by its host's name. oras follows a challenge to loopback only from that very name (oras-go 2.7),
/// and crane none from one loopback address to another, so realms are at `localhost` and registries are not.
pub fn by_name(text: &str) -> String {
    text.replace("127.0.0.1:", "localhost:")
}

/// `docker-credential-ecr-login`, a helper that is compared with ours. Its environment is empty but
/// for `PATH`.
///
/// # Errors
/// When it is not built; the message says what builds it.
pub fn ecr_login() -> Result<Program> {
    let name = "docker-credential-ecr-login";
    Ok(Program::new(name, built::program("registry", name)?))
}
