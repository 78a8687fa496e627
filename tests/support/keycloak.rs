//! A real Keycloak on loopback: the single sign-on that registries and workloads ask for tokens.

mod admin;
mod login;
mod realm;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::built;
use crate::http::Endpoint;
use crate::issuer::Issuer;
use crate::part::{Part, Ready};
use crate::ports::Port;
use crate::process::Program;
use crate::scratch::Scratch;

pub use admin::Admin;
pub use login::{Login, Mapper};
pub use realm::Realm;

/// A running Keycloak with a database of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct Keycloak {
    // First: it must be dead before its folder is removed.
    /// The server. Realms survive its kill and restart.
    pub server: Part,
    admin: Arc<Admin>,
    serial: AtomicU32,
    _ports: [Port; 3],
    _folder: Scratch,
}

impl Keycloak {
    /// Starts a Keycloak of one's own, for tests that break it. It serves on return.
    ///
    /// # Errors
    /// When it is not built (the message says what builds it) or does not start.
    pub async fn start() -> Result<Self> {
        Self::start_trusting(None).await
    }

    /// [`Keycloak::start`], which tells everybody to come over https, with a certificate of this issuer for
    /// `localhost`. Its administrator comes without.
    ///
    /// # Errors
    /// As [`Keycloak::start`].
    pub async fn start_secured(issuer: &Issuer) -> Result<Self> {
        Self::start_with(None, Some(issuer)).await
    }

    /// [`Keycloak::start`] with an authority (PEM) that may vouch for the servers it asks, as the
    /// issuer of a [`Realm::kubernetes_provider`].
    ///
    /// # Errors
    /// As [`Keycloak::start`].
    pub async fn start_trusting(authority: Option<&str>) -> Result<Self> {
        Self::start_with(authority, None).await
    }

    async fn start_with(authority: Option<&str>, tls: Option<&Issuer>) -> Result<Self> {
        let built = built()?;
        let folder = Scratch::new("keycloak")?;
        let home = home(&built, folder.path())?;
        let ports = [Port::free()?, Port::free()?, Port::free()?];
        let [port, management, secure] = &ports;
        let url = match tls {
            None => format!("http://localhost:{}", port.number()),
            Some(_) => format!("https://localhost:{}", secure.number()),
        };
        let mut program = java(&built.join("server"), &home)?
            .args(["start", "--optimized", "--http-enabled=true"])
            // With a fixed name every token has the same issuer, by whatever address it was asked.
            .arg(format!("--hostname={url}"))
            .arg("--http-host=127.0.0.1")
            .arg(format!("--http-port={}", port.number()))
            .arg(format!("--http-management-port={}", management.number()))
            // Without the cluster, for which it would listen on every interface.
            .arg("--cache=local")
            // Or a kill would take the changes of the last half second with it.
            .arg("--db-url-properties=;WRITE_DELAY=0")
            // The probe of its start would fill the log.
            .arg("--log-level=INFO,io.smallrye.health:WARN");
        if let Some(authority) = authority {
            let trusted = folder.write("authority.pem", authority)?;
            program = program.arg(format!("--truststore-paths={}", trusted.display()));
        }
        if let Some(issuer) = tls {
            let server = issuer.server(&["localhost"])?;
            let certificate = folder.write("server.pem", server.certificate())?;
            let key = folder.write("server.key", server.key())?;
            program = program
                .arg(format!("--https-port={}", secure.number()))
                .arg(format!(
                    "--https-certificate-file={}",
                    certificate.display()
                ))
                .arg(format!("--https-certificate-key-file={}", key.display()))
                // Which would be https, too, with that certificate.
                .arg("--http-management-scheme=http");
        }
        let ready = Ready {
            endpoint: Endpoint::plain(management.address()),
            path: "/health/ready",
        };
        let mut server = Part::new(program, folder.path().to_owned(), ready);
        server.start().await?;
        let admin = Arc::new(Admin::new(Endpoint::plain(port.address()), url));
        let serial = AtomicU32::new(0);
        Ok(Self {
            server,
            admin,
            serial,
            _ports: ports,
            _folder: folder,
        })
    }

