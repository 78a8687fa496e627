use super::super::resolve::tests::problems;
use super::super::tests::load_text;
use super::*;

/// A delegation of these lines, after one that says for which registry.
fn table(lines: &str) -> String {
    format!("[[delegation]]\nregistries = ['r.example']\n{lines}")
}

fn grant(lines: &str) -> Grant {
    let mut settings = load_text(&table(lines)).unwrap().settings;
    settings.delegations.remove(0).grant
}

fn exchange(lines: &str) -> Exchange {
    match grant(lines) {
        Grant::Exchange(exchange) => exchange,
        other => panic!("{other:?}"),
    }
}

const REALMS: &str = "realms = ['https://sso.example']";
const ENDPOINT: &str = "token_endpoint = 'https://sso.example/token'";
const AUDIENCE: &str = "audience = 'https://r.example'";
const TOKEN_FILE: &str = "token_file = '/run/token'";

#[test]
fn each_grant_takes_what_it_needs_and_nothing_else() {
    let pair = [
        ("registry-token", &[REALMS][..]),
        ("client-credentials", &[ENDPOINT]),
        ("client-assertion", &[ENDPOINT, AUDIENCE]),
        ("jwt-bearer", &[ENDPOINT, AUDIENCE]),
        ("pass-through", &[AUDIENCE]),
        ("token-exchange", &[ENDPOINT, AUDIENCE]),
        ("refresh-token", &[ENDPOINT, TOKEN_FILE]),
    ];
    let all = [REALMS, ENDPOINT, AUDIENCE];
    for (name, needed) in pair {
        let word = format!("grant = '{name}'\n");
        let complete = word.clone() + &needed.join("\n");
        assert_eq!(grant(&complete).as_str(), name);
        for absent in needed {
            let text = complete.replace(absent, "");
            let key = absent.split(' ').next().unwrap();
            let missing = format!("1: `delegation.{key}` is missing");
            assert_eq!(problems(&table(&text)), [missing], "{text}");
        }
        for surplus in all.iter().filter(|line| !needed.contains(line)) {
            let found = problems(&table(&format!("{complete}\n{surplus}")));
            let key = surplus.split(' ').next().unwrap();
            let words = format!("`delegation.{key}` means nothing with this `grant`");
            assert!(found[0].ends_with(&words), "{found:?}");
            assert_eq!(found.len(), 1);
        }
    }
    assert_eq!(grant(REALMS).as_str(), "registry-token");
    let nowhere = problems(&format!("[[delegation]]\n{REALMS}"));
    assert_eq!(nowhere, ["1: `delegation.registries` is missing"]);
}

#[test]
fn an_issuer_takes_the_place_of_an_endpoint() {
    let issuer = "grant = 'client-credentials'\nissuer = 'https://sso.example/realms/pull'";
    let exchange = exchange(issuer);
    let place = Url::parse("https://sso.example/realms/pull").unwrap();
    assert_eq!(exchange.service, TokenService::Issuer(place));
    assert_eq!(exchange.username.as_deref(), Some("jwt"));
    assert_eq!(
        problems(&table(&format!("{issuer}\n{ENDPOINT}"))),
        ["4: `delegation.issuer` cannot be set beside `token_endpoint`"]
    );
    assert_eq!(
        problems(&table(
            "issuer = 'https://sso.example'\nrealms = ['https://sso.example']"
        )),
        ["3: `delegation.issuer` means nothing with this `grant`"]
    );
}

