//! The administrator of a Keycloak, and requests to it in general.

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::Request;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::http::{Answer, Endpoint, Method, StatusCode};

/// The administrator of every realm, through the admin REST API.
pub struct Admin {
    endpoint: Endpoint,
    url: String,
    token: Mutex<Option<String>>,
}

impl Admin {
    pub(super) fn new(endpoint: Endpoint, url: String) -> Self {
        let token = Mutex::new(None);
        Self {
            endpoint,
            url,
            token,
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Any request to a path as `/admin/realms/NAME/…`, a body goes out as JSON. The status is
    /// not judged.
    ///
    /// # Errors
    /// When there is no complete answer, or the administrator cannot log in.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        // Its token lives for a minute, and ends with a session that a restart may have lost.
        let mut token = self.token.lock().await;
        if let Some(token) = token.as_ref() {
            let answer = self.attempt(token, method.clone(), path, body).await?;
            if answer.status != StatusCode::UNAUTHORIZED {
                return Ok(answer);
            }
        }
        let fresh = token.insert(self.log_in().await?);
        self.attempt(fresh, method, path, body).await
    }

    /// GET of one object or list.
    ///
    /// # Errors
    /// When the answer is not 2xx.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.request(Method::GET, path, None).await?;
        answer.json().with_context(|| format!("GET {path}"))
    }

    /// POST, that is creation.
    ///
    /// # Errors
    /// When the answer is not 2xx.
    pub async fn create(&self, path: &str, object: &Value) -> Result<()> {
        self.change(Method::POST, path, Some(object)).await
    }

    /// PUT, that is change: what `object` does not say stays as it is.
    ///
    /// # Errors
    /// When the answer is not 2xx.
    pub async fn put(&self, path: &str, object: &Value) -> Result<()> {
        self.change(Method::PUT, path, Some(object)).await
    }

    /// DELETE of one object.
    ///
    /// # Errors
    /// When the answer is not 2xx.
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.change(Method::DELETE, path, None).await
    }

    /// GET of a path for which nobody need log in.
    pub(super) async fn public(&self, path: &str) -> Result<Answer> {
        self.endpoint.get(path).await
    }

    /// POST of a form, as token endpoints want it. The status is not judged.
    pub(super) async fn post_form(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer> {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = Request::post(path)
            .header("host", self.endpoint.host())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::from(body))?;
        self.endpoint.send(request).await
    }

    async fn change(&self, method: Method, path: &str, object: Option<&Value>) -> Result<()> {
        let answer = self.request(method.clone(), path, object).await?;
        anyhow::ensure!(
            answer.status.is_success(),
            "{method} {path}: {}: {}",
            answer.status,
            answer.text()
        );
        Ok(())
    }

    async fn attempt(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.endpoint.host())
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::from(body.map(Value::to_string).unwrap_or_default()))?;
        self.endpoint.send(request).await
    }

    async fn log_in(&self) -> Result<String> {
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", "admin"),
            // As `tests/keycloak/build` has it.
            ("password", "fixture-secret-keycloak-admin"),
        ];
        let path = "/realms/master/protocol/openid-connect/token";
        let answer = self.post_form(path, &form).await?.json();
        let answer = answer.context("the administrator cannot log in")?;
        let token = answer["access_token"].as_str().context("no access token")?;
        Ok(token.to_owned())
    }
}

// Without the token.
impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Admin").field(&self.url).finish()
    }
}
