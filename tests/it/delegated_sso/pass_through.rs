//! A pod's own service-account token is the password: real kubelet, real distribution, and a token endpoint that
//! verifies the token by the cluster's keys. There is no secret anywhere.

use anyhow::{Result, ensure};
use serde_json::json;
use support::agent::{Agent, Site};
use support::clients::{Client, Clients};
use support::cluster::Cluster;
use support::eventually;
use support::fixture::Credential;
use support::http::StatusCode;
use support::node::{Image, Node, NodePlan, PodSpec};
use support::registry::Registry;
use support::workload_realm::{Asked, Refusal, WorkloadRealm};

use super::{provider_node, pull, secretless};
use crate::helper_protocols::docker;

const AUDIENCE: &str = "https://registry.example";

// What containerd tells of the three ways in which it gets nothing.
const ANONYMOUS: &str = "failed to fetch anonymous token: unexpected status: 401";
const UNKNOWN: &str = "failed to fetch oauth token: unexpected status: 401";
const FORBIDDEN: &str = "insufficient_scope";

/// A registry that takes tokens of the cluster's pods, with an image for each of two accounts.
struct Scene {
    cluster: &'static Cluster,
    namespace: String,
    realm: WorkloadRealm,
    registry: Registry,
    audience: String,
}

impl Scene {
    async fn new(name: &str) -> Result<Self> {
        Self::taking(name, AUDIENCE.to_owned()).await
    }

    /// The registry's realm takes tokens for this audience.
    async fn taking(name: &str, audience: String) -> Result<Self> {
        let cluster = Cluster::shared().await?;
        cluster.publish_issuer().await?;
        let namespace = cluster.namespace(name).await?;
        for account in ["alpha", "beta", "stranger", "publisher"] {
            cluster.service_account(&namespace, account).await?;
        }
        let realm = WorkloadRealm::start(&cluster.issuer(), &cluster.keys().await?, &audience)?;
        let registry = Registry::for_workloads(&realm).await?;
        let scene = Self {
            cluster,
            namespace,
            realm,
            registry,
            audience,
        };
        for account in ["alpha", "beta"] {
            let repository = format!("team/{account}");
            scene.admit(account);
            let publisher = scene.subject("publisher");
            scene
                .realm
                .admit(&publisher, &repository, &["pull", "push"]);
            scene.publish(&repository).await?;
        }
        Ok(scene)
    }

    fn subject(&self, account: &str) -> String {
        format!("system:serviceaccount:{}:{account}", self.namespace)
    }

    /// Lets an account pull from the repository of its name.
    fn admit(&self, account: &str) {
        let repository = format!("team/{account}");
        self.realm
            .admit(&self.subject(account), &repository, &["pull"]);
    }

    fn image(&self, repository: &str) -> String {
        self.registry.image(&format!("{repository}:1"))
    }

    async fn publish(&self, repository: &str) -> Result<()> {
        let token = self
            .cluster
            .token(&self.namespace, "publisher", &self.audience)
            .await?;
        let token = Credential {
            username: "publisher".to_owned(),
            password: token,
        };
        let (name, image) = (format!("{repository}:1"), Image::pause(repository)?);
        self.registry.push(&token, &name, &image).await
    }

    /// All that an administrator writes.
    fn site(&self, name: &str, chosen: &str) -> Result<Site> {
        let host = self.registry.host();
        secretless(
            name,
            &format!(
                "[[delegation]]\nname = \"own-token\"\nregistries = [\"{host}\"]\n{chosen}\n\
                 audience = \"{}\"\n",
                self.audience
            ),
        )
    }

    fn pod(&self, name: &str, account: &str, repository: &str) -> PodSpec {
        PodSpec::new(&self.namespace, name, &self.image(repository)).service_account(account)
    }

    /// Creates a pod whose image is refused, in words of the registry or its realm that kubelet passes on.
    async fn refused(&self, node: &Node, pod: PodSpec, words: &str) -> Result<()> {
        let pod = node.create(&pod).await?;
        let failure = pod.pull_failure().await?;
        ensure!(failure.message.contains(words), "{failure:?}");
        pod.delete().await
    }

    /// Somebody has asked since then, and has shown nothing.
    fn was_shown_nothing_since(&self, before: usize) -> Result<()> {
        let asked = self.realm.asked().split_off(before);
        ensure!(!asked.is_empty(), "nobody has asked");
        for asked in asked {
            assert_eq!(asked.verdict, Err(Refusal::NoCredential));
        }
        Ok(())
    }

