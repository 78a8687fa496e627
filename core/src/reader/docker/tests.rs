use super::convert_to_hostname;
use crate::authfile::Shape::{ConfigJson, DockerCfg};
use crate::reader::Reader::Docker;
use crate::reader::tests::{document, ending};

fn keys(keys: &[&str], image: &str) -> String {
    ending(Docker, ConfigJson, &document(keys), image)
}

fn end(document: &str) -> String {
    ending(Docker, ConfigJson, document, "r.example/x")
}

#[test]
fn the_exact_key_wins_and_any_path_widens() {
    assert_eq!(
        keys(&["r.example", "https://r.example/v1/"], "r.example/x"),
        "credentials, u1 exact 0"
    );
    assert_eq!(
        keys(&["r.example/team"], "r.example/other"),
        "credentials, u1 host 0"
    );
    assert_eq!(
        keys(&["https://r.example/v1/"], "r.example/x"),
        "credentials, u1 host 0"
    );
    assert_eq!(
        keys(&["r.example/a", "r.example/b"], "r.example/x"),
        "ambiguous, u1 host 0, u2 host 0"
    );
    assert_eq!(keys(&["*.example"], "r.example/x"), "none");
    assert_eq!(keys(&["r.example:443"], "r.example/x"), "none");
}

#[test]
fn docker_hub_has_one_key() {
    assert_eq!(
        keys(&["https://index.docker.io/v1/"], "x"),
        "credentials, u1 exact 0"
    );
    for key in [
        "docker.io",
        "index.docker.io",
        "https://index.docker.io/v1",
        "registry-1.docker.io",
    ] {
        assert_eq!(keys(&[key], "x"), "none", "{key}");
    }
}

#[test]
fn keys_become_host_names() {
    let cases = [
        ("r.example/team", "r.example"),
        ("https://r.example:5000/v1/", "r.example:5000"),
        ("https://r.example:", "r.example"),
        ("https://u:p@r.example", "r.example"),
        ("u:p@r.example/x", "u:p@r.example"),
        ("ftp://r.example", "r.example"),
        ("https://[::1]:5000/x", "[::1]:5000"),
        ("https://[::1]/x", "::1"),
        ("https://::1:5000/x", "[::1]:5000"),
        ("https://a:b:c/x", "a:b:c"),
        ("https://r.exa mple/x", "r.exa mple"),
        ("r.example/x://other/y", "other"),
        ("https:///x", "https:"),
        ("://", ":"),
        ("", ""),
    ];
    for (key, host) in cases {
        assert_eq!(convert_to_hostname(key), host.as_bytes(), "{key}");
    }
}

#[test]
fn helpers_come_before_the_file() {
    let with = |settings: &str| {
        end(&format!(
            r#"{{{settings},"auths":{{"r.example":{{"auth":"dTpw"}}}}}}"#
        ))
    };
    assert_eq!(with(r#""credsStore":"s""#), "helper");
    assert_eq!(with(r#""credsStore":"""#), "credentials, u exact 0");
    assert_eq!(with(r#""credHelpers":{"r.example":"h"}"#), "helper");
    assert_eq!(
        with(r#""credHelpers":{"r.example":""},"credsStore":"s""#),
        "credentials, u exact 0"
    );
    assert_eq!(
        with(r#""credHelpers":{"https://r.example":"h"}"#),
        "credentials, u exact 0"
    );
    let hub = r#"{"credHelpers":{"https://index.docker.io/v1/":"h"}}"#;
    assert_eq!(ending(Docker, ConfigJson, hub, "x"), "helper");
    assert_eq!(
        ending(
            Docker,
            ConfigJson,
            r#"{"credHelpers":{"docker.io":"h"}}"#,
            "x"
        ),
        "none"
    );
}

#[test]
fn only_the_first_value_counts_and_blank_files_are_fine() {
    assert_eq!(
        end(&format!("{} garbage", document(&["r.example"]))),
        "credentials, u1 exact 0"
    );
    assert_eq!(end(""), "none");
    assert_eq!(end(" \r\n\t"), "none");
    assert_eq!(end("\u{feff}{}"), "MalformedJSON");
    assert_eq!(end("null"), "none");
}

#[test]
fn all_fields_of_the_file_have_types() {
    for wrong in [
        r#""HttpHeaders":{"a":1}"#,
        r#""psFormat":1"#,
        r#""detach\u212aeys":1"#,
        r#""pruneFilters":"x""#,
        r#""cliPluginsExtraDirs":[1]"#,
        r#""plugins":{"a":"b"}"#,
        r#""plugins":{"a":{"b":1}}"#,
        r#""proxies":{"a":{"NOPROXY":1}}"#,
        r#""aliases":[]"#,
        r#""features":{"a":true}"#,
        r#""credsStore":{}"#,
        r#""credHelpers":[]"#,
        r#""auths":{"a":{"serveraddress":1}}"#,
    ] {
        assert_eq!(end(&format!("{{{wrong}}}")), "WrongType", "{wrong}");
    }
    for fine in [
        r#""HttpHeaders":{"a":null}"#,
        r#""psFormat":null"#,
        r#""pruneFilters":["x",null]"#,
        r#""plugins":{"a":{"b":null},"c":null}"#,
        r#""proxies":{"a":{"other":1}}"#,
        r#""Filename":1"#,
        r#""unknown":[]"#,
        r#""auths":{"a":{"email":1}}"#,
    ] {
        assert_eq!(end(&format!("{{{fine}}}")), "none", "{fine}");
    }
}

#[test]
fn one_broken_entry_costs_the_file_unless_it_is_replaced() {
    let good = r#""r.example":{"auth":"dTpw"}"#;
    for broken in [
        r#"{"auth":"!"}"#,
        r#"{"auth":"dQ=="}"#,
        r#"{"auth":"OnA="}"#,
        r#"{"auth":"dTpwdw"}"#,
    ] {
        assert_eq!(
            end(&format!(r#"{{"auths":{{"a":{broken},{good}}}}}"#)),
            "BadEntry",
            "{broken}"
        );
        let replaced = format!(r#"{{"auths":{{"a":{broken},"a":null,{good}}}}}"#);
        assert_eq!(end(&replaced), "credentials, u exact 0", "{broken}");
    }
    assert_eq!(end(r#"{"auths":{"r.example":{}}}"#), "empty,  exact 0");
    assert_eq!(
        end(r#"{"auths":{"r.example":{"registrytoken":"t"}}}"#),
        "credentials,  exact 0"
    );
}

#[test]
fn the_legacy_file_is_not_opened() {
    assert_eq!(
        ending(
            Docker,
            DockerCfg,
            r#"{"r.example":{"auth":"dTpw"}}"#,
            "r.example/x"
        ),
        "none"
    );
    assert_eq!(ending(Docker, DockerCfg, "not JSON", "r.example/x"), "none");
}
