//! Patterns match the images that kubelet's own code says, and doubted ones match none of the images that are meant.

use pullkeeper_core::image::ImageRef;
use pullkeeper_core::provider::pattern::{self, Reason};
use serde::Deserialize;
use serde_json::json;

use crate::reader_models::oracle::Oracle;

#[derive(Deserialize)]
struct Answer {
    error: String,
    matches: bool,
}

#[test]
fn patterns_match_the_same_images_here_and_in_kubelet() {
    let mut oracle = Oracle::start();
    let (mut matched, mut refused) = (0, 0);
    for pattern in PATTERNS {
        let mut ever = false;
        for image in IMAGES {
            let image: ImageRef = image.parse().expect("an image");
            let answer: Answer = oracle.exchange(&json!({
                "client": "provider-match",
                "provider": { "pattern": pattern, "image": image.name() },
            }));
            let readable = pattern::is_readable(pattern);
            assert_eq!(
                readable,
                answer.error.is_empty(),
                "{pattern:?} {}",
                answer.error
            );
            assert_eq!(
                pattern::matches(pattern, &image),
                answer.matches,
                "{pattern:?} {image}"
            );
            ever |= answer.matches;
            matched += usize::from(answer.matches);
            refused += usize::from(!readable);
        }
        match pattern::doubt(pattern) {
            None | Some(Reason::OneLabel | Reason::Port | Reason::UpperCase) => {}
            Some(reason) => assert!(!ever, "{pattern:?} is doubted, {reason}"),
        }
    }
    println!(
        "{} pairs, {matched} match, {refused} refused",
        PATTERNS.len() * IMAGES.len()
    );
    assert!(matched > 40 && refused > 40);
}

#[rustfmt::skip]
const PATTERNS: &[&str] = &[
    "r.example", "r.example/", "r.example/team", "r.example/team/", "r.example/te", "*.example", "*.*", "*", "r.*", "*r*.example", "a.*.example", "*.*.example", "r.example:5000", "r.example:443", "r.example:", "*.example:5000",
    "r.example/*", "r.example/team/*", "https://r.example", "http://r.example", "R.example", "r.EXAMPLE", "", "/", "/team", "docker.io", "docker.io/library", "index.docker.io", "registry-1.docker.io", "*.io", "localhost", "localhost:5000", "*:5000",
    "host:*", "host:x", "a b", "r.example/a b", "%zz", "r.example/%74eam", "[::1]:5000", "[::1]", "[", "a[b", "u:p@r.example", "r.example?x", "r.example#x", "r.example/team?x", "r.example//team", "r.example/Team", "r.example/team:tag", "r_x.example", "r..example",
    ".example", "r.example.", "-.example", "*.ex-ample", "\u{e9}.example", "r.example/\u{e9}", "r\t.example", "r.example:1:2", "**.example", "r.ex*mple", "*.amazonaws.com", "*.dkr.ecr.*.amazonaws.com", "Foo", "FOO", "r.example/team-", "r.example/-", "r.example/.x",
];

#[rustfmt::skip]
const IMAGES: &[&str] = &[
    "r.example/team/app", "r.example/team-evil/app", "r.example/x", "r.example:5000/team/app", "r.example:443/x", "a.r.example/x", "a.b.example/x", "R.example/x", "ubuntu", "library/x", "docker.io/a/b", "index.docker.io/x", "registry-1.docker.io/library/x",
    "localhost/x", "localhost:5000/x", "[::1]:5000/x", "quay.io/a/b:tag", "Foo/x", "123.dkr.ecr.eu-west-1.amazonaws.com/x", "r.ex-ample/x", "registry:5000/x",
];
