//! Laws that hold for all documents, on documents that are mostly strange.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::image::ImageRef;
use crate::json::Text;
use crate::reader::{self, Outcome, Reader};

const RULES: Rules = Rules {
    readers: &[Reader::Kubelet, Reader::Containers],
    foreign: Foreign::Keep,
};

/// A password that no other part of a document contains.
fn password() -> impl Strategy<Value = String> {
    "SECRET[0-9]{6}[a-z\u{e9}:\n\"\\\\]{0,4}"
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-d]\\.example",
        1 => "[a-c]\\.example/team",
        1 => "https://[a-c]\\.example(/v1/)?",
        1 => Just("docker.io".to_owned()),
        1 => Just("https://index.docker.io/v1/".to_owned()),
        1 => "user:SECRET[0-9]{6}@[a-c]\\.example",
        1 => "[ -~]{0,6}",
    ]
}

fn entry() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let encoded = |pair: String| STANDARD.encode(pair);
    prop_oneof![
        6 => password().prop_map(move |p| json!({"auth": encoded(format!("user:{p}"))})),
        1 => password().prop_map(move |p| json!({"auth": encoded(format!("user:{p}")).trim_end_matches('=')})),
        1 => password().prop_map(move |p| json!({"auth": encoded(p)})),
        1 => password().prop_map(|p| json!({"auth": p})),
        1 => password().prop_map(|p| json!({"username": "user", "password": p, "email": "e"})),
        1 => password().prop_map(|p| json!({"identitytoken": p})),
        1 => password().prop_map(|p| json!({"auth": p, "registrytoken": [1]})),
        1 => Just(Value::Null),
        1 => Just(json!({})),
        1 => password().prop_map(Value::String),
    ]
}

fn body() -> impl Strategy<Value = String> {
    let auths = prop::collection::btree_map(key(), entry(), 0..6);
    (auths, prop::option::of(password()))
        .prop_map(|(auths, header)| match header {
            Some(header) => serde_json::json!({"auths": auths, "HttpHeaders": {"X": header}}),
            None => serde_json::json!({ "auths": auths }),
        })
        .prop_map(|value| value.to_string())
}

fn document(text: &str) -> Document {
    Document::check(text.as_bytes(), Shape::ConfigJson)
        .document
        .unwrap()
}

fn of<'d>(source: &'d str, document: &'d Document) -> Contribution<'d> {
    Contribution {
        source,
        document: Some(document),
        broken: &[],
    }
}

