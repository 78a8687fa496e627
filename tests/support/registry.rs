//! Real registries on loopback, most of them without TLS.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::built;
use crate::clients::Clients;
use crate::fixture::{Credential, config_json};
use crate::http::Endpoint;
use crate::issuer::Issuer;
use crate::keycloak::Realm;
use crate::node::Image;
use crate::part::{Part, Ready};
use crate::patience;
use crate::ports::Port;
use crate::process::Program;
use crate::scratch::Scratch;
use crate::token_service::TokenService;
use crate::workload_realm::WorkloadRealm;

/// Whose tokens a registry takes, and where it sends clients that have none.
#[derive(Clone, Debug)]
pub struct TokenAuth {
    /// The URL of the token endpoint, as the challenge names it.
    pub realm: String,
    /// What clients ask a token for; must be in its `aud`.
    pub service: String,
    /// What must be in its `iss`.
    pub issuer: String,
}

/// What a registry of distribution 3 calls itself; its tokens need it as audience.
pub const SERVICE: &str = "the-registry";

/// A running registry; it ends when this is dropped.
#[derive(Debug)]
pub struct Registry {
    // First: it must be dead before its folder is removed.
    /// The server, with its log; what was pushed survives its restart.
    pub server: Part,
    endpoint: Endpoint,
    port: Port,
    folder: Scratch,
}

impl Registry {
    /// Debian's docker-registry 2.8 with a password file.
    ///
    /// # Errors
    /// When the program is missing (the message says how to get it) or does not start.
    pub async fn with_passwords(users: &[&Credential]) -> Result<Self> {
        let folder = Scratch::new("registry")?;
        replace_passwords(&folder, users).await?;
        let auth = json!({ "htpasswd": { "realm": "registry", "path": folder.join(PASSWORDS) } });
        Self::start(Program::installed("docker-registry")?, folder, &auth, None).await
    }

    /// Debian's docker-registry 2.8, which takes tokens signed by the key of a certificate (PEM). With an
    /// issuer it serves over https with a certificate of that.
    ///
    /// # Errors
    /// As [`Registry::with_passwords`].
    pub async fn with_certificate(
        tls: Option<&Issuer>,
        tokens: &TokenAuth,
        certificate: &str,
    ) -> Result<Self> {
        let folder = Scratch::new("registry")?;
        let bundle = folder.write("issuer.pem", certificate)?;
        let auth = tokens.settings("rootcertbundle", &bundle, json!({}));
        Self::start(Program::installed("docker-registry")?, folder, &auth, tls).await
    }

    /// distribution 3, which takes the realm's access tokens for [`SERVICE`]: clients hold one as password, and
    /// `service` hands it back as token.
    ///
    /// # Errors
    /// As [`Registry::with_passwords`], or when the realm does not tell its keys.
    pub async fn trusting(realm: &Realm, service: &TokenService) -> Result<Self> {
        let tokens = TokenAuth {
            realm: service.realm(),
            service: SERVICE.to_owned(),
            issuer: realm.issuer(),
        };
        Self::with_keys(&tokens, &realm.keys().await?).await
    }

    /// distribution 3, which takes the tokens that a realm for workloads signs: clients hold a token of their cluster as
    /// password.
    ///
    /// # Errors
    /// As [`Registry::with_passwords`].
    pub async fn for_workloads(realm: &WorkloadRealm) -> Result<Self> {
        let tokens = TokenAuth {
            realm: realm.url(),
            service: SERVICE.to_owned(),
            issuer: realm.issuer().to_owned(),
        };
        Self::with_keys(&tokens, &realm.keys()).await
    }

    /// distribution 3, which takes tokens signed by a key of a JWKS document. It reads the
    /// document at its start alone.
    ///
    /// # Errors
    /// As [`Registry::with_passwords`].
    async fn with_keys(tokens: &TokenAuth, keys: &Value) -> Result<Self> {
        let folder = Scratch::new("registry")?;
        let keys = folder.write("issuer.json", keys.to_string())?;
        // Its default has the symmetric ones too.
        let algorithms = json!({ "signingalgorithms": ["RS256", "ES256"] });
        let auth = tokens.settings("jwks", &keys, algorithms);
        let program = Program::new("registry", built::program("registry", "registry")?);
        Self::start(program, folder, &auth, None).await
    }