    /// The Keycloak that all tests of this process share; the first that asks starts it. Work in
    /// a [`Keycloak::realm`] of your own there.
    ///
    /// # Errors
    /// As [`Keycloak::start`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Keycloak> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// `http://localhost:port`, or `https://…`.
    pub fn url(&self) -> &str {
        self.admin.url()
    }

    /// For requests that no client makes.
    pub fn endpoint(&self) -> &Endpoint {
        self.admin.endpoint()
    }

    /// Its administrator, for what [`Realm`] has no word for.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Creates a realm whose name begins with `name` and is nobody else's. Its access tokens live
    /// for five minutes.
    ///
    /// # Errors
    /// When Keycloak refuses.
    pub async fn realm(&self, name: &str) -> Result<Realm> {
        let name = format!("{name}-{}", self.serial.fetch_add(1, Ordering::Relaxed));
        let keys = json!({ "org.keycloak.keys.KeyProvider": [
            generated("rsa-generated", "RS256"),
            generated("hmac-generated", "HS512"),
            generated("aes-generated", "AES"),
        ]});
        let realm = json!({ "realm": name, "enabled": true, "components": keys });
        self.admin.create("/admin/realms", &realm).await?;
        Ok(Realm::new(Arc::clone(&self.admin), name))
    }
}

// A key that Keycloak makes for a realm. Left to itself it makes a second RSA key, for an
// encryption that nothing here uses: a second of computing for every realm.
fn generated(provider: &str, algorithm: &str) -> Value {
    json!({
        "name": provider, "providerId": provider,
        "config": { "priority": ["100"], "algorithm": [algorithm] },
    })
}

// The result of `tests/keycloak/build`.
fn built() -> Result<PathBuf> {
    let built = built::folder("keycloak", "build")?;
    ensure!(
        built.is_dir(),
        "{} does not exist; run `tests/keycloak/build`",
        built.display()
    );
    Ok(built)
}

// Keycloak writes below its home: the programs there are those of the build, the data is a copy.
fn home(built: &Path, folder: &Path) -> Result<PathBuf> {
    let home = folder.join("home");
    let make = || -> std::io::Result<()> {
        fs::create_dir_all(home.join("data/h2"))?;
        fs::create_dir(home.join("tmp"))?;
        for part in ["lib", "conf", "providers", "themes"] {
            symlink(built.join("server").join(part), home.join(part))?;
        }
        let database = "data/h2/keycloakdb.mv.db";
        fs::copy(built.join(database), home.join(database))?;
        Ok(())
    };
    make().with_context(|| format!("cannot make {}", home.display()))?;
    Ok(home)
}

// What `bin/kc.sh` does, but as one process: of the script's two, a kill would leave the second.
// It starts twice for a lifetime of minutes, so the quickest of compilers does best.
fn java(server: &Path, home: &Path) -> Result<Program> {
    let property = |name: &str, path: &Path| format!("-D{name}={}", path.display());
    let program = Program::installed("java")?
        .named("keycloak")
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms64m"])
        .args(["-Xmx512m", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError"])
        .args(OPENED.map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")))
        .args(["-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.timezone=UTC"])
        .arg(property("java.io.tmpdir", &home.join("tmp")))
        .arg(property("kc.home.dir", home))
        .arg(property("jboss.server.config.dir", &server.join("conf")))
        .arg("-Djava.util.logging.manager=org.jboss.logmanager.LogManager")
        .arg("-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory")
        .arg("-Dpicocli.disable.closures=true")
        .arg("-cp")
        .arg(server.join("lib/quarkus-run.jar"))
        .arg("io.quarkus.bootstrap.runner.QuarkusEntryPoint");
    Ok(program)
}

const OPENED: [&str; 4] = [
    "java.util",
    "java.util.concurrent",
    "java.security",
    "java.lang",
];
