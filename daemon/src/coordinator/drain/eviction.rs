//! One eviction, and what the API server says to it.

use std::time::Duration;

use kube::api::PostParams;
use kube::core::{Request, Status};
use pullkeeper_core::drain::{Answer, Eviction, Failure};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::cluster::Cluster;

/// Longest wait for an answer. The server itself may wait for ten seconds until nobody competes for the pod any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends an eviction, if `may` still says so when there is a connection. `None`: it was not sent.
pub(super) async fn evict(
    cluster: &Cluster,
    eviction: &Eviction,
    dry_run: bool,
    may: impl Fn() -> bool,
) -> Option<Answer> {
    let params = PostParams {
        dry_run,
        ..PostParams::default()
    };
    let path = format!("/api/v1/namespaces/{}/pods", eviction.namespace);
    let body = body(eviction).to_string().into_bytes();
    let request = Request::new(path).create_subresource("eviction", &eviction.name, &params, body);
    let connection = cluster.connection().await;
    let (Ok(request), Ok(connection)) = (request, connection) else {
        return None;
    };
    if !may() {
        return None;
    }
    let text = connection.client.request_text(request);
    match timeout(PATIENCE, text).await {
        Ok(Ok(_)) => Some(Answer::Accepted),
        Ok(Err(kube::Error::Api(status))) => {
            if status.code == 401 {
                cluster.renew(&connection).await;
            }
            Some(read(&status))
        }
        Ok(Err(_)) => {
            cluster.renew(&connection).await;
            Some(Answer::Unanswered)
        }
        Err(_) => Some(Answer::Unanswered),
    }
}

/// kube's own `Evict` writes the options under a name that the API server does not know.
fn body(eviction: &Eviction) -> Value {
    let mut options = json!({"preconditions": {"uid": eviction.uid}});
    if let Some(grace) = eviction.grace {
        options["gracePeriodSeconds"] = grace.into();
    }
    json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": eviction.name, "namespace": eviction.namespace},
        "deleteOptions": options,
    })
}

fn read(status: &Status) -> Answer {
    let details = status.details.as_ref();
    let causes = details.map(|details| &details.causes[..]);
    let causes = causes.unwrap_or_default().iter();
    let causes: Vec<_> = causes.map(|cause| &*cause.reason).collect();
    Answer::of(&Failure {
        code: status.code,
        message: &status.message,
        causes: &causes,
        retry_after_seconds: details.map_or(0, |details| details.retry_after_seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eviction(grace: Option<i64>) -> Eviction {
        Eviction {
            node: "n1".to_owned(),
            namespace: "web".to_owned(),
            name: "front-1".to_owned(),
            uid: "u".to_owned(),
            grace,
        }
    }

    #[test]
    fn an_eviction_names_the_uid_and_leaves_the_grace_to_the_pod() {
        let expected = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": "front-1", "namespace": "web"},
            "deleteOptions": {"preconditions": {"uid": "u"}},
        });
        assert_eq!(body(&eviction(None)), expected);
        let options = &body(&eviction(Some(1)))["deleteOptions"];
        assert_eq!(options["gracePeriodSeconds"], 1);
    }

    #[test]
    fn a_status_is_read_with_its_causes() {
        let of = |status: Value| read(&serde_json::from_value(status).unwrap());
        let answer = of(json!({
            "code": 429,
            "reason": "TooManyRequests",
            "message": "Cannot evict pod as it would violate the pod's disruption budget.",
            "details": {
                "causes": [{"reason": "DisruptionBudget", "message": "The disruption budget needs 2"}],
                "retryAfterSeconds": 10,
            },
        }));
        let retry_after = Some(Duration::from_secs(10));
        assert_eq!(answer, Answer::Budget { retry_after });
        let answer = of(json!({"code": 429, "message": "Too many requests"}));
        assert_eq!(answer, Answer::Busy { retry_after: None });
    }
}
