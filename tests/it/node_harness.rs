//! A node of real parts, before anything is tested with it: it becomes Ready, pulls with the
//! credentials that it finds, and leaves nothing behind.

mod leaving;
mod provider;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use support::cluster::Cluster;
use support::fixture::{Credential, config_json};
use support::node::{Image, NodePlan, PodSpec, PullPolicy};
use support::registry::Registry;
use support::scratch::Scratch;

use provider::Provider;

#[tokio::test]
async fn a_pod_runs_when_the_nodes_file_has_the_credential_and_not_before() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let scene = Scene::new("file").await?;
    let mut node = NodePlan::new("file").join(cluster).await?;
    let without = node.create(&scene.pod("without")).await?;
    let failure = without.pull_failure().await?;
    assert!(failure.message.contains(&scene.image), "{failure:?}");
    assert!(failure.message.contains("401"), "{failure:?}");
    without.delete().await?;

    let host = scene.registry.host();
    node.write_auth_file(&config_json([(host.as_str(), &scene.credential)]))?;
    // A kubelet that has looked for the file goes on for minutes with what it found.
    node.restart_kubelet().await?;
    let with = node.create(&scene.pod("with")).await?;
    with.running().await?;
    with.delete().await?;
    node.leave().await
}

#[tokio::test]
async fn a_registry_may_have_any_name() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let scene = Scene::new("name").await?;
    let node = NodePlan::new("name")
        .auth_file(&config_json([("registry.test/app", &scene.credential)]))
        .join(cluster)
        .await?;
    node.add_registry(
        "registry.test",
        &format!("http://{}", scene.registry.host()),
    )?;
    let spec = PodSpec::new(&scene.namespace, "pod", "registry.test/app:1");
    node.create(&spec).await?.running().await?;
    node.leave().await
}

#[tokio::test]
async fn an_imported_image_needs_no_registry() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("import").await?;
    let node = NodePlan::new("import").join(cluster).await?;
    let image = "registry.test/imported:1";
    let archive = Image::pause("imported")?.archive(image);
    let scratch = Scratch::new("image")?;
    node.import(&scratch.write("image.tar", archive)?).await?;
    let spec = PodSpec::new(&namespace, "pod", image).pull_policy(PullPolicy::Never);
    node.create(&spec).await?.running().await?;
    node.leave().await
}

#[tokio::test]
async fn a_credential_provider_is_asked_again_for_each_pull() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let scene = Scene::new("provider").await?;
    let host = scene.registry.host();
    let provider = Provider::new()?;
    provider.configure(&host, &json!({}))?;
    provider.answer(&host, &Credential::new())?;
    let node = NodePlan::new("provider")
        .credential_providers(provider.config(), provider.programs())
        .join(cluster)
        .await?;

    let wrong = node.create(&scene.pod("wrong")).await?;
    let failure = wrong.pull_failure().await?;
    assert!(failure.message.contains("401"), "{failure:?}");
    wrong.delete().await?;
    for (asked, name) in [(1, "first"), (2, "second")] {
        provider.answer(&host, &scene.credential)?;
        let before = provider.asked()?.len();
        assert!(before >= asked, "{before} times");
        let pod = node.create(&scene.pod(name)).await?;
        pod.running().await?;
        let requests = provider.asked()?;
        assert_eq!(requests.len(), before + 1);
        assert_eq!(
            requests.last(),
            Some(&json!({
                "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
                "kind": "CredentialProviderRequest",
                "image": scene.image.trim_end_matches(":1"),
            }))
        );
        pod.delete().await?;
    }
    node.leave().await
}

