//! Whom to believe that they are a host: the system's authorities, a delegation's own, and those of `certs.d`.
//!
//! Containers tools keep certificates for each registry in a directory of its own (containers-certs.d(5)), and what
//! they trust on this machine is trusted here without more configuration:
//!
//! ```text
//! /etc/containers/certs.d/HOST[:PORT]/*.crt           authorities, besides the system's, for this host and port alone
//!                                    /NAME.cert .key  what this machine shows when it is asked who it is
//! ```
//!
//! Unlike there, a registry's directory does not count for the token service that it names: that has one of its own,
//! and a file with nothing in it that can be used is an error.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;
use pullkeeper_core::origin::Origin;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use zeroize::Zeroizing;

use super::listed::Listed;

/// Below the home directory.
const OF_USER: &str = ".config/containers/certs.d";
/// Where containers tools look, and then docker.
const OF_SYSTEM: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];
/// The bundle of all public authorities has a quarter of it.
const LONGEST_FILE: u64 = 1 << 20;

/// A file that decides about trust and cannot be used.
#[derive(Debug, Error)]
#[error("cannot use {} for TLS: {detail}", path.display())]
pub struct TrustError {
    path: PathBuf,
    detail: String,
}

/// Where to look for what is trusted.
#[derive(Debug)]
pub(super) struct Trust {
    system: Arc<RootCertStore>,
    ca_file: Option<PathBuf>,
    directories: Vec<PathBuf>,
}

/// What was found for one origin. Equal when its connections would be the same.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The origin's own directory, where there is one.
    pub(super) directory: Option<PathBuf>,
    authorities: Vec<(PathBuf, CertificateDer<'static>)>,
    shown: Option<Shown>,
}

/// What this machine shows.
#[derive(PartialEq, Eq)]
struct Shown {
    path: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    key: Zeroizing<PrivateKeyDer<'static>>,
}

impl Trust {
    /// Reads the system's certificates once; everything else is looked up whenever it is needed.
    pub(super) fn new(ca_file: Option<&Path>) -> Self {
        let mut system = RootCertStore::empty();
        // One that cannot be read is no reason to do without the others.
        system.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let of_user = home.map(|home| Path::new(&home).join(OF_USER));
        let directories = of_user.into_iter().chain(OF_SYSTEM.map(PathBuf::from));
        Self {
            system: Arc::new(system),
            ca_file: ca_file.map(Path::to_owned),
            directories: directories.collect(),
        }
    }

    /// What is trusted wherever the origin has no directory.
    pub(super) fn everywhere(&self) -> Result<Found, TrustError> {
        let mut found = Found::default();
        if let Some(path) = &self.ca_file {
            found.authorities(path, &read(path)?)?;
        }
        Ok(found)
    }

    /// What is trusted, and shown, at this origin now.
    pub(super) fn at(&self, origin: &Origin) -> Result<Found, TrustError> {
        let mut found = self.everywhere()?;
        if let Some(directory) = self.directory(origin) {
            found.add_directory(&directory)?;
            found.directory = Some(directory);
        }
        Ok(found)
    }

    /// The settings of connections for which this was found.
    pub(super) fn tls(&self, found: &Found) -> Result<ClientConfig, TrustError> {
        let mut roots = Arc::clone(&self.system);
        for (path, authority) in &found.authorities {
            Arc::make_mut(&mut roots)
                .add(authority.clone())
                .map_err(|error| unusable(path, format!("it holds a broken one: {error}")))?;
        }
        let listed = found.authorities.iter().map(|(_, listed)| listed.clone());
        let config = match Listed::new(Arc::clone(&roots), listed.collect()) {
            Ok(verifier) => ClientConfig::builder()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier)),
            // No roots at all: then nobody is believed, and that is told when somebody is asked.
            Err(_) => ClientConfig::builder().with_root_certificates(roots),
        };
        match &found.shown {
            None => Ok(config.with_no_client_auth()),
            Some(Shown { path, chain, key }) => config
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| unusable(path, format!("it does not fit its key: {error}"))),
        }
    }

    /// The first that there is, as containers tools have it. They go on when they may not look, and so is this.
    fn directory(&self, origin: &Origin) -> Option<PathBuf> {
        let candidates = self.directories.iter().flat_map(|base| {
            let names = names(origin).into_iter();
            names.map(|name| base.join(name))
        });
        candidates.into_iter().find(|directory| directory.is_dir())
    }
}

