//! The agent on a Secret in a real Kubernetes API server.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::agent::{Agent, Site};
use support::cluster::{Cluster, Kubectl};
use support::eventually;
use support::evidence::{self, Kind};
use support::fixture::{Credential, config_json, large_config_json};

const CONFIG_JSON: &str = "kubernetes.io/dockerconfigjson";

/// A namespace with an agent that may read its Secrets and write Events, and nothing else.
pub(crate) struct Scene<'c> {
    pub(crate) cluster: &'c Cluster,
    pub(crate) namespace: String,
    pub(crate) site: Site,
    kubectl: Kubectl,
}

impl<'c> Scene<'c> {
    pub(crate) async fn new(cluster: &'c Cluster, name: &str) -> Result<Self> {
        let namespace = cluster.namespace(name).await?;
        let site = Site::new(name)?;
        let kubectl = cluster.kubectl()?;
        Ok(Self {
            cluster,
            namespace,
            site,
            kubectl,
        })
    }

    /// The same scene after something was done to its control plane.
    pub(crate) fn resume(cluster: &'c Cluster, site: Site, namespace: String) -> Result<Self> {
        Ok(Self {
            cluster,
            namespace,
            site,
            kubectl: cluster.kubectl()?,
        })
    }

    /// Gives the agent its rights and its configuration; `sources` defaults to the Secret `pull-secret`.
    pub(crate) async fn configure(
        &self,
        kubeconfig: &std::path::Path,
        sources: Option<&str>,
    ) -> Result<()> {
        let namespace = &self.namespace;
        let default =
            format!("[[source]]\nname = \"global\"\nsecret = \"{namespace}/pull-secret\"\n");
        let sources = sources.unwrap_or(&default);
        let target = self.site.join("auth.json");
        let node = self.node();
        self.site.configure(
            &format!("node_name = \"{node}\""),
            &format!(
                "{sources}[[target]]\nkind = \"kubelet\"\npath = {target:?}\n\
                 [kubernetes]\nkubeconfig = {kubeconfig:?}\nwatch_timeout = \"10s\"\n"
            ),
        )
    }

    /// The node's name; each scene has one of its own.
    pub(crate) fn node(&self) -> String {
        format!("node-{}", self.namespace)
    }

    /// Makes the Node object, the agent's service account with its rights, and a kubeconfig for it.
    pub(crate) async fn identity(&self) -> Result<support::cluster::Identity> {
        let (namespace, node) = (&self.namespace, self.node());
        let rules = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "agent", "namespace": namespace}},
            role("Role", namespace, &json!([
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]},
            ])),
            binding("RoleBinding", namespace, namespace),
            role("ClusterRole", namespace, &json!([
                {"apiGroups": [""], "resources": ["nodes"], "resourceNames": [node], "verbs": ["get"]},
                {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
            ])),
            binding("ClusterRoleBinding", namespace, namespace),
        ]});
        self.kubectl.apply(&rules.to_string()).await?;
        self.cluster.service_account(namespace, "agent").await
    }

    pub(crate) async fn start(&self, sources: Option<&str>) -> Result<Agent> {
        let agent = self.identity().await?;
        let kubeconfig = self.cluster.kubeconfig(&agent)?;
        self.configure(&kubeconfig, sources).await?;
        self.site.start().await
    }

    pub(crate) async fn apply(&self, name: &str, kind: &str, key: &str, body: &str) -> Result<()> {
        self.apply_labelled(name, kind, key, body, &json!({})).await
    }

    pub(crate) async fn apply_labelled(
        &self,
        name: &str,
        kind: &str,
        key: &str,
        body: &str,
        labels: &Value,
    ) -> Result<()> {
        use base64::Engine as _;
        let data = base64::engine::general_purpose::STANDARD.encode(body);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind,
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            "data": {key: data},
        });
        // Server-side: the annotation of a client-side apply would be too long for large Secrets.
        self.kubectl
            .run_with_input(
                &["apply", "--server-side", "--force-conflicts", "-f", "-"],
                &secret.to_string(),
            )
            .await?;
        Ok(())
    }

    pub(crate) async fn pull_secret(&self, body: &str) -> Result<()> {
        self.apply("pull-secret", CONFIG_JSON, ".dockerconfigjson", body)
            .await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.kubectl
            .run(&["delete", "secret", name, "-n", &self.namespace])
            .await?;
        Ok(())
    }
}

fn role(kind: &str, name: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": {"name": format!("{name}-agent"), "namespace": name}, "rules": rules,
    })
}

fn binding(kind: &str, name: &str, namespace: &str) -> Value {
    let role = kind.strip_suffix("Binding").unwrap_or(kind);
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": {"name": format!("{name}-agent"), "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": format!("{name}-agent")},
        "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": namespace}],
    })
}

