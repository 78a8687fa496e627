use super::*;

/// The proxy for a URL, `direct` without one.
fn way(proxy: &str, no: &str, url: &'static str) -> String {
    let proxied = Proxied::new(proxy, no, Duration::from_secs(1));
    let intercept = proxied.intercept(&Uri::from_static(url));
    intercept.map_or_else(|| "direct".to_owned(), |proxy| name(proxy.uri()))
}

#[test]
fn the_proxy_is_for_everything_but_this_machine_and_what_is_excepted() {
    let proxy = "http://user:password@proxy.example:3128";
    for (no, url, expected) in [
        ("", "https://sso.example", "proxy.example:3128"),
        ("", "https://10.1.2.3:8443", "proxy.example:3128"),
        ("", "https://localhost:8443", "direct"),
        ("", "https://127.0.0.53", "direct"),
        ("", "https://[::1]:8443", "direct"),
        ("", "http://127.0.0.1:5000", "direct"),
        (".example", "https://sso.example", "direct"),
        ("example", "https://sso.example", "direct"),
        (
            "a.example, sso.example",
            "https://sso.example:8443",
            "direct",
        ),
        ("o.example", "https://sso.example", "proxy.example:3128"),
        ("10.0.0.0/8", "https://10.1.2.3", "direct"),
        ("*", "https://sso.example", "direct"),
        ("other, *.example", "https://sso.example", "direct"),
    ] {
        assert_eq!(way(proxy, no, url), expected, "{no} {url}");
    }
    assert_eq!(way("", "", "https://sso.example"), "direct");
    assert_eq!(
        way("proxy.example:3128", "", "https://sso.example"),
        "proxy.example:3128"
    );
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_not_passed_over() {
    for (proxy, words) in [
        (
            "http://user:fixture@secret@proxy.example:3128",
            "percent-encoding",
        ),
        (
            "ftp://user:fixture-secret@proxy.example",
            "percent-encoding",
        ),
        (
            "http://user:fixture secret@proxy.example",
            "percent-encoding",
        ),
        (
            "https://user:fixture-secret@proxy.example:3129",
            "proxy.example:3129 is no http proxy",
        ),
        (
            "socks5://user:fixture-secret@proxy.example:1080",
            "proxy.example:1080 is no http proxy",
        ),
    ] {
        let mut proxied = Proxied::new(proxy, "excepted.example", Duration::from_secs(1));
        let failed = proxied.call(Uri::from_static("https://sso.example")).await;
        let failed = failed.unwrap_err().to_string();
        assert!(failed.contains(words), "{words}: {failed}");
        assert!(!failed.contains("secret"), "{failed}");
        assert!(
            proxied
                .intercept(&Uri::from_static("https://excepted.example"))
                .is_none()
        );
    }
}
