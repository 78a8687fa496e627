//! What a document of 5,000 entries costs, against the plainest way to read the same bytes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pullkeeper_core::authfile::{
    Contribution, Document, Foreign, HashKey, Ledger, Rules, Shape, Wanted, merge,
};
use pullkeeper_core::reader::Reader;
use support::fixture::large_config_json;

use crate::figures::{Figures, percentile};

const ENTRIES: usize = 5000;
const ROUNDS: usize = 40;

pub(crate) fn measure(figures: &mut Figures) {
    ratio(figures, "document_cost_ratio", "hosts as keys", "");
    // Keys with a path cause a finding each, which has to be told with its place.
    let keys = "keys with a path, a finding for each";
    ratio(figures, "document_cost_path_keys_ratio", keys, "/team-1/");
}

fn ratio(figures: &mut Figures, name: &'static str, keys: &str, path: &str) {
    let body = large_config_json(ENTRIES, path);
    let disk = body.replace("team-7", "former-7");
    let ledger = step(&disk, None, &Ledger::new(HashKey::new([7; 32]))).1;
    let disk = Document::check(disk.as_bytes(), Shape::ConfigJson).document;

    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Turn by turn, so that both see the same machine.
        plain.push(time(|| {
            serde_json::from_slice::<serde_json::Value>(black_box(body.as_bytes()))
        }));
        ours.push(time(|| step(black_box(&body), disk.as_ref(), &ledger)));
    }
    let (ours, plain) = (percentile(&mut ours, 0.5), percentile(&mut plain, 0.5));
    figures.lower(
        name,
        ours / plain,
        "ratio",
        Some(3.0),
        format!(
            "median of {ROUNDS}: check + join + merge with the file on disk + render of {ENTRIES} entries \
             ({keys}, {} bytes), {ours:.2} ms, against serde_json::Value of the same bytes, {plain:.2} ms",
            body.len()
        ),
    );
}

fn step(body: &str, disk: Option<&Document>, ledger: &Ledger) -> (usize, Ledger) {
    let document = Document::check(body.as_bytes(), Shape::ConfigJson)
        .document
        .unwrap_or_default();
    let source = [Contribution {
        source: "bench",
        document: Some(&document),
        broken: &[],
    }];
    let wanted = Wanted::join(&source, &mut Vec::new());
    let rules = Rules {
        readers: &[Reader::Kubelet, Reader::Containers],
        foreign: Foreign::Keep,
    };
    let merged = merge(&wanted, disk, ledger, rules);
    (merged.bytes.len(), merged.ledger)
}

fn time<T>(work: impl FnOnce() -> T) -> f64 {
    let begun = Instant::now();
    black_box(work());
    let took: Duration = begun.elapsed();
    took.as_secs_f64() * 1000.0
}
