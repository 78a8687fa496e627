//! One request to a token endpoint, and its answer, by the tables of [`TokenProtocol`](crate::config::TokenProtocol).

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::AUTHORIZATION;
use pullkeeper_core::authfile::Credential;
use pullkeeper_core::jwt::Claims;
use pullkeeper_core::origin::Url;
use pullkeeper_core::wire::Secret;
use serde_json::value::RawValue;

use super::message::{
    basic, bearer, client_basic, get, no_token, object, post_form, post_json, refused, send,
};
use super::subject::left;
use super::{Failure, Obtained};
use crate::config::{Body, Carrier, Exchange, Username, parse_token_user};
use crate::outbound::{Outbound, Reply};

/// A token that claims to live longer is obtained anew all the same.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// What an endpoint gave.
pub(super) struct Granted {
    pub(super) obtained: Obtained,
    /// What takes the place of the stored token from now on.
    pub(super) successor: Option<Secret>,
}

/// Asks the endpoint at `url`. `token` is what is exchanged, `client` who asks.
pub(super) async fn ask(
    outbound: &Outbound,
    exchange: &Exchange,
    url: &Url,
    token: Option<&Secret>,
    client: Option<&Credential>,
) -> Result<Granted, Failure> {
    let request = request(exchange, url, token, client)?;
    let reply = send(outbound, url, request).await?;
    read(exchange, url, &reply)
}

fn request(
    exchange: &Exchange,
    url: &Url,
    token: Option<&Secret>,
    client: Option<&Credential>,
) -> Result<Request<Full<Bytes>>, Failure> {
    let protocol = exchange.protocol;
    let mut fields: Vec<(&str, &str)> = protocol.fixed.to_vec();
    if let (Carrier::Field(field) | Carrier::Stored(field), Some(token)) = (protocol.carrier, token)
    {
        fields.push((field, token.expose()));
    }
    let parameters = exchange.parameters.iter();
    fields.extend(parameters.map(|(name, value)| (name.as_str(), value.as_str())));
    let mut request = match protocol.body {
        Body::Form => post_form(url, &fields)?,
        Body::Json => post_json(url, &fields)?,
        Body::Query => get(&url.with_query(&fields))?,
    };
    let authorization = match (protocol.carrier, token, client) {
        (Carrier::Bearer, Some(token), _) => Some(bearer(token)?),
        (Carrier::Basic, Some(token), _) => {
            let username = exchange.username.as_deref().unwrap_or_default();
            let pair = Credential::new(username.as_bytes(), token.expose().as_bytes());
            Some(basic(&pair)?)
        }
        (_, _, Some(client)) => Some(client_basic(client)?),
        _ => None,
    };
    if let Some(authorization) = authorization {
        request.headers_mut().insert(AUTHORIZATION, authorization);
    }
    Ok(request)
}

fn read(exchange: &Exchange, url: &Url, reply: &Reply) -> Result<Granted, Failure> {
    let (protocol, from) = (exchange.protocol, url.origin());
    if reply.status.as_u16() != protocol.status {
        return Err(refused(from, reply));
    }
    let body = object::<BTreeMap<String, &RawValue>>(reply);
    let body = body.ok_or_else(|| no_token(from, reply))?;
    let text = |field: &str| -> Option<Secret> {
        let text: Secret = serde_json::from_str(body.get(field)?.get()).ok()?;
        (!text.expose().is_empty()).then_some(text)
    };
    let secret = text(protocol.token);
    let secret = secret.ok_or_else(|| no_token(from, reply))?;
    let username = match (protocol.username, &exchange.username) {
        (Username::Configured(_), username) => username.clone(),
        (Username::Answered(field), _) => {
            // A name that changes what the secret means is not the endpoint's to choose.
            text(field).and_then(|name| parse_token_user(name.expose()).ok())
        }
    };
    let username = username.ok_or_else(|| {
        Failure::new(format!(
            "{from} answered without a user name to go with its token"
        ))
    })?;
    let successor = match protocol.carrier {
        Carrier::Stored(field) => text(field),
        _ => None,
    };
    let life = life(body.get("expires_in"), &secret);
    let obtained = Obtained {
        username,
        secret,
        life,
    };
    Ok(Granted {
        obtained,
        successor,
    })
}

/// Counted from the receipt, and never longer than the token itself says (S6). Without either it is good for once.
fn life(expires_in: Option<&&RawValue>, secret: &Secret) -> Duration {
    let said = expires_in.and_then(|seconds| seconds.get().parse().ok());
    let said = said.map(Duration::from_secs);
    let own = Claims::of(secret.expose())
        .ok()
        .and_then(|claims| left(&claims));
    let life = [said, own].into_iter().flatten().min();
    life.unwrap_or_default().min(LONGEST_LIFE)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn a_life_is_the_shortest_that_is_said_and_none_where_nothing_is() {
        let seconds = |text: &str| -> u64 {
            let answer: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap();
            let secret: Secret = serde_json::from_str(answer["t"].get()).unwrap();
            // A token's own end is compared with the clock, which goes on.
            life(answer.get("expires_in"), &secret)
                .as_secs_f64()
                .round() as u64
        };
        let jwt = |exp: u64| {
            let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{exp}}}"));
            format!("\"e30.{claims}.c2ln\"")
        };
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let soon = jwt(since.as_secs() + 100);
        assert_eq!(seconds(r#"{"t":"opaque"}"#), 0);
        assert_eq!(seconds(r#"{"t":"opaque","expires_in":300}"#), 300);
        for (life, least) in [(300, 99), (50, 50)] {
            let found = seconds(&format!(r#"{{"t":{soon},"expires_in":{life}}}"#));
            assert!((least..=least + 1).contains(&found), "{found}");
        }
        assert!((99..=100).contains(&seconds(&format!(r#"{{"t":{soon}}}"#))));
        let past = jwt(1);
        assert_eq!(seconds(&format!(r#"{{"t":{past},"expires_in":300}}"#)), 0);
        assert_eq!(seconds(r#"{"t":"opaque","expires_in":1e9}"#), 0);
        let longest = LONGEST_LIFE.as_secs();
        assert_eq!(seconds(r#"{"t":"opaque","expires_in":99999999}"#), longest);
    }
}