impl Found {
    fn add_directory(&mut self, directory: &Path) -> Result<(), TrustError> {
        let unreadable = |error: io::Error| unusable(directory, error.to_string());
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
            entries => entries.map_err(unreadable)?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        // Read again and again, and compared.
        paths.sort();
        for path in &paths {
            match path.extension().and_then(|kind| kind.to_str()) {
                Some("crt") => match read(path) {
                    // What has gone meanwhile, or leads nowhere, is not there.
                    Err(_) if !path.exists() => {}
                    pem => self.authorities(path, &pem?)?,
                },
                Some("cert") => self.show(path)?,
                Some("key") if !paths.contains(&path.with_extension("cert")) => {
                    let detail = "there is no .cert of this name beside it; add it, or remove this";
                    return Err(unusable(path, detail.to_owned()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn authorities(&mut self, path: &Path, pem: &[u8]) -> Result<(), TrustError> {
        let found = certificates(path, pem)?.into_iter();
        self.authorities
            .extend(found.map(|found| (path.to_owned(), found)));
        Ok(())
    }

    fn show(&mut self, path: &Path) -> Result<(), TrustError> {
        if let Some(Shown { path: other, .. }) = &self.shown {
            let detail = format!(
                "{} is there already, and this machine shows one only; leave one of them",
                other.display()
            );
            return Err(unusable(path, detail));
        }
        let key_path = path.with_extension("key");
        if !key_path.exists() {
            let detail =
                "there is no .key of this name beside it; add it, or name an authority .crt";
            return Err(unusable(path, detail.to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&key_path)?).map_err(|_| {
            let detail = "it holds no private key in PEM form without a password";
            unusable(&key_path, detail.to_owned())
        })?;
        self.shown = Some(Shown {
            path: path.to_owned(),
            chain: certificates(path, &read(path)?)?,
            key: Zeroizing::new(key),
        });
        Ok(())
    }
}

/// By what names a directory may be the origin's: containers tools go by how an image spells its registry, and both
/// spellings mean the same port.
fn names(origin: &Origin) -> Vec<String> {
    let authority = origin.authority();
    let full = format!("{}:{}", origin.host(), origin.port());
    if authority == full {
        vec![full]
    } else {
        vec![authority, full]
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| unusable(path, format!("it is no PEM: {error}")))?;
    if found.is_empty() {
        let detail = "it holds no certificate in PEM form; replace or remove it";
        return Err(unusable(path, detail.to_owned()));
    }
    Ok(found)
}

/// Keys are among what is read.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TrustError> {
    let unreadable = |error: io::Error| unusable(path, error.to_string());
    // A pipe would make the opener wait.
    let flags = OFlag::O_NONBLOCK.bits();
    let file = File::options().read(true).custom_flags(flags).open(path);
    let mut file = file.map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() || about.len() > LONGEST_FILE {
        let detail = "it is no regular file of at most 1 MiB";
        return Err(unusable(path, detail.to_owned()));
    }
    let size = usize::try_from(about.len()).unwrap_or_default();
    // Large enough from the start: growing would leave a copy behind.
    let mut bytes = Zeroizing::new(vec![0; size]);
    file.read_exact(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn unusable(path: &Path, detail: String) -> TrustError {
    TrustError {
        path: path.to_owned(),
        detail,
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Shown").field(&self.path).finish()
    }
}

#[cfg(test)]
mod tests;