    /// `127.0.0.1:port`, as it begins the names of its images.
    pub fn host(&self) -> String {
        self.port.address().to_string()
    }

    /// The name of an image in it: `127.0.0.1:port/REPOSITORY:TAG`.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// Pushes an image that pods can be made of, as this user, under the name that [`Registry::image`] completes.
    ///
    /// # Errors
    /// When the registry refuses it.
    pub async fn push(&self, user: &Credential, name: &str, content: &Image) -> Result<()> {
        let clients = Clients::new(&config_json([(self.host().as_str(), user)]))?;
        clients.push_image(&self.image(name), content).await
    }

    /// For requests that no client makes.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// Makes these the only users of a registry [`with passwords`](Registry::with_passwords). The
    /// next request is judged by the new file.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub async fn set_users(&self, users: &[&Credential]) -> Result<()> {
        replace_passwords(&self.folder, users).await
    }

    async fn start(
        program: Program,
        folder: Scratch,
        auth: &Value,
        tls: Option<&Issuer>,
    ) -> Result<Self> {
        let port = Port::free()?;
        let mut settings = json!({
            "version": "0.1",
            "log": { "level": "info" },
            "storage": {
                "filesystem": { "rootdirectory": folder.join("data") },
                "delete": { "enabled": true },
            },
            "http": { "addr": port.address(), "secret": "signs uploads under way, on loopback" },
            "auth": auth,
        });
        let mut endpoint = Endpoint::plain(port.address());
        if let Some(issuer) = tls {
            let server = issuer.server(&["127.0.0.1", "localhost"])?;
            settings["http"]["tls"] = json!({
                "certificate": folder.write("server.pem", server.certificate())?,
                "key": folder.write("server.key", server.key())?,
            });
            endpoint = Endpoint::tls(port.address(), issuer.trusted()?);
        }
        let settings = folder.write("settings.yaml", settings.to_string())?;
        let program = program
            .arg("serve")
            .arg(settings)
            // distribution 3 would look for a collector.
            .env("OTEL_TRACES_EXPORTER", "none");
        let ready = Ready {
            endpoint: endpoint.clone(),
            path: "/",
        };
        let mut server = Part::new(program, folder.path().to_owned(), ready);
        server.start().await?;
        Ok(Self {
            server,
            endpoint,
            port,
            folder,
        })
    }
}

impl TokenAuth {
    fn settings(&self, trust: &str, file: &Path, more: Value) -> Value {
        let mut token = json!({
            "realm": self.realm, "service": self.service, "issuer": self.issuer, trust: file,
        });
        if let (Value::Object(token), Value::Object(more)) = (&mut token, more) {
            token.extend(more);
        }
        json!({ "token": token })
    }
}

const PASSWORDS: &str = "htpasswd";

// Replaced in one step: the registry could read half a file, and would not look again.
async fn replace_passwords(folder: &Scratch, users: &[&Credential]) -> Result<()> {
    let mut lines = String::new();
    for user in users {
        // The cheapest bcrypt there is; the registry takes nothing but bcrypt.
        let line = Program::installed("htpasswd")?
            .args(["-n", "-i", "-B", "-C", "4", &user.username])
            .input(user.password.as_str())
            .run(patience())
            .await?
            .success()?;
        lines.push_str(line.stdout.trim());
        lines.push('\n');
    }
    let path = folder.join(PASSWORDS);
    let mut file = tempfile::NamedTempFile::new_in(folder.path())?;
    file.write_all(lines.as_bytes())?;
    file.persist(&path)
        .with_context(|| format!("cannot replace {}", path.display()))?;
    Ok(())
}
