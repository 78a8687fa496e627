use std::path::Path;

use super::*;
use crate::provider::config::{File, Kubelet, Program, Programs, Source, TokenAttributes, load};

fn programs() -> Programs {
    Programs::from([(PROVIDER_NAME.to_owned(), Program::Executable)])
}

#[test]
fn our_file_is_what_the_documentation_shows() {
    let images = [
        "registry.example.com".to_owned(),
        "*.registry.example.com".to_owned(),
    ];
    let text = render(Ours {
        match_images: &images,
        socket: Some(Path::new("/run/pullkeeper/broker.sock")),
        timeout: Some(5),
        token: Some(OurToken {
            audience: "pullkeeper",
            require_service_account: true,
        }),
    });
    assert_eq!(
        text,
        r#"# Written by Pullkeeper, which replaces it. kubelet reads it at its start only.
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: pullkeeper-credential-provider
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    matchImages:
      - "registry.example.com"
      - "*.registry.example.com"
    defaultCacheDuration: "0s"
    args: ["credential-provider"]
    env:
      - name: PULLKEEPER_BROKER_SOCKET
        value: "/run/pullkeeper/broker.sock"
      - name: PULLKEEPER_HELPER_TIMEOUT
        value: "5"
    tokenAttributes:
      serviceAccountTokenAudience: "pullkeeper"
      cacheType: Token
      requireServiceAccount: true
"#
    );
    let file = File {
        path: Path::new(FILE_NAME),
        bytes: text.as_bytes(),
    };
    let loaded = load(
        Source::Directory(&[file]),
        Some(&programs()),
        Kubelet::of_minor(34),
    )
    .unwrap();
    let provider = &loaded.providers[0];
    assert_eq!(provider.match_images, images);
    assert_eq!(
        provider.token,
        Some(TokenAttributes {
            audience: "pullkeeper".to_owned(),
            cache_type: "Token".to_owned(),
            require_service_account: true,
            required_annotations: vec![],
            optional_annotations: vec![],
        })
    );
    assert_eq!(loaded.doubts, []);
}

#[test]
fn nothing_that_is_put_in_breaks_the_file() {
    let images = ["a\": b\n- c\u{85}\u{2028}\u{1f600}#x".to_owned()];
    let text = render(Ours {
        match_images: &images,
        socket: None,
        timeout: None,
        token: None,
    });
    let file = File {
        path: Path::new(FILE_NAME),
        bytes: text.as_bytes(),
    };
    let faults = load(Source::File(file), Some(&programs()), Kubelet::of_minor(33)).unwrap_err();
    let [fault] = faults.as_slice() else {
        panic!("{faults:?}");
    };
    assert_eq!(fault.field, "providers[0].matchImages[0]");
}
