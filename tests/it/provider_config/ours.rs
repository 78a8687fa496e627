//! Our own file, in kubelet's own code.

use std::path::Path;

use pullkeeper_core::provider::render::{FILE_NAME, OurToken, Ours, PROVIDER_NAME, render};

use super::case::{Case, Entry, Kind, Verdict};
use crate::reader_models::oracle::Oracle;

#[test]
fn kubelet_starts_with_our_file() {
    let mut oracle = Oracle::start();
    let images = [
        "registry.example.com".to_owned(),
        "*.example.com:5000/a\u{e9}\u{1f600}".to_owned(),
    ];
    let token = |require_service_account| OurToken {
        audience: "https://registry.example.com/",
        require_service_account,
    };
    for token in [None, Some(token(true)), Some(token(false))] {
        for socket in [None, Some(Path::new("/run/a\" #b: {/broker.sock"))] {
            let text = render(Ours {
                match_images: &images,
                socket,
                timeout: Some(5),
                token,
            });
            let mut case = Case::single(FILE_NAME, text.as_bytes());
            case.directory = true;
            case.programs
                .push(Entry::new(PROVIDER_NAME, Kind::Link, b"#!/bin/sh\n"));
            let kubelet = case.ask(&mut oracle);
            assert!(
                matches!(kubelet, Verdict::Loaded(_)),
                "{kubelet:#?} {case:?}"
            );
            assert_eq!(case.judge(), kubelet, "{case:?}");
        }
    }
}