#[tokio::test]
async fn an_update_reaches_the_file_and_the_old_one_is_valid_until_then() -> Result<()> {
    let scene = Scene::new(Cluster::shared().await?, "update").await?;
    let credentials: Vec<_> = (0..6).map(|_| Credential::new()).collect();
    scene
        .pull_secret(&config_json([("a.example", &credentials[0])]))
        .await?;
    let agent = scene.start(None).await?;
    scene.site.holds(&[("a.example", &credentials[0])]).await?;

    // A reader that never stops looking: what it finds is always one of the published documents.
    let path = scene.site.join("auth.json");
    let valid: Vec<Value> = credentials
        .iter()
        .map(|credential| serde_json::from_str(&config_json([("a.example", credential)])))
        .collect::<Result<_, _>>()?;
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let reader = tokio::task::spawn_blocking({
        let done = std::sync::Arc::clone(&done);
        move || -> Result<u64> {
            let mut reads = 0;
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let found: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
                ensure!(
                    valid.contains(&found),
                    "the reader saw something that nobody published"
                );
                reads += 1;
            }
            Ok(reads)
        }
    });
    for credential in &credentials[1..] {
        scene
            .pull_secret(&config_json([("a.example", credential)]))
            .await?;
        scene.site.holds(&[("a.example", credential)]).await?;
    }
    done.store(true, std::sync::atomic::Ordering::Release);
    assert!(reader.await?? > 100);
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn whatever_becomes_of_the_secret_the_last_good_file_stays() -> Result<()> {
    let scene = Scene::new(Cluster::shared().await?, "fate").await?;
    let (first, second) = (Credential::new(), Credential::new());
    let good = config_json([("a.example", &first), ("b.example", &first)]);
    let both = [("a.example", &first), ("b.example", &first)];
    scene.pull_secret(&good).await?;
    let agent = scene.start(None).await?;
    scene.site.holds(&both).await?;

    for (body, reason) in [
        ("{}", "MissingAuths"),
        ("null", "MissingAuths"),
        ("{\"auths\":{}}", "EmptyAuths"),
        ("{\"auths\":\"x\"}", "NotAnObject"),
        ("{\"auths\":{\"a.example\":{\"auth\":\"bar\"}}}", "BadEntry"),
    ] {
        scene.pull_secret(body).await?;
        agent.finds(reason).await?;
        scene.site.holds(&both).await?;
    }

    scene.delete("pull-secret").await?;
    agent.finds("SecretNotFound").await?;
    scene.site.holds(&both).await?;
    scene
        .apply(
            "pull-secret",
            "Opaque",
            ".dockerconfigjson",
            &config_json([("a.example", &second)]),
        )
        .await?;
    agent.finds("WrongType").await?;
    scene.site.holds(&both).await?;
    scene.delete("pull-secret").await?;
    // A legacy body in a place for config.json.
    let legacy = json!({"a.example": second.entry()}).to_string();
    scene.pull_secret(&legacy).await?;
    agent.finds("WrongShape").await?;
    scene.site.holds(&both).await?;
    scene.delete("pull-secret").await?;

    // The legacy type with its own key and body is as good as the other.
    scene
        .apply(
            "pull-secret",
            "kubernetes.io/dockercfg",
            ".dockercfg",
            &legacy,
        )
        .await?;
    scene.site.holds(&[("a.example", &second)]).await?;

    let bad_among_good = json!({"auths": {
        "a.example": {"auth": "%%"}, "b.example": second.entry(), "c.example": first.entry(),
    }});
    scene.delete("pull-secret").await?;
    scene.pull_secret(&bad_among_good.to_string()).await?;
    // a.example keeps the last good value that this node has.
    agent.finds("BadEntry").await?;
    scene
        .site
        .holds(&[
            ("a.example", &second),
            ("b.example", &second),
            ("c.example", &first),
        ])
        .await?;

    // Events tell the same, once each, and nothing secret.
    let field = format!("regarding.name={}", scene.node());
    let list = [
        "get",
        "events.v1.events.k8s.io",
        "-A",
        "-o",
        "json",
        "--field-selector",
        &field,
    ];
    let events = eventually("the Events", async || {
        let text = scene.kubectl.run(&list).await?;
        let reasons = ["MissingAuths", "SecretNotFound", "WrongType", "BadEntry"];
        ensure!(reasons.iter().all(|reason| text.contains(reason)), "{text}");
        Ok(text)
    })
    .await?;
    evidence::keep(Kind::Events, &events)?;
    let events: Value = serde_json::from_str(&events)?;
    let of = |reason: &str| {
        let items = events["items"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        items
            .iter()
            .filter(|event| event["reason"] == reason)
            .count()
    };
    assert_eq!(of("WrongType"), 1);
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_name_is_used_when_it_is_configured_and_told_when_not() -> Result<()> {
    let scene = Scene::new(Cluster::shared().await?, "key").await?;
    let credential = Credential::new();
    scene
        .apply(
            "pull-secret",
            "Opaque",
            "my-config",
            &config_json([("a.example", &credential)]),
        )
        .await?;
    let source = |key: &str| {
        format!(
            "[[source]]\nname = \"global\"\nsecret = \"{}/pull-secret\"\nkey = \"{key}\"\n",
            scene.namespace
        )
    };
    let agent = scene.start(Some(&source("other"))).await?;
    eventually("the missing key is told", async || {
        let status = agent.status().await?.to_string();
        ensure!(
            status.contains("MissingKey") && status.contains("my-config"),
            "{status}"
        );
        Ok(())
    })
    .await?;
    ensure!(
        !scene.site.join("auth.json").exists(),
        "a file without entries was created"
    );
    agent.stop().await?;
    let agent = scene.start(Some(&source("my-config"))).await?;
    scene.site.holds(&[("a.example", &credential)]).await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn five_thousand_entries_and_a_full_mebibyte_pass() -> Result<()> {
    let scene = Scene::new(Cluster::shared().await?, "large").await?;
    let mut body = large_config_json(5000, "");
    ensure!(body.len() < 1024 * 1024, "{} bytes", body.len());
    // The API server's limit is for the data in all: what is missing to it becomes white space.
    let padding = 1024 * 1024 - body.len();
    body.push_str(&" ".repeat(padding));
    scene.pull_secret(&body).await?;
    let agent = scene.start(None).await?;
    eventually("the target has all entries", async || {
        let found: Value = serde_json::from_slice(&std::fs::read(scene.site.join("auth.json"))?)?;
        let found = found["auths"].as_object().map_or(0, serde_json::Map::len);
        ensure!(found == 5000, "{found} entries");
        Ok(())
    })
    .await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn labelled_secrets_join_by_precedence_and_go_when_they_are_deleted() -> Result<()> {
    let scene = Scene::new(Cluster::shared().await?, "labels").await?;
    let (base, one, two) = (Credential::new(), Credential::new(), Credential::new());
    scene
        .pull_secret(&config_json([("a.example", &base)]))
        .await?;
    let label = json!({"pull-secret": "additional"});
    let add = async |name: &str, body: &str| {
        scene
            .apply_labelled(name, CONFIG_JSON, ".dockerconfigjson", body, &label)
            .await
    };
    add(
        "one",
        &config_json([("a.example", &one), ("b.example", &one)]),
    )
    .await?;
    add(
        "two",
        &config_json([("b.example", &two), ("c.example", &two)]),
    )
    .await?;
    let namespace = &scene.namespace;
    let sources = format!(
        "[[source]]\nname = \"global\"\nsecret = \"{namespace}/pull-secret\"\n\
         [[source]]\nname = \"more\"\nnamespace = \"{namespace}\"\nlabel_selector = \"pull-secret=additional\"\n"
    );
    let agent = scene.start(Some(&sources)).await?;
    agent.finds("SourceConflict").await?;
    scene
        .site
        .holds(&[
            ("a.example", &base),
            ("b.example", &one),
            ("c.example", &two),
        ])
        .await?;
    scene.delete("one").await?;
    scene
        .site
        .holds(&[
            ("a.example", &base),
            ("b.example", &two),
            ("c.example", &two),
        ])
        .await?;
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_file_of_the_machine_config_operator_is_only_observed() -> Result<()> {
    let scene = Scene::new(Cluster::shared().await?, "mco").await?;
    let (before, after) = (Credential::new(), Credential::new());
    scene
        .pull_secret(&config_json([("a.example", &after)]))
        .await?;
    scene
        .site
        .write("auth.json", config_json([("a.example", &before)]))?;
    let identity = scene.identity().await?;
    let annotation = "machineconfiguration.openshift.io/currentConfig=rendered-worker-1";
    scene
        .kubectl
        .run(&["annotate", "node", &scene.node(), annotation])
        .await?;
    scene
        .configure(&scene.cluster.kubeconfig(&identity)?, None)
        .await?;
    let agent = scene.site.start().await?;
    eventually("the difference is shown", async || {
        let status = agent.status().await?;
        ensure!(status["targets"][0]["state"] == "observed", "{status}");
        Ok(())
    })
    .await?;
    scene.site.holds(&[("a.example", &before)]).await?;
    // MCO writes what the Secret says: the agent sees that it is right.
    scene
        .site
        .write("auth.json", config_json([("a.example", &after)]))?;
    eventually("it is in sync", async || {
        let status = agent.status().await?;
        ensure!(status["targets"][0]["state"] == "in-sync", "{status}");
        Ok(())
    })
    .await?;
    assert!(
        agent
            .metric("pullkeeper_target_writes_total", &[])
            .await
            .is_err(),
        "the agent wrote"
    );
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn without_the_right_to_read_the_agent_says_which_rule_is_missing() -> Result<()> {
    let scene = Scene::new(Cluster::shared().await?, "forbidden").await?;
    let credential = Credential::new();
    scene
        .pull_secret(&config_json([("a.example", &credential)]))
        .await?;
    scene.identity().await?;
    let nobody = scene
        .cluster
        .service_account(&scene.namespace, "default")
        .await?;
    scene
        .configure(&scene.cluster.kubeconfig(&nobody)?, None)
        .await?;
    let agent = scene.site.start().await?;
    eventually("the missing rule is told", async || {
        let status = agent.status().await?.to_string();
        ensure!(
            status.contains("Forbidden") && status.contains("pull-secret"),
            "{status}"
        );
        Ok(())
    })
    .await?;
    tokio::time::timeout(Duration::from_secs(30), agent.stop()).await??;
    Ok(())
}
