//! What a delegation would send where, in words: for people who set one up, and without sending anything.

use pullkeeper_core::query::Query;

use crate::config::{DelegationSettings, Grant, TokenEndpoint, TokenService};

/// One sentence a step, in their order.
pub fn steps(settings: &DelegationSettings, query: &Query) -> Vec<String> {
    let registry = query.registry();
    let mut steps = vec![format!(
        "delegation {} answers for {registry}, by the grant {}; no other credential takes its place",
        settings.name,
        settings.grant.as_str()
    )];
    let entry = |host: String| {
        let place = settings.credential.as_ref().map_or(host, Query::registry);
        format!("the pull secret's entry for {place}")
    };
    match &settings.grant {
        Grant::RegistryToken { realms, secure } => {
            let scheme = if *secure { "https" } else { "http" };
            let listed: Vec<_> = realms.iter().map(ToString::to_string).collect();
            steps.push(format!(
                "GET {scheme}://{registry}/v2/ without a credential; it must answer 401 with a realm at {}",
                listed.join(" or ")
            ));
            for realm in realms {
                steps.push(format!(
                    "GET the realm at {realm} with `service` and `account`, and Basic authorization of {}; it must \
                     answer 200 with a token",
                    entry(realm.authority())
                ));
            }
            steps.push(
                "hand out that entry's user name and password; the client repeats both requests with its scope"
                    .to_owned(),
            );
        }
        Grant::ClientCredentials { endpoint } => {
            discovery(&mut steps, endpoint);
            let client = entry(endpoint.service.origin().authority());
            steps.push(format!(
                "POST {} with grant_type=client_credentials{}, and Basic authorization of {client} (client ID and \
                 secret)",
                place(endpoint),
                scope(endpoint)
            ));
            steps.push(token(endpoint));
        }
        Grant::ClientAssertion { endpoint, audience } => {
            steps.push(account(audience));
            discovery(&mut steps, endpoint);
            steps.push(format!(
                "POST {} with grant_type=client_credentials{} and that token as client_assertion (RFC 7523)",
                place(endpoint),
                scope(endpoint)
            ));
            steps.push(token(endpoint));
        }
        Grant::JwtBearer { endpoint, audience } => {
            steps.push(account(audience));
            discovery(&mut steps, endpoint);
            let client = entry(endpoint.service.origin().authority());
            steps.push(format!(
                "POST {} with grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer{}, that token as assertion (RFC \
                 7523), and Basic authorization of {client} (client ID and secret)",
                place(endpoint),
                scope(endpoint)
            ));
            steps.push(token(endpoint));
        }
        Grant::PassThrough { audience, username } => {
            steps.push(account(audience));
            steps.push(format!(
                "hand that token out as password of user {username}; nothing else is asked"
            ));
        }
    }
    steps
}

fn account(audience: &str) -> String {
    format!(
        "take the pod's service-account token, which kubelet passes on to its provider (`serviceAccountTokenAudience: \
         {audience}`); docker's clients have none, and get nothing"
    )
}

fn discovery(steps: &mut Vec<String>, endpoint: &TokenEndpoint) {
    if let TokenService::Issuer(issuer) = &endpoint.service {
        steps.push(format!(
            "GET the discovery document of {issuer}, at most once an hour; it must name that issuer, and a token \
             endpoint at the same origin"
        ));
    }
}

fn place(endpoint: &TokenEndpoint) -> String {
    match &endpoint.service {
        TokenService::Endpoint(url) => url.to_string(),
        TokenService::Issuer(_) => "that endpoint".to_owned(),
    }
}

fn scope(endpoint: &TokenEndpoint) -> String {
    let scope = endpoint.scope.as_deref();
    scope.map_or_else(String::new, |scope| format!(", scope={scope}"))
}

fn token(endpoint: &TokenEndpoint) -> String {
    format!(
        "hand its access_token out as password of user {}, until it ends or the pod's token does",
        endpoint.username
    )
}
