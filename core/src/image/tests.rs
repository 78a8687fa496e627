use proptest::prelude::*;

use super::*;

const HEX: &str = "7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa";

fn fault(image: &str) -> ImageFault {
    ImageRef::parse(image).unwrap_err().fault
}

#[test]
fn names_get_the_defaults_of_docker_hub() {
    let cases = [
        ("ubuntu", "docker.io", "library/ubuntu"),
        ("team/app", "docker.io", "team/app"),
        ("docker.io/ubuntu", "docker.io", "library/ubuntu"),
        ("index.docker.io/team/app", "docker.io", "team/app"),
        ("index.docker.io/ubuntu", "docker.io", "library/ubuntu"),
        (
            "registry-1.docker.io/ubuntu",
            "registry-1.docker.io",
            "ubuntu",
        ),
        ("r.example", "docker.io", "library/r.example"),
        ("r.example/app", "r.example", "app"),
        ("r:5000/app", "r:5000", "app"),
        ("localhost/app", "localhost", "app"),
        ("Registry/app", "Registry", "app"),
        ("R.Example/a/b/c", "R.Example", "a/b/c"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000", "app"),
        ("[::1]/app", "[::1]", "app"),
        ("[2001:db8::1]:5000/app", "[2001:db8::1]:5000", "app"),
        // Not a host name, but a legal path: upstream leaves the registry empty.
        ("foo_bar.x/app", "", "foo_bar.x/app"),
    ];
    for (image, domain, path) in cases {
        let parsed = ImageRef::parse(image).unwrap();
        assert_eq!((parsed.domain(), parsed.path()), (domain, path), "{image}");
    }
}

#[test]
fn tags_and_digests_are_split_off() {
    let parsed = ImageRef::parse(&format!("r.example:5000/a/b:v1.0@sha256:{HEX}")).unwrap();
    assert_eq!(parsed.name(), "r.example:5000/a/b");
    assert_eq!(
        (parsed.tag(), parsed.digest()),
        (Some("v1.0"), Some(&*format!("sha256:{HEX}")))
    );
    assert_eq!(
        parsed.to_string(),
        format!("r.example:5000/a/b:v1.0@sha256:{HEX}")
    );
    // Without a slash the part behind the colon is a tag, never a port.
    assert_eq!(
        "r.example:5000".parse::<ImageRef>().unwrap().to_string(),
        "docker.io/library/r.example:5000"
    );
    assert_eq!(ImageRef::parse("ubuntu").unwrap().tag(), None);
}

#[test]
fn what_is_not_a_reference_is_refused_with_a_reason() {
    let long = format!("r.example/{}", "a".repeat(256));
    let cases = [
        (HEX, ImageFault::Identifier),
        ("", ImageFault::Name),
        ("Ubuntu", ImageFault::Uppercase),
        ("r.example/Team/app", ImageFault::Uppercase),
        ("team/App", ImageFault::Uppercase),
        ("https://r.example/app", ImageFault::Name),
        ("r.example//app", ImageFault::Name),
        ("r.example/app/", ImageFault::Name),
        ("::1/app", ImageFault::Name),
        ("[::1/app", ImageFault::Name),
        ("r-.example/app", ImageFault::Name),
        ("r.example:/app", ImageFault::Name),
        ("r.example/a___b", ImageFault::Name),
        ("r.example/a..b", ImageFault::Name),
        ("user@r.example/app", ImageFault::Digest),
        (" ubuntu", ImageFault::Name),
        ("ubuntu:", ImageFault::Tag),
        ("ubuntu:-x", ImageFault::Tag),
        ("ubuntu:a:b", ImageFault::Tag),
        ("ubuntu@sha256:abc", ImageFault::Digest),
        (
            "ubuntu@sha1:7cc4b5aefd1d0cadf8d97d4350462ba51c694ebc",
            ImageFault::Digest,
        ),
        (&long, ImageFault::TooLong),
    ];
    for (image, expected) in cases {
        assert_eq!(fault(image), expected, "{image:?}");
    }
    assert_eq!(
        fault(&format!("ubuntu@sha256:{}", HEX.to_uppercase())),
        ImageFault::Digest
    );
    assert!(ImageRef::parse(&long[..long.len() - 1]).is_ok());
    assert!(ImageRef::parse(&format!("a:{}", "x".repeat(128))).is_ok());
    assert_eq!(fault(&format!("a:{}", "x".repeat(129))), ImageFault::Tag);
    assert!(ImageRef::parse(&HEX[1..]).is_ok());
}

proptest! {
    #[test]
    fn parsing_never_panics_and_is_stable(image in "[a-zA-Z0-9._:/@\\[\\]-]{0,24}|.{0,12}") {
        if let Ok(parsed) = ImageRef::parse(&image) && !parsed.domain().is_empty() {
            prop_assert_eq!(ImageRef::parse(&parsed.to_string()).unwrap(), parsed);
        }
    }
}
