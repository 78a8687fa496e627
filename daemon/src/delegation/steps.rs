//! What a delegation would send where, in words: for people who set one up, and without sending anything.

use pullkeeper_core::query::Query;

use crate::config::{
    Body, Carrier, DelegationSettings, Exchange, Grant, HandOut, Subject, TokenFlow, TokenService,
    Username,
};

/// One sentence a step, in their order.
pub fn steps(settings: &DelegationSettings, query: &Query) -> Vec<String> {
    let registry = query.registry();
    let mut steps = vec![format!(
        "delegation {} answers for {registry}, by {}; no other credential takes its place",
        settings.name,
        settings.grant.as_str()
    )];
    steps.extend(settings.grant.subject().map(subject));
    match &settings.grant {
        Grant::NamespaceSecrets { flow, .. } => {
            steps.push(
                "GET the Secrets of type kubernetes.io/dockerconfigjson in the pod's namespace from the API server, with \
                 that token; its account must be allowed to list secrets"
                    .to_owned(),
            );
            match flow {
                None => steps.push(format!("hand out their entry for {registry}")),
                Some(flow) => token_flow(&mut steps, settings, flow, &registry),
            }
        }
        Grant::RegistryToken(flow) => token_flow(&mut steps, settings, flow, &registry),
        Grant::Exchange(exchange) => {
            if let TokenService::Issuer(issuer) = &exchange.service {
                steps.push(format!(
                    "GET the discovery document of {issuer}, about once an hour; it must name that issuer, and a token \
                     endpoint at the same origin"
                ));
            }
            steps.push(request(settings, exchange));
            if let Some(Subject::Stored { path }) = &exchange.subject {
                steps.push(format!(
                    "where the answer has a new refresh token, put it into {} before anything else is done",
                    path.display()
                ));
            }
            steps.push(handed_out(exchange));
        }
        Grant::PassThrough { username, .. } => steps.push(format!(
            "hand that token out as password of user {username}; nothing else is asked"
        )),
    }
    steps
}

fn token_flow(
    steps: &mut Vec<String>,
    settings: &DelegationSettings,
    flow: &TokenFlow,
    registry: &str,
) {
    let TokenFlow {
        realms,
        secure,
        hand_out,
    } = flow;
    let scheme = if *secure { "https" } else { "http" };
    let listed: Vec<_> = realms.iter().map(ToString::to_string).collect();
    steps.push(format!(
        "GET {scheme}://{registry}/v2/ without a credential; it must answer 401 with a realm at {}",
        listed.join(" or ")
    ));
    let entries = realms
        .iter()
        .map(|realm| (realm, entry(settings, &realm.authority())));
    steps.extend(entries.map(|(realm, entry)| match hand_out {
                HandOut::Credential => format!(
                    "GET the realm at {realm} with `service` and `account`, and Basic authorization of {entry}; it must \
                     answer 200 with a token"
                ),
                HandOut::IdentityToken => format!(
                    "POST the realm at {realm} with `service`, `access_type=offline`, and user name and password of \
                     {entry}; it must answer 200 with a token and a refresh token"
                ),
            }));
    steps.push(match hand_out {
        HandOut::Credential => {
            "hand out that entry's user name and password; the client repeats both requests \
                                        with its scope"
                .to_owned()
        }
        HandOut::IdentityToken => {
            "hand out the refresh token as identity token; the client asks the registry \
                                           again, and the realm by POST"
                .to_owned()
        }
    });
}

fn entry(settings: &DelegationSettings, host: &str) -> String {
    let place = settings.credential.as_ref().map(Query::registry);
    let place = place.as_deref().unwrap_or(host);
    match (&settings.credential_file, &settings.grant) {
        (None, Grant::NamespaceSecrets { .. }) => format!("their entry for {place}"),
        (None, _) => format!("the pull secret's entry for {place}"),
        (Some(path), _) => format!("the entry for {place} in {}", path.display()),
    }
}

fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Workload(expected) => format!(
            "take the pod's service-account token, which kubelet passes on to its provider \
             (`serviceAccountTokenAudience: {}`); docker's clients have none, and get nothing",
            expected.audience
        ),
        Subject::File { path, .. } => format!(
            "read the token in {}, for every workload of the node",
            path.display()
        ),
        Subject::Stored { path } => format!(
            "read the refresh token in {}, while nobody else uses it",
            path.display()
        ),
    }
}

fn request(settings: &DelegationSettings, exchange: &Exchange) -> String {
    let protocol = exchange.protocol;
    let place = match &exchange.service {
        TokenService::Endpoint(url) => url.to_string(),
        TokenService::Issuer(_) => "that endpoint".to_owned(),
    };
    let parameters = exchange.parameters.iter();
    let parameters = parameters.map(|(name, value)| format!("{name}={value}"));
    let fixed = protocol
        .fixed
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let mut with: Vec<_> = fixed.chain(parameters).collect();
    match protocol.carrier {
        Carrier::Nothing => {}
        Carrier::Field(field) | Carrier::Stored(field) => {
            with.push(format!("that token as {field}"))
        }
        Carrier::Bearer => with.push("that token as bearer token".to_owned()),
        Carrier::Basic => {
            let user = exchange.username.as_deref().unwrap_or_default();
            with.push(format!(
                "that token as password of {user} in Basic authorization"
            ));
        }
    }
    if exchange.client {
        let entry = entry(settings, &exchange.service.origin().authority());
        with.push(format!(
            "client ID and secret of {entry} in Basic authorization"
        ));
    }
    let verb = match protocol.body {
        Body::Form => "POST a form to",
        Body::Json => "POST a JSON object to",
        Body::Query => "GET",
    };
    let status = protocol.status;
    format!(
        "{verb} {place} with {}; it must answer {status}",
        with.join(", ")
    )
}

fn handed_out(exchange: &Exchange) -> String {
    let token = exchange.protocol.token;
    let user = match (exchange.protocol.username, &exchange.username) {
        (Username::Answered(field), _) => format!("the user that it names as {field}"),
        (Username::Configured(_), user) => format!("user {}", user.as_deref().unwrap_or_default()),
    };
    let end = match &exchange.subject {
        Some(Subject::Workload(_) | Subject::File { .. }) => {
            " or the token that it was made from does"
        }
        Some(Subject::Stored { .. }) | None => "",
    };
    format!("hand its {token} out as password of {user}, until it ends{end}")
}
