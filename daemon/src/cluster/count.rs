//! Requests to the API server, counted where all of them pass.

use std::task::{Context, Poll};

use hyper::{Method, Request, Uri};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tower_layer::Layer;
use tower_service::Service;

/// Requests by verb and resource, as RBAC has them.
pub(crate) type Requests = Family<[(&'static str, String); 2], Counter>;

/// Puts a counter in front of a service.
#[derive(Clone, Debug)]
pub(super) struct Count(pub(super) Requests);

/// Counts what is sent through the service that it has.
#[derive(Clone, Debug)]
pub(super) struct Counting<S> {
    service: S,
    requests: Requests,
}

impl<S> Layer<S> for Count {
    type Service = Counting<S>;

    fn layer(&self, service: S) -> Counting<S> {
        Counting {
            service,
            requests: self.0.clone(),
        }
    }
}

impl<B, S: Service<Request<B>>> Service<Request<B>> for Counting<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let (verb, resource) = kind(request.method(), request.uri());
        let labels = [("verb", verb.to_owned()), ("resource", resource)];
        self.requests.get_or_create(&labels).inc();
        self.service.call(request)
    }
}

/// The verb and the resource with its subresource, in which no object is named: there are few of them.
fn kind(method: &Method, uri: &Uri) -> (&'static str, String) {
    let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
    match parts.next() {
        Some("api") => parts.next(),
        Some("apis") => parts.nth(1),
        _ => None,
    };
    let rest: Vec<_> = parts.collect();
    let rest = match *rest {
        ["namespaces", _, ref within @ ..] if !within.is_empty() => within,
        ref all => all,
    };
    let (resource, named) = match *rest {
        [resource, _, subresource, ..] => (format!("{resource}/{subresource}"), true),
        [resource, _] => (resource.to_owned(), true),
        [resource] => (resource.to_owned(), false),
        [] => (String::new(), true),
    };
    let watch = |pair: &str| matches!(pair, "watch" | "watch=1" | "watch=true");
    let verb = match *method {
        Method::GET if uri.query().is_some_and(|query| query.split('&').any(watch)) => "watch",
        Method::GET if named => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_by_verb_and_resource() {
        let records = "/apis/pullkeeper.io/v1alpha1/nodepullsecrets";
        for (method, path, verb, resource) in [
            (Method::GET, "/api/v1/nodes?&limit=500", "list", "nodes"),
            (
                Method::GET,
                "/api/v1/nodes?watch=true&a=b",
                "watch",
                "nodes",
            ),
            (Method::GET, "/api/v1/nodes/watch?", "get", "nodes"),
            (
                Method::PATCH,
                "/api/v1/nodes/a/status?x",
                "patch",
                "nodes/status",
            ),
            (
                Method::POST,
                "/api/v1/namespaces/n/pods/p/eviction",
                "create",
                "pods/eviction",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/n/secrets",
                "list",
                "secrets",
            ),
            (Method::GET, "/api/v1/namespaces/n", "get", "namespaces"),
            (Method::POST, records, "create", "nodepullsecrets"),
            (
                Method::PUT,
                "/apis/coordination.k8s.io/v1/namespaces/n/leases/l",
                "update",
                "leases",
            ),
            (Method::GET, "/version", "get", ""),
        ] {
            let uri = path.parse().unwrap();
            assert_eq!(kind(&method, &uri), (verb, resource.to_owned()), "{path}");
        }
    }
}
