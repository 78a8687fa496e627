//! Authorities for servers that are reached over https, and what such servers show.

use std::sync::Arc;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use rustls::{ClientConfig, ServerConfig};

use crate::cluster::authority::{Authority, Pair};

/// Signs certificates; nobody trusts it who was not told to.
pub struct Issuer(Authority);

/// A certificate and its key.
pub struct Certified(Pair);

impl Issuer {
    /// A new one.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new() -> Result<Self> {
        Authority::new().map(Self)
    }

    /// Its own certificate, PEM.
    pub fn certificate(&self) -> String {
        self.0.certificate()
    }

    /// For a server under these names and addresses.
    ///
    /// # Errors
    /// When one of them is neither.
    pub fn server(&self, names: &[&str]) -> Result<Certified> {
        self.sign(of(names)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// As [`Issuer::server`], and long expired.
    ///
    /// # Errors
    /// As [`Issuer::server`].
    pub fn expired_server(&self, names: &[&str]) -> Result<Certified> {
        self.sign(expired(of(names)?), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn client(&self) -> Result<Certified> {
        self.sign(of(&["client"])?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// TLS towards servers that it has signed for.
    ///
    /// # Errors
    /// When its certificate cannot be used.
    pub fn trusted(&self) -> Result<Arc<ClientConfig>> {
        self.0.client_config(None)
    }

    fn sign(&self, params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<Certified> {
        self.0.sign(params, usage).map(Certified)
    }
}

impl Certified {
    /// As `openssl req -x509` makes it, and docker's documentation after it: signed by its own key, and an authority.
    ///
    /// # Errors
    /// As [`Issuer::server`].
    pub fn by_itself(names: &[&str]) -> Result<Self> {
        self_signed(of(names)?)
    }

    /// As [`Certified::by_itself`], and long expired.
    ///
    /// # Errors
    /// As [`Issuer::server`].
    pub fn expired_by_itself(names: &[&str]) -> Result<Self> {
        self_signed(expired(of(names)?))
    }

    /// The certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.0.certificate
    }

    /// Its key, PEM.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// TLS for a server of the suites that shows it.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn served(&self) -> Result<Arc<ServerConfig>> {
        self.0.server_config(None)
    }

    /// As [`Certified::served`], for clients alone that show a certificate of this issuer.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn served_to(&self, clients: &Issuer) -> Result<Arc<ServerConfig>> {
        self.0.server_config(Some(&clients.0))
    }
}

fn of(names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    Ok(CertificateParams::new(names)?)
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    params
}

fn self_signed(mut params: CertificateParams) -> Result<Certified> {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    Ok(Certified(Pair {
        certificate: params.self_signed(&key)?.pem(),
        key: key.serialize_pem(),
    }))
}