    /// The realm has seen this pod's own token beside the default user name, for this account, and always judged so.
    fn judged(
        &self,
        pod: &str,
        account: &str,
        verdict: Result<Vec<String>, Refusal>,
    ) -> Result<()> {
        let expected = Asked {
            username: Some("jwt".to_owned()),
            subject: Some(self.subject(account)),
            pod: Some(pod.to_owned()),
            verdict,
        };
        let asked = self.realm.asked();
        let mut by_pod = asked.iter().filter(|asked| asked.pod == expected.pod);
        let first = by_pod.next();
        ensure!(first == Some(&expected), "{pod}: {first:?}");
        ensure!(by_pod.all(|next| *next == expected), "{asked:#?}");
        Ok(())
    }
}

/// Nothing that the agent shows holds a JWT, which begins with an object in base64.
async fn shows_no_token(agent: &Agent) -> Result<()> {
    let mut shown = vec![agent.process().stderr(), agent.process().stdout()];
    for path in ["/metrics", "/statusz", "/readyz"] {
        let answer = agent.endpoint().get(path).await?;
        ensure!(answer.status == StatusCode::OK, "{path}: {}", answer.status);
        shown.push(answer.text());
    }
    ensure!(
        !shown.iter().any(|text| text.contains("eyJ")),
        "the agent shows a token"
    );
    Ok(())
}

fn pull_of(account: &str) -> Result<Vec<String>, Refusal> {
    Ok(vec![format!("repository:team/{account}:pull")])
}

#[tokio::test]
async fn accounts_pull_what_is_theirs_with_their_own_tokens() -> Result<()> {
    let scene = Scene::new("pass-through").await?;
    let site = scene.site("pass-through", "preset = \"zot\"")?;
    let agent = site.start().await?;
    let (_provider, node) = provider_node(
        scene.cluster,
        "pass-through",
        &site,
        &scene.registry,
        AUDIENCE,
    )
    .await?;
    for account in ["alpha", "beta"] {
        let own = scene.pod(account, account, &format!("team/{account}"));
        node.create(&own).await?.running().await?;
        scene.judged(account, account, pull_of(account))?;
    }
    // Each the other's image, which is on the node by now, and for which the other's token was good.
    for (account, other) in [("alpha", "beta"), ("beta", "alpha")] {
        let name = format!("{account}-{other}");
        let pod = scene.pod(&name, account, &format!("team/{other}"));
        scene.refused(&node, pod, FORBIDDEN).await?;
        scene.judged(&name, account, Ok(Vec::new()))?;
    }
    let stranger = scene.pod("stranger", "stranger", "team/alpha");
    scene.refused(&node, stranger, UNKNOWN).await?;
    scene.judged("stranger", "stranger", Err(Refusal::NotAdmitted))?;

    // What the realm decides counts at the next pull, for the one account that it is about.
    scene.realm.dismiss(&scene.subject("alpha"));
    let dismissed = scene.pod("dismissed", "alpha", "team/alpha");
    scene.refused(&node, dismissed, UNKNOWN).await?;
    scene.judged("dismissed", "alpha", Err(Refusal::NotAdmitted))?;
    scene.admit("alpha");
    for account in ["alpha", "beta"] {
        let name = format!("{account}-again");
        let again = scene.pod(&name, account, &format!("team/{account}"));
        node.create(&again).await?.running().await?;
        scene.judged(&name, account, pull_of(account))?;
    }

    // The agent was asked for each of the eight pulls, and has asked nobody.
    let labels = ["client=\"kubelet\"", "outcome=\"found\""];
    let found = agent
        .metric("pullkeeper_broker_answers_total", &labels)
        .await?;
    ensure!(found >= 8.0, "only {found} answers");
    let metrics = agent.metrics().await?;
    let exchanged = metrics.contains("pullkeeper_exchanges_total{");
    ensure!(!exchanged, "an exchange");
    shows_no_token(&agent).await?;
    ensure!(!node.kubelet_log()?.contains("eyJ"), "a token in a log");
    agent.stop().await?;
    node.leave().await
}

#[tokio::test]
async fn without_the_provider_the_same_pods_are_refused() -> Result<()> {
    let scene = Scene::new("pass-through-bare").await?;
    let node = NodePlan::new("pass-through-bare")
        .join(scene.cluster)
        .await?;
    let before = scene.realm.asked().len();
    for account in ["alpha", "beta"] {
        let own = scene.pod(account, account, &format!("team/{account}"));
        scene.refused(&node, own, ANONYMOUS).await?;
    }
    scene.was_shown_nothing_since(before)?;
    node.leave().await
}

