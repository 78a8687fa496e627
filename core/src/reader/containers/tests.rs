use crate::authfile::Shape::{ConfigJson, DockerCfg};
use crate::reader::Reader::Containers;
use crate::reader::tests::{document, ending};

fn keys(keys: &[&str], image: &str) -> String {
    ending(Containers, ConfigJson, &document(keys), image)
}

#[test]
fn the_most_specific_segments_win() {
    let all = ["r.example", "r.example/a/b", "r.example/a"];
    assert_eq!(keys(&all, "r.example/a/b"), "credentials, u2 exact 0");
    assert_eq!(keys(&all, "r.example/a/b/c"), "credentials, u2 namespace 0");
    assert_eq!(keys(&all, "r.example/a/bc"), "credentials, u3 namespace 0");
    assert_eq!(keys(&all, "r.example/ab"), "credentials, u1 namespace 0");
    assert_eq!(keys(&["r.example/a/"], "r.example/a/b"), "none");
    assert_eq!(keys(&["*.example"], "r.example/a"), "none");
}

#[test]
fn a_scheme_widens_a_key_to_its_host() {
    assert_eq!(
        keys(&["https://r.example/team"], "r.example/other"),
        "credentials, u1 host 0"
    );
    assert_eq!(
        keys(&["http://https://r.example"], "r.example/x"),
        "credentials, u1 host 0"
    );
    assert_eq!(keys(&["r.example/team"], "r.example/other"), "none");
    assert_eq!(
        keys(&["https://r.example", "r.example"], "r.example/x"),
        "credentials, u2 namespace 0"
    );
    assert_eq!(
        keys(
            &["https://r.example/a", "http://r.example/b"],
            "r.example/x"
        ),
        "ambiguous, u2 host 0, u1 host 0"
    );
}

#[test]
fn the_names_of_docker_hub_are_one() {
    for key in [
        "https://index.docker.io/v1/",
        "index.docker.io",
        "registry-1.docker.io",
        "docker.io",
    ] {
        let rule = if key == "docker.io" {
            "namespace"
        } else {
            "host"
        };
        assert_eq!(
            keys(&[key], "x"),
            format!("credentials, u1 {rule} 0"),
            "{key}"
        );
    }
    assert_eq!(
        keys(&["docker.io"], "registry-1.docker.io/x"),
        "credentials, u1 host 0"
    );
    assert_eq!(keys(&["index.docker.io/v1/"], "x"), "none");
}

#[test]
fn an_empty_entry_shadows_its_parents() {
    let with = |value: &str| {
        let document =
            format!(r#"{{"auths":{{"r.example/a":{value},"r.example":{{"auth":"dTpw"}}}}}}"#);
        ending(Containers, ConfigJson, &document, "r.example/a/x")
    };
    // Plain fields, and tokens beside an `auth` without a colon, do not count.
    for value in [
        "null",
        "{}",
        r#"{"auth":"dQ=="}"#,
        r#"{"username":"u"}"#,
        r#"{"identitytoken":"t"}"#,
    ] {
        assert_eq!(with(value), "empty,  namespace 0", "{value}");
    }
    assert_eq!(
        with(r#"{"auth":"Og==","identitytoken":"t"}"#),
        "credentials,  namespace 0"
    );
}

#[test]
fn a_broken_entry_matters_only_when_it_is_hit() {
    let document = r#"{"auths":{"a.example":{"auth":"dTpwdw"},"r.example":{"auth":"dTpw"}}}"#;
    let end = |image| ending(Containers, ConfigJson, document, image);
    assert_eq!(end("r.example/x"), "credentials, u namespace 0");
    assert_eq!(end("a.example/x"), "error, broken namespace 0");
    let wrong = r#"{"auths":{"a.example":{"auth":1},"r.example":{"auth":"dTpw"}}}"#;
    assert_eq!(
        ending(Containers, ConfigJson, wrong, "r.example/x"),
        "WrongType"
    );
}

#[test]
fn a_helper_of_the_host_decides_before_any_entry() {
    let document = |key: &str, name: &str| {
        format!(
            r#"{{"credHelpers":{{{key:?}:{name}}},"auths":{{"r.example/x":{{"auth":"dTpw"}}}}}}"#
        )
    };
    let end = |key, name| ending(Containers, ConfigJson, &document(key, name), "r.example/x");
    assert_eq!(end("r.example", r#""h""#), "helper");
    assert_eq!(end("r.example", "null"), "helper");
    assert_eq!(end("r.example/x", r#""h""#), "credentials, u exact 0");
    assert_eq!(end("https://r.example", r#""h""#), "credentials, u exact 0");
    assert_eq!(end("other", "1"), "WrongType");
}

#[test]
fn keys_of_the_legacy_file_are_cut_to_their_hosts() {
    let end = |document: &str| ending(Containers, DockerCfg, document, "r.example/team/x");
    assert_eq!(
        end(r#"{"r.example/other":{"auth":"dTpw"}}"#),
        "credentials, u host 0"
    );
    assert_eq!(
        end(r#"{"https://r.example/v1/":{"auth":"dTpw"}}"#),
        "credentials, u host 0"
    );
    assert_eq!(
        end(r#"{"r.example/team/x":{"auth":"dTE6cA=="},"r.example":{"auth":"dTI6cA=="}}"#),
        "credentials, u2 namespace 0"
    );
    assert_eq!(end(r#"{"auths":{"r.example":{"auth":"dTpw"}}}"#), "none");
}

#[test]
fn references_that_its_own_parser_refuses_fail() {
    for image in [
        "Registry/x",
        "[::1]:5000/x",
        &format!("r.example/{}", "a".repeat(250)),
    ] {
        assert_eq!(keys(&["Registry", "[::1]:5000"], image), "error", "{image}");
    }
    assert_eq!(
        keys(&["R.example"], "R.example/x"),
        "credentials, u1 namespace 0"
    );
    assert_eq!(
        keys(&["foo_bar.x"], "foo_bar.x/app"),
        "credentials, u1 namespace 0"
    );
}