fn step(contributions: &[Contribution<'_>], disk: Option<&[u8]>, ledger: &Ledger) -> Merged {
    let wanted = Wanted::join(contributions, &mut Vec::new());
    let disk = disk.and_then(|bytes| Document::check(bytes, Shape::ConfigJson).document);
    merge(&wanted, disk.as_ref(), ledger, RULES)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn merging_again_changes_nothing(base in body(), extra in body(), disk in body()) {
        let (base, extra) = (document(&base), document(&extra));
        let sources = [of("base", &base), of("extra", &extra)];
        let ledger = Ledger::new(HashKey::new([1; 32]));
        let once = step(&sources, Some(disk.as_bytes()), &ledger);
        let twice = step(&sources, Some(&once.bytes), &once.ledger);
        prop_assert!(twice.changes.is_empty(), "{:?}", twice.changes);
        prop_assert_eq!(&once.bytes, &twice.bytes);
        prop_assert!(once.ledger == twice.ledger);
    }

    #[test]
    fn the_same_input_gives_the_same_bytes(base in body(), disk in body()) {
        let ledger = Ledger::new(HashKey::new([1; 32]));
        let run = || step(&[of("base", &document(&base))], Some(disk.as_bytes()), &ledger).bytes;
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn foreign_entries_survive(base in body(), next in body(), disk in body()) {
        let (base, next, before) = (document(&base), document(&next), document(&disk));
        let ledger = Ledger::new(HashKey::new([1; 32]));
        let once = step(&[of("base", &base)], Some(disk.as_bytes()), &ledger);
        let twice = step(&[of("base", &next)], Some(&once.bytes), &once.ledger);
        let after = document(std::str::from_utf8(&twice.bytes).unwrap());
        for entry in before.entries() {
            let ours = base.entry(entry.key()).or(next.entry(entry.key()));
            prop_assert!(ours.is_some() || after.entry(entry.key()) == Some(entry) || entry.was_repaired());
            prop_assert!(ours.is_some() || after.entry(entry.key()).is_some());
        }
    }

    #[test]
    fn removed_managed_entries_vanish(base in body(), next in body()) {
        let (base, next) = (document(&base), document(&next));
        let ledger = Ledger::new(HashKey::new([1; 32]));
        let once = step(&[of("base", &base)], None, &ledger);
        let twice = step(&[of("base", &next)], Some(&once.bytes), &once.ledger);
        let after = document(std::str::from_utf8(&twice.bytes).unwrap());
        for entry in after.entries() {
            prop_assert!(next.entry(entry.key()).is_some(), "{:?} stayed", entry);
        }
    }

    #[test]
    fn rendering_reads_back_as_itself(base in body()) {
        let base = document(&base);
        let again = Document::check(&base.render(), Shape::ConfigJson);
        let again = again.document.unwrap();
        prop_assert_eq!(&base.render(), &again.render());
        prop_assert!(again.entries().all(|entry| !entry.was_repaired()));
        prop_assert_eq!(again.left_out().len(), 0);
    }

    #[test]
    fn every_reader_reads_the_rendered_document_alike(base in body()) {
        let base = document(&base);
        let text = Text::new(&base.render());
        let views: Vec<_> = Reader::ALL
            .iter()
            .map(|&reader| reader::read(reader, &text, Shape::ConfigJson).unwrap())
            .collect();
        for entry in base.entries().filter(|entry| entry.serves(Reader::Kubelet)) {
            // The pair of user name and password; tokens are docker's alone, and told as findings.
            let pairs: Vec<_> = views
                .iter()
                .map(|view| {
                    let entries = view.entries();
                    let found = entries.iter().find(|found| found.key == entry.key()).unwrap();
                    let credential = found.credential.as_ref().unwrap();
                    (credential.username().to_vec(), credential.password().to_vec())
                })
                .collect();
            prop_assert!(!pairs[0].0.is_empty());
            prop_assert!(pairs.iter().all(|pair| *pair == pairs[0]));
        }
        for host in ["a.example", "b.example", "c.example", "d.example"] {
            let image = ImageRef::parse(&format!("{host}/some/app")).unwrap();
            let of_host = |key: &str| Key::parse(key).is_ok_and(|key| key.host == host);
            let keys: Vec<_> =
                base.entries().map(Entry::key).filter(|key| of_host(key)).collect();
            // Where the only key is the bare host, there is nothing that readers could differ about.
            if keys == [host] && base.entry(host).is_some_and(|entry| entry.serves(Reader::Kubelet)) {
                for view in &views {
                    let found = view.lookup(&image);
                    prop_assert_eq!(found.outcome, Outcome::Credentials);
                    prop_assert_eq!(found.candidates[0].key, host);
                }
            }
        }
    }

    #[test]
    fn no_finding_holds_a_byte_of_a_credential(base in body(), extra in body(), disk in body()) {
        let mut told = Vec::new();
        for text in [&base, &extra, &disk] {
            for shape in [Shape::ConfigJson, Shape::DockerCfg] {
                let checked = Document::check(text.as_bytes(), shape);
                told.push(format!("{:?} {:?}", checked.findings, checked.document));
            }
        }
        let (base, extra) = (document(&base), document(&extra));
        let sources = [of("base", &base), of("extra", &extra)];
        let mut findings = Vec::new();
        let wanted = Wanted::join(&sources, &mut findings);
        told.push(format!("{findings:?} {wanted:?}"));
        let ledger = Ledger::new(HashKey::new([1; 32]));
        let merged = step(&sources, Some(disk.as_bytes()), &ledger);
        told.push(format!("{:?} {:?} {ledger:?}", merged.findings, merged.ledger));
        let marker = STANDARD.encode("user:SECRET");
        for text in told {
            prop_assert!(!text.contains("SECRET") && !text.contains(&marker[..12]), "{text}");
        }
    }

    #[test]
    fn nothing_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Document::check(&bytes, Shape::ConfigJson);
        let _ = Document::check(&bytes, Shape::DockerCfg);
    }
}
