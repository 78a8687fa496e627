//! The token endpoint of a registry that takes a workload's own token as password, as zot and
//! Harbor Next do: it verifies the token by the keys of the workload's cluster, decides by its
//! subject, and signs a token of its own for the registry.
//!
//! A [`TokenService`](crate::token_service::TokenService) leaves all that to the registry, which
//! can do it only where the client's token already says what it permits. A kubelet's does not.

mod signer;
mod verifier;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use serde_json::{Value, json};

use self::signer::Signer;
pub use self::verifier::Refusal;
use self::verifier::{Verifier, Workload, now};
use crate::http::{Endpoint, StatusCode};
use crate::listener::Listener;
use crate::registry::SERVICE;
use crate::token_request::{TokenRequest, refuse, reply};

/// What somebody asked for and got. The token itself is kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The user name beside the token.
    pub username: Option<String>,
    /// The token's subject, once the token is verified.
    pub subject: Option<String>,
    /// The pod that a verified token is bound to.
    pub pod: Option<String>,
    /// What was granted, each as `repository:NAME:ACTION,…`; or why nothing was.
    pub verdict: Result<Vec<String>, Refusal>,
}

/// A running endpoint; it and its connections end when it is dropped.
#[derive(Debug)]
pub struct WorkloadRealm {
    listener: Listener,
    office: Arc<Office>,
}

/// Repositories and what may be done with them.
type Rights = BTreeMap<String, Vec<String>>;

#[derive(Debug)]
struct Office {
    verifier: Verifier,
    signer: Signer,
    admitted: Mutex<BTreeMap<String, Rights>>,
    asked: Mutex<Vec<Asked>>,
}

/// At most, in seconds: it ends no later than the workload's own token.
const LIFE: u64 = 300;

impl WorkloadRealm {
    /// Listens on a free port and admits nobody yet. Tokens must be from `issuer`, signed by one of
    /// these keys (a JWKS document), and for `audience` alone.
    ///
    /// # Errors
    /// When the document is none or it cannot listen.
    pub fn start(issuer: &str, keys: &Value, audience: &str) -> Result<Self> {
        let office = Arc::new(Office {
            verifier: Verifier::new(issuer, keys, audience)?,
            signer: Signer::new()?,
            admitted: Mutex::default(),
            asked: Mutex::default(),
        });
        let answering = Arc::clone(&office);
        let listener = Listener::start("workload-realm", move |request| {
            let office = Arc::clone(&answering);
            async move { office.answer(&TokenRequest::read(request).await?) }
        })?;
        Ok(Self { listener, office })
    }

    /// The URL of the token endpoint for a registry's challenge.
    pub fn url(&self) -> String {
        format!("{}/token", self.listener.url())
    }

    /// The `iss` of the tokens that it signs.
    pub fn issuer(&self) -> &'static str {
        ISSUER
    }

    /// The document with the public key of the tokens that it signs (JWKS).
    pub fn keys(&self) -> Value {
        self.office.signer.keys()
    }

    /// For requests that no client makes.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::plain(self.listener.address())
    }

    /// Lets a subject (`system:serviceaccount:NAMESPACE:NAME`) do this with a repository, beside
    /// what it may do with others.
    pub fn admit(&self, subject: &str, repository: &str, actions: &[&str]) {
        let actions = actions.iter().map(|&action| action.to_owned()).collect();
        lock(&self.office.admitted)
            .entry(subject.to_owned())
            .or_default()
            .insert(repository.to_owned(), actions);
    }

    /// Does not know a subject any more.
    pub fn dismiss(&self, subject: &str) {
        lock(&self.office.admitted).remove(subject);
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.office.asked).clone()
    }
}

impl Office {
    fn answer(&self, request: &TokenRequest) -> Result<Response<Full<Bytes>>> {
        let workload = match &request.shown {
            Some(shown) => self.verifier.verify(&shown.password),
            None => Err(Refusal::NoCredential),
        };
        let verdict = workload.as_ref().map_err(|&refusal| refusal);
        let verdict = verdict.and_then(|workload| self.rights(workload, &request.scopes));
        let verified = workload.as_ref().ok();
        lock(&self.asked).push(Asked {
            username: request.username().map(str::to_owned),
            subject: verified.map(|workload| workload.subject.clone()),
            pod: verified.and_then(|workload| workload.pod.clone()),
            verdict: verdict.clone(),
        });
        match (verdict, workload) {
            (Ok(scopes), Ok(workload)) => self.sign(&workload, &scopes),
            (Err(refusal), _) | (_, Err(refusal)) => {
                refuse(StatusCode::UNAUTHORIZED, refusal.as_str())
            }
        }
    }

    /// What of all that is asked for the workload may have. That can be nothing: only who is not
    /// known at all is refused here, the registry does the rest.
    fn rights(&self, workload: &Workload, scopes: &[String]) -> Result<Vec<String>, Refusal> {
        let admitted = lock(&self.admitted);
        let rights = admitted.get(&workload.subject);
        let rights = rights.ok_or(Refusal::NotAdmitted)?;
        let granted = scopes.iter().filter_map(|scope| {
            let (repository, asked) = repository(scope)?;
            let allowed = rights.get(repository)?;
            let actions: Vec<_> = asked
                .split(',')
                .filter(|action| allowed.iter().any(|one| one == action))
                .collect();
            let granted = || format!("repository:{repository}:{}", actions.join(","));
            (!actions.is_empty()).then(granted)
        });
        Ok(granted.collect())
    }

    fn sign(&self, workload: &Workload, scopes: &[String]) -> Result<Response<Full<Bytes>>> {
        let access = scopes.iter().filter_map(|scope| {
            let (name, actions) = repository(scope)?;
            let actions: Vec<_> = actions.split(',').collect();
            Some(json!({ "type": "repository", "name": name, "actions": actions }))
        });
        let now = now();
        let until = workload.until.min(now + LIFE);
        let token = self.signer.sign(&json!({
            "iss": ISSUER, "aud": SERVICE, "sub": workload.subject,
            "iat": now, "nbf": now, "exp": until,
            "access": access.collect::<Vec<_>>(),
        }))?;
        reply(
            StatusCode::OK,
            &json!({ "token": token, "access_token": token, "expires_in": until - now }),
        )
    }
}

const ISSUER: &str = "workload-realm";

/// Name and actions of a scope, if it is for a repository. The name can hold a colon.
fn repository(scope: &str) -> Option<(&str, &str)> {
    scope.strip_prefix("repository:")?.rsplit_once(':')
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
