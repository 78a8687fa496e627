//! No stored secret: a pod's own service account, exchanged at Keycloak.

use anyhow::{Result, ensure};
use support::cluster::Cluster;
use support::eventually;
use support::fixture::{Credential, config_json};
use support::keycloak::{Keycloak, Login, Mapper, Realm};
use support::node::{Image, PodSpec};
use support::registry::Registry;
use support::token_service::TokenService;

use super::{APP, provider_node, secretless};
use crate::helper_protocols::site;

async fn federated(realm: &Realm, namespace: &str, account: &str, repository: &str) -> Result<()> {
    let login = Login::Federated {
        id: account,
        provider: "cluster",
        subject: &format!("system:serviceaccount:{namespace}:{account}"),
    };
    let mappers = Mapper::registry(repository, &["pull"]);
    realm.client(&login, &mappers).await
}

/// A client whose tokens permit this with the repository.
pub(super) async fn client(
    realm: &Realm,
    name: &str,
    repository: &str,
    actions: &[&str],
) -> Result<Credential> {
    let client = Credential {
        username: name.to_owned(),
        ..Credential::new()
    };
    let mappers = Mapper::registry(repository, actions);
    realm.client(&Login::Secret(&client), &mappers).await?;
    Ok(client)
}

/// Pushes an image to the repository, with a client that only this needs.
pub(super) async fn publish(realm: &Realm, registry: &Registry, repository: &str) -> Result<()> {
    let name = format!("publisher-{}", repository.replace('/', "-"));
    let client = client(realm, &name, repository, &["pull", "push"]).await?;
    let token = Credential {
        username: "jwt".to_owned(),
        password: realm.token(&client).await?,
    };
    let image = Image::pause(repository)?;
    registry
        .push(&token, &format!("{repository}:1"), &image)
        .await
}

#[tokio::test]
async fn accounts_pull_what_is_theirs_with_nothing_stored() -> Result<()> {
    let cluster = Cluster::shared().await?;
    cluster.publish_issuer().await?;
    let namespace = cluster.namespace("secretless").await?;
    for account in ["alpha", "beta", "stranger"] {
        cluster.service_account(&namespace, account).await?;
    }
    let keycloak = Keycloak::start_trusting(Some(&cluster.certificate())).await?;
    let realm = keycloak.realm("secretless").await?;
    realm
        .kubernetes_provider("cluster", &cluster.issuer())
        .await?;
    federated(&realm, &namespace, "alpha", "team/alpha").await?;
    federated(&realm, &namespace, "beta", "team/beta").await?;
    let service = TokenService::start()?;
    let registry = Registry::trusting(&realm, &service).await?;
    for repository in ["team/alpha", "team/beta"] {
        publish(&realm, &registry, repository).await?;
    }

    let site = secretless(
        "secretless",
        &format!(
            "[[delegation]]\nname = \"keycloak\"\nregistries = [\"{}\"]\ngrant = \"client-assertion\"\n\
             token_endpoint = \"{}\"\naudience = \"{}\"\n",
            registry.host(),
            realm.token_endpoint(),
            realm.issuer()
        ),
    )?;
    let agent = site.start().await?;
    let audience = realm.issuer();
    let (_provider, node) =
        provider_node(cluster, "secretless", &site, &registry, &audience).await?;
    let pod = |name: &str, account: &str, repository: &str| {
        let image = registry.image(&format!("{repository}:1"));
        PodSpec::new(&namespace, name, &image).service_account(account)
    };
    for account in ["alpha", "beta"] {
        let own = pod(account, account, &format!("team/{account}"));
        node.create(&own).await?.running().await?;
    }
    // The other's image is refused by the registry, although the other's token is in the agent's memory.
    let other = node
        .create(&pod("alpha-beta", "alpha", "team/beta"))
        .await?;
    other.pull_failure().await?;
    other.delete().await?;
    // Keycloak knows no client for this account.
    let stranger = node
        .create(&pod("stranger", "stranger", "team/alpha"))
        .await?;
    stranger.pull_failure().await?;
    stranger.delete().await?;
    let log = node.kubelet_log()?;
    ensure!(
        log.contains("refuses the credential with status 401"),
        "no reason in kubelet's log"
    );
    // alpha, beta: one exchange each, however many pulls.
    let labels = ["outcome=\"obtained\""];
    assert_eq!(
        agent.metric("pullkeeper_exchanges_total", &labels).await?,
        2.0
    );

    // Restarted, the agent has nothing; with the client disabled it gets nothing either.
    agent.stop().await?;
    realm.set_client_enabled("alpha", false).await?;
    let agent = site.start().await?;
    let disabled = node.create(&pod("disabled", "alpha", "team/alpha")).await?;
    disabled.pull_failure().await?;
    disabled.delete().await?;
    eventually("the reason in the agent's log", async || {
        let log = agent.log();
        let told = log.iter().any(|record| {
            let error = record["error"].as_str().unwrap_or_default();
            record["delegation"] == "keycloak" && error.contains("refuses the credential")
        });
        ensure!(told, "{log:?}");
        Ok(())
    })
    .await?;
    node.create(&pod("beta-again", "beta", "team/beta"))
        .await?
        .running()
        .await?;
    agent.stop().await?;
    node.leave().await
}