#[test]
fn credentials_go_over_https_or_stay_on_the_machine() {
    for bad in [
        "realms = ['http://sso.example']",
        "realms = ['https://sso.example/path']",
        "realms = ['sso.example']",
        "realms = []",
        "grant = 'client-credentials'\ntoken_endpoint = 'http://sso.example/token'",
        "grant = 'client-credentials'\nissuer = 'http://sso.example'",
        "grant = 'client-credentials'\ntoken_endpoint = 'https://user@sso.example/token'",
        "realms = ['https://sso.example']\nregistry_scheme = 'http'",
    ] {
        assert_eq!(problems(&table(bad)).len(), 1, "{bad}");
    }
    for good in [
        "realms = ['http://127.0.0.1:8080']",
        "realms = ['http://localhost:8080']",
        "grant = 'client-credentials'\nissuer = 'http://localhost:8080/realms/pull'",
    ] {
        assert!(load_text(&table(good)).is_ok(), "{good}");
    }
    let local =
        "[[delegation]]\nregistries = ['localhost:5000', '127.0.0.1']\nregistry_scheme = 'http'\n";
    assert!(load_text(&format!("{local}{REALMS}")).is_ok());
    let mixed = local.replace("'127.0.0.1'", "'r.example'");
    let found = problems(&format!("{mixed}{REALMS}"));
    assert!(
        found[0].contains("only for registries on a loopback address"),
        "{found:?}"
    );
}

#[test]
fn tokens_that_the_api_server_takes_and_names_that_change_their_meaning_are_refused() {
    for audience in [
        "https://kubernetes.default.svc",
        "https://kubernetes.default.svc/",
        "https://kubernetes.default.svc.cluster.local",
        "api",
        "",
    ] {
        let text = format!("grant = 'pass-through'\naudience = '{audience}'");
        let found = problems(&table(&text));
        assert!(
            found[0].starts_with("4: `delegation.audience` must"),
            "{found:?}"
        );
    }
    for user in ["<token>", "", "a:b"] {
        let text = format!("grant = 'pass-through'\n{AUDIENCE}\nusername = '{user}'");
        let found = problems(&table(&text));
        assert!(
            found[0].starts_with("5: `delegation.username` must"),
            "{found:?}"
        );
    }
}

#[test]
fn registries_are_named_by_host_and_stars_stay_there() {
    for bad in [
        "['']",
        "['https://r.example']",
        "['r.example/*']",
        "['a b']",
        "[]",
    ] {
        let text = format!("[[delegation]]\nregistries = {bad}\n{REALMS}");
        assert_eq!(problems(&text).len(), 1, "{bad}");
    }
    let text =
        format!("[[delegation]]\nregistries = ['*.r.example', 'r.example:443/team']\n{REALMS}");
    let settings = load_text(&text).unwrap().settings;
    let answers = |server: &str| {
        let query = Query::of_server(server).unwrap();
        settings.delegations[0].answers(&query)
    };
    assert!(answers("eu.r.example") && answers("r.example/team/app"));
    assert!(!answers("r.example/team-evil") && !answers("a.b.r.example") && !answers("r.example"));
    assert_eq!(settings.delegations[0].name, "r.example");
}

#[test]
fn names_are_unique() {
    let two = format!("{}\n{}", table(REALMS), table(REALMS));
    let found = problems(&two);
    assert!(found[0].starts_with("4: `delegation.name`"), "{found:?}");
}

/// The endpoint, the user name and the parameters that are not always the same.
fn asked(exchange: &Exchange) -> (String, Option<&str>, String) {
    let TokenService::Endpoint(url) = &exchange.service else {
        panic!("no endpoint");
    };
    let parameters = exchange.parameters.iter();
    let parameters: Vec<_> = parameters
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    (
        url.to_string(),
        exchange.username.as_deref(),
        parameters.join("&"),
    )
}

#[test]
fn presets_know_where_and_how_to_ask() {
    let quay = exchange(&format!(
        "preset = 'quay'\n{AUDIENCE}\nusername = 'org+robot'"
    ));
    let endpoint = "https://r.example/oauth2/federation/robot/token".to_owned();
    assert_eq!(asked(&quay), (endpoint, Some("org+robot"), String::new()));
    let hub = format!(
        "preset = 'docker-hub'\n{AUDIENCE}\nusername = 'org'\nparameters = {{connection_id = 'c', expires_in = '300'}}"
    );
    let parameters = "connection_id=c&expires_in=300".to_owned();
    let endpoint = "https://identity.docker.com/oauth/token".to_owned();
    assert_eq!(asked(&exchange(&hub)), (endpoint, Some("org"), parameters));
    let elsewhere = format!(
        "preset = 'artifactory'\n{AUDIENCE}\ntoken_endpoint = 'https://a.example/access/api/v1/oidc/token'\n\
         parameters = {{provider_name = 'cluster'}}"
    );
    let elsewhere = exchange(&elsewhere);
    let (endpoint, username, _) = asked(&elsewhere);
    assert_eq!(
        (endpoint.as_str(), username),
        ("https://a.example/access/api/v1/oidc/token", None)
    );
    for zot in ["zot", "harbor-next"] {
        let grant = grant(&format!("preset = '{zot}'\n{AUDIENCE}"));
        let Grant::PassThrough { username, .. } = grant else {
            panic!("{grant:?}");
        };
        assert_eq!(username, "jwt");
    }
}

