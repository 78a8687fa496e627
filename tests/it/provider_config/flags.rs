//! Values of flags are those that kubelet's way of parsing finds.

use fastrand::Rng;
use pullkeeper_core::provider::flags;
use serde::Deserialize;
use serde_json::json;

use crate::reader_models::oracle::Oracle;

#[derive(Deserialize)]
struct Answer {
    runs: bool,
    value: Option<String>,
}

#[test]
fn flags_of_a_running_kubelet_have_the_values_that_it_sees() {
    let mut oracle = Oracle::start();
    let mut random = Rng::with_seed(1);
    let (mut running, mut set) = (0, 0);
    for _ in 0..4000 {
        let count = random.usize(..6);
        let mut arguments: Vec<String> = (0..count)
            .map(|_| ARGUMENTS[random.usize(..ARGUMENTS.len())].to_owned())
            .collect();
        let answer: Answer = oracle.exchange(&json!({
            "client": "kubelet-flag",
            "arguments": arguments,
            "flag": flags::CONFIG,
        }));
        if !answer.runs {
            continue;
        }
        arguments.insert(0, "/usr/bin/kubelet".to_owned());
        assert_eq!(
            flags::value(&arguments, flags::CONFIG),
            answer.value.as_deref(),
            "{arguments:?}"
        );
        running += 1;
        set += usize::from(answer.value.is_some());
    }
    println!("{running} of 4000 lines run, {set} of them set the flag");
    assert!(running > 500 && set > 200);
}

/// No other flag is given a value that begins with two dashes: that is what the model assumes.
#[rustfmt::skip]
const ARGUMENTS: &[&str] = &[
    "--image-credential-provider-config=/a", "--image-credential-provider-config=/b", "--image-credential-provider-config=", "--image_credential_provider_config=/c=d", "--image-credential-provider-config=--", "--image-credential-provider-config",
    "--image-credential-provider-bin-dir=/bin", "--image-credential-provider-bin-dir=--image-credential-provider-config=/x", "--fail-swap-on", "--fail-swap-on=false", "--oom-score-adj=-5", "--", "-image-credential-provider-config=/d", "/e", "-", "--unknown=x", "--image-credential-provider-conf=/f",
];
