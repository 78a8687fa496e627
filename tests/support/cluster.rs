//! A Kubernetes control plane of real parts on loopback: etcd, kube-apiserver,
//! kube-controller-manager and, on demand, kube-scheduler and KWOK, with an authority of its own
//! that makes identities.

mod api;
mod apiserver;
mod audit;
pub(crate) mod authority;
mod controllers;
mod etcd;
mod fake_nodes;
mod identity;
mod kubectl;
mod kwok;
pub(crate) mod nodes;
mod scheduler;
mod workload;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::built;
use crate::eventually;
use crate::http::{Endpoint, Method, StatusCode};
use crate::ports::Port;
use crate::proxy::Proxy;
use crate::scratch::Scratch;
use authority::Authority;
use identity::Proof;

pub use crate::part::Part;
pub use api::{Api, Watch};
pub use audit::{AuditEvent, AuditObject, AuditStatus, AuditUser};
pub use fake_nodes::{FakeNode, FakeNodes};
pub use identity::Identity;
pub use kubectl::Kubectl;
pub use kwok::STUBBORN;

/// A running control plane; its processes end when it is dropped.
pub struct Cluster {
    // The parts come first: they must be dead before their folder is removed.
    scheduler: OnceCell<(Part, Port)>,
    kwok: OnceCell<(Part, Port)>,
    issuer_published: OnceCell<()>,
    /// Set when [`crate::deploy::install`] is through.
    pub(crate) installed: OnceCell<()>,
    /// kube-controller-manager.
    pub controllers: Part,
    /// kube-apiserver.
    pub apiserver: Part,
    /// etcd.
    pub etcd: Part,
    authority: Authority,
    admin: Identity,
    ports: Ports,
    folder: Scratch,
    serial: AtomicU32,
}

struct Ports {
    etcd: Port,
    apiserver: Port,
    _others: [Port; 2],
}

impl Cluster {
    /// Starts a control plane of one's own, for tests that break it. It serves on return.
    ///
    /// # Errors
    /// When a program is missing (the message says what builds it) or does not start.
    pub async fn start() -> Result<Self> {
        let folder = Scratch::new("cluster")?;
        let authority = Authority::new()?;
        let admin = authority.client("admin", Some("system:masters"))?;
        let (etcd_port, api_port) = (Port::free()?, Port::free()?);
        let (peer_port, controllers_port) = (Port::free()?, Port::free()?);

        let mut etcd = etcd::part(folder.path(), &etcd_port, &peer_port)?;
        let mut apiserver = apiserver::part(&folder, &authority, &etcd_port, &api_port, &admin)?;
        let user = authority.client(controllers::USER, Some(controllers::GROUP))?;
        let url = format!("https://{}", api_port.address());
        let mut controllers =
            controllers::part(&folder, &authority, &url, &user, &controllers_port)?;

        // One after the other: whoever finds its server not listening waits a second before it
        // tries again.
        etcd.start().await?;
        apiserver.start().await?;
        controllers.start().await?;
        let ports = Ports {
            etcd: etcd_port,
            apiserver: api_port,
            _others: [peer_port, controllers_port],
        };
        let serial = AtomicU32::new(0);
        Ok(Self {
            scheduler: OnceCell::new(),
            kwok: OnceCell::new(),
            issuer_published: OnceCell::new(),
            installed: OnceCell::new(),
            controllers,
            apiserver,
            etcd,
            authority,
            admin,
            ports,
            folder,
            serial,
        })
    }

