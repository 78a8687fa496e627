//! What real and fake nodes have in common at the API server.

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::api::Api;
use crate::http::{Method, StatusCode};

/// How many requests are under way at once where there are many.
const AT_ONCE: usize = 16;

/// Whether a Node, or a pod, is Ready; if not, the error shows the condition.
pub(crate) fn ready(object: &Value) -> Result<()> {
    let conditions = object["status"]["conditions"].as_array();
    let condition = conditions
        .and_then(|all| all.iter().find(|condition| condition["type"] == "Ready"))
        .context("no condition yet")?;
    ensure!(condition["status"] == "True", "{condition}");
    Ok(())
}

/// Does the same for each of many, several at once; the first error ends it.
pub(super) async fn each<T>(
    items: impl IntoIterator<Item = T>,
    act: impl AsyncFn(T) -> Result<()>,
) -> Result<()> {
    stream::iter(items)
        .map(|item| act(item))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Deletes Nodes that nobody plays the kubelet of any more, and their pods by force.
pub(crate) async fn forget(api: &Api, names: &[String]) -> Result<()> {
    // The Nodes first, so that no pod gets to one after its pods were listed.
    each(names, async |name: &String| {
        delete(api, &format!("/api/v1/nodes/{name}")).await
    })
    .await?;
    let pods = api.get("/api/v1/pods").await?;
    let theirs = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|pod| {
            let node = pod["spec"]["nodeName"].as_str();
            node.is_some_and(|node| names.iter().any(|name| name == node))
        });
    each(theirs, async |pod: &Value| {
        let (namespace, pod) = (&pod["metadata"]["namespace"], &pod["metadata"]["name"]);
        let namespace = namespace.as_str().context("a pod without a namespace")?;
        let pod = pod.as_str().context("a pod without a name")?;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}?gracePeriodSeconds=0");
        delete(api, &path).await
    })
    .await
}

/// Deletes an object that somebody else may have deleted already.
async fn delete(api: &Api, path: &str) -> Result<()> {
    let answer = api.request(Method::DELETE, path, None).await?;
    if answer.status != StatusCode::NOT_FOUND {
        answer.json().with_context(|| format!("DELETE {path}"))?;
    }
    Ok(())
}
