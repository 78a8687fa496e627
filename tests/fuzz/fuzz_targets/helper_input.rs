//! Whatever stands on a helper's standard input or comes back over its socket: a request, an answer, or one line that
//! fits into a client's error and is never the sentence for a miss.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pullkeeper_core::protocol::{Output, docker, kubelet};
use pullkeeper_core::query::Query;
use pullkeeper_core::wire::{self, Answer, Request};

fuzz_target!(|data: &[u8]| {
    match docker::get(data) {
        Ok(Request::Docker { server }) => {
            let query = Query::of_server(&server).expect("it was accepted");
            let again = Query::of_server(&query.registry()).expect("a registry is a server");
            assert_eq!(again.registry(), query.registry());
            assert!(!server.contains(char::is_control));
        }
        Ok(Request::Kubelet { .. }) => panic!("not docker's"),
        Err(output) => refused(&output),
    }
    for refusal in [docker::store(data).err(), docker::erase(data).err()] {
        refusal.iter().for_each(refused);
    }
    if let Err(output) = kubelet::request(data) {
        assert!(output.stdout.is_empty() && output.status == 1);
    }
    if let Ok(answer) = wire::read_response::<Answer>(data) {
        let output = docker::answer("r.example", &answer);
        if let Answer::Unavailable { .. } = answer {
            refused(&output);
            assert!(output.stdout.starts_with("pullkeeper: "));
        }
        let provider = kubelet::answer("r.example/app", &answer);
        let outage = matches!(answer, Answer::Unavailable { .. });
        assert_eq!(provider.stdout.is_empty(), outage);
    }
});

fn refused(output: &Output) {
    assert_eq!(output.status, 1);
    assert_eq!(output.stdout.lines().count(), 1);
    assert_ne!(output.stdout.trim(), docker::NOT_FOUND);
}
