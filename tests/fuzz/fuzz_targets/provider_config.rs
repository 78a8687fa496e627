//! Any bytes as kubelet's credential provider configuration: nothing panics, and what kubelet 1.33 starts with, a later
//! one does too.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pullkeeper_core::provider::config::{File, Kubelet, Program, Programs, Source, load};

fuzz_target!(|data: &[u8]| {
    let programs = Programs::from([("ours".to_owned(), Program::Executable)]);
    let file = File { path: Path::new("a.yaml"), bytes: data };
    let [old, new] = [33, 36].map(|minor| load(Source::File(file), Some(&programs), Kubelet::of_minor(minor)));
    match (&old, &new) {
        (Ok(old), Ok(new)) => assert_eq!(old, new),
        (Ok(_), Err(faults)) => panic!("{faults:?}"),
        (Err(faults), _) => assert!(faults.iter().all(|fault| !fault.to_string().is_empty())),
    }
});
