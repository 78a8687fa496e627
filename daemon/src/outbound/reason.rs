//! Why there is no connection, in words that tell what to do. Nothing that the other side sent is repeated.

use std::error::Error;
use std::io;

use pullkeeper_core::origin::Origin;
use rustls::{AlertDescription, CertificateError, Error as Tls};

use super::proxy::ProxyError;
use super::trust::Found;
use crate::exit::chain;

/// The words for a request that failed at this origin, where this was trusted.
pub(super) fn of(error: &(dyn Error + 'static), to: &Origin, found: &Found) -> String {
    if let Some(failed) = cause::<ProxyError>(error) {
        return failed.to_string();
    }
    match cause(error) {
        Some(Tls::InvalidCertificate(refused)) => certificate(refused, to, found),
        // What the first bytes of anything else look like.
        Some(Tls::InvalidMessage(_)) => {
            "it does not speak TLS there; check scheme and port of its URL".to_owned()
        }
        Some(Tls::AlertReceived(alert)) if wants_certificate(*alert) => format!(
            "it refuses TLS ({alert:?}); if it wants a client certificate, put NAME.cert and NAME.key into {}",
            directory(to, found)
        ),
        _ => chain(error),
    }
}

fn certificate(refused: &CertificateError, to: &Origin, found: &Found) -> String {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
        NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    match refused {
        // The latter is one that has the name of a trusted one, and another key: made anew, and not told here.
        UnknownIssuer | BadSignature => format!(
            "its certificate is signed by an authority that is not trusted here; give that authority's certificate \
             in the delegation's `ca_file`, or as a .crt file in {}",
            directory(to, found)
        ),
        Expired | ExpiredContext { .. } => {
            "its certificate has expired; have it renewed, or set the clock of this machine"
                .to_owned()
        }
        NotValidYet | NotValidYetContext { .. } => {
            "its certificate is not valid yet; set the clock of this machine, or have it made anew"
                .to_owned()
        }
        // The names that it is for are the other side's words.
        NotValidForName | NotValidForNameContext { .. } => format!(
            "its certificate is for other names than {}; use one of those, or have it made for this one",
            to.host()
        ),
        other => format!("its certificate cannot be accepted: {other:?}; have it made anew"),
    }
}

/// Where the origin's certificates are, or could be.
fn directory(to: &Origin, found: &Found) -> String {
    let directory = found.directory.as_deref();
    directory.map_or_else(
        || format!("/etc/containers/certs.d/{}", to.authority()),
        |directory| directory.display().to_string(),
    )
}

fn wants_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::HandshakeFailure
            | AlertDescription::AccessDenied
            // Signed by one that has the name of the right one.
            | AlertDescription::DecryptError
    )
}

/// The error of this type among the causes. An I/O error passes on the source of what it holds, and not that itself.
fn cause<'a, E: Error + 'static>(mut error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    loop {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let held = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        error = match held {
            Some(held) => held,
            None => error.source()?,
        };
    }
}
