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

const REALMS: &str = "realms = ['https://sso.example']";
const ENDPOINT: &str = "token_endpoint = 'https://sso.example/token'";
const AUDIENCE: &str = "audience = 'https://r.example'";

#[test]
fn each_grant_takes_what_it_needs_and_nothing_else() {
    let pair = [
        ("registry-token", &[REALMS][..]),
        ("client-credentials", &[ENDPOINT]),
        ("client-assertion", &[ENDPOINT, AUDIENCE]),
        ("jwt-bearer", &[ENDPOINT, AUDIENCE]),
        ("pass-through", &[AUDIENCE]),
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
    let Grant::ClientCredentials { endpoint } = grant(issuer) else {
        panic!("another grant");
    };
    let place = Url::parse("https://sso.example/realms/pull").unwrap();
    assert_eq!(endpoint.service, TokenService::Issuer(place));
    assert_eq!(endpoint.username, "jwt");
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