#[test]
fn a_preset_says_what_it_lacks_and_what_it_does_not_know() {
    let artifactory = format!("preset = 'artifactory'\n{AUDIENCE}\n");
    for (lines, words) in [
        (
            format!("{artifactory}parameters = {{project_key = 'p'}}"),
            "must have `provider_name`",
        ),
        (
            format!("{artifactory}parameters = {{provider_name = 'c', scope = 's'}}"),
            "can have `provider_name`, `identity_mapping_name`, `project_key`, `provider_type`, and not `scope`",
        ),
        (
            format!("{artifactory}parameters = {{provider_name = 'c', grant_type = 'password'}}"),
            "must not have `grant_type`, which is always the same",
        ),
        (
            format!("{artifactory}parameters = {{provider_name = 'c'}}\nusername = 'me'"),
            "`delegation.username` means nothing with this `preset`",
        ),
        (
            format!("preset = 'quay'\n{AUDIENCE}\nusername = 'r'\nscope = 's'"),
            "`delegation.scope` means nothing with this `preset`",
        ),
        (
            format!("preset = 'quay'\n{AUDIENCE}"),
            "`delegation.username` is missing",
        ),
        (
            format!(
                "preset = 'chainguard'\n{AUDIENCE}\ntoken_endpoint = 'https://i.example/sts?x=y'\nparameters = {{identity = 'i'}}"
            ),
            "must have no query",
        ),
        (
            format!("preset = 'cloudsmith'\n{AUDIENCE}\nparameters = {{service_slug = 's'}}"),
            "`delegation.token_endpoint` is missing",
        ),
        (
            format!("preset = 'zot'\ngrant = 'pass-through'\n{AUDIENCE}"),
            "`delegation.preset` cannot be set beside `grant`",
        ),
        (format!("preset = 'quey'\n{AUDIENCE}"), "did you mean quay?"),
        (
            format!("preset = 'quay'\n{AUDIENCE}\nusername = 'r'\nparameters = {{a = 1}}"),
            "must be a table of strings",
        ),
    ] {
        let found = problems(&table(&lines));
        assert!(
            found.len() == 1 && found[0].contains(words),
            "{words}: {found:?}"
        );
    }
}

#[test]
fn parameters_hold_no_secret_and_nothing_that_is_always_the_same() {
    let with = |parameters: &str| {
        format!("grant = 'token-exchange'\n{ENDPOINT}\n{AUDIENCE}\nparameters = {{{parameters}}}")
    };
    for bad in [
        "client_secret = 'x'",
        "subject_token = 'x'",
        "grant_type = 'x'",
        "scope = 'x'",
        "password = 'x'",
    ] {
        assert_eq!(problems(&table(&with(bad))).len(), 1, "{bad}");
    }
    let exchange_with = |parameters: &str| asked(&exchange(&with(parameters))).2;
    assert_eq!(
        exchange_with("resource = 'https://r.example'"),
        "resource=https://r.example&subject_token_type=urn:ietf:params:oauth:token-type:jwt"
    );
    assert_eq!(
        exchange_with("subject_token_type = 'x'"),
        "subject_token_type=x"
    );
}

