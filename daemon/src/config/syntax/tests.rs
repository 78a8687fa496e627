use super::*;
use crate::config::settings::TargetKind;

#[test]
fn paths_are_absolute_and_plain() {
    assert_eq!(absolute_path("//a/./b/"), Ok("/a/b".into()));
    for bad in ["", "a", "./a", "/a/../b", "/a\n", "~/.docker"] {
        assert!(absolute_path(bad).is_err(), "{bad:?}");
    }
    assert_eq!(file_path("/a/b.json"), Ok("/a/b.json".into()));
    for bad in ["/", "/a/", "/a/."] {
        assert!(file_path(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn durations_have_units() {
    assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
    assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
    assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
    for bad in [
        "",
        "60",
        "s",
        "-5s",
        "5 parsecs",
        "1d",
        "99999999999999999999h",
    ] {
        assert!(duration(bad).is_err(), "{bad:?}");
    }
    for seconds in [1, 45, 60, 300, 86_400, 90_061] {
        let duration = Duration::from_secs(seconds);
        assert_eq!(super::duration(&friendly(duration)), Ok(duration));
    }
}

#[test]
fn words_are_exact_and_slips_are_recognized() {
    assert_eq!(word::<TargetKind>("kubelet"), Ok(TargetKind::Kubelet));
    let error = word::<TargetKind>("Kubelte").unwrap_err();
    assert_eq!(
        error,
        "must be one of containers, docker, kubelet; did you mean kubelet?"
    );
    let error = word::<TargetKind>("crio").unwrap_err();
    assert_eq!(error, "must be one of containers, docker, kubelet");
}

#[test]
fn kubernetes_names_follow_rfc_1123() {
    let longest = "a".repeat(63);
    for good in ["a", "0", "openshift-config", &longest] {
        assert!(dns_label(good).is_ok(), "{good:?}");
    }
    for bad in [
        "",
        "-a",
        "a-",
        "A",
        "a.b",
        "a_b",
        "ä",
        &format!("{longest}a"),
    ] {
        assert!(dns_label(bad).is_err(), "{bad:?}");
    }
    assert!(dns_subdomain("ip-10-0-0-1.eu-west-1.compute.internal").is_ok());
    for bad in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a.-b",
        &vec!["a"; 128].join("."),
    ] {
        assert!(dns_subdomain(bad).is_err(), "{bad:?}");
    }
    assert_eq!(
        secret_reference("n/a.b"),
        Ok(("n".to_owned(), "a.b".to_owned()))
    );
    for bad in ["", "a", "a/", "/a", "a/b/c", "a.b/c", "A/b"] {
        assert!(secret_reference(bad).is_err(), "{bad:?}");
    }
    for good in [
        ".dockerconfigjson",
        "config.json",
        "A_b-c",
        ".",
        "..",
        "..x",
        "",
        "a/b",
        "a b",
    ] {
        let wanted = matches!(good, ".dockerconfigjson" | "config.json" | "A_b-c");
        assert_eq!(secret_key(good).is_ok(), wanted, "{good:?}");
    }
}

#[test]
fn selectors_follow_the_api() {
    for good in [
        "a",
        "!a",
        "! a",
        "a=b",
        "a==b",
        "a!=b",
        "a=",
        " a = b , c ",
        "a in (b,c)",
        "a notin (b, c)",
        "a in(b)",
        "a in ()",
        "a>1",
        "a < -1",
        "example.com/a.b_c=D.e_f",
        "a=b,c in (d,e),!f",
    ] {
        assert!(selector(good).is_ok(), "{good:?}");
    }
    for bad in [
        "",
        ",",
        "a,",
        "a=b=c",
        "a=b c",
        "a b",
        "a in b",
        "a in (b",
        "a in b)",
        "a in ((b))",
        "a>b",
        "-a",
        "a/b/c",
        "A.B/c",
        "/a",
        "a/",
        "a=-",
        "in (b)",
        "!a=b",
        "a===b",
        "a in (b) c",
        "{\"a\": 1}",
    ] {
        assert!(selector(bad).is_err(), "{bad:?}");
    }
    assert!(selector(&format!("a={}", "b".repeat(64))).is_err());
}

#[test]
fn the_broker_listens_where_peers_are_known() {
    assert_eq!(socket_listen("systemd"), Ok(Listen::Systemd));
    assert_eq!(socket_listen("off"), Ok(Listen::Off));
    let unix = Listen::Unix("/run/x.sock".into());
    assert_eq!(socket_listen("unix:/run/x.sock"), Ok(unix));
    for bad in ["127.0.0.1:9409", "/run/x.sock", "unix:relative", ""] {
        assert!(socket_listen(bad).is_err(), "{bad:?}");
    }
    assert_eq!(id("0"), Ok(0));
    for bad in ["", "root", "-1", "+1", "4294967295"] {
        assert!(id(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn listeners_are_addresses_sockets_or_off() {
    assert_eq!(listen("off"), Ok(Listen::Off));
    assert_eq!(
        listen("127.0.0.1:0"),
        Ok(Listen::Tcp("127.0.0.1:0".parse().unwrap()))
    );
    assert_eq!(
        listen("unix:/run/x.sock"),
        Ok(Listen::Unix("/run/x.sock".into()))
    );
    for good in ["off", "[::1]:9409", "0.0.0.0:80", "unix:/a/b"] {
        assert_eq!(listen(good).unwrap().to_string(), good);
    }
    let long = format!("unix:/{}", "a".repeat(107));
    for bad in [
        "",
        "Off",
        "9409",
        ":9409",
        "localhost:9409",
        "127.0.0.1",
        "1.2.3.4:99999",
        "unix:",
        "unix:a",
        "unix:/",
        &long,
    ] {
        assert!(listen(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn modes_keep_others_out() {
    for (text, mode) in [
        ("0600", 0o600),
        ("600", 0o600),
        ("0640", 0o640),
        ("0440", 0o440),
        ("00400", 0o400),
    ] {
        assert_eq!(self::mode(text), Ok(mode));
    }
    for bad in [
        "0644", "0604", "0601", "0620", "0660", "0700", "0200", "0040", "0000", "4600", "1600",
    ] {
        assert!(mode(bad).is_err(), "{bad:?}");
    }
    for bad in [
        "",
        "0",
        "0o600",
        "rw-------",
        "0800",
        "+600",
        "000600",
        "u=rw",
    ] {
        assert_eq!(
            mode(bad).unwrap_err(),
            "must be octal digits, such as \"0600\"",
            "{bad:?}"
        );
    }
}

#[test]
fn owners_are_numbers() {
    assert_eq!(owner("0:1000"), Ok(Owner { uid: 0, gid: 1000 }));
    for bad in [
        "",
        "0",
        ":",
        "0:",
        ":0",
        "root:root",
        "-1:0",
        "+1:0",
        "0:4294967295",
        "0:0:0",
    ] {
        assert!(owner(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn registries_are_hosts_with_optional_port_and_path() {
    for good in [
        "quay.io",
        "localhost",
        "localhost:5000",
        "10.0.0.1:443",
        "[::1]:5000",
        "[fe80::1]",
        "r.example/team/a_b",
        "r.example:5000/a",
    ] {
        assert_eq!(registry(good).as_deref(), Ok(good));
    }
    for bad in [
        "",
        "https://quay.io",
        "Quay.io",
        "quay.io/",
        "quay.io:",
        "quay.io:0",
        "quay.io:+5",
        "quay.io:99999",
        "*.quay.io",
        "::1",
        "[::1",
        "[x]",
        "a/B",
        "a//b",
        "user@quay.io",
        "quay.io/a:b",
    ] {
        assert!(registry(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn names_of_sources_are_never_those_that_are_made_up() {
    assert!(source_name("global").is_ok());
    for bad in ["", "secret:a/b", "file:/x", "A", "a b", &"a".repeat(64)] {
        assert!(source_name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn filters_are_levels_or_directives() {
    for good in [
        "info",
        "OFF",
        "warn,kube=debug",
        "pullkeeper_daemon::broker=trace,off",
    ] {
        assert_eq!(log_filter(good).as_deref(), Ok(good));
    }
    for bad in [
        "",
        "inof",
        "info,",
        "verbose",
        "kube",
        "kube=loud",
        "info,[",
        "5",
        "info, hyper=off",
        "info,=debug",
        "[span{field=1}]=debug",
    ] {
        assert!(log_filter(bad).is_err(), "{bad:?}");
    }
    assert!(
        log_filter("inof")
            .unwrap_err()
            .ends_with("; did you mean info?")
    );
}

#[test]
fn a_unit_has_its_kind_and_nothing_that_is_not_a_name() {
    for good in [
        "kubelet.service",
        "container-getty@1.service",
        "a\\x2db.socket",
    ] {
        assert_eq!(unit(good).as_deref(), Ok(good));
    }
    for bad in [
        "",
        "kubelet",
        ".service",
        "a b.service",
        "/etc/x.service",
        "kubelet.mount",
    ] {
        assert!(unit(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_asked_for_health_is_on_this_host() {
    for good in ["http://127.0.0.1:10248/healthz", "http://[::1]:1/"] {
        assert!(local_url(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "/healthz",
        "https://127.0.0.1/",
        "http://localhost/",
        "http://10.0.0.1/",
        "http://u:p@127.0.0.1/",
    ] {
        assert!(local_url(bad).is_err(), "{bad}");
    }
}
