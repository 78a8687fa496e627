//! The whole way of a pull for which nothing is stored: a service account's token, shown to
//! Keycloak instead of a secret, gets an access token, which the registry takes.

use anyhow::Result;
use support::clients::Client;
use support::cluster::Cluster;
use support::fixture::Credential;
use support::keycloak::{Keycloak, Login, Mapper};
use support::registry::{Registry, SERVICE};
use support::token_service::TokenService;

use super::{APP, clients, refused};

#[tokio::test]
async fn a_service_account_pulls_with_its_own_token() -> Result<()> {
    let cluster = Cluster::shared().await?;
    cluster.publish_issuer().await?;
    let namespace = cluster.namespace("workloads").await?;
    for account in ["puller", "stranger"] {
        cluster.service_account(&namespace, account).await?;
    }
    let keycloak = Keycloak::start_trusting(Some(&cluster.certificate())).await?;
    let realm = keycloak.realm("workloads").await?;
    realm
        .kubernetes_provider("cluster", &cluster.issuer())
        .await?;
    let login = Login::Federated {
        id: "puller",
        provider: "cluster",
        subject: &format!("system:serviceaccount:{namespace}:puller"),
    };
    let mappers = Mapper::registry("team/app", &["pull", "push"]);
    realm.client(&login, &mappers).await?;

    let assertion = cluster.token(&namespace, "puller", &realm.issuer()).await?;
    let access = realm.token_for_assertion(&assertion).await?;
    let service = TokenService::start()?;
    let registry = Registry::trusting(&realm, &service).await?;
    let image = registry.image(APP);
    let with = |token: String| {
        clients(
            &registry.host(),
            &Credential {
                username: "jwt".to_owned(),
                password: token,
            },
        )
    };
    let puller = with(access)?;
    puller.push(&image, "one").await?;
    for client in Client::ALL {
        puller.pull(client, &image).await?.success()?;
    }

    // The account's token itself has the wrong audience and says nothing of what it permits.
    refused(&with(assertion)?, Client::Skopeo, &image).await?;
    for (account, audience) in [
        ("stranger", realm.issuer()),
        ("puller", cluster.issuer()),
        ("puller", SERVICE.to_owned()),
    ] {
        let assertion = cluster.token(&namespace, account, &audience).await?;
        let error = realm.token_for_assertion(&assertion).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("invalid_client"),
            "{account} for {audience}: {error}"
        );
    }
    Ok(())
}
