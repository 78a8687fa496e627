//! Pull Secrets of a pod's namespace, read with the pod's own service-account token: what its account may read, and
//! nothing else. The agent shows nothing of its own.

use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use hyper::{Request, StatusCode};
use kube::client::Body;
use pullkeeper_core::authfile::{Contribution, Credential, Document, Wanted};
use pullkeeper_core::directory::Directory;
use pullkeeper_core::jwt::Account;
use pullkeeper_core::query::Query;
use pullkeeper_core::wire::Secret;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::message::bearer;
use super::{Credentials, Failure};
use crate::cluster::{Cluster, describe};
use crate::source::items_of_list;

/// From the first byte sent to the last one received; the realm has to be asked within the helper's deadline too.
const TOTAL: Duration = Duration::from_secs(7);
/// A namespace with more pull Secrets than that has something else in them.
const LONGEST: usize = 8 << 20;

/// Where the Secrets are asked for.
#[derive(Clone, Debug)]
pub(super) struct ApiServer(Cluster);

/// What an account may read in its namespace.
pub(super) struct PullSecrets {
    account: Account,
    directory: Directory,
    /// Names of those that cannot be used as they are.
    broken: Vec<String>,
}

impl ApiServer {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self(cluster.anonymous())
    }

    /// The pull Secrets of the account's namespace.
    pub(super) async fn pull_secrets(
        &self,
        account: &Account,
        token: &Secret,
    ) -> Result<PullSecrets, Failure> {
        let read = timeout(TOTAL, self.read(&account.namespace, token)).await;
        let list = read.unwrap_or_else(|_| {
            Err(Failure::new(format!(
                "the API server did not answer within {TOTAL:?}"
            )))
        })?;
        let items = items_of_list(&list, str::to_owned);
        let items = items.ok_or_else(|| {
            Failure::new("the API server answered with something else than Secrets")
        })?;
        let mut broken = Vec::new();
        let mut documents = Vec::new();
        for item in items {
            let checked = item
                .content
                .as_ref()
                .ok()
                .map(|payload| Document::check(&payload.bytes, payload.shape));
            if checked
                .as_ref()
                .is_none_or(|checked| !checked.findings.is_empty())
            {
                broken.push(item.id.clone());
            }
            documents.push((item.id, checked.and_then(|checked| checked.document)));
        }
        let contributions: Vec<_> = documents
            .iter()
            .map(|(source, document)| Contribution {
                source,
                document: document.as_ref(),
                broken: &[],
            })
            .collect();
        let wanted = Wanted::join(&contributions, &mut Vec::new());
        Ok(PullSecrets {
            account: account.clone(),
            directory: Directory::new(&wanted),
            broken,
        })
    }

    async fn read(&self, namespace: &str, token: &Secret) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let unreachable =
            |detail: String| Failure::new(format!("cannot ask the API server: {detail}"));
        let connection = self
            .0
            .connection()
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let path = format!(
            "/api/v1/namespaces/{namespace}/secrets?fieldSelector=type%3Dkubernetes.io%2Fdockerconfigjson"
        );
        let request = Request::get(path)
            .header(AUTHORIZATION, bearer(token)?)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .body(Body::empty())
            .map_err(|error| unreachable(error.to_string()))?;
        let response = match connection.client.send(request).await {
            Ok(response) => response,
            Err(error) => {
                // Its address or its authority may have changed.
                self.0.renew(&connection).await;
                return Err(unreachable(describe(&error)));
            }
        };
        let (head, body) = response.into_parts();
        match head.status {
            StatusCode::OK => {}
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(Failure::new(format!(
                    "the API server refuses the pod's service account to list the Secrets of namespace {namespace} \
                     (status {}); bind a Role with the verb list on secrets to that account",
                    status.as_u16()
                )));
            }
            status => {
                return Err(unreachable(format!(
                    "it answered with status {}",
                    status.as_u16()
                )));
            }
        }
        let body = Limited::new(body, LONGEST).collect().await;
        let body = body.map_err(|_| {
            unreachable("the connection broke, or the list is longer than 8 MiB".to_owned())
        })?;
        Ok(Zeroizing::new(body.to_bytes().to_vec()))
    }
}

impl PullSecrets {
    /// The entry for an image's registry.
    pub(super) fn entry(&self, query: &Query) -> Result<Credential, Failure> {
        let found = self.directory.find(query).map(|entry| entry.credential());
        found.ok_or_else(|| {
            let broken = match &*self.broken {
                [] => String::new(),
                broken => format!(
                    "; `pullkeeper validate` says what is wrong with {}",
                    broken.join(", ")
                ),
            };
            Failure::new(format!(
                "no pull Secret of namespace {} has an entry for {}{broken}",
                self.account.namespace,
                query.registry()
            ))
        })
    }
}

impl Credentials for PullSecrets {
    fn namespace(&self) -> Option<&str> {
        Some(&self.account.namespace)
    }

    fn holder(&self) -> String {
        format!("the pull Secrets of namespace {}", self.account.namespace)
    }

    fn of(&self, place: &Query) -> Option<Credential> {
        Some(self.directory.find(place)?.credential())
    }
}
