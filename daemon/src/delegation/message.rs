//! Requests to registries and token services, and what is told of answers that are of no use.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, StatusCode};
use pullkeeper_core::authfile::Credential;
use pullkeeper_core::origin::{Origin, Url, push_encoded};
use pullkeeper_core::wire::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Failure;
use crate::outbound::{Outbound, Reply};

pub(super) async fn send(
    outbound: &Outbound,
    url: &Url,
    request: Request<Full<Bytes>>,
) -> Result<Reply, Failure> {
    let replied = outbound.send(url.origin(), request).await;
    replied.map_err(|error| Failure::new(error.to_string()))
}

pub(super) fn get(url: &Url) -> Result<Request<Full<Bytes>>, Failure> {
    request(Method::GET, url, Bytes::new())
}

/// Shows a credential to whoever asks for it by Basic.
pub(super) async fn show(
    outbound: &Outbound,
    url: &Url,
    credential: &Credential,
) -> Result<Reply, Failure> {
    let mut request = get(url)?;
    let credential = basic(credential)?;
    request.headers_mut().insert(AUTHORIZATION, credential);
    send(outbound, url, request).await
}

/// The values of all headers in which a registry says what it asks for.
pub(super) fn challenges(reply: &Reply) -> impl Iterator<Item = &str> {
    let values = reply.headers.get_all(WWW_AUTHENTICATE).iter();
    values.filter_map(|value| value.to_str().ok())
}

/// A form (HTML's `application/x-www-form-urlencoded`) without the fields that are empty.
pub(super) fn post_form(
    url: &Url,
    fields: &[(&str, &str)],
) -> Result<Request<Full<Bytes>>, Failure> {
    post(
        url,
        form(fields).as_bytes(),
        "application/x-www-form-urlencoded",
    )
}

/// A JSON object of strings.
pub(super) fn post_json(
    url: &Url,
    fields: &[(&str, &str)],
) -> Result<Request<Full<Bytes>>, Failure> {
    let object: serde_json::Map<_, _> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    let body = Zeroizing::new(serde_json::Value::Object(object).to_string());
    post(url, body.as_bytes(), "application/json")
}

fn post(url: &Url, body: &[u8], content: &'static str) -> Result<Request<Full<Bytes>>, Failure> {
    let mut request = request(Method::POST, url, Bytes::copy_from_slice(body))?;
    let content = HeaderValue::from_static(content);
    request.headers_mut().insert(CONTENT_TYPE, content);
    Ok(request)
}

fn request(method: Method, url: &Url, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    let json = HeaderValue::from_static("application/json");
    Request::builder()
        .method(method)
        .uri(url.to_string())
        .header(ACCEPT, json)
        .body(Full::new(body))
        .map_err(|_| Failure::new(format!("no request can be made for {}", url.origin())))
}

fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    // Every byte may take three; growing would leave a copy behind.
    let size = fields
        .iter()
        .map(|(name, value)| name.len() + 3 * value.len() + 2);
    let mut form = Zeroizing::new(String::with_capacity(size.sum()));
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        if !form.is_empty() {
            form.push('&');
        }
        push_encoded(&mut form, name);
        form.push('=');
        push_encoded(&mut form, value);
    }
    form
}

/// HTTP's own Basic (RFC 7617).
pub(super) fn basic(credential: &Credential) -> Result<HeaderValue, Failure> {
    let mut pair = Zeroizing::new(credential.username().to_vec());
    pair.push(b':');
    pair.extend_from_slice(credential.password());
    authorization("Basic", &Zeroizing::new(STANDARD.encode(&pair)))
}

/// Basic of OAuth clients, whose ID and secret are form-encoded first (RFC 6749 section 2.3.1).
pub(super) fn client_basic(credential: &Credential) -> Result<HeaderValue, Failure> {
    let (username, secret) = text_of(credential)?;
    let mut pair = Zeroizing::new(String::new());
    push_encoded(&mut pair, &username);
    pair.push(':');
    push_encoded(&mut pair, secret.expose());
    authorization("Basic", &Zeroizing::new(STANDARD.encode(&*pair)))
}

/// A bearer token (RFC 6750 section 2.1).
pub(super) fn bearer(token: &Secret) -> Result<HeaderValue, Failure> {
    authorization("Bearer", token.expose())
}

fn authorization(scheme: &str, value: &str) -> Result<HeaderValue, Failure> {
    let value = Zeroizing::new(format!("{scheme} {value}"));
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| Failure::new("the credential fits into no header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// User name and password as text.
pub(super) fn text_of(credential: &Credential) -> Result<(String, Secret), Failure> {
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        text.map_err(|_| Failure::new("the token service's credential is not UTF-8"))
    };
    let username = text(credential.username())?;
    Ok((username, Secret::new(text(credential.password())?)))
}

/// The words for a status other than the expected one. Of the body only the OAuth error code is told (RFC 6749
/// section 5.2).
pub(super) fn refused(from: &Origin, reply: &Reply) -> Failure {
    #[derive(Deserialize)]
    struct Body {
        error: String,
    }
    let code = |code: &String| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        code.len() <= 40 && code.bytes().all(plain)
    };
    let code = object::<Body>(reply).map(|body| body.error).filter(code);
    let code = code.map_or_else(String::new, |code| format!(" ({code})"));
    let message = match reply.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => format!(
            "{from} refuses the credential with status {}{code}",
            reply.status.as_u16()
        ),
        status => return unexpected(from, status, reply),
    };
    Failure {
        message,
        retry_after: retry_after(reply),
    }
}

/// The words for a status that nobody expects here.
pub(super) fn unexpected(from: &Origin, status: StatusCode, reply: &Reply) -> Failure {
    let message = if status.is_redirection() {
        format!(
            "{from} answered with a redirect (status {}), which is never followed with a credential",
            status.as_u16()
        )
    } else {
        format!("{from} answered with status {}", status.as_u16())
    };
    Failure {
        message,
        retry_after: retry_after(reply),
    }
}

/// The words for a body that has no token.
pub(super) fn no_token(from: &Origin, reply: &Reply) -> Failure {
    Failure::new(format!(
        "{from} answered with status {} and something else than a token ({} bytes)",
        reply.status.as_u16(),
        reply.body.len()
    ))
}

/// The body as a JSON object. Serde would read a struct from an array as well.
pub(super) fn object<'r, T: Deserialize<'r>>(reply: &'r Reply) -> Option<T> {
    let body = reply.body.trim_ascii_start();
    body.starts_with(b"{")
        .then(|| serde_json::from_slice(body).ok())?
}

fn retry_after(reply: &Reply) -> Option<Duration> {
    let seconds = reply
        .headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}