#[tokio::test]
async fn a_credential_provider_gets_the_pods_service_account_token() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let scene = Scene::new("token").await?;
    let audience = "https://sso.test/realms/token";
    cluster.service_account(&scene.namespace, "puller").await?;
    let host = scene.registry.host();
    let provider = Provider::new()?;
    provider.configure(
        &host,
        &json!({ "tokenAttributes": {
            "serviceAccountTokenAudience": audience,
            "cacheType": "Token",
            "requireServiceAccount": true,
        }}),
    )?;
    provider.answer(&host, &scene.credential)?;
    let node = NodePlan::new("token")
        .credential_providers(provider.config(), provider.programs())
        .join(cluster)
        .await?;
    let early = node
        .create(&scene.pod("early").service_account("puller"))
        .await?;
    early.pull_failure().await?;
    let log = node.kubelet_log()?;
    let refusal = "not authorized to request tokens for this audience";
    assert!(log.contains(refusal), "nothing of the audience in the log");
    assert_eq!(provider.asked()?, Vec::<Value>::new());

    allow_audience(cluster, "token", audience).await?;
    let pod = node
        .create(&scene.pod("pod").service_account("puller"))
        .await?;
    pod.running().await?;

    let requests = provider.asked()?;
    let token = requests
        .last()
        .and_then(|request| request["serviceAccountToken"].as_str());
    let claims = claims(token.context("no token")?)?;
    assert_eq!(claims["aud"], json!([audience]));
    assert_eq!(claims["iss"], cluster.issuer());
    let subject = format!("system:serviceaccount:{}:puller", scene.namespace);
    assert_eq!(claims["sub"], subject);
    let bound = &claims["kubernetes.io"];
    assert_eq!(bound["pod"]["name"], "pod");
    assert_eq!(
        bound["pod"]["uid"],
        pod.object().await?["metadata"]["uid"],
        "the token is the pod's own"
    );
    assert_eq!(bound["node"]["name"], node.name());
    node.leave().await
}

#[tokio::test]
async fn a_kubelet_that_does_not_start_says_why() -> Result<()> {
    let provider = Provider::new()?;
    provider.configure("registry.test", &json!({ "typo": true }))?;
    let mut node = NodePlan::new("typo").join(Cluster::shared().await?).await?;
    node.set_credential_providers(Some((provider.config(), provider.programs())));
    let error = format!("{:#}", node.restart_kubelet().await.unwrap_err());
    assert!(error.contains("kubelet ended at its start"), "{error}");
    assert!(error.contains("unknown field"), "{error}");
    node.set_credential_providers(None);
    node.start_kubelet().await?;
    node.leave().await
}

/// A registry with an image `app:1` that wants a password, and a namespace for the pods.
struct Scene {
    namespace: String,
    credential: Credential,
    registry: Registry,
    image: String,
}

impl Scene {
    async fn new(name: &str) -> Result<Self> {
        let namespace = Cluster::shared().await?.namespace(name).await?;
        let credential = Credential::new();
        let registry = Registry::with_passwords(&[&credential]).await?;
        registry
            .push(&credential, "app:1", &Image::pause(name)?)
            .await?;
        let image = registry.image("app:1");
        Ok(Self {
            namespace,
            credential,
            registry,
            image,
        })
    }

    fn pod(&self, name: &str) -> PodSpec {
        PodSpec::new(&self.namespace, name, &self.image)
    }
}

/// Lets kubelets ask for service-account tokens of an audience.
pub(crate) async fn allow_audience(cluster: &Cluster, name: &str, audience: &str) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let role = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": { "name": name },
        "rules": [{ "apiGroups": [""], "resources": [audience],
                    "verbs": ["request-serviceaccounts-token-audience"] }],
    });
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding",
        "metadata": { "name": name },
        "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": name },
        "subjects": [{ "apiGroup": group, "kind": "Group", "name": "system:nodes" }],
    });
    let both = json!({ "apiVersion": "v1", "kind": "List", "items": [role, binding] });
    cluster.kubectl()?.apply(&both.to_string()).await?;
    Ok(())
}

fn claims(token: &str) -> Result<Value> {
    let payload = token.split('.').nth(1).context("no JWT")?;
    Ok(serde_json::from_slice(
        &BASE64_URL_SAFE_NO_PAD.decode(payload)?,
    )?)
}
