//! A registry's challenge: nothing that it can say leads to an origin that is not listed, and what a URL shows as is
//! where requests to it go.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pullkeeper_core::challenge;
use pullkeeper_core::jwt::Claims;
use pullkeeper_core::origin::{Origin, Url};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = Claims::of(text);
    let allowed = [Origin::parse("https://sso.example").expect("an origin")];
    for header in [text.to_owned(), format!("Bearer realm=\"{text}\"")] {
        let Some(bearer) = challenge::bearer(std::iter::once(header.as_str())) else {
            continue;
        };
        if let Ok(url) = challenge::realm(&bearer, &allowed) {
            assert_eq!(*url.origin(), allowed[0]);
            let shown = url.with_query(&[("service", text)]).to_string();
            assert!(shown.starts_with("https://sso.example/"), "{shown}");
            assert_eq!(*Url::parse(&shown).expect("a URL").origin(), allowed[0]);
        }
    }
});
