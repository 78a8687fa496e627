use crate::authfile::Shape::{ConfigJson, DockerCfg};
use crate::reader::Reader::Kubelet;
use crate::reader::tests::{document, ending};

fn keys(keys: &[&str], image: &str) -> String {
    ending(Kubelet, ConfigJson, &document(keys), image)
}

#[test]
fn all_matches_are_tried_in_descending_order_of_their_keys() {
    assert_eq!(
        keys(
            &["r.example", "r.example/a/b", "r.example/a"],
            "r.example/a/b/c"
        ),
        "credentials, u2 namespace 0, u3 namespace 1, u1 namespace 2"
    );
    // `*` sorts below all letters, so a host comes before a pattern with a longer path.
    assert_eq!(
        keys(&["*.example/a/b", "r.example"], "r.example/a/b/c"),
        "credentials, u2 namespace 0, u1 glob 1"
    );
}

#[test]
fn the_path_is_a_prefix_of_text() {
    assert_eq!(
        keys(&["r.example/team"], "r.example/team-evil/x"),
        "credentials, u1 prefix 0"
    );
    assert_eq!(
        keys(&["r.example/team"], "r.example/team/x"),
        "credentials, u1 namespace 0"
    );
    assert_eq!(
        keys(&["r.example/team/"], "r.example/team/x"),
        "credentials, u1 namespace 0"
    );
    assert_eq!(
        keys(&["r.example/team/x"], "r.example/team/x"),
        "credentials, u1 exact 0"
    );
    assert_eq!(keys(&["r.example/team/"], "r.example/team-evil/x"), "none");
    assert_eq!(keys(&["r.example/*"], "r.example/x"), "none");
}

#[test]
fn hosts_match_label_by_label_and_ports_as_text() {
    assert_eq!(
        keys(&["*.r.example"], "a.r.example/x"),
        "credentials, u1 glob 0"
    );
    assert_eq!(
        keys(&["a*.r.example:5000"], "abc.r.example:5000/x"),
        "credentials, u1 glob 0"
    );
    assert_eq!(keys(&["*.example"], "a.r.example/x"), "none");
    assert_eq!(keys(&["r.example:443"], "r.example/x"), "none");
    assert_eq!(keys(&["R.example"], "r.example/x"), "none");
    assert_eq!(
        keys(&["[::1]:5000"], "[::1]:5000/x"),
        "credentials, u1 namespace 0"
    );
    // Without a port the brackets are a character class.
    assert_eq!(keys(&["[::1]"], "[::1]/x"), "none");
    assert_eq!(keys(&["[A::]"], "A/x"), "credentials, u1 glob 0");
}

#[test]
fn keys_are_urls_and_lose_scheme_user_query_and_version() {
    let same = [
        "https://r.example",
        "http://r.example/",
        "r.example/v1/",
        "https://r.example/v2/",
        "u:p@r.example",
        "r.example?q",
        "r.example#f",
        "r.example:",
    ];
    for key in same {
        assert_eq!(
            keys(&[key], "r.example/x"),
            "credentials, u1 namespace 0",
            "{key}"
        );
    }
    assert_eq!(keys(&["r.example/v1"], "r.example/x"), "none");
    assert_eq!(keys(&["HTTPS://r.example"], "r.example/x"), "none");
    // Parsed once when loaded and once more in each lookup.
    assert_eq!(
        keys(&["r.example/te%2561m"], "r.example/team/x"),
        "credentials, u1 namespace 0"
    );
    assert_eq!(
        keys(&["r.example/%zz", "r.example"], "r.example/x"),
        "credentials, u2 namespace 0"
    );
}

#[test]
fn equal_normalised_keys_are_tried_in_random_order() {
    let both = ["r.example", "https://r.example/v1/"];
    assert_eq!(
        keys(&both, "r.example/x"),
        "ambiguous, u1 namespace 0, u2 namespace 0"
    );
    let alike = r#"{"auths":{"r.example":{"auth":"dTpw"},"https://r.example":{"auth":"dTpw"}}}"#;
    let ending = ending(Kubelet, ConfigJson, alike, "r.example/x");
    assert_eq!(ending, "credentials, u namespace 0, u namespace 0");
    assert_eq!(
        keys(&["r.example/x", both[0], both[1]], "r.example/x"),
        "credentials, u1 exact 0, u2 namespace 1, u3 namespace 1"
    );
}

#[test]
fn the_hub_key_serves_registries_without_a_dot_when_nothing_else_matches() {
    let hub = "https://index.docker.io/v1/";
    for image in [
        "x",
        "team/x",
        "index.docker.io/x",
        "localhost/x",
        "Registry/x",
    ] {
        assert_eq!(
            keys(&[hub], image),
            "credentials, u1 hub-fallback 0",
            "{image}"
        );
    }
    for image in [
        "docker.io.evil.example/x",
        "registry-1.docker.io/x",
        "localhost:5000/x",
    ] {
        assert_eq!(keys(&[hub], image), "none", "{image}");
    }
    assert_eq!(
        keys(&[hub, "docker.io"], "x"),
        "credentials, u2 namespace 0"
    );
    assert_eq!(keys(&["https://index.docker.io/v1"], "x"), "none");
}

#[test]
fn one_broken_entry_costs_the_whole_document() {
    let with = |value: &str| {
        format!(r#"{{"auths":{{"a":{value},"a":{{}},"r.example":{{"auth":"dTpw"}}}}}}"#)
    };
    let end = |document: &str| ending(Kubelet, ConfigJson, document, "r.example/x");
    for broken in [r#"{"auth":"!"}"#, r#"{"auth":"dQ=="}"#, r#"{"auth":"\n"}"#] {
        assert_eq!(end(&with(broken)), "BadEntry", "{broken}");
    }
    for wrong in [
        "[]",
        "1",
        r#"{"email":1}"#,
        r#"{"auth":"dTpw","username":[]}"#,
    ] {
        assert_eq!(end(&with(wrong)), "WrongType", "{wrong}");
    }
    for fine in [
        "null",
        "{}",
        r#"{"identitytoken":1}"#,
        r#"{"auth":"dTpwdw"}"#,
    ] {
        assert_eq!(end(&with(fine)), "credentials, u namespace 0", "{fine}");
    }
    assert_eq!(end(r#"{"HttpHeaders":{"a":1}}"#), "WrongType");
    assert_eq!(end(r#"{"credHelpers":1,"credsStore":1}"#), "none");
}

#[test]
fn an_empty_entry_is_a_candidate() {
    let document = r#"{"auths":{"r.example":null}}"#;
    assert_eq!(
        ending(Kubelet, ConfigJson, document, "r.example/x"),
        "empty,  namespace 0"
    );
}

#[test]
fn the_shape_decides_what_the_top_level_is() {
    let modern = document(&["r.example"]);
    let legacy = r#"{"r.example":{"auth":"dTpw"}}"#;
    assert_eq!(ending(Kubelet, DockerCfg, &modern, "r.example/x"), "none");
    assert_eq!(ending(Kubelet, ConfigJson, legacy, "r.example/x"), "none");
    assert_eq!(
        ending(Kubelet, DockerCfg, legacy, "r.example/x"),
        "credentials, u namespace 0"
    );
}
