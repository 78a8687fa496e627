use proptest::prelude::*;

use super::*;

fn parts(raw: &str) -> Option<(String, String)> {
    let url = parse(raw.as_bytes())?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Some((text(&url.host), text(&url.path)))
}

#[test]
fn host_and_path_are_taken_out() {
    let cases = [
        ("https://r.example", "r.example", ""),
        ("https://r.example:5000/v1/", "r.example:5000", "/v1/"),
        ("https://r.example:/", "r.example:", "/"),
        ("HTTP://R.example/A", "R.example", "/A"),
        ("https://user:pass@r.example/a?q#f", "r.example", "/a"),
        ("https://u@s@r.example", "r.example", ""),
        ("https://*.r.example/a%20b%2fc", "*.r.example", "/a b/c"),
        ("https://[::1]:5000/x", "[::1]:5000", "/x"),
        ("https://[fe80::1%25eth0]", "[fe80::1%eth0]", ""),
        ("https://[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", ""),
        ("https://h%C3%A9/", "hé", "/"),
        ("ftp://a:1:2/x", "a:1:2", "/x"),
        ("//r.example/x", "r.example", "/x"),
        ("///r.example/x", "", "///r.example/x"),
        ("https:///x", "", "/x"),
        ("mailto:a@b", "", ""),
        ("a/b:c", "", "a/b:c"),
        ("https://", "", ""),
        ("", "", ""),
    ];
    for (raw, host, path) in cases {
        assert_eq!(
            parts(raw),
            Some((host.to_owned(), path.to_owned())),
            "{raw}"
        );
    }
}

#[test]
fn what_go_refuses_is_refused() {
    let refused = [
        ":x",
        "a:b/c\n",
        "r.example:5000/x:y\u{7f}",
        "1:2",
        "https://r.example:port",
        "https://r.example:1:2",
        "https://::1/",
        "https://a[b].example/",
        "https://[a-c].example/",
        "https://[::1",
        "https://[::1]x",
        "https://[1.2.3.4]",
        "https://[::1%25]",
        "https://[::1%eth0]",
        "https://r.exa mple",
        "https://r.ex%41mple",
        "https://r.example/%zz",
        "https://r.example/%a",
        "https://r.example/#%",
        "https://us er@r.example",
        "https://u%@r.example",
        "https://a^b",
        "https://a\\b",
    ];
    for raw in refused {
        assert_eq!(parts(raw), None, "{raw:?}");
    }
}

#[test]
fn both_ways_to_split_a_port_off() {
    let kubelet = |host: &'static str| split_host_port(host.as_bytes());
    let docker = |host: &'static str| hostname_and_port(host.as_bytes());
    assert_eq!(kubelet("h:80"), (&b"h"[..], &b"80"[..]));
    assert_eq!(kubelet("[::1]:80"), (&b"::1"[..], &b"80"[..]));
    for whole in [
        "h", "", "[::1]", "a:b:c", "[a]b:1", "[a[b]:1", "a]:1", "[a]:1]",
    ] {
        assert_eq!(kubelet(whole), (whole.as_bytes(), &b""[..]), "{whole}");
    }
    assert_eq!(docker("h:80"), (&b"h"[..], &b"80"[..]));
    assert_eq!(docker("[::1]:80"), (&b"::1"[..], &b"80"[..]));
    assert_eq!(docker("[::1]"), (&b"::1"[..], &b""[..]));
    assert_eq!(docker("h:x"), (&b"h:x"[..], &b""[..]));
}

proptest! {
    #[test]
    fn parsing_never_panics(raw in prop::collection::vec(any::<u8>(), 0..40), tail in "[a%:/@\\[\\]?#.0-9]{0,24}") {
        let whole = [b"https://", tail.as_bytes()].concat();
        prop_assert_eq!(parse(&whole), parse_http(tail.as_bytes()));
        for url in [raw, whole, tail.into_bytes()] {
            if let Some(url) = parse(&url) {
                split_host_port(&url.host);
                hostname_and_port(&url.host);
            }
        }
    }
}