#[test]
fn a_client_authenticates_itself_where_it_has_to_or_where_that_is_said() {
    let lines = format!("grant = 'token-exchange'\n{ENDPOINT}\n{AUDIENCE}");
    assert!(!exchange(&lines).client);
    assert!(exchange(&format!("{lines}\ncredential = 'client.example'")).client);
    assert!(exchange(&format!("{lines}\ncredential_file = '/etc/client.json'")).client);
    assert!(exchange(&format!("grant = 'client-credentials'\n{ENDPOINT}")).client);
}

#[test]
fn a_token_from_a_file_may_say_nothing_about_itself() {
    let lines = format!("grant = 'client-assertion'\n{ENDPOINT}\n{TOKEN_FILE}");
    let path = PathBuf::from("/run/token");
    let silent = Subject::File {
        path: path.clone(),
        expected: None,
    };
    assert_eq!(exchange(&lines).subject, Some(silent));
    let expected = Some(Expected {
        audience: "https://r.example".to_owned(),
        issuer: Some("https://cluster.example".to_owned()),
    });
    let lines = format!("{lines}\n{AUDIENCE}\nservice_account_issuer = 'https://cluster.example'");
    assert_eq!(
        exchange(&lines).subject,
        Some(Subject::File { path, expected })
    );
}

#[test]
fn an_api_servers_audience_needs_the_one_preset_that_says_so() {
    let audience = "audience = 'https://kubernetes.default.svc'";
    let openshift = format!("preset = 'openshift-integrated'\n{audience}");
    assert_eq!(
        grant(&openshift).subject().and_then(Subject::audience),
        Some("https://kubernetes.default.svc")
    );
    let namespace = format!("preset = 'namespace-secrets'\n{audience}");
    for realms in ["", REALMS] {
        let Grant::NamespaceSecrets { flow, .. } = grant(&format!("{namespace}\n{realms}")) else {
            panic!("another grant");
        };
        assert_eq!(flow.is_some(), !realms.is_empty());
    }
    for more in [
        TOKEN_FILE,
        ENDPOINT,
        "username = 'u'",
        "credential_file = '/f'",
    ] {
        let found = problems(&table(&format!("{namespace}\n{more}")));
        assert!(
            found.len() == 1 && found[0].ends_with("means nothing with this `preset`"),
            "{found:?}"
        );
    }
    let both = format!(
        "{}\n{}",
        table(&openshift),
        table(&namespace).replace("r.example", "s.example")
    );
    assert!(load_text(&both).is_ok());
    for other in ["preset = 'zot'", "grant = 'pass-through'"] {
        let found = problems(&table(&format!("{other}\n{audience}")));
        assert!(
            found[0].contains("must not be an audience of the API server"),
            "{found:?}"
        );
    }
}

#[test]
fn what_goes_to_a_registry_goes_to_one_and_is_good_for_no_other() {
    for registries in ["['*.r.example']", "['r.example', 's.example']"] {
        for chosen in [
            "grant = 'pass-through'",
            "preset = 'quay'\nusername = 'org+robot'",
        ] {
            let found = problems(&format!(
                "[[delegation]]\nregistries = {registries}\n{chosen}\n{AUDIENCE}"
            ));
            assert!(
                found.len() == 1 && found[0].contains("must be one host"),
                "{found:?}"
            );
        }
    }
    let two = "[[delegation]]\nregistries = ['r.example/a', 'r.example/b']\ngrant = 'pass-through'\naudience = 'a'";
    assert!(load_text(two).is_ok());
    let of = |registry: &str, chosen: &str| {
        format!("[[delegation]]\nregistries = ['{registry}']\n{chosen}\naudience = 'a'\n")
    };
    let exchanged = format!("grant = 'client-assertion'\n{ENDPOINT}");
    for (first, second) in [
        ("grant = 'pass-through'", "grant = 'pass-through'"),
        ("grant = 'pass-through'", exchanged.as_str()),
        (&exchanged, "preset = 'zot'"),
    ] {
        let found = problems(&(of("r.example", first) + &of("s.example", second)));
        assert!(
            found.len() == 1 && found[0].contains("is that of another delegation"),
            "{found:?}"
        );
    }
    assert!(load_text(&(of("r.example", &exchanged) + &of("s.example", &exchanged))).is_ok());
}
