//! Where a token endpoint is: said in the configuration, or by the issuer's own document (OpenID Connect Discovery 1.0).

use std::time::Duration;

use hyper::StatusCode;
use pullkeeper_core::origin::Url;
use serde::Deserialize;

use super::Failure;
use super::message::{get, object, send, unexpected};
use super::slot::Slot;
use crate::config::TokenService;
use crate::outbound::Outbound;

/// An endpoint moves rarely; one that does is found again without a restart.
const FRESH: Duration = Duration::from_secs(3600);

/// What one delegation's issuer has said.
#[derive(Debug, Default)]
pub(super) struct Discovery(Slot<Url>);

impl Discovery {
    /// The token endpoint, asked for about once an hour; after a failure nobody is asked for a while.
    pub(super) async fn token_endpoint(
        &self,
        outbound: &Outbound,
        service: &TokenService,
    ) -> Result<Url, Failure> {
        let issuer = match service {
            TokenService::Endpoint(url) => return Ok(url.clone()),
            TokenService::Issuer(url) => url,
        };
        let said = async || Ok((FRESH, ask(outbound, issuer).await?));
        self.0.get(&[], said).await.map(|(url, _)| url)
    }
}

/// The document may name an endpoint of the issuer's own origin only: credentials go where the configuration says.
async fn ask(outbound: &Outbound, issuer: &Url) -> Result<Url, Failure> {
    #[derive(Deserialize)]
    struct Document {
        issuer: String,
        token_endpoint: String,
    }
    let origin = issuer.origin();
    let path = issuer.target().trim_end_matches('/');
    let place = Url::parse(&format!("{origin}{path}/.well-known/openid-configuration"))
        .map_err(|error| Failure::new(format!("{issuer} cannot be asked: {error}")))?;
    let reply = send(outbound, &place, get(&place)?).await?;
    if reply.status != StatusCode::OK {
        return Err(unexpected(origin, reply.status, &reply));
    }
    let document = object::<Document>(&reply).ok_or_else(|| {
        Failure::new(format!(
            "{place} holds no discovery document; check `issuer`, or give `token_endpoint` instead"
        ))
    })?;
    // Section 4.3: it must be the very issuer that was asked.
    if Url::parse(&document.issuer).as_ref() != Ok(issuer) {
        return Err(Failure::new(format!(
            "{place} speaks for another issuer; set `issuer` to the one that it names"
        )));
    }
    let endpoint = Url::parse(&document.token_endpoint).ok();
    let endpoint = endpoint.filter(|endpoint| endpoint.origin() == origin);
    endpoint.ok_or_else(|| {
        Failure::new(format!(
            "{place} names a token endpoint that is not at {origin}; give it as `token_endpoint` to allow that"
        ))
    })
}