/// RFC 7523's other half: the account is a user of the single sign-on, and one client asks for all of them.
#[tokio::test]
async fn an_account_is_a_user_of_the_single_sign_on() -> Result<()> {
    let cluster = Cluster::shared().await?;
    cluster.publish_issuer().await?;
    let namespace = cluster.namespace("jwt-bearer").await?;
    for account in ["linked", "stranger"] {
        cluster.service_account(&namespace, account).await?;
    }
    let keycloak = Keycloak::start_trusting(Some(&cluster.certificate())).await?;
    let realm = keycloak.realm("jwt-bearer").await?;
    realm
        .assertion_provider("cluster", &cluster.issuer())
        .await?;
    let user = Credential {
        username: "linked".to_owned(),
        ..Credential::new()
    };
    realm.user(&user).await?;
    let subject = format!("system:serviceaccount:{namespace}:linked");
    realm.link("linked", "cluster", &subject).await?;
    let node_client = client(&realm, "nodes", "team/app", &["pull"]).await?;
    realm.allow_assertions("nodes", "cluster").await?;
    let service = TokenService::start()?;
    let registry = Registry::trusting(&realm, &service).await?;
    publish(&realm, &registry, "team/app").await?;

    let sso = keycloak.url().trim_start_matches("http://");
    let site = site(
        "jwt-bearer",
        &config_json([(sso, &node_client)]),
        &format!(
            "[[delegation]]\nname = \"keycloak\"\nregistries = [\"{}\"]\ngrant = \"jwt-bearer\"\n\
             issuer = \"{1}\"\naudience = \"{1}\"\n",
            registry.host(),
            realm.issuer()
        ),
    )?;
    let agent = site.start().await?;
    let (_provider, node) =
        provider_node(cluster, "jwt-bearer", &site, &registry, &realm.issuer()).await?;
    let image = registry.image(APP);
    let pod =
        |name: &str, account: &str| PodSpec::new(&namespace, name, &image).service_account(account);
    let stranger = node.create(&pod("stranger", "stranger")).await?;
    stranger.pull_failure().await?;
    stranger.delete().await?;
    let linked = node.create(&pod("linked", "linked")).await?;
    linked.running().await?;
    linked.delete().await?;
    let log = node.kubelet_log()?;
    ensure!(
        log.contains("refuses the credential with status 400 (invalid_grant)"),
        "no reason in kubelet's log"
    );

    // Restarted, the agent has nothing; with the user disabled it gets nothing either.
    agent.stop().await?;
    realm.set_enabled("linked", false).await?;
    let agent = site.start().await?;
    let disabled = node.create(&pod("disabled", "linked")).await?;
    disabled.pull_failure().await?;
    disabled.delete().await?;
    agent.stop().await?;
    node.leave().await
}
