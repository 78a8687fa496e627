use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::ACCEPT;
use kube::Client;
use kube::api::GetParams;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock::{self, Handle};

use super::*;

type Server = Handle<hyper::Request<Body>, Response<Full<Bytes>>>;

fn cluster() -> (Cluster, Server) {
    let (service, server) = mock::pair();
    (Cluster::of_client(Client::new(service, "default")), server)
}

fn request() -> Built {
    Request::new("/api/v1/nodes").get("n", &GetParams::default())
}

/// Answers one request, and tells what was asked for.
async fn reply(server: &mut Server, code: u16, body: String) -> hyper::Request<Body> {
    let (asked, answer) = server.next_request().await.unwrap();
    assert_eq!(asked.uri(), "/api/v1/nodes/n");
    let body = Full::new(Bytes::from(body));
    answer.send_response(Response::builder().status(code).body(body).unwrap());
    asked
}

/// What comes of a request that is answered like that, and whether the next one has a fresh client.
async fn asked(code: u16, body: String) -> (Result<Value, RequestError>, bool) {
    let (cluster, mut server) = cluster();
    let before = cluster.connection().await.unwrap();
    let (came, _) = tokio::join!(cluster.send(request()), reply(&mut server, code, body));
    let after = cluster.connection().await.unwrap();
    (came, before.generation != after.generation)
}

fn status(code: u16, reason: &str) -> String {
    let details = json!({"causes": [{"reason": "DisruptionBudget", "message": "x"}]});
    json!({"kind": "Status", "code": code, "reason": reason, "message": "words", "details": details})
        .to_string()
}

#[tokio::test]
async fn an_answer_is_read() {
    let (came, renewed) = asked(200, json!({"a": 1}).to_string()).await;
    assert_eq!((came.unwrap(), renewed), (json!({"a": 1}), false));
}

#[tokio::test]
async fn a_no_is_told_apart_and_keeps_its_causes() {
    let (came, renewed) = asked(404, status(404, "NotFound")).await;
    assert!(matches!(came, Err(RequestError::NotFound)) && !renewed);

    let (came, renewed) = asked(409, status(409, "Conflict")).await;
    let Err(RequestError::Conflict(conflict)) = came else {
        panic!("{came:?}")
    };
    assert!(conflict.details.is_some() && !renewed);

    let (came, renewed) = asked(429, status(429, "TooManyRequests")).await;
    let words = came.as_ref().unwrap_err().to_string();
    let Err(RequestError::Refused(refused)) = came else {
        panic!("{came:?}")
    };
    let causes = &refused.details.unwrap().causes;
    assert_eq!(causes[0].reason, "DisruptionBudget");
    assert!(words == "words" && !renewed);
}

#[tokio::test]
async fn who_stands_between_does_not_know_what_is_there() {
    let (came, _) = asked(404, "<html>no backend</html>".to_owned()).await;
    assert!(
        matches!(came, Err(RequestError::Refused(status)) if status.code == 404),
        "that is no word about the object"
    );
}

#[tokio::test]
async fn fresh_credentials_and_another_connection_may_mend_it() {
    let (came, renewed) = asked(401, status(401, "Unauthorized")).await;
    assert!(matches!(came, Err(RequestError::Refused(_))) && renewed);
    let (came, renewed) = asked(200, "{".to_owned()).await;
    assert!(matches!(came, Err(RequestError::Failed(_))) && renewed);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_for_ever() {
    let (cluster, _server) = cluster();
    let came = cluster.send::<Value>(request()).await;
    let words = came.unwrap_err().to_string();
    assert!(words.contains("in time"), "{words}");
}

#[tokio::test]
async fn of_a_node_only_metadata_is_read_and_one_that_is_not_there_is_an_answer() {
    let (cluster, mut server) = cluster();
    let body = json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"uid": "u", "annotations": {"a": "b"}},
    });
    let (node, asked) = tokio::join!(cluster.node("n"), reply(&mut server, 200, body.to_string()));
    let accepts = asked.headers()[ACCEPT].to_str().unwrap();
    assert!(accepts.contains("as=PartialObjectMetadata"), "{accepts}");
    assert_eq!(node.unwrap().unwrap().uid.as_deref(), Some("u"));

    let missing = reply(&mut server, 404, status(404, "NotFound"));
    let (node, _) = tokio::join!(cluster.node("n"), missing);
    assert!(node.unwrap().is_none());
    let forbidden = reply(&mut server, 403, status(403, "Forbidden"));
    let (node, _) = tokio::join!(cluster.node("n"), forbidden);
    assert!(matches!(node, Err(RequestError::Refused(_))));
}
