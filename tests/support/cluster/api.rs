//! Requests to the API server without kubectl in between: quicker, and with the answer as it is.

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use serde_json::Value;

use super::identity::Identity;
use crate::http::{Answer, Endpoint, Method};
use crate::patience;

const JSON: &str = "application/json";

/// The API server (or a proxy before it) as one user sees it.
#[derive(Clone)]
pub struct Api {
    endpoint: Endpoint,
    token: Option<String>,
}

impl Api {
    pub(super) fn new(endpoint: Endpoint, who: &Identity) -> Self {
        Self {
            endpoint,
            token: who.token().map(str::to_owned),
        }
    }

    /// Any request; a body goes out as JSON (a PATCH as merge patch). The status is not judged.
    ///
    /// # Errors
    /// When there is no complete answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let content = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            JSON
        };
        let request = self.build(method, path, content, body)?;
        self.endpoint.send(request).await
    }

    /// Server-side apply as this field manager, not by force. The status is not judged.
    ///
    /// # Errors
    /// When there is no complete answer.
    pub async fn apply(&self, path: &str, object: &Value, manager: &str) -> Result<Answer> {
        let path = format!("{path}?fieldManager={manager}");
        // JSON is YAML.
        let content = "application/apply-patch+yaml";
        let request = self.build(Method::PATCH, &path, content, Some(object))?;
        self.endpoint.send(request).await
    }

    /// GET of one object or list.
    ///
    /// # Errors
    /// When the answer is not 2xx.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.request(Method::GET, path, None)
            .await?
            .json()
            .with_context(|| format!("GET {path}"))
    }

    /// POST, that is creation.
    ///
    /// # Errors
    /// When the answer is not 2xx.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        let answer = self.request(Method::POST, path, Some(object)).await?;
        answer.json().with_context(|| format!("POST {path}"))
    }

    /// PATCH with a JSON merge patch.
    ///
    /// # Errors
    /// When the answer is not 2xx.
    pub async fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        let answer = self.request(Method::PATCH, path, Some(patch)).await?;
        answer.json().with_context(|| format!("PATCH {path}"))
    }

    /// PATCH with a strategic merge patch, as kubelet's: of a list with keys, such as conditions by type, it changes what it names.
    ///
    /// # Errors
    /// When the answer is not 2xx.
    pub async fn merge_by_key(&self, path: &str, patch: &Value) -> Result<Value> {
        let content = "application/strategic-merge-patch+json";
        let request = self.build(Method::PATCH, path, content, Some(patch))?;
        let answer = self.endpoint.send(request).await?;
        answer.json().with_context(|| format!("PATCH {path}"))
    }

    /// DELETE of one object.
    ///
    /// # Errors
    /// When the answer is not 2xx.
    pub async fn delete(&self, path: &str) -> Result<Value> {
        let answer = self.request(Method::DELETE, path, None).await?;
        answer.json().with_context(|| format!("DELETE {path}"))
    }

    /// Opens a watch; `path` carries `watch=1` and the rest of the query.
    ///
    /// # Errors
    /// When the answer is not 200; the status stands first in the message.
    pub async fn watch(&self, path: &str) -> Result<Watch> {
        let response = self
            .endpoint
            .open(self.build(Method::GET, path, JSON, None)?)
            .await?;
        let status = response.status();
        let body = response.into_body();
        if !status.is_success() {
            let text = body.collect().await?.to_bytes();
            bail!("{status}: {}", String::from_utf8_lossy(&text));
        }
        Ok(Watch {
            body,
            received: Vec::new(),
        })
    }

    fn build(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.endpoint.host());
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        Ok(request
            .header("content-type", content)
            .body(Full::from(body))?)
    }
}

/// An open watch.
#[derive(Debug)]
pub struct Watch {
    body: Incoming,
    received: Vec<u8>,
}

impl Watch {
    /// The next event, `{"type": …, "object": …}`; `None` when the server has ended the watch.
    ///
    /// # Errors
    /// When the connection breaks, or nothing comes for as long as [`patience`].
    pub async fn next(&mut self) -> Result<Option<Value>> {
        let next = tokio::time::timeout(patience(), self.read());
        next.await
            .with_context(|| format!("no event for {:?}", patience()))?
    }

    async fn read(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    let frame = frame.context("the watch broke")?;
                    self.received
                        .extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                }
            }
        }
    }
}