#[tokio::test]
async fn a_token_for_somebody_else_is_not_handed_out() -> Result<()> {
    let scene = Scene::new("pass-through-audience").await?;
    let site = scene.site("pass-through-audience", "preset = \"zot\"")?;
    let agent = site.start().await?;
    let (_provider, node) = provider_node(
        scene.cluster,
        "pass-through-audience",
        &site,
        &scene.registry,
        "https://other.example",
    )
    .await?;
    let before = scene.realm.asked().len();
    let own = scene.pod("alpha", "alpha", "team/alpha");
    scene.refused(&node, own, ANONYMOUS).await?;
    let words = format!(
        "delegation own-token: the service-account token is not for {AUDIENCE} alone; set \
         `serviceAccountTokenAudience` of kubelet's provider to that"
    );
    let log = node.kubelet_log()?;
    ensure!(log.contains(&words), "no reason in kubelet's log");
    ensure!(!log.contains("eyJ"), "a token in a log");
    eventually("the reason in the agent's log", async || {
        let log = agent.log();
        let told = log.iter().any(|record| {
            let error = record["error"].as_str().unwrap_or_default();
            record["delegation"] == "own-token"
                && error.contains(&format!("is not for {AUDIENCE} alone"))
        });
        ensure!(told, "{log:?}");
        Ok(())
    })
    .await?;
    // The realm would refuse it too, but has not been shown it.
    scene.was_shown_nothing_since(before)?;
    shows_no_token(&agent).await?;
    agent.stop().await?;
    node.leave().await
}

/// No pod is behind a client at a shell, so there is no token to hand out, and it is told so.
/// As OpenShift's integrated registry wants it: a token that the API server takes too.
#[tokio::test]
async fn a_token_for_the_api_server_is_handed_out_by_name() -> Result<()> {
    let audience = Cluster::shared().await?.issuer();
    let scene = Scene::taking("openshift", audience).await?;
    let site = scene.site("openshift", "preset = \"openshift-integrated\"")?;
    let agent = site.start().await?;
    let (_provider, node) = provider_node(
        scene.cluster,
        "openshift",
        &site,
        &scene.registry,
        &scene.audience,
    )
    .await?;
    let own = scene.pod("alpha", "alpha", "team/alpha");
    node.create(&own).await?.running().await?;
    let granted = vec!["repository:team/alpha:pull".to_owned()];
    scene.judged("alpha", "alpha", Ok(granted))?;
    let other = scene.pod("alpha-beta", "alpha", "team/beta");
    scene.refused(&node, other, FORBIDDEN).await?;
    agent.stop().await?;
    node.leave().await
}

#[tokio::test]
async fn clients_of_the_helper_are_told_that_kubelet_is_needed() -> Result<()> {
    let scene = Scene::new("pass-through-clients").await?;
    let site = scene.site("pass-through-clients", "grant = \"pass-through\"")?;
    let agent = site.start().await?;
    let words = "it needs the pod's service-account token, which only kubelet's provider gets";
    let host = scene.registry.host();
    let output = docker(&site, "get", host.as_str()).await?;
    assert_eq!(output.status.code(), Some(1));
    ensure!(output.stdout.contains(words), "{}", output.stdout);
    ensure!(output.stdout.contains(AUDIENCE), "{}", output.stdout);

    let clients = Clients::new(&json!({"credHelpers": {(host): "pullkeeper"}}).to_string())?;
    let image = scene.image("team/alpha");
    let before = scene.realm.asked().len();
    for client in [
        Client::Skopeo,
        Client::Podman,
        Client::Buildah,
        Client::Crane,
    ] {
        let output = pull(&site, &clients, client, &image).await?;
        ensure!(!output.status.success(), "{client:?} pulled");
        let told = &output.stderr;
        ensure!(told.contains(words), "{client:?}: {told}");
    }
    let asked = scene.realm.asked().len();
    assert_eq!(asked, before, "somebody went on without a credential");
    // It does go on, and does not tell what the helper said.
    let output = pull(&site, &clients, Client::Docker, &image).await?;
    ensure!(!output.status.success(), "docker pulled");
    scene.was_shown_nothing_since(before)?;
    agent.stop().await?;
    Ok(())
}