    /// The control plane that all tests of this process share; the first that asks starts it.
    /// Work in a [`Cluster::namespace`] of your own there.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// kube-scheduler; the first call starts it. Without it no pod gets a node.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn scheduler(&self) -> Result<&Part> {
        let start = async || {
            let port = Port::free()?;
            let user = self.authority.client(scheduler::USER, None)?;
            let mut part =
                scheduler::part(&self.folder, &self.authority, &self.url(), &user, &port)?;
            part.start().await?;
            anyhow::Ok((part, port))
        };
        Ok(&self.scheduler.get_or_try_init(start).await?.0)
    }

    /// KWOK, which plays [fake nodes](Cluster::fake_nodes) and their pods; the first call starts
    /// it. Nodes and pods of others it leaves alone.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn kwok(&self) -> Result<&Part> {
        let start = async || {
            let port = Port::free()?;
            let user = self.authority.client(kwok::USER, Some(kwok::GROUP))?;
            let mut part = kwok::part(&self.folder, &self.authority, &self.url(), &user, &port)?;
            part.start().await?;
            anyhow::Ok((part, port))
        };
        Ok(&self.kwok.get_or_try_init(start).await?.0)
    }

    /// The path of a program that `tests/cluster/build` has built.
    ///
    /// # Errors
    /// When it has not; the message says what to run.
    pub fn bin(name: &str) -> Result<PathBuf> {
        built::program("cluster", name)
    }

    /// `https://127.0.0.1:port` of the API server.
    pub fn url(&self) -> String {
        format!("https://{}", self.ports.apiserver.address())
    }

    /// The certificate of the authority that vouches for the API server, PEM.
    pub fn certificate(&self) -> String {
        self.authority.certificate()
    }

    /// The issuer of service-account tokens, also their default audience: [`Cluster::url`], so
    /// that its documents can be read from loopback.
    pub fn issuer(&self) -> String {
        self.url()
    }

    /// Lets everybody read the issuer's discovery documents, as whoever trusts its tokens must.
    ///
    /// # Errors
    /// When kubectl is not built or the API server refuses.
    pub async fn publish_issuer(&self) -> Result<()> {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": "published-issuer" },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                "name": "system:service-account-issuer-discovery",
            },
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io", "kind": "Group",
                "name": "system:unauthenticated",
            }],
        });
        let publish = async || self.kubectl()?.apply(&binding.to_string()).await.map(drop);
        // Once: of two that create the same at the same time one would be refused.
        self.issuer_published.get_or_try_init(publish).await?;
        Ok(())
    }

    /// The document with the public keys of service-account tokens (JWKS), as everybody can read it
    /// once the [issuer is published](Cluster::publish_issuer).
    ///
    /// # Errors
    /// When it is not, or the API server does not answer.
    pub async fn keys(&self) -> Result<Value> {
        let config = self.authority.client_config(None)?;
        let everybody = Endpoint::tls(self.ports.apiserver.address(), config);
        everybody.get("/openid/v1/jwks").await?.json()
    }

    /// The folder of the cluster, with the logs of its parts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Who may do everything (`system:masters`).
    pub fn admin(&self) -> &Identity {
        &self.admin
    }

    /// A user with a client certificate, without any right unless RBAC or the group gives it.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn user(&self, name: &str, group: Option<&str>) -> Result<Identity> {
        self.authority.client(name, group)
    }

    /// What the kubelet of a node is to the API server: `system:node:NAME` in `system:nodes`.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn node(&self, name: &str) -> Result<Identity> {
        self.user(&format!("system:node:{name}"), Some("system:nodes"))
    }

    /// A service account with a token from the TokenRequest API, valid for an hour. The account is
    /// created when there is none; rights are given by RBAC alone.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Identity> {
        let admin = self.api(&self.admin)?;
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        let account = json!({ "metadata": { "name": name } });
        let answer = admin.request(Method::POST, &path, Some(&account)).await?;
        if answer.status != StatusCode::CONFLICT {
            answer.json().context("cannot create the service account")?;
        }
        let token = self.token(namespace, name, &self.issuer()).await?;
        let user = format!("system:serviceaccount:{namespace}:{name}");
        Ok(Identity::new(user, Proof::Token(token)))
    }

    /// A token of a service account for this audience alone, valid for an hour.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn token(&self, namespace: &str, account: &str, audience: &str) -> Result<String> {
        let request = json!({ "audiences": [audience], "expirationSeconds": 3600 });
        self.request_token(namespace, account, &request).await
    }

    /// Writes a self-contained kubeconfig and returns its path, good as long as the cluster lives.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig(&self, who: &Identity) -> Result<PathBuf> {
        self.kubeconfig_for(who, &self.url())
    }

    /// [`Cluster::kubeconfig`] for whoever asks through a proxy: who shows a certificate instead
    /// of a token arrives there as `system:anonymous`, so that is refused.
    ///
    /// # Errors
    /// When `who` has no token or the file cannot be written.
    pub fn kubeconfig_through(&self, proxy: &Proxy, who: &Identity) -> Result<PathBuf> {
        ensure!(
            who.token().is_some(),
            "{} has no token, and certificates end at a proxy",
            who.name()
        );
        self.kubeconfig_for(who, &proxy.url())
    }

    /// kubectl as [`Cluster::admin`].
    ///
    /// # Errors
    /// When kubectl is not built.
    pub fn kubectl(&self) -> Result<Kubectl> {
        self.kubectl_with(&self.kubeconfig(&self.admin)?)
    }

    /// kubectl with a certain kubeconfig.
    ///
    /// # Errors
    /// When kubectl is not built.
    pub fn kubectl_with(&self, kubeconfig: &Path) -> Result<Kubectl> {
        Kubectl::new(kubeconfig, self.folder.join("kubectl"))
    }

    /// The API server as `who` sees it.
    ///
    /// # Errors
    /// When the identity's certificate cannot be used.
    pub fn api(&self, who: &Identity) -> Result<Api> {
        let config = self.authority.client_config(Some(who))?;
        Ok(Api::new(
            Endpoint::tls(self.ports.apiserver.address(), config),
            who,
        ))
    }

    /// The API server as `who` sees it through a proxy.
    ///
    /// # Errors
    /// When the identity's certificate cannot be used.
    pub fn api_through(&self, proxy: &Proxy, who: &Identity) -> Result<Api> {
        let config = self.authority.client_config(None)?;
        Ok(Api::new(Endpoint::tls(proxy.address(), config), who))
    }

    /// Creates a namespace whose name begins with `name` and is nobody else's, and waits until
    /// the controllers have put its `default` service account there.
    ///
    /// # Errors
    /// When the API server refuses or the controllers are down.
    pub async fn namespace(&self, name: &str) -> Result<String> {
        let name = format!("{name}-{}", self.serial.fetch_add(1, Ordering::Relaxed));
        let admin = self.api(&self.admin)?;
        admin
            .create(
                "/api/v1/namespaces",
                &json!({ "metadata": { "name": name } }),
            )
            .await?;
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        eventually(
            &format!("{name} has a default service account"),
            async || admin.get(&account).await,
        )
        .await?;
        Ok(name)
    }

    /// A proxy before the API server, with a certificate that the cluster's kubeconfigs trust.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn proxy(&self) -> Result<Proxy> {
        let upstream = Endpoint::tls(
            self.ports.apiserver.address(),
            self.authority.client_config(None)?,
        );
        Proxy::start(self.authority.server_config("proxy")?, upstream)
    }

    /// Everything asked of the API server so far, in the order of the answers.
    ///
    /// # Errors
    /// When the audit log cannot be read.
    pub fn audit_events(&self) -> Result<Vec<AuditEvent>> {
        audit::events(self.folder.path())
    }

    /// Compacts etcd to its newest revision, which is returned. The API server goes on serving
    /// recent history from memory: see [`Cluster::expire_history`] for what a watch notices.
    ///
    /// # Errors
    /// When etcd does not answer.
    pub async fn compact(&self) -> Result<u64> {
        etcd::compact(&self.etcd_endpoint()).await
    }

    /// Makes the API server forget its history while it runs: on return every open watch has been
    /// ended, and one that resumes from any `resourceVersion` handed out before gets 410.
    ///
    /// Compaction alone does not do that, because the API server answers from its own cache of
    /// events. It drops the cache when it must resume *its* watch of etcd from a revision that is
    /// gone, so etcd is compacted past all that the API server has seen, and restarted. (A restart
    /// of the API server has the same effect on the versions, but closes its port for seconds.)
    ///
    /// # Errors
    /// When a part does not come back, or 410 does not come.
    pub async fn expire_history(&mut self) -> Result<()> {
        let endpoint = self.etcd_endpoint();
        let last = etcd::revision(&endpoint).await?;
        // Its watch asks for the revision after the last one that it has seen, so one step past
        // that would still be there.
        etcd::advance(&endpoint).await?;
        etcd::advance(&endpoint).await?;
        etcd::compact(&endpoint).await?;
        self.etcd.restart().await?;
        let api = self.api(&self.admin)?;
        let path = format!("/api/v1/secrets?watch=1&timeoutSeconds=1&resourceVersion={last}");
        eventually("the API server has forgotten its history", async || {
            let event = api
                .watch(&path)
                .await?
                .next()
                .await?
                .context("a watch without 410")?;
            ensure!(event["object"]["code"] == 410, "a watch with {event}");
            Ok(())
        })
        .await
    }

    fn etcd_endpoint(&self) -> Endpoint {
        Endpoint::plain(self.ports.etcd.address())
    }

    fn kubeconfig_for(&self, who: &Identity, url: &str) -> Result<PathBuf> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let content = who.kubeconfig(url, &self.authority.certificate());
        self.folder
            .write(format!("kubeconfig-{serial}"), content.to_string())
    }
}
