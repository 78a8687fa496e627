//! One request to the API server, and what came of it.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use kube::api::GetParams;
use kube::core::{PartialObjectMeta, Request, Status};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::timeout;

use super::{Cluster, ClusterError, clip, describe};

/// A request as `kube::core::Request` builds it, or why it cannot be built.
type Built = Result<hyper::Request<Vec<u8>>, kube::core::request::Error>;

/// Why a request came to nothing.
#[derive(Debug, Error)]
pub(crate) enum RequestError {
    /// There is nobody to ask.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// There is no such object. The API server itself says so, and nobody on the way to it.
    #[error("there is no such object")]
    NotFound,
    /// Somebody else has written it since it was read, has made it before, or owns a field of it.
    #[error("somebody else was faster: {}", clip(&.0.message))]
    Conflict(Box<Status>),
    /// Any other no of the API server's.
    #[error("{}", clip(&.0.message))]
    Refused(Box<Status>),
    /// There was no answer that can be read. Whether the request was carried out, nobody knows.
    #[error("{0}")]
    Failed(String),
}

impl Cluster {
    /// Sends a request once, and waits for the answer as long as the settings allow.
    ///
    /// What the answer says is logged when it cannot be read, so that this is not for Secrets.
    ///
    /// # Errors
    /// Why it came to nothing. The next request has a fresh client where that might mend it.
    pub(crate) async fn send<O: DeserializeOwned>(
        &self,
        request: Built,
    ) -> Result<O, RequestError> {
        let request = request.map_err(|error| RequestError::Failed(error.to_string()))?;
        let connection = self.connection().await?;
        let answer = connection.client.request(request);
        let Ok(answer) = timeout(self.0.request_timeout, answer).await else {
            return Err(RequestError::Failed(
                "the API server does not answer in time".to_owned(),
            ));
        };
        // Whatever is not an opinion about the request may be mended by fresh credentials or another address.
        let opinion = match &answer {
            Ok(_) => true,
            Err(kube::Error::Api(status)) => status.code != 401,
            Err(_) => false,
        };
        if !opinion {
            self.renew(&connection).await;
        }
        answer.map_err(|error| match error {
            kube::Error::Api(status) => RequestError::of(status),
            other => RequestError::Failed(describe(&other)),
        })
    }

    /// The metadata of a Node as it is at this moment; `None` if there is none of this name. The agent may `get` its own.
    ///
    /// # Errors
    /// Why nobody can tell.
    pub(crate) async fn node(&self, name: &str) -> Result<Option<ObjectMeta>, RequestError> {
        let request = Request::new(Node::url_path(&(), None));
        let request = request.get_metadata(name, &GetParams::default());
        match self.send::<PartialObjectMeta<Node>>(request).await {
            Ok(node) => Ok(Some(node.metadata)),
            Err(RequestError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl RequestError {
    fn of(status: Box<Status>) -> Self {
        match (status.code, status.reason.as_str()) {
            (404, "NotFound") => Self::NotFound,
            (409, _) => Self::Conflict(status),
            _ => Self::Refused(status),
        }
    }
}

#[cfg(test)]
mod tests;
